"""End of a sweep: a table of its points, one of its runs, and the page that compares them."""

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tabulate import tabulate

from slowfast.analysis.compare.build import write_comparison
from slowfast.analysis.compare.gather import run_table
from slowfast.evaluation.summary import MetricSummary, summarize_values
from slowfast.sweep.runs import SweepRun, reached
from slowfast.utils.io import write_csv

logger = logging.getLogger(__name__)

_MOST_COMPARED = 8  # points, the best ones in validation


@dataclass(frozen=True)
class PointResult:
    """Results of a point. tested: its runs that are done, of `num_runs`; percent, over seeds."""

    name: str
    values: Mapping[str, Any]
    num_runs: int
    tested: Sequence[SweepRun]
    validation: MetricSummary
    test: MetricSummary

    def cells(self) -> list[str]:
        """Its row in the table."""
        done = f"{len(self.tested)} of {self.num_runs}"
        return [self.name, done, spread_text(self.validation), spread_text(self.test)]


def spread_text(summary: MetricSummary) -> str:
    """Mean and deviation, of one value itself, of none nothing."""
    if not summary.values:
        return ""
    return f"{summary.mean:.2f}" + (f" ± {summary.std:.2f}" if summary.std == summary.std else "")


def gather_points(runs: Sequence[SweepRun], metric: str = "") -> list[PointResult]:
    """Results of all points, the best in validation first: choosing by the test flatters it."""
    points: dict[str, list[SweepRun]] = {}
    for run in runs:
        points.setdefault(run.point, []).append(run)
    found = []
    for name, own in points.items():
        tested = [run for run in own if run.planned.is_done]
        values = [reached(run, metric) for run in tested]
        found.append(
            PointResult(
                name,
                own[0].values,
                len(own),
                tested,
                _summary("validation", [one.validation for one in values]),
                _summary("test", [one.test for one in values]),
            )
        )
    return sorted(found, key=lambda one: (math.isnan(one.validation.mean), -one.validation.mean))


def _summary(name: str, values: Sequence[float]) -> MetricSummary:
    known = [value for value in values if not math.isnan(value)]
    return summarize_values(name, known) if known else MetricSummary(name, (), math.nan, math.nan)


def points_text(points: Sequence[PointResult]) -> str:
    """Table of the points."""
    header = ["point", "runs", "best in validation (%)", "test (%)"]
    return tabulate([one.cells() for one in points], header, disable_numparse=True)


def write_points(path: Path, points: Sequence[PointResult]) -> None:
    """Write the table with a column for each key."""
    keys = list(dict.fromkeys(key for one in points for key in one.values))
    header = ["point", *keys, "runs", "val_mean", "val_std", "test_mean", "test_std"]
    rows = []
    for one in points:
        numbers = [one.validation.mean, one.validation.std, one.test.mean, one.test.std]
        cells = [one.values.get(key, "") for key in keys]
        known = ["" if value != value else value for value in numbers]
        rows.append([one.name, *cells, len(one.tested), *known])
    write_csv(path, header, rows)


def compare_points(folder: Path, points: Sequence[PointResult]) -> Path | None:
    """Write the page that compares the best points; None where there is nothing to compare."""
    best = [one for one in points if one.tested][:_MOST_COMPARED]
    runs = [run.folder for one in best for run in one.tested]
    if len(runs) < 2:
        return None
    try:
        return write_comparison(runs, folder / "compare.html")
    except ValueError as error:  # of boxes, or of several targets
        logger.warning("no comparison: %s", error)
        return None


def conclude(folder: Path, runs: Sequence[SweepRun], metric: str = "") -> str:
    """Write sweep.csv, runs.csv and compare.html of what is done; the tables as text."""
    points = gather_points(runs, metric)
    if not any(one.tested for one in points):
        return "no run is done yet"
    write_points(folder / "sweep.csv", points)
    lines = [run_table(folder), "", points_text(points), f"points: {folder / 'sweep.csv'}"]
    page = compare_points(folder, points)
    return "\n".join([*lines, *([f"comparison: {page}"] if page else [])])
