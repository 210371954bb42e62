"""Runs of a sweep: one for each point and seed, and what they have reached."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slowfast.analysis.planned_runs import PlannedRun, build_planned_run
from slowfast.analysis.report.run_folder import RunFolder, number
from slowfast.config.cli import AnyConfig, load_cfg
from slowfast.evaluation.summary import read_metrics
from slowfast.sweep.points import Axis, grid, point_name, words

# Metrics that tell which run is best, higher is better, the first one that a run has.
_LEADING = ("top1_acc", "map", "charades_map", "frame_map_voc", "frame_map_act")
_NO_METRICS = ("loss", "seconds")


@dataclass(frozen=True)
class SweepRun:
    """A run. point: name of its values, which other seeds share. values: by the keys swept."""

    point: str
    values: Mapping[str, Any]
    planned: PlannedRun

    @property
    def folder(self) -> Path:
        """Its OUTPUT_DIR."""
        return self.planned.output_dir


def plan_run(
    config: AnyConfig,
    overrides: Sequence[Any],
    values: Mapping[str, Any],
    *,
    seed: int,
    place: Path,
) -> SweepRun:
    """The run of a point in the folder `place`; its values as the config has them.

    ValueError where the config is wrong, or the run was begun with another one.
    """
    own = ["RNG_SEED", seed, "OUTPUT_DIR", str(place), "TRAIN.ENABLE", True, "TEST.ENABLE", True]
    own += ["TRAIN.AUTO_RESUME", True, "TEST.CHECKPOINT_FILE_PATH", ""]
    loaded = load_cfg(config, [*overrides, *words(values), *own])
    point = place.parent.name if place.name.startswith("seed_") else place.name
    planned = build_planned_run(f"{point}, seed {seed}", loaded)
    planned.check_unchanged()
    return SweepRun(point, {key: loaded.get_value(key) for key in values}, planned)


def plan_grid(
    config: AnyConfig,
    overrides: Sequence[Any],
    axes: Sequence[Axis],
    *,
    num_seeds: int,
    folder: Path,
) -> list[SweepRun]:
    """All runs of a grid, those of the first seed first; every config has been checked."""
    places = dict(_places(config, overrides, axes, folder))
    found = []
    for seed in range(num_seeds):
        for place, values in places.items():
            run = plan_run(config, overrides, values, seed=seed, place=place / f"seed_{seed}")
            found.append(run)
    return found


def _places(
    config: AnyConfig, overrides: Sequence[Any], axes: Sequence[Axis], folder: Path
) -> Iterator[tuple[Path, dict[str, str]]]:
    """The folder of each point, named by its values as the config has them, and the point."""
    seen = set()
    for point in grid(axes):
        try:
            loaded = load_cfg(config, [*overrides, *words(point)])
        except ValueError as error:
            raise ValueError(f"{point_name(point) or 'the config'}: {error}") from error
        name = point_name({key: loaded.get_value(key) for key in point}) or "base"
        if name in seen:
            raise ValueError(f"--grid: {name}: two points are the same")
        seen.add(name)
        yield folder / name, point


def validation_curve(folder: Path, metric: str = "") -> dict[int, float]:
    """From epochs to the metric on the validation videos; "": the leading one. NaN is left out."""
    curve = {}
    for line in RunFolder(folder).lines_of("val_epoch"):
        value = number(line.get(metric or leading_metric(line)))
        if not math.isnan(value):
            curve[int(number(line.get("epoch")))] = value
    return curve


def leading_metric(values: Mapping[str, Any]) -> str:
    """Name of the metric that says which run is best, higher is better; "" for none."""
    others = [key for key, v in values.items() if type(v) is float and key not in _NO_METRICS]
    return next((name for name in (*_LEADING, *others) if name in values), "")


@dataclass(frozen=True)
class Reached:
    """Best value in validation and value of the test; NaN where it is not known yet."""

    validation: float
    test: float

    def __str__(self) -> str:
        parts = [("test", self.test), ("best in validation", self.validation)]
        return ", ".join(f"{name} {value:.2f} %" for name, value in parts if value == value)


def reached(run: SweepRun, metric: str = "") -> Reached:
    """Results of a run so far; metric: "" is the leading one."""
    best = max(validation_curve(run.folder, metric).values(), default=math.nan)
    if not run.planned.is_done:
        return Reached(best, math.nan)
    metrics = read_metrics(run.folder)
    if metric and metric not in metrics:
        raise ValueError(f"--metric: {metric!r} is not among {sorted(metrics)} of {run.folder}")
    return Reached(best, metrics.get(metric or leading_metric(metrics), math.nan))
