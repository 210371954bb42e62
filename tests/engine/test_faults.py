"""A process that is killed or asked to stop in the middle of a training: lines and exit codes."""

import os
import signal
import socket
import threading
import time

import pytest

from slowfast.checkpoint import files
from slowfast.datasets import reading
from slowfast.datasets.clip_dataset import ClipDataset
from slowfast.engine import epoch
from slowfast.engine.train import train
from slowfast.runtime import launch
from slowfast.runtime.stop import Interrupted
from tests.helpers.processes import run_net_under_torchrun

pytestmark = pytest.mark.slow


def _adding(signum, seconds=0.0):
    """TrainMeter.add of a process that gets a signal some time after its first step."""
    add = epoch.TrainMeter.add

    def add_and_signal(self, *args, **keys):
        add(self, *args, **keys)
        if not hasattr(self, "is_over"):
            self.is_over = True
            threading.Timer(seconds, os.kill, (os.getpid(), signum)).start()

    return add_and_signal


def _signalled(rank, signum, port, words):
    """Train as process `rank` of two, of which the second gets the signal."""
    if rank == 1:
        epoch.TrainMeter.add = _adding(signum)
    run_net_under_torchrun(rank, port, words)


@pytest.fixture
def end_of_two(forked, toy_yaml, tmp_path):
    """Function (signum) -> exit code, and the lines of the first process but for tracebacks."""

    def run(signum):
        words = ["--cfg", str(toy_yaml), "SOLVER.MAX_EPOCH", "50", "TRAIN.BATCH_SIZE", "2"]
        with socket.create_server(("localhost", 0)) as server:
            port = server.getsockname()[1]
        with pytest.raises(SystemExit) as ended:
            launch.run_in_processes(_signalled, (signum, port, words), 2)
        # Not what is printed: the server that forks them may have been started by an earlier test.
        lines = (tmp_path / "run/stdout.log").read_text().splitlines()
        return ended.value.code, "\n".join(line for line in lines if " D]" not in line)

    return run


def test_a_killed_process_is_told_by_the_other_and_by_the_one_that_started_them(end_of_two):
    code, printed = end_of_two(signal.SIGKILL)
    assert code in (1, 128 + signal.SIGKILL)
    assert "LostProcess: another process of the run ended" in printed
    assert "Process 0 of 2 on" in printed


def test_a_stop_asked_of_one_process_ends_all_with_its_number(end_of_two, tmp_path):
    code, printed = end_of_two(signal.SIGTERM)
    assert code == 128 + signal.SIGTERM and "the same command goes on from here" in printed
    assert files.interrupted_path(tmp_path / "run").exists()


def test_a_stop_while_a_video_hangs_saves_the_last_step(toy_cfg, tmp_path, monkeypatch):
    for name, seconds in (("_POLL", 0.1), ("STOP_GRACE", 0.3)):
        monkeypatch.setattr(reading, name, seconds)
    read = ClipDataset._read

    def read_or_hang(self, index, views, rng):
        if self.watch._cells[2] > 8:  # videos that this process has read
            with self.watch(index):
                signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM})
                time.sleep(60)
        return read(self, index, views, rng)

    monkeypatch.setattr(ClipDataset, "_read", read_or_hang)
    monkeypatch.setattr(epoch.TrainMeter, "add", _adding(signal.SIGTERM, 1.0))
    cfg = toy_cfg("DATA_LOADER.NUM_WORKERS", 1, "SOLVER.MAX_EPOCH", 50, "TRAIN.EVAL_PERIOD", 50)
    start = time.monotonic()
    with pytest.raises(Interrupted) as ended:
        train(cfg)
    assert ended.value.code == 143 and time.monotonic() - start < 12
    assert files.interrupted_path(tmp_path / "run").exists()
