"""Sections about videos with one class each: accuracy, confusion, calibration, examples."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from slowfast.analysis.pages.charts import Axis, Chart, Series, bar_chart, line_chart
from slowfast.analysis.pages.page import Column, Table
from slowfast.analysis.report import numbers
from slowfast.analysis.report.run_folder import RunFolder, number
from slowfast.analysis.report.scores import ScoredVideos
from slowfast.analysis.report.sections import Gallery, Picture, Section, Tile
from slowfast.analysis.report.strips import Opener, film_strip
from slowfast.datasets.records import Record

NUM_STRIPS = 12  # of each kind
_NUM_PAIRS = 30


def percent(share: float) -> str:
    """A share 0..1 for a tile."""
    return "–" if share != share else f"{100 * share:.2f} %"


def interval_text(low: float, high: float) -> str:
    """Ends of an interval of shares 0..1."""
    return "" if low != low else f"95 %: {100 * low:.1f} to {100 * high:.1f}"


@dataclass(frozen=True)
class Share:
    """A share 0..1 of the videos, and its interval of 95 %; NaN where it is not known."""

    value: float
    low: float
    high: float

    def tile(self, title: str) -> Tile:
        """In percent, for the head of the page."""
        return title, percent(self.value), interval_text(self.low, self.high)


def accuracies(scores: ScoredVideos) -> dict[str, Share]:
    """Top-1, top-5 and mean over classes, by their names in test_results.json."""
    labels, values, count = scores.labels, scores.values, len(scores.labels)
    own = values[np.arange(count), labels][:, None]
    before = (values > own) | ((values == own) & (np.arange(values.shape[1]) < labels[:, None]))
    ranks = before.sum(1)
    found = {}
    for k in (1, 5) if values.shape[1] > 5 else (1,):
        hits = int((ranks < k).sum())
        found[f"top{k}_acc"] = Share(hits / count, *numbers.wilson_interval(hits, count))
    means = numbers.bootstrap_interval(
        lambda rows: class_mean(labels[rows], ranks[rows] == 0, values.shape[1]), count
    )
    mean = class_mean(labels, ranks == 0, values.shape[1])
    return {**found, "mean_class_acc": Share(mean, *means)}


_FEW_VIDEOS = 100  # with fewer, a bin of the calibration holds a handful
_TITLES = {
    "top1_acc": "top-1 accuracy",
    "top5_acc": "top-5 accuracy",
    "mean_class_acc": "mean over classes",
}


def result_tiles(scores: ScoredVideos) -> list[Tile]:
    """Accuracies, each with its interval, and calibration."""
    tiles = [share.tile(_TITLES[name]) for name, share in accuracies(scores).items()]
    error = percent(calibration(scores).ece)
    count, remark = len(scores.labels), "distance of confidence to truth"
    if count < _FEW_VIDEOS:
        remark += f"; not reliable with only {count} videos"
    return [*tiles, ("calibration error (ECE)", error, remark)]


def class_mean(labels: np.ndarray, is_hit: np.ndarray, num_classes: int) -> float:
    """Mean accuracy 0..1 of the classes that occur."""
    counts = np.bincount(labels, minlength=num_classes)
    hits = np.bincount(labels, is_hit, num_classes)
    return float((hits[counts > 0] / counts[counts > 0]).mean())


def calibration(scores: ScoredVideos) -> numbers.Calibration:
    """Of the highest probability of each video."""
    is_hit = scores.values.argmax(1) == scores.labels
    return numbers.calibrate_bins(scores.confidence.max(1), is_hit)


def confusion_data(scores: ScoredVideos) -> dict[str, Any]:
    """All that the matrix of the page needs; cells: label, prediction, videos, and so on.

    by_error: classes by the number of their wrong answers, the most first.
    """
    counts = numbers.confusion(scores.labels, scores.values.argmax(1))
    totals = np.bincount(scores.labels, minlength=len(scores.names))
    right = np.array([counts.get((label, label), 0) for label in range(len(totals))])
    share = (totals - right) / np.maximum(totals, 1)
    return {
        "names": scores.names,
        "totals": totals.tolist(),
        "cells": [value for pair, n in sorted(counts.items()) for value in (*pair, n)],
        "by_error": np.argsort(-share, kind="stable").tolist(),
    }


def confusion_section(scores: ScoredVideos) -> Section:
    """The matrix, and the pairs that are confused most."""
    counts = numbers.confusion(scores.labels, scores.values.argmax(1))
    totals = np.bincount(scores.labels, minlength=len(scores.names))
    rows = [
        [scores.names[label], scores.names[other], n, 100 * n / totals[label]]
        for label, other, n in numbers.confused_pairs(counts, _NUM_PAIRS)
    ]
    columns = [Column("true class", is_long=True), Column("taken for", is_long=True)]
    columns += [Column("videos", 0), Column("% of the class", 1)]
    tables = [Table("Classes that are confused most", columns, rows)] if rows else []
    texts = [] if rows else ["No video was taken for another class."]
    return Section("confusion", "Confusion", texts, confusion_data(scores), tables=tables)


def class_section(scores: ScoredVideos) -> Section:
    """A row for each class, that of the lowest accuracy first."""
    best, rows = scores.values.argmax(1), []
    counts = numbers.confusion(scores.labels, best)
    for label, name in enumerate(scores.names):
        total, said = int((scores.labels == label).sum()), int((best == label).sum())
        hits = counts.get((label, label), 0)
        low, high = numbers.wilson_interval(hits, total)
        other = max(
            ((n, -b) for (a, b), n in counts.items() if a == label != b), default=(0, None)
        )[1]
        share = hits / total if total else float("nan")
        precision = 100 * hits / said if said else float("nan")
        taken = "" if other is None else scores.names[-other]
        rows.append([label, name, total, 100 * share, 100 * low, 100 * high, precision, taken])
    rows.sort(key=lambda row: (row[3] != row[3], row[3]))
    columns = [Column("number", 0), Column("class", is_long=True), Column("videos", 0)]
    columns += [Column("accuracy %", 1), Column("from %", 1), Column("to %", 1)]
    columns += [Column("precision %", 1), Column("most taken for", is_long=True)]
    table = Table("Accuracy of each class, with its 95 % interval (Wilson)", columns, rows)
    ranked = [(row[1], row[3]) for row in rows if row[3] == row[3]]
    chart = bar_chart(
        "Accuracy of the classes, lowest first",
        [name for name, _ in ranked],
        [value for _, value in ranked],
        Axis("%", 0, 100),
    )
    return Section("classes", "Classes", charts=[chart], tables=[table])


def calibration_section(scores: ScoredVideos) -> Section:
    """Reliability diagram, and how many videos each confidence has."""
    found = calibration(scores)
    low, high = zip(
        *(
            numbers.wilson_interval(round(a * n), int(n)) if n else (np.nan, np.nan)
            for a, n in zip(np.nan_to_num(found.accuracy), found.counts, strict=True)
        ),
        strict=True,
    )
    has = found.counts > 0
    parts = [100 * np.array(x)[has] for x in (found.confidence, found.accuracy, low, high)]
    x, y, low, high = (part.tolist() for part in parts)
    series = [
        Series("measured", x, y, low, high, has_markers=True),
        Series("perfect", [0, 100], [0, 100], is_dashed=True, colour=6),
    ]
    reliability = line_chart(
        "Reliability",
        series,
        Axis("confidence %", 0, 100),
        Axis("accuracy %", 0, 100),
        caption="Below the dashed line the network is too sure of itself. Bands: 95 %.",
    )
    names = [f"{10 * i}–{10 * i + 10}" for i in range(len(found.counts))]
    counts = bar_chart(
        "Videos by confidence (%)", names, found.counts.tolist(), Axis("videos", is_whole=True)
    )
    return Section("calibration", "Calibration", charts=[reliability, counts])


def views_chart(run: RunFolder, key: str, title: str, *, is_share: bool) -> Chart | None:
    """Metric against the number of clips, a curve for each number of crops; None without rows.

    is_share: of videos, which has an interval.
    """
    rows = [row for row in run.results.get("fewer_views") or () if key in row]
    if len(rows) < 2:
        return None
    series = []
    for crops in sorted({row["crops"] for row in rows}):
        own = [row for row in rows if row["crops"] == crops]
        values = [number(row[key]) for row in own]
        low, high = None, None
        if is_share:
            pairs = zip(values, own, strict=True)
            ends = [
                numbers.wilson_interval(round(v / 100 * r["videos"]), r["videos"]) for v, r in pairs
            ]
            low, high = ([100 * end for end in side] for side in zip(*ends, strict=True))
        name = f"{crops} crop{'s' if crops > 1 else ''}"
        clips = [row["clips"] for row in own]
        series.append(Series(name, clips, values, low, high, has_markers=True))
    return line_chart(
        f"{title} by number of views", series, Axis("clips", is_whole=True), Axis("%")
    )


def views_section(chart: Chart | None) -> list[Section]:
    """None where there is one view."""
    return [Section("views", "Number of views", charts=[chart])] if chart else []


def example_section(
    scores: ScoredVideos, records: Sequence[Record], open_record: Opener
) -> Section | None:
    """Strips of the surest mistakes and of the right answers that were least sure."""
    best = scores.values.argmax(1)
    kinds = {
        "Wrong, and most confident": numbers.confident_mistakes,
        "Right, and least confident": numbers.doubtful_hits,
    }
    galleries = []
    for title, choose in kinds.items():
        chosen = choose(scores.confidence, scores.labels, NUM_STRIPS)
        pictures = [
            _strip(scores, index, int(best[index]), records, open_record) for index in chosen
        ]
        if found := [picture for picture in pictures if picture]:
            galleries.append(Gallery(title, found))
    return Section("examples", "Examples", galleries=galleries) if galleries else None


def _strip(
    scores: ScoredVideos, index: int, answer: int, records: Sequence[Record], open_record: Opener
) -> Picture | None:
    source = film_strip(records[scores.rows[index]], open_record)
    if source is None:  # it is unreadable, or no longer there
        return None
    label, share = int(scores.labels[index]), 100 * scores.confidence[index, answer]
    said = f"predicted {scores.names[answer]} ({share:.1f} %)"
    truth = f"true {scores.names[label]}"
    name = re.split(r"[\\/]", scores.paths[index])[-1]
    words = f"{said}, {truth}" if label != answer else said
    return Picture(source, f"Six frames of {name}: {words}", f"{name}: {words}")
