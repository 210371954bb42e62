"""A folder is for one training and one test at a time, and free once its process has ended."""

import json
import os
import signal
import subprocess
import sys

import pytest
from filelock import FileLock

from slowfast.runtime import lock
from slowfast.runtime.lock import only_run_in
from tests.helpers.paths import ROOT

HOLDER = """
import os, sys, time
from slowfast.runtime.lock import only_run_in
with only_run_in(sys.argv[1], "train"):
    if os.fork() == 0:  # as a loader process, which outlives its parent for a while
        print("locked", flush=True)  # here, as the fork lets go of the lock a moment later
        time.sleep(20)
        os._exit(0)
    time.sleep(60)
"""


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(lock, "_PATIENCE", 0.05)


@pytest.fixture
def holder(tmp_path):
    """Another process that trains in tmp_path."""
    words = [sys.executable, "-c", HOLDER, str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        words, env=environment, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert process.stdout.readline() == "locked\n"
    yield process
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def test_a_second_training_is_refused_with_the_first_ones_process(tmp_path, holder):
    named = rf"OUTPUT_DIR: .* in use by another training: process {holder.pid} on "
    with pytest.raises(ValueError, match=named), only_run_in(tmp_path, "train"):
        pass


def test_a_test_beside_a_training_is_not_refused(tmp_path, holder):
    with only_run_in(tmp_path, "test"):
        assert (tmp_path / ".test.lock").exists()


def test_a_killed_process_leaves_no_lock_though_its_loader_lives(tmp_path, holder):
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    with only_run_in(tmp_path, "train"):
        assert json.loads((tmp_path / ".train.lock").read_text())["pid"] == os.getpid()


def test_a_restart_by_torchrun_goes_on_where_a_lost_machine_has_the_lock(
    tmp_path, monkeypatch, caplog
):
    monkeypatch.setattr(lock.logger.parent, "propagate", True)
    path = tmp_path / ".train.lock"
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "7")
    with FileLock(path):
        path.write_text(json.dumps({"pid": 1, "host": "gone", "elastic": "7"}))
        with pytest.raises(ValueError, match="process 1 on gone"), only_run_in(tmp_path, "train"):
            pass
        monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "1")
        with only_run_in(tmp_path, "train"):
            assert "still locked by process 1 on gone" in caplog.text
