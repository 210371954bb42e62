"""Search with Optuna: each trial is a run, and one that validates badly is stopped early.

study.db in the folder (SQLite) has all trials; trial_000/ and so on are their runs. After an
interruption the trials that were running go on in their folders.
"""

import json
import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from slowfast.analysis.jobs import Job, failure_text
from slowfast.analysis.planned_runs import find_changes
from slowfast.config.cli import AnyConfig, load_cfg
from slowfast.config.derived import plain
from slowfast.config.node import flatten
from slowfast.sweep.local import Progress
from slowfast.sweep.points import Axis, Range
from slowfast.sweep.runs import SweepRun, plan_run, validation_curve

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Space:
    """Config of a search, and what varies. metric: "" is the leading one."""

    config: AnyConfig
    overrides: Sequence[Any]
    axes: Sequence[Axis]
    ranges: Sequence[Range]
    metric: str = ""

    def suggest(self, trial: Any) -> dict[str, Any]:
        """Values of a trial."""
        found = {a.key: trial.suggest_categorical(a.key, a.values) for a in self.axes}
        for one in self.ranges:
            suggest = trial.suggest_int if one.is_int else trial.suggest_float
            found[one.key] = suggest(one.key, *one.ends(), log=one.is_log)
        return found

    def settings(self) -> dict[str, Any]:
        """Values of the config by full key, as JSON gives them back."""
        return json.loads(json.dumps(dict(flatten(load_cfg(self.config, self.overrides)))))

    def check(self) -> None:
        """ValueError where the config is wrong at an end of a range, or with one of the values."""
        ends: list[tuple[str, Any]] = [(one.key, end) for one in self.ranges for end in one.ends()]
        choices = [(axis.key, value) for axis in self.axes for value in axis.values]
        for key, value in [*ends, *choices]:
            load_cfg(self.config, [*self.overrides, key, value])


@dataclass
class Search:
    """A search in its folder; `trials` has those that are running, by their processes."""

    folder: Path
    space: Space
    study: Any
    num_trials: int
    progress: Progress
    runs: list[SweepRun] = field(default_factory=list)
    trials: dict[Job, tuple[Any, SweepRun]] = field(default_factory=dict)
    pruned: set[Job] = field(default_factory=set)
    _last: dict[Job, int] = field(default_factory=dict)

    def jobs(self) -> Iterator[Job]:
        """Ask for trials until there are enough of them."""
        while num_done(self.study) + len(self.trials) < self.num_trials:
            trial = self.study.ask()
            values = self.space.suggest(trial)
            name = trial.user_attrs.get("folder", f"trial_{trial.number:03d}")
            trial.set_user_attr("folder", name)
            try:
                run = self.plan(values, name)
            except ValueError as error:
                self.study.tell(trial, state=_state("FAIL"))
                self.progress.fail(f"{name}: {error}")
                continue
            run.planned.write()
            self.runs.append(run)
            self.trials[run.planned.job] = trial, run
            self.progress.begin(run.planned.name)
            yield run.planned.job

    def plan(self, values: Mapping[str, Any], name: str) -> SweepRun:
        """The run of a trial, with the seed of the config."""
        seed = load_cfg(self.space.config, self.space.overrides).RNG_SEED
        place = self.folder / name
        return plan_run(self.space.config, self.space.overrides, values, seed=seed, place=place)

    def is_over(self, job: Job) -> bool:
        """Whether the trial validates worse than others did at the same epoch."""
        trial, run = self.trials[job]
        curve = self._report(job)
        is_over = bool(curve) and not run.planned.is_done and trial.should_prune()
        if is_over:
            self.pruned.add(job)
        return is_over

    def _report(self, job: Job) -> dict[int, float]:
        """Tell the study of epochs that are new; the curve."""
        trial, run = self.trials[job]
        curve = validation_curve(run.folder, self.space.metric)
        for epoch, value in curve.items():
            if epoch > self._last.get(job, 0):
                trial.report(value, epoch)
                self._last[job] = epoch
        return curve

    def end(self, job: Job, code: int) -> None:
        """Tell the study how a trial has ended."""
        curve = self._report(job)
        trial, run = self.trials.pop(job)
        best = max(curve.values(), default=math.nan)
        if code == 0 and curve:
            self.study.tell(trial, best)
            self.progress.end(run)
        elif code and job in self.pruned:
            self.study.tell(trial, state=_state("PRUNED"))
            self.progress.end(run, f"stopped after epoch {max(curve)}, {best:.2f} % in validation")
        else:
            self.study.tell(trial, state=_state("FAIL"))
            missing = f"{run.folder}: no metric in validation; TRAIN.EVAL_PERIOD says when"
            self.progress.fail(failure_text(job, code) if code else missing)


def _state(name: str) -> Any:
    from optuna.trial import TrialState

    return TrialState[name]


def num_done(study: Any) -> int:
    """Trials that have ended; one that was begun anew counts once."""
    trials = study.get_trials(deepcopy=False)
    return sum(one.state.is_finished() for one in trials) - sum(
        "replaces" in one.user_attrs for one in trials
    )


def open_study(folder: Path, space: Space) -> Any:
    """The study of the folder, new or to go on with.

    ValueError without Optuna, or where it was begun with another config.
    """
    try:
        import optuna
    except ImportError as error:
        raise ValueError("--optuna: needs the package optuna: pip install optuna") from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        storage=f"sqlite:///{folder / 'study.db'}",
        study_name="sweep",
        direction="maximize",
        pruner=optuna.pruners.MedianPruner(),
        load_if_exists=True,
    )
    wanted, begun = space.settings(), study.user_attrs.get("config")
    study.sampler = optuna.samplers.TPESampler(seed=wanted["RNG_SEED"] + len(study.trials))
    if begun is None:
        study.set_user_attr("config", plain(wanted))
    elif changes := find_changes(begun, wanted):
        raise ValueError(
            f"{folder}: this search was begun with another config ({'; '.join(changes[:5])}); set "
            "it back, or choose another folder"
        )
    return study


def begin_again(study: Any) -> None:
    """Put the trials that were running when a search was cut off in the queue."""
    for trial in study.get_trials(states=[_state("RUNNING")]):
        attributes = {**trial.user_attrs, "replaces": trial.number}
        study.enqueue_trial(trial.params, user_attrs=attributes)
        study.tell(trial.number, state=_state("FAIL"))


def past_runs(folder: Path, space: Space, study: Any) -> list[SweepRun]:
    """Runs of the trials that have ended, in their folders."""
    found, trials = {}, study.get_trials(deepcopy=False)
    to_come = {one.user_attrs.get("folder") for one in trials if not one.state.is_finished()}
    for trial in trials:
        name = trial.user_attrs.get("folder")
        if name and name not in to_come and (folder / f"{name}.yaml").is_file():
            seed = load_cfg(folder / f"{name}.yaml").RNG_SEED
            place = folder / name
            found[name] = plan_run(
                space.config, space.overrides, trial.params, seed=seed, place=place
            )
    return list(found.values())
