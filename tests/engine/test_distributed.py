"""Two processes under torchrun do what one process does."""

import csv
import json
import os
import subprocess
import sys

import pytest

from tests.helpers.paths import RUN_NET

# The log has six digits: values that agree may differ by one in the last.
_ABS = 1.1e-5


def _run(yaml, num_processes, *options):
    launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={num_processes}"]
    command = [sys.executable, *(launcher if num_processes > 1 else []), str(RUN_NET)]
    result = subprocess.run(
        [*command, "--cfg", str(yaml), *map(str, options)],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert result.returncode == 0, result.stdout + result.stderr


def _losses(folder):
    lines = map(json.loads, (folder / "log.jsonl").read_text().splitlines())
    return [line["loss"] for line in lines if line["_type"] == "train_iter"]


@pytest.mark.parametrize(
    "yaml, names",
    [("many_yaml", ["map", "charades_map"]), ("box_yaml", ["map", "num_boxes", "num_key_frames"])],
)
def test_two_processes_do_other_tasks_like_one(request, tmp_path, yaml, names):
    """Every clip has two boxes: then each process has half of them."""
    options = ["MODEL.FROZEN_BN", True, "MODEL.DROPOUT_RATE", 0.0, "TRAIN.EVAL_PERIOD", 2]
    for count in (1, 2):
        path = request.getfixturevalue(yaml)
        _run(path, count, *options, "OUTPUT_DIR", tmp_path / str(count))
    assert _losses(tmp_path / "2") == pytest.approx(_losses(tmp_path / "1"), abs=_ABS)
    results = [json.loads((tmp_path / f"{n}/test_results.json").read_text()) for n in (1, 2)]
    for name in names:
        assert results[1][name] == pytest.approx(results[0][name])


def test_two_processes_train_and_test_like_one(toy_yaml, tmp_path):
    options = ["MODEL.FROZEN_BN", True, "MODEL.DROPOUT_RATE", 0.0, "SOLVER.MAX_EPOCH", 10]
    options += ["TRAIN.EVAL_PERIOD", 5, "TRAIN.CHECKPOINT_PERIOD", 10]
    for count in (1, 2):
        _run(toy_yaml, count, *options, "OUTPUT_DIR", tmp_path / str(count))
    one, two = _losses(tmp_path / "1"), _losses(tmp_path / "2")
    assert len(one) == len(two) == 20
    assert two == pytest.approx(one, abs=_ABS)
    results = [json.loads((tmp_path / f"{n}/test_results.json").read_text()) for n in (1, 2)]
    for key in ("top1_acc", "top5_acc", "num_videos", "num_unreadable"):
        assert results[0][key] == results[1][key]
    assert results[0]["num_videos"] == 5
    for n in (1, 2):
        with open(tmp_path / f"{n}/test_results.csv") as file:
            assert len(list(csv.DictReader(file))) == 5
