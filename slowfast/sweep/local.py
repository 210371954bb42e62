"""Sweeps on this machine: the runs of a grid, several at once."""

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import closing

from tqdm import tqdm

from slowfast.analysis.jobs import ended_jobs, failure_text
from slowfast.sweep.runs import SweepRun, reached

logger = logging.getLogger(__name__)


class Progress:
    """A bar of runs, and a line for each that ends; `failures` has those that ended badly."""

    def __init__(self, num_done: int, total: int, metric: str):
        self.failures: list[str] = []
        self._metric, self._num_done, self._total = metric, num_done, total
        self._begun: dict[str, float] = {}
        if num_done:
            logger.info("%d of %d runs are done already", num_done, total)
        self._bar = tqdm(desc="sweep", unit="run", total=total, initial=num_done)

    def begin(self, name: str) -> None:
        """Note the time at which a run begins."""
        self._begun[name] = time.monotonic()

    def end(self, run: SweepRun, words: str = "") -> None:
        """Tell of a run that has ended well; words: in place of its results."""
        self._num_done += 1
        self._bar.update()
        name = run.planned.name
        seconds = time.monotonic() - self._begun.get(name, time.monotonic())
        text = words or reached(run, self._metric)
        logger.info("%d of %d: %s: %s (%.0f s)", self._num_done, self._total, name, text, seconds)

    def fail(self, words: str) -> None:
        """Tell of a run that has ended badly."""
        self._bar.update()
        self.failures.append(words)
        logger.error("%s; the others go on", words)

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()


def train_runs(runs: Sequence[SweepRun], progress: Progress, *, num_jobs: int) -> None:
    """Train and test all runs that are not done."""
    waiting = {run.planned.job: run for run in runs if not run.planned.is_done}
    if not waiting:
        return

    def begin() -> Iterator:
        for job, run in waiting.items():
            run.planned.write()
            progress.begin(job.name)
            yield job

    num_gpus = max(run.planned.settings["NUM_GPUS"] for run in waiting.values())
    num_places = min(num_jobs, len(waiting))
    with closing(ended_jobs(begin(), num_places, num_gpus=num_gpus)) as ended:
        for job, code in ended:
            if code == 0:
                progress.end(waiting[job])
            else:
                progress.fail(failure_text(job, code))
