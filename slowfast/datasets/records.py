"""What an annotation file becomes, whatever its format."""

from dataclasses import dataclass

import numpy as np

from slowfast.datasets.frame_files import FrameFiles
from slowfast.utils.box_table import BoxTruth


@dataclass(frozen=True, slots=True)
class TimedLabels:
    """Classes of a video and when they hold: rows (class, first, last), both ends included.

    Times are frame numbers, or seconds with `in_seconds`.
    """

    spans: tuple[tuple[int, float, float], ...]
    in_seconds: bool = False

    def within(self, first: int, last: int, fps: float | None) -> set[int]:
        """Classes that hold at some frame number between `first` and `last`."""
        assert fps or not self.in_seconds, "labels in seconds of frames without a rate"
        scale = fps if self.in_seconds else 1.0
        return {
            label
            for label, start, end in self.spans
            if start * scale <= last and end * scale >= first
        }

    def all(self) -> set[int]:
        """Classes that hold at any time."""
        return {label for label, _, _ in self.spans}


@dataclass(frozen=True, slots=True)
class KeyFrame:
    """One image in which boxes are classified.

    key: its name in a BoxTable. place: its frame number, or seconds into the file with
    `in_seconds`. boxes: n,4 float32 x1,y1,x2,y2 in shares of the frame. labels: the classes of each
    box, empty where unknown.
    """

    key: str
    place: float
    boxes: np.ndarray
    labels: tuple[tuple[int, ...], ...]
    in_seconds: bool = False


@dataclass(frozen=True, slots=True)
class Record:
    """One video: where it lies and what is in it.

    path: a video file, the folder of `frames`, or with `is_flow` that of its optical flow or the
    video file it is named after. label: its class, -1 where that is unknown or
    there is more than one. spans: of a multi-label video. key: of a video with boxes; each key
    frame is a record of its own.
    """

    path: str
    label: int = -1
    frames: FrameFiles | None = None
    spans: TimedLabels | None = None
    key: KeyFrame | None = None
    is_flow: bool = False


@dataclass(frozen=True)
class Annotations:
    """What the builder of a dataset returns for a split.

    class_names: None where unknown. flip_labels: the class of a mirrored video, by class; None
    where labels stay as they are, whatever is mirrored. truth: of a detection set.
    """

    records: list[Record]
    class_names: list[str] | None = None
    flip_labels: tuple[int, ...] | None = None
    truth: BoxTruth | None = None
