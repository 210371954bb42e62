"""Captions of an overlay, from a timeline or from the boxes of key frames."""

from bisect import bisect_right
from collections.abc import Callable, Sequence

import numpy as np

from slowfast.streams.overlay import Caption, Strip
from slowfast.streams.timeline import Timeline
from slowfast.streams.timeline_files import best_classes, color_of

_MOST_BARS, _MOST_TEXTS = 5, 3


def timeline_captions(timeline: Timeline) -> Callable[[float], Caption]:
    """The segments of a time as title, and the classes of the nearest window as bars."""
    made: dict[tuple, Caption] = {}
    starts = [segment.start for segment in timeline.segments]

    def caption_at(seconds: float) -> Caption:
        number = timeline.at(seconds)
        begun = timeline.segments[: bisect_right(starts, seconds)]
        is_last = seconds >= timeline.bounds[-1]
        holding = tuple(s for s in begun if seconds < s.end or is_last and s.end == begun[-1].end)
        if (number, holding) not in made:
            if len(made) > _MOST_BARS:  # time goes on: the earlier ones are over
                made.clear()
            bars = [(name, score) for _, name, score in best_classes(timeline, number)]
            title = ", ".join(timeline.name(segment.label) for segment in holding)
            color = color_of(holding[0].label) if holding else color_of(-1)
            made[number, holding] = Caption(title, color, bars[:_MOST_BARS])
        return made[number, holding]

    return caption_at


def timeline_strip(timeline: Timeline) -> Strip:
    """The colours of the segments along the video."""
    stretches = [(s.start, s.end, color_of(s.label)) for s in timeline.segments]
    return Strip(stretches, float(timeline.bounds[-1]))


def box_captions(
    times: Sequence[float],
    boxes: Sequence[np.ndarray],
    texts: Sequence[Sequence[Sequence[str]]],
    *,
    reach: float,
) -> Callable[[float], Caption]:
    """The boxes n,4 of the nearest key frame, up to `reach` seconds away, with their lines."""
    captions = [
        Caption(boxes=list(zip(b.tolist(), [t[:_MOST_TEXTS] for t in lines], strict=True)))
        for b, lines in zip(boxes, texts, strict=True)
    ]
    nothing, places = Caption(), np.asarray(times)

    def caption_at(seconds: float) -> Caption:
        if not len(places):
            return nothing
        nearest = int(np.abs(places - seconds).argmin())
        return captions[nearest] if abs(places[nearest] - seconds) <= reach else nothing

    return caption_at
