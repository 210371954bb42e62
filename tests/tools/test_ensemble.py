"""tools/ensemble.py on two saved runs."""

import csv
import json
import re

import pytest
import torch

from slowfast.evaluation.video_scores import VideoScores
from tools import ensemble


@pytest.fixture
def runs(tmp_path):
    """Folders of a run on videos and of one on their flow; each knows one of the two videos."""
    folders = []
    for name, suffix, rows in (
        ("rgb", ".mp4", [[0.9, 0.1], [0.6, 0.4]]),
        ("flow", "", [[0.45, 0.55], [0.1, 0.9]]),
    ):
        folder = tmp_path / name
        folder.mkdir()
        views = VideoScores(2, 1, 2)
        views.add(torch.arange(2), torch.zeros(2), torch.tensor(rows))
        paths = [f"{name}/{video}{suffix}" for video in "ab"]
        views.save_npz(folder / "test_scores.npz", paths, [0, 1])
        folders.append(str(folder))
    return folders


def test_fused_accuracies_are_printed_and_written(run_tool, runs, tmp_path):
    path = tmp_path / "fused.json"
    code, printed = run_tool(ensemble, *runs, "--weights", 1, 1.5, "--output", path)
    assert code == 0 and "fused" in printed and "100.00" in printed and "2 videos" in printed
    content = json.loads(path.read_text())
    assert (content["top1_acc"], content["num_videos"]) == (100.0, 2)
    assert [run["top1_acc"] for run in content["runs"]] == [50.0, 50.0]
    assert [run["weight"] for run in content["runs"]] == [1, 1.5]


def test_csv_has_a_line_per_run_and_one_for_the_fusion(run_tool, runs, tmp_path):
    path = tmp_path / "fused.csv"
    assert run_tool(ensemble, *runs, "--output", path)[0] == 0
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["run"] for row in rows] == [*runs, "fused"]
    assert [float(row["top1_acc"]) for row in rows] == [50, 50, 100]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--weights", "1"], "--weights"),
        (["--output", "fused.txt"], "fused.txt: .*.json or .csv"),
        (["nowhere"], "nowhere.*no scores"),
    ],
)
def test_mistakes_are_named(run_tool, runs, words, message):
    code, output = run_tool(ensemble, *runs, *words)
    assert code == 1 and re.search(message, output)
