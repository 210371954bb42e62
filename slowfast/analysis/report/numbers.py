"""Numbers of a report, each a function of scores and labels: intervals, calibration, confusion."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


def wilson_interval(num_hits: int, count: int, *, level: float = 0.95) -> tuple[float, float]:
    """Interval of a share 0..1 of which `num_hits` of `count` were seen; NaN for none.

    The score interval of Wilson (1927), which stays within 0..1 and is right for few samples.
    """
    from scipy.stats import binomtest

    if count == 0:
        return float("nan"), float("nan")
    found = binomtest(num_hits, count).proportion_ci(level, method="wilson")
    return float(found.low), float(found.high)


def wilson_errors(percents: Sequence[float], counts: Sequence[int]) -> np.ndarray:
    """Lengths of error bars below and above percents of so many videos each: (2, percents)."""
    bars = []
    for percent, count in zip(percents, counts, strict=True):
        low, high = wilson_interval(round(percent / 100 * count), count)
        bars.append((max(percent - 100 * low, 0.0), max(100 * high - percent, 0.0)))
    return np.array(bars).T.reshape(2, -1)


def bootstrap_interval(
    metric, num_videos: int, *, repeats: int = 200, level: float = 0.95, seed: int = 0
) -> tuple[float, float]:
    """Interval of metric(rows) over sets of videos drawn with replacement.

    metric: rows (numbers of videos, some twice) -> value; NaN of a set is left out.
    """
    rng = np.random.default_rng(seed)
    values = [metric(rng.integers(0, num_videos, num_videos)) for _ in range(repeats)]
    known = [value for value in values if value == value]
    if not known:
        return float("nan"), float("nan")
    low, high = np.quantile(known, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


@dataclass(frozen=True)
class Calibration:
    """Confidence against accuracy, both 0..1, in bins of equal width; empty bins are NaN.

    ece: expected calibration error, the mean distance of the two over all videos (Guo et al., 2017,
    arXiv 1706.04599, section 2).
    """

    counts: np.ndarray
    confidence: np.ndarray
    accuracy: np.ndarray
    ece: float


def calibrate_bins(
    confidence: np.ndarray, is_hit: np.ndarray, *, num_bins: int = 10
) -> Calibration:
    """Bins of confidences (videos) 0..1; a bin has its upper end, as in the paper."""
    bins = np.clip(np.ceil(confidence * num_bins).astype(int) - 1, 0, num_bins - 1)
    counts = np.bincount(bins, minlength=num_bins)
    with np.errstate(invalid="ignore"):
        mean = np.bincount(bins, confidence, num_bins) / counts
        accuracy = np.bincount(bins, is_hit.astype(float), num_bins) / counts
    gaps = np.nan_to_num(np.abs(mean - accuracy))
    ece = float((gaps * counts).sum() / max(counts.sum(), 1))
    return Calibration(counts, mean, accuracy, ece)


def confusion(labels: np.ndarray, predictions: np.ndarray) -> Counter[tuple[int, int]]:
    """Number of videos of each (label, prediction) that occurs."""
    return Counter(zip(labels.tolist(), predictions.tolist(), strict=True))


def confused_pairs(counts: Counter[tuple[int, int]], most: int) -> list[tuple[int, int, int]]:
    """(label, prediction, videos) of wrong answers, the most frequent first."""
    wrong = [(count, pair) for pair, count in counts.items() if pair[0] != pair[1]]
    wrong.sort(key=lambda item: (-item[0], item[1]))
    return [(label, prediction, count) for count, (label, prediction) in wrong[:most]]


def confident_mistakes(values: np.ndarray, labels: np.ndarray, most: int) -> list[int]:
    """Videos with a wrong answer, that of the highest score first."""
    best = values.argmax(1)
    score = np.where(best == labels, -np.inf, values.max(1))
    order = np.argsort(-score, kind="stable")[:most]
    return [int(i) for i in order if np.isfinite(score[i])]


def doubtful_hits(values: np.ndarray, labels: np.ndarray, most: int) -> list[int]:
    """Videos with a right answer, that of the lowest score first."""
    best = values.argmax(1)
    score = np.where(best == labels, values.max(1), np.inf)
    order = np.argsort(score, kind="stable")[:most]
    return [int(i) for i in order if np.isfinite(score[i])]


def precision_recall(scores: np.ndarray, is_hit: np.ndarray, num_true: int) -> tuple:
    """(recall, precision) 0..1 at each distinct score, the highest first.

    num_true: of what is to be found, some of which no score may be of.
    """
    order = np.argsort(-scores, kind="stable")
    scores, hits = scores[order], is_hit[order].cumsum()
    is_last = np.append(scores[1:] != scores[:-1], True)[: len(scores)]
    recall, precision = hits / max(num_true, 1), hits / np.arange(1, len(scores) + 1)
    return recall[is_last], precision[is_last]


def weighted_map(labels: np.ndarray, weights: np.ndarray) -> float:
    """Mean AP 0..1 of videos that count `weights` times each; classes without a positive are out.

    labels: videos,classes of 0 and 1, in each column by falling score; weights: in the same order.
    Equal scores count one after another.
    """
    positives = (weights * labels).cumsum(0)
    total = positives[-1]
    with np.errstate(invalid="ignore", divide="ignore"):
        found = weights * labels * positives / weights.cumsum(0)
        each = np.nan_to_num(found).sum(0) / total
    return float(each[total > 0].mean()) if (total > 0).any() else float("nan")


def map_interval(values: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    """Bootstrap interval of the mean AP 0..1 over videos; values, labels: videos,classes."""
    order = np.argsort(-values, axis=0, kind="stable")
    hits = np.take_along_axis(labels, order, 0).astype(float)

    def metric(rows: np.ndarray) -> float:
        weights = np.bincount(rows, minlength=len(values)).astype(float)
        return weighted_map(hits, weights[order])

    repeats = 200 if values.size < 1_000_000 else 50
    return bootstrap_interval(metric, len(values), repeats=repeats)
