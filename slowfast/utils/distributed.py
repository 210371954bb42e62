"""Rank, size and the few collectives we need; all of them also work in a single process."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist

_BEAT_SECONDS, _SILENT_SECONDS = 5.0, 600.0
_POLL_SECONDS = 2.0


def is_distributed() -> bool:
    """True when a process group is running, which may have one process only."""
    return dist.is_available() and dist.is_initialized()


def rank() -> int:
    """Number of this process among all processes, 0 in a single process."""
    return dist.get_rank() if is_distributed() else 0


def world_size() -> int:
    """Number of processes over all machines."""
    return dist.get_world_size() if is_distributed() else 1


def local_size(num_machines: int) -> int:
    """Number of processes on each of `num_machines` machines."""
    return max(1, world_size() // num_machines)


def is_main_process() -> bool:
    """True for the one process that writes files and logs."""
    return rank() == 0


def barrier() -> None:
    """Wait for all processes."""
    if is_distributed():
        dist.barrier()


def all_reduce_sum(values: torch.Tensor) -> torch.Tensor:
    """Sum of `values` over all processes, as a new tensor on the same device."""
    values = values.clone()
    if is_distributed():
        dist.all_reduce(values)
    return values


def all_reduce_max(values: torch.Tensor) -> torch.Tensor:
    """The largest of `values` over all processes, place by place, as a new tensor."""
    values = values.clone()
    if is_distributed():
        dist.all_reduce(values, dist.ReduceOp.MAX)
    return values


def gather_objects(value: Any) -> list[Any]:
    """The picklable `value` of every process, in rank order, on every process."""
    if not is_distributed():
        return [value]
    values = [None] * world_size()
    dist.all_gather_object(values, value)
    return values


def gather_to_main(value: Any) -> list[Any]:
    """The picklable `value` of every process, in rank order; [] on all but the main process."""
    if not is_distributed():
        return [value]
    values = [None] * world_size() if is_main_process() else None
    dist.gather_object(value, values)
    return values or []


def from_main(value: Any) -> Any:
    """The picklable `value` of the main process, on every process."""
    if not is_distributed():
        return value
    values = [value if is_main_process() else None]
    dist.broadcast_object_list(values)
    return values[0]


@contextmanager
def main_process_alone() -> Iterator[bool]:
    """Block in which the main process works for as long as it takes; the others wait at its end.

    Gives whether this is the main process. No collective waits, which would give up after
    DIST_TIMEOUT_MINUTES: the main process shows that it lives, and where it does not, or fails, the
    others raise DistError.
    """
    if not is_distributed():
        yield True
        return
    store = dist.distributed_c10d._get_default_store()
    name = f"alone/{store.add(f'alone/of_{rank()}', 1)}"
    if not is_main_process():
        yield False
        _wait_for_main(store, name)
        return
    is_over, outcome = threading.Event(), "failed"
    thread = threading.Thread(target=_beat, args=(store, name, is_over), daemon=True)
    thread.start()
    try:
        yield True
        outcome = "done"
    finally:
        is_over.set()
        thread.join()
        store.set(name, outcome)


def _beat(store: dist.Store, name: str, is_over: threading.Event) -> None:
    while not is_over.wait(_BEAT_SECONDS):
        store.add(f"{name}/beats", 1)


def _wait_for_main(store: dist.Store, name: str) -> None:
    beats, since, pause = 0, time.monotonic(), 0.01
    while not store.check([name]):
        latest = store.add(f"{name}/beats", 0)
        if latest != beats:
            beats, since = latest, time.monotonic()
        if time.monotonic() - since > _SILENT_SECONDS:
            raise dist.DistNetworkError("the main process timed out")
        time.sleep(pause)
        pause = min(1.5 * pause, _POLL_SECONDS)
    if store.get(name) != b"done":
        raise dist.DistNetworkError("the main process failed")
