"""Scores of windows over time: smoothed, and joined into segments of one class."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

NOTHING = -1
NOTHING_NAME = "nothing"


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of a video, in seconds, with one class (NOTHING: none) and its mean score."""

    start: float
    end: float
    label: int
    score: float


@dataclass(frozen=True)
class Timeline:
    """Scores windows,classes of a video, and the start and end of each window in seconds.

    class_names: of all targets one after another; counts: classes of each target. has_many: any
    number of classes may hold at a time. features: windows,channels, or None.
    """

    path: str
    spans: np.ndarray
    scores: np.ndarray
    class_names: Sequence[str]
    counts: Sequence[int]
    has_many: bool = False
    features: np.ndarray | None = None
    segments: list[Segment] = field(default_factory=list)

    @property
    def bounds(self) -> np.ndarray:
        """Ends of the stretches, one a window, in which it is the nearest one: windows + 1."""
        return nearest_bounds(self.spans)

    def name(self, label: int) -> str:
        return NOTHING_NAME if label == NOTHING else self.class_names[label]

    def at(self, seconds: float) -> int:
        """Number of the window whose middle is nearest."""
        place = int(np.searchsorted(self.bounds, seconds, side="right")) - 1
        return min(max(place, 0), len(self.spans) - 1)


def nearest_bounds(spans: np.ndarray) -> np.ndarray:
    """Beginning of the first window, halves between the middles of windows n,2, the last end."""
    middles = spans.mean(1)
    return np.concatenate([spans[:1, 0], (middles[1:] + middles[:-1]) / 2, spans[-1:, 1]])


def smooth(scores: np.ndarray, width: int) -> np.ndarray:
    """Mean of each row and its neighbours, `width` rows in all; fewer at both ends."""
    if width < 1 or width % 2 == 0:
        raise ValueError(f"smooth: {width} must be an odd number of windows, 1 or more")
    half = width // 2
    sums = np.concatenate([np.zeros_like(scores[:1], np.float64), scores.cumsum(0, np.float64)])
    places = np.arange(len(scores))
    first, last = np.maximum(places - half, 0), np.minimum(places + half + 1, len(scores))
    return (sums[last] - sums[first]) / (last - first)[:, None]


def find_segments(
    timeline: Timeline, *, width: int = 3, threshold: float = 0.0, shortest: float = 0.0
) -> list[Segment]:
    """Segments of the smoothed scores, in the order of their beginnings.

    Of exclusive classes the best one holds, or NOTHING where its score is below `threshold`; they
    cover the whole video, of several targets once for each. Of others each class has segments of
    its own. Segments of less than `shortest` seconds become part of the better neighbour, or vanish
    where others overlap them.
    """
    scores, bounds = smooth(timeline.scores, width), timeline.bounds
    found: list[Segment] = []
    if timeline.has_many:
        for label, column in enumerate(scores.T):
            labels = np.where(column >= threshold, label, NOTHING)
            runs = _runs(labels, column, bounds)
            found += [s for s in runs if s.label != NOTHING and s.end - s.start >= shortest]
    else:
        starts = np.cumsum([0, *timeline.counts[:-1]])
        for start, count in zip(starts.tolist(), timeline.counts, strict=True):
            part = scores[:, start : start + count]
            best = part.max(1)
            labels = np.where(best >= threshold, part.argmax(1) + start, NOTHING)
            found += _without_short(list(_runs(labels, best, bounds)), shortest)
    return sorted(found, key=lambda segment: (segment.start, segment.label))


def _runs(labels: np.ndarray, scores: np.ndarray, bounds: np.ndarray) -> Iterator[Segment]:
    """Neighbours of one label as one segment."""
    changes = np.flatnonzero(np.diff(labels)) + 1
    for first, last in zip([0, *changes], [*changes, len(labels)], strict=True):
        mean = float(scores[first:last].mean())
        yield Segment(float(bounds[first]), float(bounds[last]), int(labels[first]), mean)


def _without_short(segments: list[Segment], shortest: float) -> list[Segment]:
    """The shortest one joins its better neighbour until none is too short."""
    while len(segments) > 1:
        lengths = [segment.end - segment.start for segment in segments]
        place = int(np.argmin(lengths))
        if lengths[place] >= shortest:
            break
        beside = [n for n in (place - 1, place + 1) if 0 <= n < len(segments)]
        to = max(beside, key=lambda n: segments[n].score)
        segments = _joined(segments, place, to)
    return segments


def _joined(segments: list[Segment], place: int, to: int) -> list[Segment]:
    """Segment `place` as a part of its neighbour `to`, which may then meet another of its class."""
    first, last = sorted((place, to))
    kept = segments[to]
    middle = Segment(segments[first].start, segments[last].end, kept.label, kept.score)
    joined: list[Segment] = []
    for segment in [*segments[:first], middle, *segments[last + 1 :]]:
        if joined and joined[-1].label == segment.label:
            before = joined.pop()
            score = max(before.score, segment.score)
            segment = Segment(before.start, segment.end, segment.label, score)
        joined.append(segment)
    return joined
