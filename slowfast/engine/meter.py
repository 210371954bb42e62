"""Lines of the log about training: what the steps learned, how fast, and with how much memory."""

import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from tqdm import tqdm

from slowfast.engine.state import Sums
from slowfast.engine.step import StepResult
from slowfast.runtime.memory import PeakMemory
from slowfast.runtime.run_log import RunLog


@dataclass
class _Period:
    """Steps since the last line."""

    sums: Sums = field(default_factory=Sums)
    data_times: list[float] = field(default_factory=list)
    step_times: list[float] = field(default_factory=list)
    norms: list[float] = field(default_factory=list)
    num_clips: int = 0
    rank_times: list[tuple[float, ...]] = field(default_factory=list)


class TrainMeter:
    """Adds up the steps of an epoch, and says how the run is doing.

    `steps` is the number of steps of every epoch of the run; times in a line are medians in seconds
    over the log period. `step_sizes`: clips of a step over all processes, over and over.
    `clip_load`: seconds of a clip for the GPUs at their peak, 0 where unknown.
    """

    def __init__(
        self,
        steps: Sequence[int],
        memory: PeakMemory,
        step_sizes: Sequence[int],
        *,
        clip_load: float = 0.0,
    ):
        self._steps, self._memory = steps, memory
        self._step_sizes, self._clip_load = step_sizes, clip_load
        self._period = _Period()
        self._start = time.perf_counter()

    def add(self, result: StepResult, *, data_time: float, step_time: float) -> None:
        """Add one step."""
        self._period.sums.add(result.sums)
        self._period.data_times.append(data_time)
        self._period.step_times.append(step_time)
        self._period.num_clips += self._step_sizes[(result.number - 1) % len(self._step_sizes)]
        if result.rank_times:
            self._period.rank_times.append(result.rank_times)
        if result.grad_norm is not None:
            self._period.norms.append(result.grad_norm)

    def period(self, epoch: int, num_done: int, lr: float) -> dict:
        """Values since the last call, as one log line.

        `epoch` counts from 0, `num_done` are its finished steps. "loss" is the mean over the clips
        (boxes) of these steps in all processes; losses of an adaptive network's passes are added
        up. The other means are over the same clips. "clips_per_s" is over all processes,
        "data_share" the share of the time that this one waited for clips.
        """
        done, self._period = self._period, _Period()
        step_time = float(np.median(done.step_times))
        left = sum(self._steps[epoch:]) - num_done
        return {
            "_type": "train_iter",
            "epoch": f"{epoch + 1}/{len(self._steps)}",
            "iter": f"{num_done}/{self._steps[epoch]}",
            **done.sums.means(),
            "lr": lr,
            "dt": step_time,
            "dt_data": float(np.median(done.data_times)),
            "eta": _duration(step_time * left),
            **self._throughput(done),
            **({"grad_norm": float(np.median(done.norms))} if done.norms else {}),
            **self._memory.usage(),
        }

    def _throughput(self, done: _Period) -> dict[str, float | int]:
        """Clips of all processes per second, the share of waiting, and the extreme processes.

        "mfu" is the share of what the GPUs could compute at most, where that is known. "rank_max"
        and "rank_min": seconds (median) that the slowest and the fastest process need until they
        wait for the others: for their clips, and forward. A slow disk, loader or GPU shows there,
        and "slowest_rank" is where.
        """
        seconds = max(sum(done.step_times), 1e-9)
        rate = done.num_clips / seconds
        values = {"clips_per_s": rate, "data_share": sum(done.data_times) / seconds}
        if self._clip_load:
            values["mfu"] = self._clip_load * rate
        if done.rank_times:
            ranks = np.median(np.array(done.rank_times), axis=0)
            values |= {"rank_max": float(ranks.max()), "rank_min": float(ranks.min())}
            values["slowest_rank"] = int(ranks.argmax())
        return values

    def num_steps_before(self, epoch: int) -> int:
        """Steps of all epochs before this one."""
        return sum(self._steps[:epoch])

    def epoch(self, epoch: int, lr: float, sums: Sums) -> dict:
        """Values of the whole epoch, whose steps added up to `sums`, as one log line."""
        return {
            "_type": "train_epoch",
            "epoch": f"{epoch + 1}/{len(self._steps)}",
            **sums.means(),
            "lr": lr,
            "seconds": time.perf_counter() - self._start,
            **self._memory.usage(),
        }


def _duration(seconds: float) -> str:
    hours, rest = divmod(int(seconds), 3600)
    return f"{hours}:{rest // 60:02d}:{rest % 60:02d}"


class StepLog:
    """Writes the lines of an epoch's steps when what they hold has been read."""

    def __init__(self, log: RunLog, meter: TrainMeter, bar: tqdm, *, epoch: int, period: int):
        self._log, self._meter, self._bar = log, meter, bar
        self._epoch, self._period = epoch, period
        self._times: deque[dict[str, float]] = deque()

    def launched(self, *, data_time: float, step_time: float) -> None:
        """Note the times of a step, in seconds."""
        self._times.append({"data_time": data_time, "step_time": step_time})

    def add(self, results: Sequence[StepResult]) -> bool:
        """Add steps that were noted before, in order; says whether the run is to stop."""
        for result in results:
            self._meter.add(result, **self._times.popleft())
            self._bar.update()
            if result.number % self._period == 0:
                self._write(result)
        return any(result.is_stopped for result in results)

    def _write(self, result: StepResult) -> None:
        values = self._meter.period(self._epoch, result.number, result.lr)
        self._log.write(values, step=self._meter.num_steps_before(self._epoch) + result.number)
        self._bar.set_postfix(loss=f"{values['loss']:.3f}")
