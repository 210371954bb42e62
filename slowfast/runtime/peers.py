"""Meeting of the processes of a job, and one line where one of them cannot be reached."""

import os
import re
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import torch
import torch.distributed as dist

_OF_A_LIBRARY = re.compile(
    r"gloo|nccl|ProcessGroup|TCPStore|Connection (closed|reset) by peer", re.IGNORECASE
)


class LostProcess(ConnectionError):
    """Another process of the job ended, or does not answer."""


def free_address() -> str:
    """A URL for processes of this machine; the port is free now."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"tcp://127.0.0.1:{server.getsockname()[1]}"


def meet(
    backend: str,
    init_method: str,
    *,
    rank: int,
    world_size: int,
    gpu: int | None,
    minutes: float,
) -> None:
    """Join the group of all processes; OSError, with what to do, where that fails.

    minutes: the longest wait for another process, here and later. With nccl, objects travel over
    gloo: they need no memory of the GPU, and their sizes no copies from it.
    """
    where, begin = _address(init_method), time.monotonic()
    try:
        dist.init_process_group(
            "cpu:gloo,cuda:nccl" if backend == "nccl" else backend,
            init_method=init_method,
            rank=rank,
            world_size=world_size,
            timeout=timedelta(minutes=minutes),
            device_id=torch.device("cuda", gpu) if backend == "nccl" else None,
        )
    except (RuntimeError, OSError) as error:
        if "EADDRINUSE" in str(error) or "address already in use" in str(error):
            raise OSError(
                f"{where} is in use by another program, perhaps another run; take another port: "
                "--init_method tcp://HOST:PORT, or --master_port of torchrun (on one machine "
                "without --init_method a free one is found)"
            ) from error
        if not _OF_A_LIBRARY.search(str(error)) and not isinstance(error, dist.DistError):
            raise
        raise LostProcess(
            f"process {rank} of {world_size} on {socket.gethostname()} waited "
            f"{time.monotonic() - begin:.0f} s for the others at {where}: are all {world_size} "
            "started, with the same address, and is the port open between the machines? "
            f"({first_words(error)})"
        ) from error


def _address(init_method: str) -> str:
    if init_method != "env://":
        return init_method
    return ":".join(os.environ.get(name, "?") for name in ("MASTER_ADDR", "MASTER_PORT"))


@contextmanager
def named_losses(minutes: float) -> Iterator[None]:
    """Turn errors of the communication with other processes into LostProcess."""
    try:
        yield
    except RuntimeError as error:
        is_lost = isinstance(error, dist.DistError) or _OF_A_LIBRARY.search(str(error))
        if not dist.is_initialized() or not is_lost:
            raise
        words = first_words(error)
        is_late = re.search(r"time.?out|timed out", words, re.IGNORECASE)
        found = (
            f"does not answer since DIST_TIMEOUT_MINUTES {minutes:g}: it hangs, or is cut off"
            if is_late
            else "ended: its own last lines, or the kernel's log (out of memory), say why"
        )
        raise LostProcess(
            f"another process of the run {found}. Process {dist.get_rank()} of "
            f"{dist.get_world_size()} on {socket.gethostname()} ends, too; the same command goes "
            f"on from the last checkpoint ({words})"
        ) from error


def first_words(error: BaseException) -> str:
    """A library's own words, without the places in its code and its advice."""
    line = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return re.sub(r"^\[\S*:\d+\]\s*", "", line).partition(". ")[0][:200]
