"""Pictures beside a report, for slides and papers: curves, confusion, calibration as PNG."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from slowfast.analysis.pages.charts import Axis, Series
from slowfast.analysis.report import numbers
from slowfast.analysis.report.curves import accuracy_series, loss_series
from slowfast.analysis.report.run_folder import RunFolder
from slowfast.analysis.report.scores import ScoredVideos
from slowfast.utils.plots import new_figure, save_figure, shorten, tidy

# The colours of the page in its light form, which colour-blind people tell apart.
_COLOURS = ("#0072b2", "#c25500", "#007a5a", "#a8478a", "#8a6d00", "#3d8fc4", "#444444", "#b03030")
_MOST_NAMES = 40


def draw_pictures(
    run: RunFolder, scores: ScoredVideos | None, *, folder: Path | None = None, title: str = ""
) -> list[Path]:
    """Write report_curves.png, report_confusion.png, report_calibration.png where they say much.

    folder, title: other ones than those of the run.
    """
    written, folder, title = [], folder or run.path, title or run.name
    if panels := [panel for panel in (loss_series(run), accuracy_series(run)) if panel[0]]:
        written.append(draw_panels(folder / "report_curves.png", title, panels))
    if scores is not None and scores.labels.ndim == 1 and len(scores.rows):
        written.append(draw_confusion(folder / "report_confusion.png", title, scores))
        written.append(draw_calibration(folder / "report_calibration.png", title, scores))
    return written


def draw_panels(path: Path, title: str, panels: Sequence[tuple[list[Series], Axis]]) -> Path:
    """Curves over epochs, a panel for each unit."""
    figure = new_figure(5.0 * len(panels), 3.8, title)
    for axes, (series, y) in zip(
        figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True
    ):
        for number, one in enumerate(series):
            colour = _COLOURS[(number if one.colour is None else one.colour) % len(_COLOURS)]
            line = "--" if one.is_dashed else "-"
            marker = "o" if one.has_markers else ""
            axes.plot(one.x, one.y, line, marker=marker, ms=4, color=colour, label=one.name)
        axes.set_xlabel("epoch")
        axes.set_ylabel(y.title)
        axes.set_ylim(y.low, y.high)
        axes.legend(fontsize=8)
        tidy(axes)
    save_figure(figure, path)
    return path


def draw_confusion(path: Path, title: str, scores: ScoredVideos) -> Path:
    """Shares of the videos of each true class (rows)."""
    count = len(scores.names)
    matrix = np.zeros((count, count))
    np.add.at(matrix, (scores.labels, scores.values.argmax(1)), 1)
    matrix /= np.maximum(matrix.sum(1, keepdims=True), 1)
    is_named = count <= _MOST_NAMES
    size = min(max(0.36 * count + 2.5, 5), 10) if is_named else 8
    figure = new_figure(size + 0.8, size, title)
    axes = figure.subplots()
    image = axes.imshow(100 * matrix, cmap="cividis", vmin=0, vmax=100, interpolation="nearest")
    figure.colorbar(image, ax=axes, label="% of the true class", shrink=0.8)
    axes.set_xlabel("predicted class")
    axes.set_ylabel("true class")
    if is_named:
        names = [shorten(name, 24) for name in scores.names]
        axes.set_xticks(range(count), names, rotation=90, fontsize=8, parse_math=False)
        axes.set_yticks(range(count), names, fontsize=8, parse_math=False)
    save_figure(figure, path)
    return path


def draw_calibration(path: Path, title: str, scores: ScoredVideos) -> Path:
    """Accuracy against confidence."""
    is_hit = scores.values.argmax(1) == scores.labels
    found = numbers.calibrate_bins(scores.confidence.max(1), is_hit)
    figure = new_figure(4.6, 4.4, title)
    axes = figure.subplots()
    axes.plot([0, 100], [0, 100], "--", color=_COLOURS[6], label="perfect")
    label = f"measured, ECE {100 * found.ece:.1f} %"
    axes.plot(*(100 * found.confidence, 100 * found.accuracy), "o-", color=_COLOURS[0], label=label)
    axes.set_xlabel("confidence %")
    axes.set_ylabel("accuracy %")
    axes.set_xlim(0, 100)
    axes.set_ylim(0, 100)
    axes.legend(fontsize=9)
    tidy(axes)
    save_figure(figure, path)
    return path
