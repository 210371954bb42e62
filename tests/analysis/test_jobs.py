"""Processes of a search; a small script stands for run_net.py."""

import os
import signal
import subprocess
import sys
import time

import pytest

from slowfast.analysis import jobs
from slowfast.analysis.jobs import Job, run_jobs
from tests.helpers.paths import ROOT

SCRIPT = """
import os, sys, time
word = open(sys.argv[2]).read()
print("begun", os.environ["OMP_NUM_THREADS"], flush=True)
open(sys.argv[2] + ".pid", "w").write(str(os.getpid()))
if word == "fail":
    sys.exit("ValueError: DATA.NUM_FRAMES: 0 is too few")
time.sleep(float(word))
"""
SEARCH = """
import sys
from pathlib import Path
from slowfast.analysis import jobs
jobs._RUN_NET, paths = Path(sys.argv[1]), [Path(word) for word in sys.argv[2:]]
found = [jobs.Job(path.name, path, path.with_suffix(".log")) for path in paths]
list(jobs.run_jobs(found, len(found), num_gpus=0))
"""


@pytest.fixture
def script(tmp_path, monkeypatch):
    path = tmp_path / "run_net.py"
    path.write_text(SCRIPT)
    monkeypatch.setattr(jobs, "_RUN_NET", path)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    return path


@pytest.fixture
def make_job(tmp_path):
    """Function (name, word) -> a job that fails, or takes so many seconds."""

    def make(name, word):
        (tmp_path / name).write_text(word)
        return Job(name, tmp_path / name, tmp_path / f"{name}.log")

    return make


def wait_for_pid(path):
    deadline = time.monotonic() + 60
    while not (path.exists() and path.read_text()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return int(path.read_text())


def ends(pid):
    """Whether a process ends within some seconds."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        stat = open(f"/proc/{pid}/stat").read() if os.path.exists(f"/proc/{pid}/stat") else ""
        if ") Z" in stat:  # ended; nobody has asked for its exit code yet
            return True
        time.sleep(0.02)
    return False


@pytest.mark.slow
def test_jobs_that_end_well_are_given(script, make_job):
    found = [make_job("a", "0"), make_job("b", "0")]
    assert sorted(job.name for job in run_jobs(found, 2, num_gpus=0)) == ["a", "b"]
    assert "begun" in found[0].log.read_text()


def test_failure_is_named_after_the_others_have_run(script, make_job):
    ended = []
    with pytest.raises(ValueError, match="ValueError: DATA.NUM_FRAMES: 0 is too few .all of it"):
        for job in run_jobs([make_job("a", "fail"), make_job("b", "0")], 1, num_gpus=0):
            ended.append(job.name)
    assert ended == ["b"]


@pytest.mark.slow
def test_leaving_the_loop_ends_all_runs(script, make_job, tmp_path):
    running = run_jobs([make_job("a", "0"), make_job("b", "100")], 2, num_gpus=0)
    assert next(running).name == "a"
    pid = wait_for_pid(tmp_path / "b.pid")
    running.close()
    assert ends(pid)


@pytest.mark.slow
@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
@pytest.mark.skipif(sys.platform != "linux", reason="needs PR_SET_PDEATHSIG")
def test_no_run_outlives_the_search(script, make_job, tmp_path, signum):
    path = make_job("a", "100").config
    process = subprocess.Popen(
        [sys.executable, "-c", SEARCH, script, path], cwd=ROOT, stderr=subprocess.DEVNULL
    )
    pid = wait_for_pid(tmp_path / "a.pid")
    process.send_signal(signum)
    process.wait(60)
    assert ends(pid)


def test_more_gpus_than_there_are_is_refused(make_job, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1,2")
    with pytest.raises(ValueError, match="--jobs: 2 runs of NUM_GPUS 2 need 4 GPUs.* has 3"):
        list(run_jobs([make_job("a", "0"), make_job("b", "0")], 2, num_gpus=2))


def test_each_place_has_gpus_of_its_own(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,5,6,7")
    places = jobs._slots(2, 2)
    assert [place["CUDA_VISIBLE_DEVICES"] for place in places] == ["4,5", "6,7"]
