"""Sections about videos with any number of labels: average precision, precision and recall."""

import os
from collections.abc import Sequence

import numpy as np

from slowfast.analysis.pages.charts import Axis, Series, bar_chart, line_chart
from slowfast.analysis.pages.page import Column, Table
from slowfast.analysis.report import numbers
from slowfast.analysis.report.classification import NUM_STRIPS, Share
from slowfast.analysis.report.scores import ScoredVideos, spread
from slowfast.analysis.report.sections import Gallery, Picture, Section, Tile
from slowfast.analysis.report.strips import Opener, film_strip
from slowfast.datasets.records import Record
from slowfast.evaluation.metrics import average_precisions, mean_over_classes

_NUM_CURVES = 5


def mean_ap(scores: ScoredVideos) -> Share:
    """Mean AP 0..1 with its interval."""
    value = mean_over_classes(average_precisions(scores.values, scores.labels))
    return Share(value, *numbers.map_interval(scores.values, scores.labels))


def map_tiles(scores: ScoredVideos) -> list[Tile]:
    """Mean AP with its interval."""
    return [mean_ap(scores).tile("mAP")]


def average_precision_section(names: Sequence[str], counts: Sequence[int], aps) -> Section:
    """Bars and table of the average precision (percent) of each class, the lowest first."""
    rows = [[i, n, c, ap] for i, (n, c, ap) in enumerate(zip(names, counts, aps, strict=True))]
    rows.sort(key=lambda row: (row[3] != row[3], row[3]))
    known = [row for row in rows if row[3] == row[3]]
    columns = [Column("number", 0), Column("class", is_long=True), Column("positives", 0)]
    columns += [Column("AP %", 1)]
    chart = bar_chart(
        "Average precision of the classes, lowest first",
        *([row[1] for row in known], [row[3] for row in known]),
        Axis("AP %", 0, 100),
    )
    table = Table("Average precision of each class", columns, rows)
    return Section("classes", "Classes", charts=[chart], tables=[table])


def class_sections(scores: ScoredVideos) -> list[Section]:
    """Average precision of each class, and curves."""
    aps = (100 * average_precisions(scores.values, scores.labels)).tolist()
    counts = scores.labels.sum(0).astype(int).tolist()
    curves = {"all labels": (scores.values.ravel(), scores.labels.ravel() > 0)}
    by_count = [i for i in np.argsort(-scores.labels.sum(0), kind="stable") if counts[i]]
    for label in by_count[:_NUM_CURVES]:
        curves[scores.names[label]] = scores.values[:, label], scores.labels[:, label] > 0
    found = {n: numbers.precision_recall(s, h, int(h.sum())) for n, (s, h) in curves.items()}
    return [average_precision_section(scores.names, counts, aps), curve_section(found)]


def curve_section(curves: dict[str, tuple[np.ndarray, np.ndarray]]) -> Section:
    """Precision against recall, both 0..1, a curve for each name."""
    series = []
    for name, (recall, precision) in curves.items():
        rows = spread(range(len(recall)), 200)
        x, y = (100 * recall[rows]).tolist(), (100 * precision[rows]).tolist()
        series.append(Series(name, x, y, has_markers=len(rows) < 3))
    chart = line_chart(
        "Precision and recall",
        series,
        Axis("recall %", 0, 100),
        Axis("precision %", 0, 100),
        caption="All together, and the classes with most examples.",
    )
    return Section("precision", "Precision and recall", charts=[chart])


def wrong_labels(scores: ScoredVideos, most: int) -> list[tuple[int, int]]:
    """(video, class) of the highest scores of classes that a video does not have, one a video."""
    wrong = np.where(scores.labels > 0, -np.inf, scores.values)
    order = np.argsort(-wrong.max(1), kind="stable")[:most]
    return [(int(video), int(wrong[video].argmax())) for video in order]


def wrong_label_section(
    scores: ScoredVideos, records: Sequence[Record], open_record: Opener
) -> Section | None:
    """Strips of the surest labels that are wrong."""
    pictures = []
    for video, label in wrong_labels(scores, NUM_STRIPS):
        source = film_strip(records[scores.rows[video]], open_record)
        if source is None:
            continue
        own = [scores.names[i] for i in np.flatnonzero(scores.labels[video])]
        name = os.path.basename(scores.paths[video])
        said = f"predicted {scores.names[label]} ({scores.values[video, label]:.2f})"
        words = f"{said}, true {', '.join(own) or 'none'}"
        pictures.append(Picture(source, f"Six frames of {name}: {words}", f"{name}: {words}"))
    gallery = Gallery("Wrong labels of the highest scores", pictures)
    return Section("examples", "Examples", galleries=[gallery]) if pictures else None
