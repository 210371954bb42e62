"""A process that hangs when it is asked to stop ends all the same; one that works goes on."""

import os
import signal
import subprocess
import sys
import time

import pytest

from tests.helpers.paths import ROOT

SCRIPT = """
import hashlib, os, sys, time
from slowfast.runtime import stop
from slowfast.utils.logging import setup_logging

stop._HANG_SECONDS = 0.6
setup_logging(None, is_main=True)

def read():
    os.open(sys.argv[1], os.O_RDONLY)  # a pipe into which nobody writes

def work():
    hashlib.pbkdf2_hmac("sha256", b"", b"", 6_000_000)  # some seconds in one call

def lose_a_peer():
    time.sleep(0.5)
    raise RuntimeError("[pair.cc:1] Connection closed by peer")

if sys.argv[2] == "look":
    from concurrent.futures import ThreadPoolExecutor
    from slowfast.runtime.watchdog import ended_if_hung

    with ended_if_hung([2], 0.6), ThreadPoolExecutor(2) as pool:
        print("ready", flush=True)
        pool.submit(read).result()

with stop.StopRequest() as request:
    print("ready", flush=True)
    {"read": read, "work": work, "lose": lose_a_peer}[sys.argv[2]]()
print("done", request.signum)
"""


@pytest.fixture
def start(tmp_path):
    """Function (kind) -> a process that has begun to do it."""
    os.mkfifo(tmp_path / "pipe")

    def run(kind):
        words = [sys.executable, "-c", SCRIPT, str(tmp_path / "pipe"), kind]
        process = subprocess.Popen(
            words,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        while "ready" not in process.stdout.readline():
            assert process.poll() is None
        time.sleep(0.3)
        return process

    return run


@pytest.mark.slow
@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_process_that_hangs_ends_with_one_line(start, signum):
    process = start("read")
    process.send_signal(signum)
    printed, _ = process.communicate(timeout=20)
    assert process.returncode == 128 + signum
    assert f"{signum.name}: the process hangs at" in printed and "Traceback" not in printed


@pytest.mark.slow
def test_a_process_that_works_is_waited_for(start):
    process = start("work")
    process.send_signal(signal.SIGTERM)
    assert "done 15" in process.communicate(timeout=60)[0] and process.returncode == 0


@pytest.mark.slow
def test_a_peer_that_is_lost_after_the_request_is_a_stop_too(start):
    process = start("lose")
    process.send_signal(signal.SIGTERM)
    printed, _ = process.communicate(timeout=20)
    assert process.returncode == 143
    assert "stopped, but without saving: RuntimeError" in printed and "Traceback" not in printed


@pytest.mark.slow
def test_a_thread_that_hangs_does_not_keep_ctrl_c_from_ending_the_start_of_a_run(start):
    process = start("look")
    process.send_signal(signal.SIGINT)
    printed, _ = process.communicate(timeout=20)
    assert process.returncode == 130 and "SIGINT: the process hangs at" in printed
