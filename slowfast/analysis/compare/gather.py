"""One table of all runs below a folder."""

import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tabulate import tabulate

from slowfast.analysis.compare.costs import Cost, Costs
from slowfast.analysis.report.run_folder import RunFolder
from slowfast.config.node import flatten
from slowfast.evaluation.summary import read_metrics
from slowfast.utils.io import write_csv
from slowfast.utils.words import cut

_COSTS = {
    "params (M)": "params",
    "GMACs": "gmacs",
    "views": "num_views",
    "epochs": "epochs",
    "seconds": "seconds",
}
_FIRST_KEYS = ("MODEL.MODEL_NAME", "MODEL.ARCH", "MODEL.NORM", "SOLVER.BASE_LR")
_TELLING = ("MODEL.", "SOLVER.", "DATA.", "TRAIN.", "AUG.", "BN.", "RNG_SEED")
_IS_LOW_GOOD = ("loss",)
_MOST_KEYS, _MOST_METRICS = 6, 4


@dataclass(frozen=True)
class Row:
    """A run. name: its place below the folder; test_set: None where the results do not say."""

    name: str
    settings: dict[str, Any]
    state: str
    metrics: dict[str, float]
    cost: Cost
    test_set: str | None


@dataclass(frozen=True)
class RunTable:
    """Rows of runs. keys: of the config, in which they differ; chosen_keys: enough to tell why.

    best: for each metric the numbers of the rows that are best on their test set.
    """

    rows: Sequence[Row]
    keys: Sequence[str]
    chosen_keys: Sequence[str]
    metrics: Sequence[str]
    best: dict[str, set[int]] = field(default_factory=dict)

    def header(self, keys: Sequence[str], metrics: Sequence[str]) -> list[str]:
        """Titles of the columns."""
        return ["run", "state", *keys, *metrics, *_COSTS]

    def cells(self, row: Row, keys: Sequence[str], metrics: Sequence[str]) -> list[Any]:
        """Values of a row; NaN where one is not known."""
        costs = [getattr(row.cost, name) for name in _COSTS.values()]
        values = [row.metrics.get(name, math.nan) for name in metrics]
        return [row.name, row.state, *(row.settings.get(key) for key in keys), *values, *costs]


def find_runs(folder: Path) -> Iterator[Path]:
    """Folders of runs, `folder` itself too, in the order of their names; links are not followed."""
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if name != "checkpoints")
        if "config.yaml" in files and {"log.jsonl", "test_results.json"} & set(files):
            yield Path(place)


def gather_runs(folder: str | Path) -> RunTable:
    """Read all runs below a folder; ValueError where there are none."""
    costs = Costs()
    places = list(find_runs(Path(folder)))
    if not places:
        raise ValueError(
            f"{folder}: no run here or below; a run has config.yaml, and log.jsonl or "
            "test_results.json"
        )
    rows = [_read_row(RunFolder(place), Path(folder), costs) for place in places]
    keys = differing_keys([row.settings for row in rows])
    metrics = list(dict.fromkeys(name for row in rows for name in row.metrics))
    metrics.sort(key=lambda name: name in _IS_LOW_GOOD)
    best = {name: _best_of(rows, name) for name in metrics}
    return RunTable(rows, keys, choose_keys([row.settings for row in rows], keys), metrics, best)


def _read_row(run: RunFolder, folder: Path, costs: Costs) -> Row:
    settings = {key: value for key, value in flatten(run.config) if key != "OUTPUT_DIR"}
    cost = costs.of(run)
    is_tested = bool(run.results)
    done = "training" if math.isnan(cost.epochs) else f"epoch {cost.epochs:g}"
    test_set = run.results.get("test_set") or {}
    return Row(
        run.path.relative_to(folder).as_posix(),
        settings,
        "tested" if is_tested else done,
        read_metrics(run.path) if is_tested else {},
        cost,
        test_set.get("videos"),
    )


def differing_keys(settings: Sequence[dict[str, Any]]) -> list[str]:
    """Full keys whose values are not the same in all, the most telling ones first."""
    keys = dict.fromkeys(key for one in settings for key in one)
    found = [key for key in keys if len({str(one.get(key)) for one in settings}) > 1]
    order = {key: place for place, key in enumerate(_FIRST_KEYS)}
    return sorted(found, key=lambda key: (key == "RNG_SEED", order.get(key, 99), key))


def choose_keys(settings: Sequence[dict[str, Any]], keys: Sequence[str]) -> list[str]:
    """Few of the keys, which tell as many runs apart as all of them; the first one is kept."""
    chosen = list(keys[:1])
    for some in (_TELLING, ()):  # others only where these do not suffice
        left = [key for key in keys if not some or key.startswith(some)]
        while left:
            key = max(left, key=lambda key: _num_told_apart(settings, [*chosen, key]))
            if _num_told_apart(settings, [*chosen, key]) == _num_told_apart(settings, chosen):
                break
            chosen.append(key)
    return chosen


def _num_told_apart(settings: Sequence[dict[str, Any]], keys: Sequence[str]) -> int:
    return len({tuple(str(one.get(key)) for key in keys) for one in settings})


def _best_of(rows: Sequence[Row], metric: str) -> set[int]:
    """Rows with the best value among those that were tested on the same videos."""
    best = set()
    sign = -1 if metric in _IS_LOW_GOOD else 1
    for test_set in {row.test_set for row in rows}:
        known = {
            place: sign * row.metrics.get(metric, math.nan)
            for place, row in enumerate(rows)
            if row.test_set == test_set
        }
        known = {place: value for place, value in known.items() if not math.isnan(value)}
        best |= {place for place, value in known.items() if value == max(known.values())}
    return best


def write_run_table(path: str | Path, table: RunTable) -> None:
    """Write a csv with all keys that differ and all metrics; `best of` names the metrics."""
    header = [*table.header(table.keys, table.metrics), "best of"]
    rows = []
    for place, row in enumerate(table.rows):
        cells = table.cells(row, table.keys, table.metrics)
        best_of = " ".join(name for name in table.metrics if place in table.best[name])
        rows.append(["" if cell != cell else cell for cell in [*cells, best_of]])
    write_csv(path, header, rows)


def as_text(table: RunTable) -> str:
    """Table for a terminal: few columns, the best values with a star."""
    keys, metrics = table.chosen_keys[:_MOST_KEYS], table.metrics[:_MOST_METRICS]
    rows = []
    for place, row in enumerate(table.rows):
        cells = table.cells(row, keys, metrics)
        for column, name in enumerate(metrics, start=2 + len(keys)):
            star = "*" if place in table.best[name] else " "
            cells[column] = f"{cells[column]:.2f}{star}" if cells[column] == cells[column] else ""
        rows.append([_short(cell) for cell in cells])
    titles = table.header([key.split(".")[-1] for key in keys], metrics)
    lines = [tabulate(rows, titles, disable_numparse=True)]
    left_out = [key for key in table.keys if key not in keys]
    if left_out:
        lines.append(cut(f"also different: {', '.join(left_out)}", 300))
    if len({row.test_set for row in table.rows if row.metrics}) > 1:
        lines.append("tested on different videos; * is the best of those on the same ones")
    return "\n".join(lines)


def _short(cell: Any) -> str:
    if isinstance(cell, float):
        return "" if math.isnan(cell) else f"{cell:.4g}"
    return cut("" if cell is None else str(cell), 32)


def run_table(folder: str | Path, output: str | Path | None = None) -> str:
    """Write runs.csv (or `output`) of all runs below a folder; the table as text."""
    table = gather_runs(folder)
    path = Path(output or Path(folder) / "runs.csv")
    if path.suffix != ".csv":
        raise ValueError(f"--output: {path} must end in .csv with --table")
    write_run_table(path, table)
    return f"{as_text(table)}\ntable: {path}"
