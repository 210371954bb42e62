"""Overlays of maps on frames: mp4, strips of frames with bars, grids of maps and kernels."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

from slowfast.datasets.synthetic import write_video
from slowfast.utils.plots import new_figure, save_figure, shorten, tidy

COLORMAP = "inferno"
_SIDE = 256  # least height of a frame of a video, in pixels
_BAR = 48  # height of the bars below it
_MAX_COLUMNS = 12
_BLUE, _ORANGE = (0, 114, 178), (230, 159, 0)


@dataclass(frozen=True)
class Row:
    """A row of a strip: a title, and maps T,H,W of 0..1 to lay over the frames; None: bare."""

    title: str
    maps: np.ndarray | None


def check_colormap(name: str, key: str = "--colormap") -> None:
    """ValueError for a name that matplotlib does not know."""
    from matplotlib import colormaps

    if name not in colormaps:
        raise ValueError(f"{key}: {name!r} is no colormap of matplotlib, such as inferno, viridis")


def overlay(frames: np.ndarray, maps: np.ndarray, colormap: str = COLORMAP) -> np.ndarray:
    """Frames T,H,W,3 uint8 under the colours of maps T,H,W of 0..1.

    Where a map is 0 the frame is seen dimmed, where it is 1 mostly its colour.
    """
    from matplotlib import colormaps

    colors = colormaps[colormap](maps)[..., :3] * 255
    weight = (0.25 + 0.5 * maps)[..., None]
    mixed = frames.astype(np.float32) * (1 - weight) + colors * weight
    return np.clip(np.rint(mixed), 0, 255).astype(np.uint8)


def enlarge(frames: np.ndarray) -> np.ndarray:
    """Small frames T,H,W,3 a whole number of times as large, cut to even sides."""
    times = max(-(-_SIDE // frames.shape[1]), 1)
    frames = frames.repeat(times, 1).repeat(times, 2)
    return frames[:, : frames.shape[1] // 2 * 2, : frames.shape[2] // 2 * 2]


def _bars(values: np.ndarray, now: int, width: int) -> np.ndarray:
    """A picture of `_BAR` lines: a bar for each value of 0..1, that of `now` in another colour."""
    picture = np.full((_BAR, width, 3), 255, np.uint8)
    edges = np.linspace(0, width, len(values) + 1).round().astype(int)
    for number, value in enumerate(np.clip(values, 0, 1).tolist()):
        height = max(round(value * (_BAR - 4)), 1)
        color = _ORANGE if number == now else _BLUE
        picture[_BAR - height :, edges[number] : max(edges[number + 1] - 1, edges[number] + 1)] = (
            color
        )
    return picture


def _caption(width: int, text: str) -> np.ndarray:
    """A line of text as a picture."""
    from PIL import Image, ImageDraw

    picture = Image.new("RGB", (width, 22), "white")
    ImageDraw.Draw(picture).text((4, 4), shorten(text, max(width // 7, 8)), fill="black")
    return np.asarray(picture)


def compose(frames: np.ndarray, maps: np.ndarray, text: str, colormap: str) -> np.ndarray:
    """Frames for a video: caption, frame beside its overlay, and the bars of the means of maps."""
    plain, mixed = enlarge(frames), enlarge(overlay(frames, maps, colormap))
    both = np.concatenate([plain, mixed], 2)
    values = maps.mean((1, 2))
    values = values / max(float(values.max()), 1e-12)
    caption = _caption(both.shape[2], text)
    return np.stack(
        [
            np.concatenate([caption, picture, _bars(values, number, both.shape[2])])
            for number, picture in enumerate(both)
        ]
    )


def write_overlay(path: Path, pictures: np.ndarray, rate: float) -> None:
    """Write pictures T,H,W,3 as an H.264 mp4 that browsers play, slow enough to be watched."""
    options = {"crf": "20", "movflags": "+faststart"}
    write_video(path, pictures, fps=Fraction(min(rate, 8)).limit_denominator(100), options=options)


def draw_strip(
    path: Path,
    title: str,
    frames: np.ndarray,
    rows: Sequence[Row],
    bars: Mapping[str, np.ndarray],
    *,
    colormap: str = COLORMAP,
) -> None:
    """Write rows of frames under maps as a PNG, and below a panel of bars for each value a frame.

    Of a long clip every n-th frame is shown; bars are of all.
    """
    columns = np.unique(np.linspace(0, len(frames) - 1, _MAX_COLUMNS).round().astype(int))
    shape = frames.shape[1] / frames.shape[2]
    height = len(rows) * (1.1 * shape + 0.05) + 1.25 * len(bars) + 0.6
    figure = new_figure(1.1 * len(columns) + 1.6, height, title)
    ratios = [1.1 * shape] * len(rows) + [1.1] * len(bars)
    grid = figure.add_gridspec(len(ratios), len(columns), height_ratios=ratios)
    for number, row in enumerate(rows):
        shown = frames if row.maps is None else overlay(frames, row.maps, colormap)
        _draw_row(figure, grid, number, row.title, shown, columns)
    for number, (name, values) in enumerate(bars.items(), start=len(rows)):
        axes = figure.add_subplot(grid[number, :])
        _draw_bars(axes, name, values, is_last=number + 1 == len(ratios))
    save_figure(figure, path)


def _draw_row(figure, grid, number: int, title: str, shown: np.ndarray, columns) -> None:
    for place, frame in enumerate(columns.tolist()):
        axes = figure.add_subplot(grid[number, place])
        axes.imshow(shown[frame])
        axes.set_xticks([])
        axes.set_yticks([])
        axes.spines[:].set_visible(False)
        if place == 0:
            axes.set_ylabel(title, rotation=0, ha="right", va="center", fontsize=9)
            axes.yaxis.label.set_parse_math(False)
        if number == 0:
            axes.set_title(f"frame {frame}", fontsize=8)


def _draw_bars(axes, name: str, values: np.ndarray, *, is_last: bool) -> None:
    color = tuple(part / 255 for part in _BLUE)
    axes.bar(np.arange(len(values)), values, color=color, width=0.8)
    axes.axhline(0, color="black", lw=0.8)
    axes.set_xlim(-0.5, len(values) - 0.5)
    axes.set_ylabel(name, rotation=0, ha="right", va="center", fontsize=9)
    axes.tick_params(labelsize=8)
    if is_last:
        axes.set_xlabel("frame of the clip", fontsize=9)
    else:
        axes.set_xticklabels([])
    tidy(axes)


def draw_grid(
    path: Path, title: str, pictures: np.ndarray, *, rows: int, colormap: str | None
) -> None:
    """Write pictures N,H,W (or N,H,W,3 of 0..1) as a PNG of `rows` rows, each with a thin frame."""
    figure = grid_figure(title, pictures, rows=rows, colormap=colormap)
    save_figure(figure, path)


def grid_figure(title: str, pictures: np.ndarray, *, rows: int, colormap: str | None):
    """The figure of `draw_grid`."""
    columns = -(-len(pictures) // rows)
    height, width = pictures.shape[1:3]
    gap = 1 if max(height, width) < 40 else 2
    canvas_size = (rows * (height + gap) + gap, columns * (width + gap) + gap)
    canvas = np.full((*canvas_size, *pictures.shape[3:]), np.nan, np.float32)
    for number, picture in enumerate(pictures):
        y, x = (
            place * (size + gap) + gap
            for place, size in zip(divmod(number, columns), (height, width), strict=True)
        )
        canvas[y : y + height, x : x + width] = picture
    if canvas.ndim == 3:
        canvas = np.where(np.isnan(canvas), 1.0, canvas)
    size = 11.0
    figure = new_figure(size, min(size * canvas_size[0] / canvas_size[1], 24) + 0.7, title)
    axes = figure.add_subplot()
    drawn = axes.imshow(canvas, cmap=colormap, interpolation="nearest")
    axes.axis("off")
    if colormap is not None:
        figure.colorbar(drawn, ax=axes, shrink=0.6)
    return figure
