"""Mean and spread of the metrics of several runs, such as those of the official splits."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tabulate import tabulate

from slowfast.evaluation.video_sets import check_same_set, results_path
from slowfast.utils.io import read_json, write_csv, write_json


@dataclass(frozen=True)
class MetricSummary:
    """A metric's values in the order of the runs, their mean, and their sample deviation.

    One run has no deviation: NaN.
    """

    name: str
    values: tuple[float, ...]
    mean: float
    std: float

    def as_dict(self) -> dict:
        """For a JSON file."""
        return {"mean": self.mean, "std": self.std, "values": self.values}


def read_metrics(run: str | Path) -> dict[str, float]:
    """The fractional numbers in a run's test_results.json; `run` is its folder or the file.

    A metric without a value (null) is NaN.
    """
    path = results_path(run)
    try:
        results = read_json(path)
    except FileNotFoundError:
        raise ValueError(f"{path}: no results here; the run has not been tested") from None
    except ValueError as error:
        raise ValueError(f"{path}: is not JSON ({error})") from error
    if not isinstance(results, dict):
        raise ValueError(f"{path}: is not an object of metrics, but a {type(results).__name__}")
    return {
        name: math.nan if value is None else value
        for name, value in results.items()
        if value is None or type(value) is float
    }


def summarize(
    runs: Sequence[str | Path], metrics: Sequence[str] = (), *, may_differ: bool = False
) -> list[MetricSummary]:
    """Of each metric, or of all that all runs have.

    ValueError names a run without one of them, or that is given twice, and, unless they
    `may_differ`, what the test sets of the runs do not have in common.
    """
    for number, run in enumerate(runs):
        if results_path(run) in map(results_path, runs[:number]):
            raise ValueError(f"{run}: this run is given twice")
    found = [read_metrics(run) for run in runs]
    names = list(metrics) or [name for name in found[0] if all(name in one for one in found)]
    for run, one in zip(runs, found, strict=True):
        missing = [name for name in names if name not in one]
        if missing:
            raise ValueError(f"{run}: no metric {missing} among {sorted(one)}")
    check_same_set(runs, across_splits=True, may_differ=may_differ)
    if not names:
        raise ValueError(f"{list(map(str, runs))}: these runs have no metric in common")
    return [summarize_values(name, [one[name] for one in found]) for name in names]


def summarize_values(name: str, values: Sequence[float]) -> MetricSummary:
    """Of the values of one metric."""
    std = float(np.std(values, ddof=1)) if len(values) > 1 else math.nan
    return MetricSummary(name, tuple(values), float(np.mean(values)), std)


def as_table(summaries: Sequence[MetricSummary], runs: Sequence[str | Path]) -> str:
    """A line per metric: mean, deviation, the value of each run."""
    return tabulate(_rows(summaries), headers=_header(runs), floatfmt=".2f")


def write_summary(
    path: str | Path, summaries: Sequence[MetricSummary], runs: Sequence[str | Path]
) -> None:
    """Write a .json or a .csv file, atomically."""
    if Path(path).suffix == ".csv":
        write_csv(path, _header(runs), _rows(summaries))
    elif Path(path).suffix == ".json":
        metrics = {item.name: item.as_dict() for item in summaries}
        write_json(path, {"runs": list(map(str, runs)), "metrics": metrics})
    else:
        raise ValueError(f"{path}: the file of results must end in .json or .csv")


def _header(runs: Sequence[str | Path]) -> list[str]:
    return ["metric", "mean", "std", *map(str, runs)]


def _rows(summaries: Sequence[MetricSummary]) -> list[list]:
    return [[item.name, item.mean, item.std, *item.values] for item in summaries]
