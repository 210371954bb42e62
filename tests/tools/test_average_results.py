"""Several tested runs become one number and its spread."""

import csv
import json
import re

import pytest

from tools import average_results


@pytest.fixture
def runs(tmp_path):
    """Folders of three tested runs."""
    for number, top1 in enumerate((80.0, 82.0, 87.0)):
        folder = tmp_path / f"split{number + 1}"
        folder.mkdir()
        results = {"loss": 0.5, "top1_acc": top1, "num_videos": 9, "views": "10 x 3"}
        if number:
            results["map"] = 1.0
        (folder / "test_results.json").write_text(json.dumps(results))
    return [str(tmp_path / f"split{number}") for number in (1, 2, 3)]


def test_mean_and_deviation_of_the_metrics_that_all_runs_have(run_tool, runs, tmp_path):
    code, output = run_tool(average_results, *runs, "--output", tmp_path / "all.json")
    assert code == 0 and "83.00" in output
    content = json.loads((tmp_path / "all.json").read_text())
    assert content["runs"] == runs and list(content["metrics"]) == ["loss", "top1_acc"]
    top1 = content["metrics"]["top1_acc"]
    assert top1 == {"mean": 83.0, "std": pytest.approx(13**0.5), "values": [80.0, 82.0, 87.0]}


def test_csv_has_a_line_for_each_metric_that_was_asked_for(run_tool, runs, tmp_path):
    path = tmp_path / "all.csv"
    words = ["--metrics", "top1_acc", "--output", path]
    assert run_tool(average_results, *runs, *words)[0] == 0
    with open(path) as file:
        (row,) = csv.DictReader(file)
    assert (row["metric"], float(row["mean"]), float(row[runs[2]])) == ("top1_acc", 83.0, 87.0)


def test_one_run_has_no_deviation(run_tool, runs, tmp_path):
    run_tool(average_results, runs[0], "--output", tmp_path / "one.json")
    content = json.loads((tmp_path / "one.json").read_text())
    assert content["metrics"]["top1_acc"]["std"] is None


@pytest.mark.parametrize(
    "words, message",
    [
        (["--metrics", "map"], r"split1: no metric \['map'\] among \['loss', 'top1_acc'\]"),
        (["--output", "all.txt"], r"all.txt: .*\.json or \.csv"),
        (["nowhere"], "nowhere: no results"),
        (["split2/test_results.json"], "split2/test_results.json: this run is given twice"),
    ],
)
def test_mistakes_are_named(run_tool, runs, tmp_path, monkeypatch, words, message):
    monkeypatch.chdir(tmp_path)
    code, output = run_tool(average_results, *runs, *words)
    assert code == 1 and re.search(message, output)
