"""Processes that start in no time: forked from one that has imported torch and this package.

The processes of this project are spawned, as CUDA and threads ask for; each then imports everything
again, which takes longer than most tests. The process forked from here has run nothing yet.
"""

import multiprocessing
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.distributed as dist

from slowfast.runtime import launch

_PRELOADED = ["torchvision.ops", "slowfast.engine.train", "slowfast.engine.test"]


@pytest.fixture(scope="session")
def _fork_server():
    multiprocessing.set_forkserver_preload(_PRELOADED)
    multiprocessing.forkserver.ensure_running()


@pytest.fixture
def forked(_fork_server, monkeypatch):
    """Lets launch.run_in_processes fork, in place of spawning."""
    start = launch.mp.start_processes
    monkeypatch.setattr(
        launch.mp,
        "start_processes",
        lambda *args, **keys: start(*args, **{**keys, "start_method": "forkserver"}),
    )


@pytest.fixture
def run_in_two(forked, tmp_path):
    """Function (function, *args) that calls function(rank, *args) in two processes of a group."""

    def run(function: Callable, *args) -> None:
        launch.run_in_processes(_call_in_group, (tmp_path / "store", function, args), 2)

    return run


def _call_in_group(rank: int, store: Path, function: Callable, args: tuple) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", f"file://{store}", rank=rank, world_size=2)
    function(rank, *args)
    dist.barrier()  # a process that leaves early breaks the others' connections
    dist.destroy_process_group()
