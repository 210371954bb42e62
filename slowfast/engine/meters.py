"""The lines of a training log."""

import resource
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from slowfast.engine.state import Sums
from slowfast.engine.step import StepResult


@dataclass
class _Period:
    """Steps since the last line."""

    sums: Sums = field(default_factory=Sums)
    data_times: list[float] = field(default_factory=list)
    step_times: list[float] = field(default_factory=list)
    norms: list[float] = field(default_factory=list)


class TrainMeter:
    """Adds up the steps of an epoch, and says how the run is doing.

    `steps` is the number of steps of every epoch of the run; times in a line are medians in seconds
    over the log period.
    """

    def __init__(self, steps: Sequence[int]):
        self._steps = steps
        self._period = _Period()
        self._start = time.perf_counter()

    def add(self, result: StepResult, *, data_time: float, step_time: float) -> None:
        """Add one step."""
        self._period.sums.add(result.sums)
        self._period.data_times.append(data_time)
        self._period.step_times.append(step_time)
        if result.grad_norm is not None:
            self._period.norms.append(result.grad_norm)

    def period(self, epoch: int, step: int, lr: float) -> dict:
        """Values since the last call, as one log line; `epoch` and `step` count from 0."""
        done, self._period = self._period, _Period()
        step_time = float(np.median(done.step_times))
        left = sum(self._steps[epoch:]) - step - 1
        return {
            "_type": "train_iter",
            "epoch": f"{epoch + 1}/{len(self._steps)}",
            "iter": f"{step + 1}/{self._steps[epoch]}",
            **done.sums.means(),
            "lr": lr,
            "dt": step_time,
            "dt_data": float(np.median(done.data_times)),
            "eta": _duration(step_time * left),
            **({"grad_norm": float(np.median(done.norms))} if done.norms else {}),
            **memory_usage(),
        }

    def epoch(self, epoch: int, lr: float, sums: Sums) -> dict:
        """Values of the whole epoch, whose steps added up to `sums`, as one log line."""
        return {
            "_type": "train_epoch",
            "epoch": f"{epoch + 1}/{len(self._steps)}",
            **sums.means(),
            "lr": lr,
            "seconds": time.perf_counter() - self._start,
            **memory_usage(),
        }


def memory_usage() -> dict[str, str]:
    """Peak memory of this process, and of the GPU when there is one, in GB."""
    usage = {"RAM": f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2:.2f}G"}
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        usage["gpu_mem"] = f"{torch.cuda.max_memory_allocated() / 1024**3:.2f}G"
    return usage


def _duration(seconds: float) -> str:
    hours, rest = divmod(int(seconds), 3600)
    return f"{hours}:{rest // 60:02d}:{rest % 60:02d}"
