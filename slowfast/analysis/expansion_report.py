"""Tables of costs, and of a search; its plot: accuracy over cost, the path drawn (X3D, Fig. 2)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from tabulate import tabulate

from slowfast.analysis.candidates import CONTRACTED, START, Candidate, Networks
from slowfast.analysis.expansion import (
    AXES,
    CONTRACTED_GMACS,
    PUBLISHED_GMACS,
    PUBLISHED_NAMES,
    PUBLISHED_ORDER,
    PUBLISHED_STRIDE,
    Rules,
)
from slowfast.utils.io import write_csv, write_lines
from slowfast.utils.plots import new_figure, save_figure, style, tidy

_HEADER = ("step", "axis", "frames", "stride", "crop", "width", "bottleneck", "depth")
_HEADER += ("GMACs", "params_M")


@dataclass(frozen=True)
class Result:
    """A candidate; accuracy in percent, NaN before it is tested. is_best: of its step."""

    candidate: Candidate
    accuracy: float
    is_best: bool


def _cells(candidate: Candidate) -> list:
    shape = candidate.shape
    numbers = (shape.stride, shape.crop, shape.width, shape.bottleneck, shape.depth)
    cells = [candidate.step, candidate.axis, shape.frames, *(f"{x:g}" for x in numbers)]
    return [*cells, f"{candidate.gmacs:.4g}", f"{candidate.params:.3f}"]


def write_tables(folder: Path, results: Sequence[Result], *, metric: str) -> None:
    """Write expansion.csv and expansion.md."""
    header = [*_HEADER, metric, "best"]
    rows = [
        [
            *_cells(one.candidate),
            "" if math.isnan(one.accuracy) else f"{one.accuracy:.2f}",
            "x" if one.is_best else "",
        ]
        for one in results
    ]
    write_csv(folder / "expansion.csv", header, rows)
    table = tabulate(rows, header, tablefmt="github", disable_numparse=True)
    write_lines(folder / "expansion.md", [table])


def draw(path: Path, results: Sequence[Result], *, metric: str, data: str) -> None:
    """Draw all candidates over the logarithm of their cost, and a line through the best ones.

    data: the test set.
    """
    from matplotlib.ticker import LogLocator, NullLocator

    figure = new_figure(8.8, 5.0, f"Progressive expansion, {data}")
    axes = figure.subplots()
    best = [one for one in results if one.is_best and one.candidate.axis != CONTRACTED]
    unit, scale = ("GMACs", 1) if best[-1].candidate.gmacs >= 1 else ("MMACs", 1000)

    def places(found: Sequence[Result]) -> list[tuple[float, float]]:
        return [(scale * one.candidate.gmacs, one.accuracy) for one in found]

    for number, axis in enumerate((START, *AXES, CONTRACTED)):
        if points := places([one for one in results if one.candidate.axis == axis]):
            look = {"s": 55, "zorder": 2, **style(number)}
            axes.scatter(*zip(*points, strict=True), label=_label(axis), **look)
    axes.plot(*zip(*places(best), strict=True), "-o", color="black", mfc="none", ms=13, lw=1.4)
    for one, place in zip(best, places(best), strict=True):
        look = {"textcoords": "offset points", "ha": "right", "fontsize": 10}
        axes.annotate(_label(one.candidate.axis), place, (-6, 10), **look)
    axes.margins(x=0.1, y=0.1)
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel(f"{unit} of a clip")
    axes.set_ylabel("top-1 (%)" if metric == "top1_acc" else f"{metric} (%)")
    tidy(axes)
    figure.legend(loc="outside right center", fontsize=10, title="expanded axis")
    save_figure(figure, path)


def _label(axis: str) -> str:
    """The factor of an axis as the paper writes it."""
    symbol = r"\tau" if axis == "tau" else axis
    return f"$\\gamma_{{{symbol}}}$" if axis in AXES else axis


def candidates_table(path: str | Path, overrides: Sequence, axes: Sequence[str]) -> str:
    """Costs of the start, a YAML file, and of the candidates of the first step."""
    networks = Networks(path, overrides)
    start = networks.first()
    found = [start, *networks.candidates(1, start.shape, axes)]
    return _costs_table(found, [one.gmacs / start.gmacs for one in found], [""] * len(found))


def order_table(path: str | Path, overrides: Sequence, order: Sequence[str]) -> str:
    """Costs of the networks of an order of axes."""
    found = follow(Networks(path, overrides), order)
    return _costs_table(found, _ratios(found), [""] * len(found))


def follow(networks: Networks, order: Sequence[str]) -> list[Candidate]:
    """The start, and the network of each step; ValueError where an axis cannot grow."""
    path = [networks.first()]
    for step, axis in enumerate(order, 1):
        found = networks.candidates(step, path[-1].shape, [axis])
        if not found:
            raise ValueError(
                f"--order: {axis} cannot grow in step {step}: DATA.SAMPLING_RATE "
                f"{path[-1].shape.stride:g} has no frames in between; give the start a larger one"
            )
        path += found
    return path


def paper_table(path: str | Path, overrides: Sequence) -> str:
    """Costs of the published steps beside the published ones; X3D-S is contracted from step 7."""
    networks = Networks(path, ["DATA.SAMPLING_RATE", PUBLISHED_STRIDE, *overrides])
    found, rows, notes = follow(networks, PUBLISHED_ORDER), [], []
    for one, ratio in zip(found, _ratios(found), strict=True):
        name = PUBLISHED_NAMES.get(one.step, "")
        if name in CONTRACTED_GMACS:
            rows, notes = [*rows, (one, ratio)], [*notes, ""]
            before = found[one.step - 1]
            one = networks.contracted(before.shape, one, CONTRACTED_GMACS[name])
            ratio = one.gmacs / before.gmacs
        rows.append((one, ratio))
        notes.append(_published(name, one.gmacs) if name else "")
    return _costs_table([one for one, _ in rows], [ratio for _, ratio in rows], notes)


def _ratios(path: Sequence[Candidate]) -> list[float]:
    """Costs over those of the step before; 1 for the first."""
    costs = [path[0].gmacs, *(one.gmacs for one in path)]
    return [after / before for before, after in pairwise(costs)]


def _published(name: str, gmacs: float) -> str:
    printed = PUBLISHED_GMACS[name]
    return f"X3D-{name}: {printed:g} G printed, {100 * (gmacs / printed - 1):+.1f} %".replace(
        "X3D-X2D", "X2D"
    )


def _costs_table(found: Sequence[Candidate], ratios: Sequence[float], notes: Sequence[str]) -> str:
    rows = []
    for one, ratio, note in zip(found, ratios, notes, strict=True):
        rules = Rules.of_step(one.step)
        training = [f"{rules.batch:g} / {rules.epochs:g} / {rules.drop_connect:g}"]
        rows.append([*_cells(one), f"{ratio:.2f}", *training, note])
    header = [*_HEADER, "x", "batch / epochs / drop-connect", "published"]
    if not any(notes):
        header, rows = header[:-1], [row[:-1] for row in rows]
    return tabulate(rows, header, disable_numparse=True)
