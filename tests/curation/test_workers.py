"""run_parallel with functions that fail, crash and wait."""

import os
import signal
import subprocess
import sys
import time
from functools import partial

import pytest

from slowfast.curation.workers import Failure, run_parallel


def _work(item):
    if item == "raise":
        raise ValueError("not this one")
    if item == "crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    if item == "exit":
        os._exit(3)
    return item.upper()


@pytest.mark.slow
def test_every_item_comes_back_also_one_that_kills_its_process():
    items = ["a", "crash", "b", "raise", "c", "exit", "d"]
    results = dict(run_parallel(_work, items, workers=2))
    assert results == {
        **{item: item.upper() for item in "abcd"},
        "crash": Failure("WorkerDied: its process ended with SIGSEGV"),
        "raise": Failure("ValueError: not this one"),
        "exit": Failure("WorkerDied: its process ended with exit code 3"),
    }


def test_no_items_start_no_process():
    assert list(run_parallel(_work, [], workers=2)) == []


def _note_and_sleep(item, folder):
    (folder / str(os.getpid())).touch()
    time.sleep(60 if item else 0)


@pytest.mark.slow
def test_closing_ends_processes_in_the_midst_of_their_work(tmp_path):
    work = partial(_note_and_sleep, folder=tmp_path)
    results = run_parallel(work, [0, 1, 1], workers=2)
    assert next(results) == (0, None)
    start = time.monotonic()
    results.close()
    assert time.monotonic() - start < 1
    for file in tmp_path.iterdir():
        with pytest.raises(ProcessLookupError):
            os.kill(int(file.name), 0)


@pytest.mark.slow
def test_work_on_videos_imports_no_torch():
    """That would take each process longer than most videos do."""
    modules = "slowfast.curation.check, slowfast.curation.flow, slowfast.curation.prepare"
    code = f"import {modules}, sys; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
