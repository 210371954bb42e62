"""A whole sweep: plan, run, conclude."""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from slowfast.analysis.jobs import ended_jobs
from slowfast.config.cli import AnyConfig, load_cfg
from slowfast.runtime.lock import only_run_in
from slowfast.sweep.local import Progress, train_runs
from slowfast.sweep.points import Axis, Range
from slowfast.sweep.runs import SweepRun, plan_grid
from slowfast.sweep.search import Search, Space, begin_again, num_done, open_study, past_runs
from slowfast.sweep.slurm import write_array
from slowfast.sweep.summary import conclude


@dataclass(frozen=True)
class SweepPlan:
    """A grid, or with `num_trials` a search, in a folder. metric: "" is the leading one."""

    config: AnyConfig
    overrides: Sequence[Any]
    folder: Path
    axes: Sequence[Axis] = ()
    ranges: Sequence[Range] = ()
    num_seeds: int = 1
    num_trials: int = 0
    metric: str = ""

    def check(self) -> None:
        """ValueError where the options do not fit together."""
        if self.metric == "loss":
            raise ValueError("--metric: loss: it must be one of which higher is better")
        if not self.num_trials and self.ranges:
            raise ValueError("--range: needs --optuna TRIALS; a grid takes values, by --grid")
        if self.num_trials and not (self.axes or self.ranges):
            raise ValueError("--optuna: nothing varies; give --range or --grid")
        if self.num_trials and self.num_seeds > 1:
            raise ValueError(
                f"--seeds: {self.num_seeds} with --optuna, whose trials are single runs; train the "
                "best one again by --grid and --seeds"
            )

    def grid_runs(self) -> list[SweepRun]:
        """All runs of the grid; ValueError for a mistake in any of their configs."""
        return plan_grid(
            *(self.config, self.overrides, self.axes),
            num_seeds=self.num_seeds,
            folder=self.folder,
        )

    def space(self) -> Space:
        """Space of the search; a range of a key with whole numbers has whole numbers."""
        loaded = load_cfg(self.config, self.overrides)
        ranges = [
            replace(one, is_int=one.is_int or type(loaded.get_value(one.key)) is int)
            for one in self.ranges
        ]
        return Space(self.config, self.overrides, self.axes, ranges, self.metric)


def run_sweep(plan: SweepPlan, *, num_jobs: int) -> tuple[str, list[str]]:
    """Train what is not done, and write the tables; they as text, and the runs that failed."""
    plan.check()
    if plan.num_trials:
        return _run_search(plan, num_jobs)
    runs = plan.grid_runs()
    plan.folder.mkdir(parents=True, exist_ok=True)
    done = sum(run.planned.is_done for run in runs)
    with only_run_in(plan.folder, "sweep"), Progress(done, len(runs), plan.metric) as progress:
        train_runs(runs, progress, num_jobs=num_jobs)
    return conclude(plan.folder, runs, plan.metric), progress.failures


def _run_search(plan: SweepPlan, num_jobs: int) -> tuple[str, list[str]]:
    space = plan.space()
    space.check()
    plan.folder.mkdir(parents=True, exist_ok=True)
    with only_run_in(plan.folder, "sweep"):
        study = open_study(plan.folder, space)
        begin_again(study)
        runs, total = past_runs(plan.folder, space, study), plan.num_trials
        with Progress(min(num_done(study), total), total, plan.metric) as progress:
            search = Search(plan.folder, space, study, total, progress)
            gpus = load_cfg(plan.config, plan.overrides).NUM_GPUS
            given = {"num_gpus": gpus, "is_over": search.is_over}
            with closing(ended_jobs(search.jobs(), num_jobs, **given)) as ended:
                for job, code in ended:
                    search.end(job, code)
    return conclude(plan.folder, [*runs, *search.runs], plan.metric), progress.failures


def write_tables(plan: SweepPlan) -> str:
    """Write the tables of what is done, and train nothing; they as text."""
    plan.check()
    if not plan.num_trials:
        return conclude(plan.folder, plan.grid_runs(), plan.metric)
    if not (plan.folder / "study.db").is_file():
        raise ValueError(f"--output: {plan.folder}: there is no search here")
    space = plan.space()
    study = open_study(plan.folder, space)
    return conclude(plan.folder, past_runs(plan.folder, space, study), plan.metric)


def write_slurm_array(plan: SweepPlan, path: Path, *, num_jobs: int) -> str:
    """Write the Slurm array of the runs that are not done; what to do next, in words."""
    plan.check()
    if plan.num_trials:
        raise ValueError("--slurm: an array is of runs that are known; --optuna chooses as it goes")
    runs = plan.grid_runs()
    plan.folder.mkdir(parents=True, exist_ok=True)
    return write_array(path, runs, plan.folder, num_jobs=num_jobs)
