"""Timing our way of doing something against the plain way, in turns."""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

HEADER = ("plain ms", "ours ms", "ratio")


@dataclass(frozen=True)
class Timing:
    """Seconds of one piece of work in several rounds, both ways."""

    what: str
    plain: Sequence[float]
    ours: Sequence[float]

    @property
    def ratio(self) -> float:
        """Median of the plain way over median of ours."""
        return statistics.median(self.plain) / statistics.median(self.ours)

    def row(self) -> list[str]:
        """What it is, medians in milliseconds and their ratio, for a table under `HEADER`."""
        medians = [f"{1e3 * statistics.median(times):.1f}" for times in (self.plain, self.ours)]
        return [self.what, *medians, f"{self.ratio:.2f} x"]


def time_in_turns(*works: Callable[[], object], repeats: int) -> list[list[float]]:
    """Seconds of each piece of work in each of `repeats` rounds; they take turns."""
    times: list[list[float]] = [[] for _ in works]
    for _ in range(repeats):
        for work, seconds in zip(works, times, strict=True):
            start = time.perf_counter()
            work()
            seconds.append(time.perf_counter() - start)
    return times
