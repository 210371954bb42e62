"""A run that was stopped ends, once resumed, with the weights of one that was not."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from slowfast.checkpoint import files
from slowfast.engine.train import train

RUN_NET = Path(__file__).parents[2] / "tools" / "run_net.py"


def _start(yaml, *options):
    command = [sys.executable, str(RUN_NET), "--cfg", str(yaml), "TEST.ENABLE", "False"]
    return subprocess.Popen(
        [*command, *map(str, options)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def _wait_for(path: Path, text: str, process):
    """Return once `text` is in the file; fail when the process ends first."""
    while not (path.exists() and text in path.read_text()):
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.01)


@pytest.mark.parametrize("signum, num_workers", [(signal.SIGINT, 0), (signal.SIGTERM, 2)])
def test_stopped_and_resumed_run_ends_with_the_same_weights(
    toy_yaml, toy_cfg, tmp_path, signum, num_workers
):
    options = ["DATA_LOADER.NUM_WORKERS", num_workers, "SOLVER.MAX_EPOCH", 6, "TRAIN.BATCH_SIZE", 2]
    expected = train(toy_cfg(*options, "OUTPUT_DIR", tmp_path / "whole")).model.state_dict()
    options += ["OUTPUT_DIR", tmp_path / "stopped"]
    stopped = _start(toy_yaml, *options)
    _wait_for(tmp_path / "stopped" / "log.jsonl", '"epoch": "3/6", "iter": "2/4"', stopped)
    stopped.send_signal(signum)
    output = stopped.communicate()[0]
    assert stopped.returncode == 128 + signum, output
    assert "the same command goes on from here" in output
    resumed = _start(toy_yaml, *options)
    output = resumed.communicate()[0]
    assert resumed.returncode == 0, output
    assert "resumed from" in output

    found = files.load(files.last_checkpoint(tmp_path / "stopped"))
    assert found["epoch"] == 5
    for name, value in expected.items():
        assert torch.equal(found["model_state"][name], value), name
    assert not (tmp_path / "stopped/checkpoints/checkpoint_interrupted.pyth").exists()


def test_run_resumed_after_any_epoch_ends_with_the_same_weights(toy_cfg, tmp_path):
    """Also from a checkpoint of PySlowFast's kind of period: the epochs since it are done again."""
    whole = train(toy_cfg("SOLVER.MAX_EPOCH", 4, "OUTPUT_DIR", tmp_path / "whole"))
    kept = tmp_path / "killed" / "checkpoints" / "checkpoint_epoch_00002.pyth"
    kept.parent.mkdir(parents=True)
    kept.write_bytes((tmp_path / "whole/checkpoints/checkpoint_epoch_00002.pyth").read_bytes())
    resumed = train(toy_cfg("SOLVER.MAX_EPOCH", 4, "OUTPUT_DIR", tmp_path / "killed"))
    for name, value in whole.model.state_dict().items():
        assert torch.equal(resumed.model.state_dict()[name], value), name
    assert [row["epoch"] for row in resumed.history] == [1, 2, 3, 4]
