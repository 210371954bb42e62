"""Part of an open video, between two times, as if it were a video of its own."""

import math
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from itertools import islice

import numpy as np

from slowfast.datasets.decoding.images import ImageReader
from slowfast.datasets.decoding.packets import VideoIndex
from slowfast.datasets.decoding.video import UnreadableVideo, VideoReader

# Seconds; times in lists and in files are rounded.
_TOLERANCE = 1e-3


def duration(index: VideoIndex) -> float:
    """Seconds from the first frame to the end of the last; the index needs a frame rate."""
    if not index.pts:
        return index.num_frames / index.fps
    return (index.pts[-1] - index.pts[0]) * index.time_base + 1 / index.fps


def frames_within(index: VideoIndex, part: tuple[float, float]) -> range:
    """Frames shown first from second `start` to before second `end`, counted from the first frame.

    At least the one on show at the start. An end beyond the file is clipped where half of the part
    or more is there; UnreadableVideo where less is.
    """
    start, end = part
    if index.fps is None:
        raise UnreadableVideo(
            "NoFrameRate: a part in seconds of a folder of images needs DATA.FRAMES_FPS"
        )
    length = duration(index)
    if start > length - _TOLERANCE or length - start < (end - start) / 2:
        raise UnreadableVideo(
            f"NoSuchPart: {start:g} to {end:g} s lies outside of a file of {length:.2f} s"
        )
    first, last = (_number_at(index, time - _TOLERANCE) for time in part)
    return range(first, last) if first < last else range(max(first - 1, 0), max(first, 1))


def _number_at(index: VideoIndex, time: float) -> int:
    """Number of the first frame that is shown at this time or later."""
    if index.pts:
        return bisect_left(index.pts, index.pts[0] + time / index.time_base)
    return min(max(math.ceil(time * index.fps), 0), index.num_frames)


class PartReader:
    """The frames of a part, numbered from 0."""

    def __init__(self, video: VideoReader | ImageReader, part: tuple[float, float]):
        self._video, self._numbers = video, frames_within(video.index, part)
        self.index = VideoIndex(len(self._numbers), video.index.fps)

    def read(
        self,
        numbers: Sequence[int] | np.ndarray,
        *,
        short_side: int | None = None,
        size: tuple[int, int] | None = None,
    ) -> np.ndarray:
        """Frames T,H,W,C (uint8) of the given numbers, as the whole video's reader gives them."""
        places = [self._numbers[int(number)] for number in numbers]
        return self._video.read(places, short_side=short_side, size=size)

    def frames(self, size: tuple[int, int] | None = None) -> Iterator[np.ndarray]:
        """All frames H,W,C of the part, one after another; those before it are decoded, too."""
        yield from islice(self._video.frames(size), self._numbers.start, self._numbers.stop)

    @property
    def num_broken(self) -> int:
        """Packets or files of the whole video that were lost so far."""
        return self._video.num_broken


@contextmanager
def open_part(
    video: AbstractContextManager[VideoReader | ImageReader], part: tuple[float, float]
) -> Iterator[PartReader]:
    """A reader of a part of a video that is about to be opened."""
    with video as opened:
        yield PartReader(opened, part)
