"""From frames to the scores of all windows of a video, in one pass."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

from slowfast.datasets.decoding.video import UnreadableVideo
from slowfast.streams.scorer import Scorer
from slowfast.streams.source import TimedFrame, VideoSource
from slowfast.streams.windows import HeldFrames, Window, WindowPlan, cut_windows


class ScoredWindow(NamedTuple):
    """A window in seconds, its scores (classes,), and its features (channels,) or None."""

    start: float
    end: float
    scores: np.ndarray
    features: np.ndarray | None = None


def score_windows(
    frames: Iterable[TimedFrame],
    plan: WindowPlan,
    scorer: Scorer,
    *,
    fps: float | None = None,
    num_at_once: int | None = None,
    has_features: bool = False,
) -> Iterator[ScoredWindow]:
    """Scores of the windows in order, by `num_at_once` (None: as fill the network's batch)."""
    converters: dict = {}
    waiting: list[Window] = []

    def finish() -> Iterator[ScoredWindow]:
        videos = [HeldFrames(window.frames, fps, converters) for window in waiting]
        if has_features:
            scores, features = scorer.with_features(videos)
        else:
            scores, features = scorer(videos), None
        for number, window in enumerate(waiting):
            own = None if features is None else features[number]
            yield ScoredWindow(window.start, window.end, scores[number], own)
        waiting.clear()

    for window in cut_windows(frames, plan):
        waiting.append(window)
        if len(waiting) >= (num_at_once or scorer.num_at_once):
            yield from finish()
    if waiting:
        yield from finish()


def score_source(
    source: VideoSource, plan: WindowPlan, scorer: Scorer, *, has_features: bool = False
) -> Iterator[ScoredWindow]:
    """The same of an opened video, which is closed at the end; ValueError if it is unreadable."""
    with source:
        try:
            yield from score_windows(
                source.frames(), plan, scorer, fps=source.fps, has_features=has_features
            )
        except UnreadableVideo as error:
            raise ValueError(f"{source.name}: unreadable ({error})") from error
