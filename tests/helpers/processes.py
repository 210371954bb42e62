"""Processes for tests: tools as a user starts them, and some that start in no time.

The processes of this project are spawned, as CUDA and threads ask for; each then imports everything
again, which takes longer than most tests. Those of `forked`, `run_in_two` and `run_net_in_two` come
from one that has imported torch and this package, and has run nothing yet.
"""

import importlib
import multiprocessing
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import ModuleType

import pytest
import torch
import torch.distributed as dist

from slowfast.runtime import launch
from tests.helpers.paths import ROOT
from tools import run_net

_PRELOADED = ["torchvision.ops", "slowfast.engine.train", "slowfast.engine.test"]


def start_tool(name: str, *words) -> subprocess.Popen:
    """A tool that leads a group of processes; communicate() gives all that it prints."""
    return subprocess.Popen(
        [sys.executable, str(ROOT / "tools" / name), *map(str, words)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def wait_until(is_so: Callable[[], bool], process: subprocess.Popen) -> None:
    """Return once it is so; fail when the process ends before."""
    deadline = time.monotonic() + 120
    while not is_so():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.005)


@pytest.fixture
def forked(monkeypatch):
    """Lets launch.run_in_processes fork, in place of spawning."""
    multiprocessing.set_forkserver_preload(_PRELOADED)
    start = launch.mp.start_processes
    monkeypatch.setattr(
        launch.mp,
        "start_processes",
        lambda *args, **keys: start(*args, **{**keys, "start_method": "forkserver"}),
    )


@pytest.fixture
def run_in_two(forked, tmp_path):
    """Function (function, *args) that calls function(rank, *args) in two processes of a group."""

    return lambda function, *args: _run_in_group(2, tmp_path, function, args)


@pytest.fixture
def run_in_group(forked, tmp_path):
    """Function (count, function, *args): the same in `count` processes."""
    return lambda count, function, *args: _run_in_group(count, tmp_path, function, args)


def _run_in_group(count: int, folder: Path, function: Callable, args: tuple) -> None:
    store = folder / "store"
    store.unlink(missing_ok=True)
    launch.run_in_processes(_call_in_group, (store, count, function, args), count)


@pytest.fixture
def run_net_in_two(forked):
    """Function (*words) that calls tools/run_net.py as torchrun does for two processes."""

    return partial(_run_under_torchrun, run_net)


@pytest.fixture
def run_tool_in_two(forked):
    """Function (tool, *words) that calls any tool in this way."""
    return _run_under_torchrun


def _run_under_torchrun(tool: ModuleType, *words, folder: str | Path = ".") -> None:
    """folder: the current one of both processes."""
    with socket.create_server(("localhost", 0)) as server:
        port = server.getsockname()[1]
    args = port, list(map(str, words)), tool.__name__, folder
    launch.run_in_processes(run_net_under_torchrun, args, 2)


def _call_in_group(rank: int, store: Path, count: int, function: Callable, args: tuple) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", f"file://{store}", rank=rank, world_size=count)
    function(rank, *args)
    dist.barrier()  # a process that leaves early breaks the others' connections
    dist.destroy_process_group()


def run_net_under_torchrun(
    rank: int, port: int, words: list[str], tool: str = "tools.run_net", folder: str | Path = "."
) -> None:
    """Call a tool as one of torchrun's two processes."""
    os.chdir(folder)
    place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": 2, "LOCAL_WORLD_SIZE": 2}
    place |= {"MASTER_ADDR": "localhost", "MASTER_PORT": port}
    os.environ.update({name: str(value) for name, value in place.items()})
    torch.set_num_threads(1)
    if code := importlib.import_module(tool).main(words):
        raise SystemExit(code)
