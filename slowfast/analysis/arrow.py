"""The worth of the order of frames: normal, reversed, shuffled and frozen clips.

The "arrow of time" of arXiv 1712.04851, Table 1.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tabulate import tabulate

from slowfast.analysis.report.numbers import wilson_errors
from slowfast.analysis.runs import TrainedRun, load_runs
from slowfast.datasets.clips.samplers import backwards, forwards, middle_repeated, shuffled
from slowfast.utils.io import write_csv, write_json
from slowfast.utils.plots import COLORS, new_figure, save_figure, shorten, tidy, wrap

ORDERS = {
    "normal": forwards,
    "reversed": backwards,
    "shuffled": shuffled,
    "single_frame": middle_repeated,
}
_COLORS = dict(zip(ORDERS, (COLORS[0], COLORS[3], COLORS[1], COLORS[8]), strict=True))
# What time contributes to a class: normal minus one of the others.
_DIFFERENCES = ("single_frame", "reversed")
_MAX_CLASSES = 30  # in the plot


@dataclass(frozen=True)
class ArrowRow:
    """A run's metric in percent, in each order, for all videos and per class (NaN: no videos).

    data: the test set.
    """

    name: str
    num_videos: int
    total: dict[str, float]
    per_class: dict[str, np.ndarray]
    data: str = ""

    def difference(self, other: str) -> np.ndarray:
        """Normal minus another order, in points, per class."""
        return self.per_class["normal"] - self.per_class[other]


def measure_arrow(run: TrainedRun) -> ArrowRow:
    """Scores the test split in all orders."""
    _check_order_counts(run)
    views = run.views
    judgements, num_videos = run.judge([views.in_order(order) for order in ORDERS.values()])
    judged = dict(zip(ORDERS, judgements, strict=True))
    return ArrowRow(
        run.name,
        num_videos,
        {order: judgement.value for order, judgement in judged.items()},
        {order: judgement.per_class for order, judgement in judged.items()},
        run.data,
    )


def _check_order_counts(run: TrainedRun) -> None:
    if run.modality != "rgb":
        raise ValueError(
            f"{run.name}: DATA.MODALITY: {run.modality!r} shows motion in every single frame, in "
            "the direction of time; only the order of 'rgb' frames can be changed"
        )
    if run.views.order is not forwards:
        raise ValueError(
            f"{run.name}: TEST.REVERSE_TIME: True must be False here; the table has a column of "
            "reversed clips"
        )


def draw_totals(path: Path, rows: Sequence[ArrowRow], metric: str, chance: float | None) -> None:
    """A group of bars for each run, with 95 % intervals where chance is known: shares of videos."""
    title = f"What the order of frames contributes{_on_data(rows)}"
    figure = new_figure(max(6.5, 1.9 * len(rows) + 2), 4.6, title)
    axes = figure.subplots()
    width = 0.8 / len(ORDERS)
    for number, order in enumerate(ORDERS):
        places = np.arange(len(rows)) + (number - (len(ORDERS) - 1) / 2) * width
        values = [row.total[order] for row in rows]
        label = order.replace("_", " ")
        errors = None
        if chance is not None:
            errors = wilson_errors(values, [row.num_videos for row in rows])
        look = {"color": _COLORS[order], "error_kw": {"lw": 1, "capsize": 2}}
        bars = axes.bar(places, values, width, yerr=errors, label=label, **look)
        labels = axes.bar_label(bars, fmt="%.1f", fontsize=8, padding=2, zorder=4)
        for text in labels:  # the line of chance runs behind them
            text.set_bbox({"facecolor": "white", "edgecolor": "none", "pad": 0.6})
    if chance is not None:
        axes.axhline(chance, color="black", lw=1, ls="--", label=f"chance ({chance:.1f} %)")
    axes.set_xticks(range(len(rows)), [wrap(row.name, 18) for row in rows], parse_math=False)
    axes.set_ylabel(f"{metric} (%)")
    bars = "" if chance is None else ", with 95 % intervals (Wilson)"
    axes.set_xlabel(f"network, on {max(row.num_videos for row in rows)} test videos{bars}")
    axes.set_ylim(0, 1.08 * max(10.0, *(max(row.total.values()) for row in rows)))
    tidy(axes)
    figure.legend(loc="outside lower center", ncols=5, fontsize=9, title="frames of a clip")
    save_figure(figure, path)


def draw_classes(path: Path, rows: Sequence[ArrowRow], names: Sequence[str], metric: str) -> None:
    """Bars for each class, a panel for each run: classes to which time means most come first."""
    shown, title = _classes_to_show(rows)
    title += _on_data(rows)
    height = max(3.5, 0.34 * len(shown) + 2)
    figure = new_figure(3.2 * len(rows) + 3, height, title)
    grid = figure.subplots(1, len(rows), sharey=True, sharex=True, squeeze=False)[0]
    places = np.arange(len(shown))
    for row, axes in zip(rows, grid, strict=True):
        for number, other in enumerate(_DIFFERENCES):
            label = f"normal minus {other.replace('_', ' ')}" if row is rows[0] else None
            values = row.difference(other)[shown]
            axes.barh(places + 0.4 * number - 0.2, values, 0.4, color=_COLORS[other], label=label)
        axes.axvline(0, color="black", lw=0.8)
        axes.set_title(wrap(row.name, 26), fontsize=11, parse_math=False)
        axes.set_xlabel(f"{metric}, difference (points)")
        axes.set_yticks(places, [shorten(names[number], 36) for number in shown], parse_math=False)
        tidy(axes)
    grid[0].set_ylim(len(shown) - 0.4, -0.6)
    figure.legend(loc="outside lower center", ncols=2, fontsize=9)
    save_figure(figure, path)


def _on_data(rows: Sequence[ArrowRow]) -> str:
    """Words for a title."""
    names = " or ".join(dict.fromkeys(row.data for row in rows if row.data))
    return f", {names}" if names else ""


def _classes_to_show(rows: Sequence[ArrowRow]) -> tuple[list[int], str]:
    """Classes with videos by what time contributes to them, the most first; the ends of many."""
    with np.errstate(invalid="ignore"):
        gain = np.mean([row.difference("single_frame") for row in rows], axis=0)
    order = [number for number in np.argsort(-gain).tolist() if not math.isnan(gain[number])]
    if len(order) <= _MAX_CLASSES:
        return order, "What time contributes to each class"
    half = _MAX_CLASSES // 2
    title = f"What time contributes to each class\n(the {half} that gain most and least)"
    return order[:half] + order[-half:], title


def write_tables(folder: Path, rows: Sequence[ArrowRow], names: Sequence[str]) -> None:
    """arrow.csv with a line per run, arrow_classes.csv with a line per run and class."""
    write_csv(
        folder / "arrow.csv",
        ["run", "videos", *ORDERS],
        [[row.name, row.num_videos, *row.total.values()] for row in rows],
    )
    lines = []
    for row in rows:
        columns = [*row.per_class.values(), *(row.difference(other) for other in _DIFFERENCES)]
        for number, name in enumerate(names):
            values = [float(column[number]) for column in columns]
            lines.append([row.name, number, name, *("" if math.isnan(v) else v for v in values)])
    differences = [f"normal_minus_{other}" for other in _DIFFERENCES]
    write_csv(folder / "arrow_classes.csv", ["run", "class", "name", *ORDERS, *differences], lines)


def run_arrow(
    runs: Sequence[str], overrides: Sequence, *, output: str | Path, videos: int | None
) -> str:
    """Measure all runs, write tables and plots into the folder `output`, return a table."""
    rows, about, first = [], [], None
    for run in load_runs(runs, overrides, num_videos=videos):
        first = first or run
        _check_comparable(run, first)
        rows.append(measure_arrow(run))
        about.append({**run.about(), "videos": rows[-1].num_videos, **rows[-1].total})
    folder, names, metric = Path(output), first.class_names, first.metric
    write_tables(folder, rows, names)
    write_json(folder / "arrow.json", {"metric": f"{metric} (%)", "runs": about})
    chance = None if first.is_multi_label else 100 / first.num_classes
    draw_totals(folder / "arrow.png", rows, metric, chance)
    draw_classes(folder / "arrow_classes.png", rows, names, metric)
    lines = [[row.name, row.num_videos, *row.total.values()] for row in rows]
    return tabulate(lines, [f"{metric} %", "videos", *ORDERS], floatfmt=".2f")


def _check_comparable(run: TrainedRun, first: TrainedRun) -> None:
    if (run.num_classes, run.metric) != (first.num_classes, first.metric):
        raise ValueError(
            f"{run.name}: {run.num_classes} classes by {run.metric}, but {first.name} has "
            f"{first.num_classes} by {first.metric}; runs must be of one dataset"
        )
