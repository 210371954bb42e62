"""Timelines as files: csv, JSON, a picture, and the features of all windows."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from slowfast.streams.timeline import NOTHING, Segment, Timeline
from slowfast.utils.io import atomic_write, write_csv, write_json
from slowfast.utils.plots import new_figure, save_figure, shorten

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SUFFIXES = (".csv", ".json", ".png")
# Told apart by all kinds of sight (Okabe and Ito).
COLORS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9", "#F0E442", "#000000")
NO_COLOR = "#BBBBBB"
_MOST_ROWS = 12  # classes of a picture
_MOST_PICTURES = 20
_TOP = 5  # classes of a window in the files


def color_of(label: int) -> str:
    """The colour of a class; grey for none."""
    return NO_COLOR if label == NOTHING else COLORS[label % len(COLORS)]


def check_timeline_file(path: str | Path) -> None:
    """ValueError unless `write_timelines` knows the format."""
    if Path(path).suffix.lower() not in SUFFIXES:
        raise ValueError(f"{path}: a timeline is written as {', '.join(SUFFIXES)}")


def write_timelines(path: str | Path, timelines: Sequence[Timeline], about: dict[str, Any]) -> None:
    """Write timelines to a file of one of SUFFIXES, the segments beside a csv in x_segments.csv."""
    path = Path(path)
    check_timeline_file(path)
    if path.suffix.lower() == ".json":
        write_json(path, {**about, "videos": [_as_dict(timeline) for timeline in timelines]})
    elif path.suffix.lower() == ".png":
        draw_timelines(path, timelines)
    else:
        header = ["path", "start", "end", "rank", "class", "name", "score"]
        write_csv(path, header, (row for t in timelines for row in _window_rows(t)))
        rows = [[t.path, *_segment_cells(t, segment)] for t in timelines for segment in t.segments]
        header = ["path", "start", "end", "class", "name", "score"]
        write_csv(path.with_stem(f"{path.stem}_segments"), header, rows)


def write_features(path: str | Path, timelines: Sequence[Timeline]) -> None:
    """Write an npz: features windows,channels, and for each window its path, start and end.

    class_names, and scores windows,classes, stand beside them.
    """
    with atomic_write(path) as file:
        np.savez_compressed(
            file,
            features=np.concatenate([t.features for t in timelines]),
            scores=np.concatenate([t.scores for t in timelines]),
            paths=np.array([t.path for t in timelines for _ in t.spans]),
            start=np.concatenate([t.spans[:, 0] for t in timelines]),
            end=np.concatenate([t.spans[:, 1] for t in timelines]),
            class_names=np.array(timelines[0].class_names),
        )


def best_classes(timeline: Timeline, number: int) -> list[tuple[int, str, float]]:
    """(class, name, score) of the likeliest classes of a window, best first."""
    scores = timeline.scores[number]
    best = np.argsort(-scores, kind="stable")[:_TOP]
    return [(int(k), timeline.class_names[k], float(scores[k])) for k in best]


def _window_rows(timeline: Timeline) -> Iterator[list]:
    for number, (start, end) in enumerate(timeline.spans.tolist()):
        for rank, found in enumerate(best_classes(timeline, number), start=1):
            yield [timeline.path, round(start, 3), round(end, 3), rank, *found]


def _segment_cells(timeline: Timeline, segment: Segment) -> list:
    name = timeline.name(segment.label)
    return [round(segment.start, 3), round(segment.end, 3), segment.label, name, segment.score]


def _as_dict(timeline: Timeline) -> dict[str, Any]:
    keys = ("start", "end", "class", "name", "score")
    return {
        "path": timeline.path,
        "segments": [
            dict(zip(keys, _segment_cells(timeline, segment), strict=True))
            for segment in timeline.segments
        ],
        "windows": [
            {
                "start": round(start, 3),
                "end": round(end, 3),
                "predictions": [
                    dict(zip(keys[2:], found, strict=True))
                    for found in best_classes(timeline, number)
                ],
            }
            for number, (start, end) in enumerate(timeline.spans.tolist())
        ],
    }


def draw_timelines(path: Path, timelines: Sequence[Timeline]) -> None:
    """Draw the segments, and the scores of the most important classes, over time.

    ValueError for too many videos to see anything.
    """
    if len(timelines) > _MOST_PICTURES:
        raise ValueError(f"{path}: shows at most {_MOST_PICTURES} videos, not {len(timelines)}")
    shown = [_important(timeline) for timeline in timelines]
    heights = [1.4 + 0.32 * len(labels) for labels in shown]
    figure = new_figure(12, 0.6 + sum(heights), "What happens when")
    rows = figure.subplots(len(timelines), 1, squeeze=False, height_ratios=heights)[:, 0]
    for axes, timeline, labels in zip(rows, timelines, shown, strict=True):
        _draw(axes, timeline, labels)
    save_figure(figure, path)


def _important(timeline: Timeline) -> list[int]:
    """Classes of the segments by their time, then others with high scores."""
    seconds: dict[int, float] = {}
    for segment in timeline.segments:
        if segment.label != NOTHING:
            length = segment.end - segment.start
            seconds[segment.label] = seconds.get(segment.label, 0.0) + length
    others = np.argsort(-timeline.scores.max(0), kind="stable").tolist()
    by_time = sorted(seconds, key=seconds.__getitem__, reverse=True)
    return list(dict.fromkeys([*by_time, *others[:5]]))[:_MOST_ROWS]


def _draw(axes: "Axes", timeline: Timeline, labels: Sequence[int]) -> None:
    """Segments as bars above the rows of the scores, dark where they are high."""
    scores, bounds = timeline.scores[:, labels], timeline.bounds
    top = max(1.0, float(scores.max())) if len(labels) else 1.0
    mesh = axes.pcolormesh(
        *(bounds, np.arange(len(labels) + 1), scores.T), cmap="Greys", vmin=0, vmax=top
    )
    for segment in timeline.segments:
        row = labels.index(segment.label) if segment.label in labels else None
        width = segment.end - segment.start
        bar: dict[str, Any] = {
            "left": segment.start,
            "height": 0.7,
            "align": "center",
            "color": "none",
        }
        axes.barh(-0.6, width, **{**bar, "color": color_of(segment.label)}, edgecolor="white")
        if row is not None:
            axes.barh(
                row + 0.5, width, **{**bar, "height": 0.9}, edgecolor=color_of(segment.label), lw=2
            )
    places = [-0.6, *(row + 0.5 for row in range(len(labels)))]
    names = ["segments", *(shorten(timeline.name(label), 32) for label in labels)]
    axes.set_yticks(places, [name.replace("$", r"\$") for name in names])
    axes.set(xlim=(bounds[0], bounds[-1]), ylim=(len(labels) + 0.05, -1.1), xlabel="seconds")
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(left=False)
    axes.set_title(shorten(timeline.path, 90).replace("$", r"\$"), fontsize=10, loc="left")
    axes.figure.colorbar(mesh, ax=axes, label="score", pad=0.01)
