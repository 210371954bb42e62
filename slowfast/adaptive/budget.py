"""The operating point of an adaptive network that fits a budget, by the table of its points."""

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from slowfast.adaptive.calibration_file import file_hash
from slowfast.config.derived import Budget, parse_budget
from slowfast.models.operating_point import OperatingPoint
from slowfast.runtime.device import device_name
from slowfast.utils.io import read_json

logger = logging.getLogger(__name__)

COSTS = {"gmacs": "GMACs per clip", "latency_ms": "ms per clip"}
# Keys that say how whole clips become reduced ones.
TABLE_KEYS = (
    "ADAPTIVE.RESIZE",
    "DATA.NUM_FRAMES",
    "DATA.TEST_CROP_SIZE",
    "DATA.TRAIN_CROP_SIZE",
)

_NUMBERS = ("gmacs", "params", "latency_ms", "top1_acc", "top5_acc")  # of a row
_ABOUT = (
    *("config", "checkpoint", "device", "views"),
    *("num_videos", "num_test_videos", "unreadable"),
)

_LATER = ("precision", "against_float32")  # older tables do not say


@dataclass(frozen=True)
class TableRow:
    """Cost and accuracy of an operating point.

    gmacs, latency_ms: of one clip; latency_ms is NaN where it was not measured. params in millions;
    accuracies in percent.
    """

    point: OperatingPoint
    gmacs: float
    params: float
    latency_ms: float
    top1_acc: float
    top5_acc: float


@dataclass(frozen=True)
class BudgetTable:
    """All points of the weights whose file has the SHA-256 `parent`.

    settings: how whole clips become reduced ones. calibration: how the statistics were measured
    with which it was made. about: how the table was made; its keys are config, checkpoint, device,
    views, num_videos (that were scored), num_test_videos, unreadable, num_damaged, damaged.
    """

    parent: str
    settings: dict[str, Any]
    calibration: dict[str, Any]
    about: dict[str, Any]
    rows: tuple[TableRow, ...]

    def as_dict(self) -> dict[str, Any]:
        """For a JSON file; `load_table` reads it."""
        rows = [
            {"configuration": str(row.point), **{name: getattr(row, name) for name in _NUMBERS}}
            for row in self.rows
        ]
        head = {"parent": self.parent, "settings": self.settings, "calibration": self.calibration}
        return {**head, **self.about, "configurations": rows}


def table_path(checkpoint: str | Path) -> Path:
    """Name the file of the table of a checkpoint, unless somebody says otherwise."""
    return Path(checkpoint).with_name(f"{Path(checkpoint).name}.budget_table.json")


def load_table(path: str | Path, checkpoint: str | Path) -> BudgetTable:
    """The table of this checkpoint; ValueError when it is something else or of other weights."""
    path = Path(path)
    try:
        content = read_json(path)
        heads = [content.pop(name) for name in ("parent", "settings", "calibration")]
        rows = tuple(_parse_row(row) for row in content.pop("configurations"))
        about = {name: content[name] for name in _ABOUT}
        about["num_damaged"] = content.get("num_damaged", 0)  # not in older tables
        about["damaged"] = content.get("damaged", [])
        about |= {name: content[name] for name in _LATER if name in content}
    except FileNotFoundError:
        raise ValueError(
            f"{path}: there is no such table; write it with `tools/budget.py table`, or name "
            "another one with TEST.BUDGET_TABLE (tools/predict.py: --table)"
        ) from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path}: is not a table of tools/budget.py ({error!r})") from error
    table = BudgetTable(*heads, about, rows)
    _check_parent(table, path, checkpoint)
    return table


def _check_parent(table: BudgetTable, path: Path, checkpoint: str | Path) -> None:
    if table.parent != file_hash(checkpoint):
        raise ValueError(
            f"{path}: was measured with other weights than those of {checkpoint} (the hash of the "
            "checkpoint differs); write a new table with `tools/budget.py table`"
        )


def _parse_row(row: dict[str, Any]) -> TableRow:
    point = OperatingPoint.parse(row["configuration"])
    numbers = {n: math.nan if row[n] is None else float(row[n]) for n in _NUMBERS}
    return TableRow(point, **numbers)


def pareto_front(costs: Sequence[float], values: Sequence[float]) -> list[bool]:
    """Mark the points that no other beats: cheaper and as good, or better and as cheap.

    NaN is never on it.
    """
    points = list(zip(costs, values, strict=True))
    return [
        not math.isnan(cost + value)
        and not any(c <= cost and v >= value and (c, v) != (cost, value) for c, v in points)
        for cost, value in points
    ]


def choose(rows: tuple[TableRow, ...], budget: Budget) -> TableRow:
    """The most accurate one that fits, the cheapest of equals; ValueError names the smallest."""
    known = [row for row in rows if not math.isnan(getattr(row, budget.cost))]
    if not known:
        raise ValueError(
            f"TEST.BUDGET: {budget.text!r}: the table has no {budget.cost}; write one with "
            "`tools/budget.py table --repeats 20`"
        )
    fitting = [row for row in known if getattr(row, budget.cost) <= budget.limit]
    if not fitting:
        least = min(known, key=lambda row: getattr(row, budget.cost))
        raise ValueError(
            f"TEST.BUDGET: {budget.text!r} is too small; the smallest configuration, "
            f"{least.point}, takes {getattr(least, budget.cost):g} {COSTS[budget.cost]}"
        )
    return max(fitting, key=lambda row: (row.top1_acc, -getattr(row, budget.cost)))


def choose_point(
    budget: str,
    path: str | Path,
    checkpoint: str | Path,
    *,
    settings: Mapping[str, Any],
    device: str,
    precision: str,
) -> tuple[TableRow, dict[str, Any]]:
    """The row of the table in `path` for TEST.BUDGET, and how the table was calibrated.

    settings: of the clips that are to be scored, which must be the table's. device: see
    `timing_device_name`. precision: type in which they will be scored.
    """
    table, parsed = load_table(path, checkpoint), parse_budget(budget)
    for key, value in table.settings.items():
        if settings.get(key) != value:
            raise ValueError(
                f"{key}: {settings.get(key)!r} differs from the {value!r} with which {path} was "
                "measured"
            )
    row = choose(table.rows, parsed)
    _warn_of_doubts(path, table.about, None if parsed.cost == "gmacs" else device)
    measured = table.about.get("precision", precision)
    if measured != precision:
        logger.warning("%s: its accuracies are of %s, this is %s", path, measured, precision)
    logger.info(
        "budget %s: width,frames,crop %s: %g GMACs, %g M parameters, %g ms (%s); top-1 %.2f %%",
        *(budget, row.point, row.gmacs, row.params, row.latency_ms),
        *(table.about["device"], row.top1_acc),
    )
    return row, table.calibration


def _warn_of_doubts(path: str | Path, about: Mapping[str, Any], device: str | None) -> None:
    """Warn that accuracies are of some videos, and times not of `device`; None: times are unused"""
    num_unreadable = about.get("num_unreadable", len(about["unreadable"]))
    if about["num_videos"] + num_unreadable < about["num_test_videos"]:
        logger.warning(
            "%s: was interrupted; its accuracies are those of %d of %d videos",
            *(path, about["num_videos"], about["num_test_videos"]),
        )
    if device not in (None, about["device"]):
        logger.warning("%s: times are of %s, this is %s", path, about["device"], device)


def timing_device_name(device: torch.device, precision: str) -> str:
    """Name what latencies depend on: the device, and the type in which it computes."""
    return f"{device_name(device)}{'' if precision == 'float32' else f', {precision}'}"
