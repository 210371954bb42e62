"""Curves of a training: loss, accuracy, learning rate, time of a step, memory."""

import math
import re
from collections.abc import Sequence
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
    val = run.lines_of("val_epoch")
    charts = [
        _chart("Loss", "loss", {"training": epochs or steps, "validation": val}, "loss"),
        _accuracies(epochs or steps, val),
        _chart("Learning rate", "learning rate", {"learning rate": steps or epochs}, "lr"),
        _times(steps),
        _memory(steps or epochs),
    ]
    return [chart for chart in charts if chart is not None]


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


def _chart(title: str, unit: str, rows: dict[str, Sequence[dict]], key: str) -> Chart | None:
    series = [_series(name, each, key) for name, each in rows.items()]
    series = [one for one in series if len(one.x)]
    return line_chart(title, series, Axis("epoch"), Axis(unit)) if series else None


def _accuracies(train: Sequence[dict], val: Sequence[dict]) -> Chart | None:
    series = []
    for place, (key, title) in enumerate(_METRICS.items()):
        for split, rows in (("training", train), ("validation", val)):
            one = _series(f"{title}, {split}", rows, key, colour=place)
            if len(one.x):
                dashed = split == "training"
                series.append(
                    Series(
                        *(one.name, one.x, one.y),
                        has_markers=one.has_markers or not dashed,
                        is_dashed=dashed,
                        colour=place,
                    )
                )
    if not series:
        return None
    return line_chart("Accuracy", series, Axis("epoch"), Axis("%", 0, 100))


def _times(steps: Sequence[dict]) -> Chart | None:
    series = [_series("step", steps, "dt"), _series("of it, waiting for data", steps, "dt_data")]
    series = [one for one in series if len(one.x)]
    if not series:
        return None
    return line_chart("Time of a step", series, Axis("epoch"), Axis("seconds", 0))


def _memory(rows: Sequence[dict]) -> Chart | None:
    keys = {"RAM": "this process", "RAM_loaders": "its loaders", "gpu_mem": "GPU"}
    series = []
    for key, name in keys.items():
        found = [(epoch_of(row), _gib(row[key])) for row in rows if key in row]
        if found:
            x, y = zip(*found, strict=True)
            series.append(Series(name, x, y, has_markers=len(x) < 3))
    return line_chart("Memory", series, Axis("epoch"), Axis("GiB", 0)) if series else None


def _gib(value: Any) -> float:
    found = _GIB.match(str(value))
    return float(found[1]) if found else math.nan
