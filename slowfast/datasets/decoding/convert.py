"""Decoded frames -> RGB arrays, turned and mirrored as players show them."""

import math
from typing import NamedTuple

import av
import numpy as np
from av.video.reformatter import VideoReformatter


class Orientation(NamedTuple):
    """Way from a picture as it is stored to the one that is shown: first transposed, then mirrored.

    One of eight; turns by 90 degrees are a transposed picture that is mirrored.
    """

    is_transposed: bool = False
    mirrors_x: bool = False
    mirrors_y: bool = False

    def shape(self, height: int, width: int) -> tuple[int, int]:
        """(height, width) of the picture after, or before, it is turned."""
        return (width, height) if self.is_transposed else (height, width)

    def __call__(self, picture: np.ndarray) -> np.ndarray:
        """The picture H,W,C as it is shown; a view of it."""
        if self.is_transposed:
            picture = picture.swapaxes(0, 1)
        return picture[:: -1 if self.mirrors_y else 1, :: -1 if self.mirrors_x else 1]


_AS_STORED = Orientation()
# By quarters of a turn against the clock.
_TURNED = (
    _AS_STORED,
    Orientation(True, mirrors_y=True),
    Orientation(False, mirrors_x=True, mirrors_y=True),
    Orientation(True, mirrors_x=True),
)


def read_orientation(frame: av.VideoFrame) -> Orientation:
    """The orientation in the display matrix of a frame, by the nearest multiple of 90 degrees."""
    try:
        matrix = frame.side_data.get("DISPLAYMATRIX")
    except ValueError:  # PyAV does not know all that newer files hold beside it
        return _TURNED[round(frame.rotation / 90) % 4]
    if matrix is None:
        return _AS_STORED
    # A point (x, y) is shown at (a x + c y, b x + d y); ISO/IEC 14496-12, 6.2.2.
    a, b, _, c, d, *_ = memoryview(matrix).cast("i")
    if abs(b) + abs(c) > abs(a) + abs(d):
        return Orientation(True, mirrors_x=c < 0, mirrors_y=b < 0)
    return Orientation(False, mirrors_x=a < 0, mirrors_y=d < 0)


def short_side_size(height: int, width: int, short_side: int) -> tuple[int, int]:
    """(height, width) after scaling the short side to a length; the long side is rounded down."""
    if height <= width:
        return short_side, math.floor(width / height * short_side)
    return math.floor(height / width * short_side), short_side


class FrameConverter:
    """Frame -> H,W,C RGB array, as it is shown, through one scaler.

    size: (height, width) of the arrays; None: the first frame's, scaled to `short_side`.
    """

    def __init__(self, size: tuple[int, int] | None = None, *, short_side: int | None = None):
        self._size, self._short_side = size, short_side
        self._reformatter = VideoReformatter()

    def __call__(self, frame: av.VideoFrame) -> np.ndarray:
        orientation = read_orientation(frame)
        if self._size is None:
            shown = orientation.shape(frame.height, frame.width)
            self._size = short_side_size(*shown, self._short_side) if self._short_side else shown
        height, width = orientation.shape(*self._size)
        rgb = self._reformatter.reformat(
            frame, width=width, height=height, format="rgb24", threads=1
        )
        return orientation(rgb.to_ndarray())
