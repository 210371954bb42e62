"""Two processes do what one process does, under torchrun, too."""

import csv
import json
import os
import subprocess
import sys

import pytest

from tests.helpers.paths import RUN_NET
from tools import run_net

pytestmark = pytest.mark.slow

# The log has six digits: values that agree may differ by one in the last.
_ABS = 1.1e-5
_PLAIN = ["MODEL.FROZEN_BN", True, "MODEL.DROPOUT_RATE", 0.0]


def _losses(folder):
    lines = map(json.loads, (folder / "log.jsonl").read_text().splitlines())
    return [line["loss"] for line in lines if line["_type"] == "train_iter"]


def _results(folder):
    return json.loads((folder / "test_results.json").read_text())


def _rows(path):
    with open(path) as file:
        return list(csv.DictReader(file))


@pytest.fixture
def run_both(run_net_in_two, tmp_path):
    """Function (yaml, *overrides) -> OUTPUT_DIRs of a run in one process and in two."""

    def run(yaml, *options):
        folders = [tmp_path / "one", tmp_path / "two"]
        words = [["--cfg", yaml, *_PLAIN, *options, "OUTPUT_DIR", folder] for folder in folders]
        assert run_net.main([str(word) for word in words[0]]) == 0
        run_net_in_two(*words[1])
        return folders

    return run


@pytest.mark.parametrize(
    "yaml, names",
    [
        ("many_yaml", ["map", "charades_map"]),
        ("pairs_yaml", ["top1_acc", "top5_acc", "top1_acc_1", "top1_acc_2"]),
        ("box_yaml", ["map", "num_boxes", "num_key_frames"]),
    ],
)
def test_two_processes_do_other_tasks_like_one(request, run_both, yaml, names):
    """Every clip has two boxes: then each process has half of them."""
    one, two = run_both(request.getfixturevalue(yaml), "TRAIN.EVAL_PERIOD", 2)
    assert _losses(two) == pytest.approx(_losses(one), abs=_ABS)
    for name in names:
        assert _results(two)[name] == pytest.approx(_results(one)[name])


@pytest.mark.parametrize(
    "options", [["TRAIN.CLASS_WEIGHTS", "[0.5, 1, 3]"], ["DATA.SAMPLER", "balanced"]]
)
def test_two_processes_weigh_and_draw_classes_like_one(run_both, toy_yaml, options):
    one, two = run_both(toy_yaml, *options)
    assert _losses(two) == pytest.approx(_losses(one), abs=_ABS)


def test_two_processes_train_and_test_like_one(run_both, toy_yaml):
    options = ["SOLVER.MAX_EPOCH", 10, "TRAIN.EVAL_PERIOD", 5, "TRAIN.CHECKPOINT_PERIOD", 10]
    one, two = run_both(toy_yaml, *options)
    assert len(_losses(one)) == len(_losses(two)) == 20
    assert _losses(two) == pytest.approx(_losses(one), abs=_ABS)
    for key in ("top1_acc", "top5_acc", "num_videos", "num_unreadable"):
        assert _results(one)[key] == _results(two)[key]
    assert _results(one)["num_videos"] == 5
    for folder in (one, two):
        assert len(_rows(folder / "test_results.csv")) == 5


def test_two_processes_name_damaged_videos_and_judge_classes_like_one(
    run_both, toy_yaml, lossy_set
):
    one, two = run_both(toy_yaml, "DATA.PATH_TO_DATA_DIR", lossy_set, "SOLVER.MAX_EPOCH", 1)
    assert _results(two)["damaged"] == _results(one)["damaged"] != []
    for name in ("damaged_test.csv", "test_results_per_class.csv"):
        assert (two / name).read_text() == (one / name).read_text()
    for folder in (one, two):
        lost = [row["num_broken"] for row in _rows(folder / "test_results.csv")]
        assert sum(map(int, lost)) == _results(one)["damaged"][0]["num_lost"]


def test_torchrun_starts_the_processes(toy_yaml, tmp_path):
    options = [*_PLAIN, "SOLVER.MAX_EPOCH", 1, "OUTPUT_DIR"]
    words = ["--cfg", str(toy_yaml), *map(str, options)]
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    command = [sys.executable, *launcher, str(RUN_NET), *words, str(tmp_path / "two")]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    result = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert result.returncode == 0, result.stdout + result.stderr
    assert run_net.main([*words, str(tmp_path / "one")]) == 0
    assert _losses(tmp_path / "two") == pytest.approx(_losses(tmp_path / "one"), abs=_ABS)
    assert _results(tmp_path / "two")["num_videos"] == 5
