"""Adds up what steps report and says how a run is doing."""

import resource
import time
from collections.abc import Sequence

import numpy as np
import torch

from slowfast.tasks import Task


class TrainMeter:
    """Running sums of the current log period, and the lines of the log.

    `steps` is the number of steps of every epoch of the run. `data_time` and `step_time` are
    medians in seconds over the log period.
    """

    def __init__(self, task: Task, *, steps: Sequence[int]):
        self._task = task
        self._steps = steps
        self._period_sums = np.zeros(1)
        self._data_times: list[float] = []
        self._step_times: list[float] = []
        self._norms: list[float] = []
        self._start = time.perf_counter()

    def update(
        self, sums: np.ndarray, *, data_time: float, step_time: float, norm: float | None
    ) -> None:
        """Add one step; `norm` is the gradient norm before clipping."""
        self._period_sums = self._period_sums + sums
        self._data_times.append(data_time)
        self._step_times.append(step_time)
        if norm is not None:
            self._norms.append(norm)

    def period(self, epoch: int, step: int, lr: float) -> dict:
        """Values since the last call, as one log line; `epoch` and `step` count from 0."""
        step_time = float(np.median(self._step_times))
        left = sum(self._steps[epoch:]) - step - 1
        values = {
            "_type": "train_iter",
            "epoch": f"{epoch + 1}/{len(self._steps)}",
            "iter": f"{step + 1}/{self._steps[epoch]}",
            **self._task.train_metrics(self._period_sums),
            "lr": lr,
            "dt": step_time,
            "dt_data": float(np.median(self._data_times)),
            "eta": _duration(step_time * left),
            **({"grad_norm": float(np.median(self._norms))} if self._norms else {}),
            **memory_usage(),
        }
        self._period_sums = np.zeros(1)
        self._data_times, self._step_times, self._norms = [], [], []
        return values

    def epoch(self, epoch: int, lr: float, sums: Sequence[float]) -> dict:
        """Values of the whole epoch, whose steps added up to `sums`, as one log line."""
        return {
            "_type": "train_epoch",
            "epoch": f"{epoch + 1}/{len(self._steps)}",
            **self._task.train_metrics(sums),
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
