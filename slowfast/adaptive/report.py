"""The files of a budget table: csv, JSON and a plot; its front as text."""

import logging
import math
from collections.abc import Sequence
from dataclasses import astuple
from pathlib import Path

from tabulate import tabulate

from slowfast.adaptive.budget import COSTS, BudgetTable, TableRow, choose, pareto_front
from slowfast.config.derived import parse_budget
from slowfast.utils.io import write_csv, write_json
from slowfast.utils.plots import new_figure, save_figure, shorten, tidy

logger = logging.getLogger(__name__)

_HEADER = ("configuration", "gmacs", "params", "latency_ms", "top1_acc", "top5_acc")
_TITLES = ("width,frames,crop", "GMACs", "params (M)", "ms", "top-1 %", "top-5 %")
_AXES = {"gmacs": "GMACs per clip", "latency_ms": "median latency (ms per clip)"}


def fronts(rows: Sequence[TableRow]) -> dict[str, list[bool]]:
    """For each cost, which rows no other row beats in it and in top-1."""
    accuracies = [row.top1_acc for row in rows]
    return {cost: pareto_front([getattr(row, cost) for row in rows], accuracies) for cost in COSTS}


def best_by_budget(rows: Sequence[TableRow], cost: str) -> list[TableRow]:
    """The choice for every budget: each row is the best from its cost up to that of the next."""
    on_front = fronts(rows)[cost]
    best: list[TableRow] = []
    for row in sorted(
        (row for row, is_on in zip(rows, on_front, strict=True) if is_on),
        key=lambda row: (getattr(row, cost), row.top1_acc),
    ):
        if not best or row.top1_acc > best[-1].top1_acc:
            best.append(row)
    return best


def write_table(
    path: str | Path, table: BudgetTable, *, budgets: Sequence[str] = ()
) -> dict[str, TableRow]:
    """Write `path` (.json), and beside it the same as .csv and .png.

    Gives the choice for each of `budgets`, which is written, too; a warning names those that
    nothing fits.
    """
    path, marks = Path(path), fronts(table.rows)
    picks = {}
    for text in budgets:
        try:
            picks[text] = choose(table.rows, parse_budget(text))
        except ValueError as error:
            logger.warning("%s", error)
    content = table.as_dict()
    for number, row in enumerate(content["configurations"]):
        row |= {f"is_on_front_{cost}": marks[cost][number] for cost in COSTS}
    content["picks"] = {text: str(row.point) for text, row in picks.items()}
    write_json(path, content)
    rows = [
        [*_cells(row), *(int(marks[cost][number]) for cost in COSTS)]
        for number, row in enumerate(table.rows)
    ]
    cells = [["" if cell != cell else cell for cell in row] for row in rows]  # NaN stays empty
    header = [*_HEADER, *(f"is_on_front_{cost}" for cost in COSTS)]
    write_csv(path.with_suffix(".csv"), header, cells)
    draw_table(path.with_suffix(".png"), table)
    return picks


def front_text(table: BudgetTable, picks: dict[str, TableRow]) -> str:
    """The best point from each budget on, and the picks, as text."""
    parts = []
    for cost, title in COSTS.items():
        rows = [_cells(row) for row in best_by_budget(table.rows, cost)]
        if rows:
            text = tabulate(rows, _TITLES, floatfmt=".5g")
            parts.append(f"best of {len(table.rows)} configurations by {title}:\n{text}")
    if picks:
        rows = [[text, *_cells(row)] for text, row in picks.items()]
        parts.append(tabulate(rows, ["budget", *_TITLES], floatfmt=".5g"))
    return "\n\n".join(parts)


def _cells(row: TableRow) -> list:
    return [str(row.point), *astuple(row)[1:]]


def draw_table(path: str | Path, table: BudgetTable) -> None:
    """Accuracy against each cost: colours are widths, markers frames, sizes crops."""
    rows = table.rows
    costs = [cost for cost in COSTS if not all(math.isnan(getattr(row, cost)) for row in rows)]
    figure = new_figure(4.8 * len(costs) + 2.4, 4.8, "One network at every budget")
    grid = figure.subplots(1, len(costs), sharey=True, squeeze=False)[0]
    looks = _Looks(rows)
    for axes, cost in zip(grid, costs, strict=True):
        _mark_best(axes, best_by_budget(rows, cost), cost)
        for row in rows:
            axes.scatter(getattr(row, cost), row.top1_acc, zorder=2, **looks.of(row))
        _scale(axes, [getattr(row, cost) for row in rows])
        device = f"\n{shorten(table.about['device'], 60)}"
        axes.set_xlabel(_AXES[cost] + (device if cost == "latency_ms" else ""))
        tidy(axes)
    grid[0].set_ylabel(f"top-1 (%), {table.about['num_videos']} videos")
    figure.legend(handles=looks.legend(), loc="outside right center", fontsize=9)
    save_figure(figure, Path(path))


def _mark_best(axes, best: Sequence[TableRow], cost: str) -> None:
    """Steps through the best rows, each within a ring."""
    x, y = [getattr(row, cost) for row in best], [row.top1_acc for row in best]
    axes.step(x, y, where="post", color="black", lw=1, zorder=1)
    axes.plot(x, y, "o", color="black", mfc="none", ms=14, zorder=3)


def _scale(axes, values: Sequence[float]) -> None:
    """Logarithmic where the values differ much."""
    from matplotlib.ticker import LogLocator, NullLocator

    if max(values) > 10 * min(values) > 0:
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_minor_locator(NullLocator())
    axes.margins(x=0.08)


class _Looks:
    """Colour by width, marker by frames, size by crop."""

    _markers = "osD^vP*X"

    def __init__(self, rows: Sequence[TableRow]):
        from matplotlib import colormaps

        widths = sorted({row.point.width for row in rows})
        frames = sorted({row.point.frames for row in rows})
        crops = sorted({row.point.crop for row in rows})
        shades = colormaps["viridis"]
        self._colors = {w: shades(0.95 * i / max(len(widths) - 1, 1)) for i, w in enumerate(widths)}
        self._shapes = {t: self._markers[i % len(self._markers)] for i, t in enumerate(frames)}
        self._sizes = {s: 20 + 60 * i / max(len(crops) - 1, 1) for i, s in enumerate(crops)}

    def of(self, row: TableRow) -> dict:
        """Arguments of `scatter`."""
        at = row.point
        return {
            "color": [self._colors[at.width]],
            "marker": self._shapes[at.frames],
            "s": self._sizes[at.crop],
            "alpha": 0.85,
        }

    def legend(self) -> list:
        """Handles of the colours, markers and sizes."""
        from matplotlib.lines import Line2D

        def line(label: str, **look) -> Line2D:
            return Line2D(
                [], [], linestyle="", **{"color": "grey", "marker": "o", **look}, label=label
            )

        return [
            *(line(f"width {w:g}", color=color) for w, color in self._colors.items()),
            *(line(f"{t} frames", marker=marker) for t, marker in self._shapes.items()),
            *(line(f"crop {s}", markersize=size**0.5) for s, size in self._sizes.items()),
            Line2D([], [], color="black", marker="o", mfc="none", ms=12, label="Pareto front"),
        ]
