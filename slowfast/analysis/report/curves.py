"""Curves of a training: loss, accuracy, learning rate, time of a step, memory."""

import math
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from slowfast.analysis.pages.charts import Axis, Chart, Series, line_chart
from slowfast.analysis.report.run_folder import RunFolder, number

_GIB = re.compile(r"([\d.]+)\s*G")
_METRICS = {
    "top1_acc": "top-1",
    "top5_acc": "top-5",
    "map": "mAP",
    "charades_map": "Charades mAP",
    "frame_map_voc": "frame-mAP",
}


def draw_curves(run: RunFolder) -> list[Chart]:
    """Charts of what the log has."""
    steps, epochs = run.lines_of("train_iter"), run.lines_of("train_epoch")
    rates = [_series("learning rate", steps or epochs, "lr")]
    panels = {
        "Loss": loss_series(run),
        "Accuracy": accuracy_series(run),
        "Learning rate": ([one for one in rates if len(one.x)], Axis("learning rate")),
        "Time of a step": _times(steps),
        "Memory": _memory(steps or epochs),
    }
    return [
        line_chart(title, series, Axis("epoch"), y)
        for title, (series, y) in panels.items()
        if series
    ]


def loss_series(run: RunFolder) -> tuple[list[Series], Axis]:
    """Curves, and their y axis; of the steps where no epoch is done."""
    train = run.lines_of("train_epoch") or run.lines_of("train_iter")
    series = [_series("training", train, "loss")]
    series += [_series("validation", run.lines_of("val_epoch"), "loss", colour=1)]
    return [one for one in series if len(one.x)], Axis("loss")


def accuracy_series(run: RunFolder) -> tuple[list[Series], Axis]:
    """Curves of the metrics that the log has, and their y axis; dashed ones are of training."""
    train = run.lines_of("train_epoch") or run.lines_of("train_iter")
    series = []
    for place, (key, title) in enumerate(_METRICS.items()):
        for split, rows in (("training", train), ("validation", run.lines_of("val_epoch"))):
            one = _series(f"{title}, {split}", rows, key, colour=place)
            is_dashed = split == "training"
            markers = one.has_markers or not is_dashed
            if len(one.x):
                series.append(replace(one, is_dashed=is_dashed, has_markers=markers))
    return series, Axis("%", 0, 100)


def epoch_of(row: dict[str, Any]) -> float:
    """Number of epochs done at a line of the log; NaN where it has none."""
    done = _share(row.get("epoch"))
    step = row.get("iter")
    if step is None:
        return done
    whole = str(step).partition("/")
    try:
        return done - 1 + float(whole[0]) / float(whole[2])
    except (ValueError, ZeroDivisionError):
        return done


def _share(value: Any) -> float:
    """The 3 of 3 or "3/18"."""
    try:
        return float(str(value).partition("/")[0])
    except ValueError:
        return math.nan


def _series(name: str, rows: Sequence[dict], key: str, *, colour: int | None = None) -> Series:
    rows = [row for row in rows if key in row]
    values = [number(row[key]) for row in rows]
    is_short = len(rows) < 3
    places = [epoch_of(row) for row in rows]
    return Series(name, places, values, has_markers=is_short, colour=colour)


def _times(steps: Sequence[dict]) -> tuple[list[Series], Axis]:
    series = [_series("step", steps, "dt"), _series("of it, waiting for data", steps, "dt_data")]
    return [one for one in series if len(one.x)], Axis("seconds", 0)


def _memory(rows: Sequence[dict]) -> tuple[list[Series], Axis]:
    keys = {"RAM": "this process", "RAM_loaders": "its loaders", "gpu_mem": "GPU"}
    series = []
    for key, name in keys.items():
        found = [(epoch_of(row), _gib(row[key])) for row in rows if key in row]
        if found:
            x, y = zip(*found, strict=True)
            series.append(Series(name, x, y, has_markers=len(x) < 3))
    return series, Axis("GiB", 0)


def _gib(value: Any) -> float:
    found = _GIB.match(str(value))
    return float(found[1]) if found else math.nan
