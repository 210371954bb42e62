"""Records of videos, as annotation files of every format are read, and clips that are cut out."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from slowfast.utils.box_table import BoxTruth

if TYPE_CHECKING:  # importing torch takes longer than a process of tools/dataset.py often works
    import torch


@dataclass(frozen=True, slots=True)
class FrameFiles:
    """The image files of a video in order, without a string for each where their names count up.

    pattern: path with a format field for the number, e.g. "/data/17/17_{:06d}.jpg"; its literal
    braces are doubled. first: number of the first file. names: all paths, where no pattern fits;
    pattern is then "". fps: frames per second; None means the rate that DATA.SAMPLING_RATE refers
    to.
    """

    pattern: str
    first: int
    count: int
    names: tuple[str, ...] = ()
    fps: float | None = None

    def __len__(self) -> int:
        return self.count

    def path(self, number: int) -> str:
        """Path of frame `number`, counted from 0."""
        return self.names[number] if self.names else self.pattern.format(self.first + number)


def frame_files(paths: Sequence[str]) -> FrameFiles:
    """`FrameFiles` of these paths, in their order; compact where the numbers count up by one."""
    number = re.search(r"\d+(?=\D*$)", paths[0]) if paths else None
    if number is not None:
        before, after = (
            text.replace("{", "{{").replace("}", "}}")
            for text in (paths[0][: number.start()], paths[0][number.end() :])
        )
        pattern = f"{before}{{:0{len(number[0])}d}}{after}"
        files = FrameFiles(pattern, int(number[0]), len(paths))
        if all(files.path(place) == path for place, path in enumerate(paths)):
            return files
    return FrameFiles("", 0, len(paths), tuple(paths))


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
        scale = (fps or 1.0) if self.in_seconds else 1.0
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


class Window(NamedTuple):
    """Stretch of a file or object: `size` bytes from `start` on, as of a member of a tar.

    crc: CRC-32 of the bytes, -1 where it is unknown. version: changes with the file, as far as it
    is known.
    """

    file: str
    start: int
    size: int
    crc: int = -1
    version: str = ""


@dataclass(frozen=True, slots=True)
class Record:
    """One video: where it lies and what is in it.

    path: a video file, the folder of `frames`, or with `is_flow` the folder of its optical flow or
    the video file that the folder is named after. label: its class, -1 where it is unknown or there
    is more than one. labels: several classes of the whole record, or with several targets one class
    for each of them. part: first and last second of a record that is a part of its file. spans: of
    a multi-label video. key: of a video with boxes; each key frame is a record of its own. window:
    where its bytes are, of a member of a tar that was looked up.
    """

    path: str
    label: int = -1
    frames: FrameFiles | None = None
    spans: TimedLabels | None = None
    key: KeyFrame | None = None
    is_flow: bool = False
    labels: tuple[int, ...] = ()
    part: tuple[float, float] | None = None
    window: Window | None = None

    def classes(self) -> tuple[int, ...]:
        """Every class of the video once, in order, or of several targets each one's class."""
        if self.spans is not None:
            return tuple(sorted(self.spans.all()))
        if self.key is not None:
            return tuple(sorted({label for labels in self.key.labels for label in labels}))
        return self.labels or ((self.label,) if self.label >= 0 else ())

    @property
    def name(self) -> str:
        """Name in results and messages: the path, and the part or the key frame if it has one."""
        if self.part is not None:
            return f"{self.path} [{self.part[0]:.10g}, {self.part[1]:.10g}]"
        return self.path if self.key is None else f"{self.path} ({self.key.key})"


@dataclass(frozen=True)
class Annotations:
    """Records of a split, as a dataset's builder returns them.

    class_names: None where unknown. truth: of a detection set, in "val" and "test". list_path: the
    file of which each line that is not blank is a record.
    """

    records: Sequence[Record]
    class_names: list[str] | None = None
    truth: BoxTruth | None = None
    list_path: Path | None = None


class SampledClips(NamedTuple):
    """Clips C,T,H,W of one video.

    clips: uint8, or float32 after resizing by torch; values 0..255, normalised on the device by
    `Task.prepare`. frames: frame numbers of the first clip. boxes: n,4 float32 x1,y1,x2,y2 in
    pixels of the clip. box_numbers: n int64, which of the record's key.boxes they are. Both None
    without detection.
    """

    clips: list[torch.Tensor]
    frames: np.ndarray
    is_flipped: bool = False
    boxes: torch.Tensor | None = None
    box_numbers: torch.Tensor | None = None
