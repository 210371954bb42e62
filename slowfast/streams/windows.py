"""Windows that slide over a long video: their times, and their frames as a video of its own."""

import math
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from slowfast.datasets.decoding.convert import FrameConverter
from slowfast.datasets.decoding.packets import VideoIndex
from slowfast.streams.source import TimedFrame

_TOLERANCE, _ROUNDING = 1e-4, 1e-5  # seconds: times of frames are rounded
_SAME_RATE = 0.01


@dataclass(frozen=True, slots=True)
class WindowPlan:
    """Windows of `length` seconds, one every `stride` seconds, from the beginning on."""

    length: float
    stride: float

    def __post_init__(self):
        for name, value in (("window", self.length), ("stride", self.stride)):
            if not (value > 0 and math.isfinite(value)):
                raise ValueError(f"{name}: {value} must be a number of seconds above 0")

    def start(self, number: int) -> float:
        return number * self.stride

    def end(self, number: int) -> float:
        return self.start(number) + self.length

    def first_ending_after(self, seconds: float) -> int:
        """Number of the first window that ends later."""
        number = math.floor((seconds + _TOLERANCE - self.length) / self.stride) + 1
        return max(number, 0)


@dataclass(frozen=True, slots=True)
class Window:
    """Frames in a stretch of a video, in seconds from its first frame; the end is not included."""

    start: float
    end: float
    frames: list[TimedFrame]


def cut_windows(frames: Iterable[TimedFrame], plan: WindowPlan) -> Iterator[Window]:
    """The windows of a video, each as soon as it is whole; frames of one length are kept.

    The last one ends with the video, wherever it begins. There is none where a video has no frames.
    """
    held: deque[TimedFrame] = deque()
    number, taken = 0, -1.0
    for frame in frames:
        while frame.time >= plan.end(number) - _TOLERANCE:
            start = plan.start(number)
            inside = [f for f in held if f.time >= start - _TOLERANCE]
            number += 1
            if inside:
                taken = inside[-1].time
                yield Window(start, start + plan.length, inside)
            else:  # after a gap
                number = max(number, plan.first_ending_after(frame.time))
        held.append(frame)
        while held[0].time < frame.time - plan.length + _ROUNDING:
            held.popleft()
    if held and held[-1].time > taken:
        end = held[-1].time + _step(list(held))
        yield Window(max(end - plan.length, 0.0), end, list(held))


def _step(frames: Sequence[TimedFrame]) -> float:
    """Seconds from one frame to the next."""
    if len(frames) < 2:
        return 0.0
    return (frames[-1].time - frames[0].time) / (len(frames) - 1)


class HeldFrames:
    """Frames in memory, read as a video file is (see VideoReader).

    fps: what the file says, which counts where the frames' times agree. converters: scalers of the
    video by the size they make; those of the windows before need not be made again.
    """

    num_broken = 0

    def __init__(
        self,
        frames: Sequence[TimedFrame],
        fps: float | None = None,
        converters: dict[tuple, FrameConverter] | None = None,
    ):
        assert frames, "a window without frames"
        self._frames = frames
        self._converters = {} if converters is None else converters
        step = _step(frames)
        measured = 1 / step if step > 0 else fps
        if fps and measured and abs(measured - fps) < _SAME_RATE * fps:
            measured = fps
        self.index = VideoIndex(len(frames), measured)

    def read(
        self,
        numbers: Sequence[int] | np.ndarray,
        *,
        short_side: int | None = None,
        size: tuple[int, int] | None = None,
    ) -> np.ndarray:
        """Frames T,H,W,3 (RGB, uint8) of the given numbers, scaled to a short side or a size."""
        key = (short_side, size)
        if key not in self._converters:
            self._converters[key] = FrameConverter(size, short_side=short_side)
        convert = self._converters[key]
        return np.stack([self._frames[int(number)].array(convert, key) for number in numbers])
