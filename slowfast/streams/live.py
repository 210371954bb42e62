"""A live stream read in a thread: the newest frames are there, older ones are dropped."""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from slowfast.datasets.decoding.video import UnreadableVideo
from slowfast.streams.source import TimedFrame, VideoSource
from slowfast.streams.windows import HeldFrames, WindowPlan

_MOST_FRAMES = 4096  # where times of a stream stand still
_ALMOST = 1e-4


@dataclass(frozen=True, slots=True)
class LiveScores:
    """Scores (classes,) of the window that ended last, and how the stream goes.

    start, end: seconds since its first frame. delay: seconds from the arrival of its newest frame
    to its scores, and by how much that frame came later than the quickest one. rate: frames per
    second that arrived in it. num_dropped: frames so far that are in no scored window.
    """

    start: float
    end: float
    scores: np.ndarray
    delay: float
    rate: float
    num_dropped: int


class LiveReader(threading.Thread):
    """Decodes a stream, and keeps the frames of the last `seconds`.

    A packet that comes more than `most_delay` seconds later than the quickest one is late: it is
    dropped without being decoded, so that a slow machine catches up.
    """

    def __init__(self, source: VideoSource, seconds: float, *, most_delay: float = 1.0):
        super().__init__(daemon=True, name=f"reader of {source.name}")
        self._source, self._seconds, self._most_delay = source, seconds, most_delay
        self._ring: deque[TimedFrame] = deque(maxlen=_MOST_FRAMES)
        self._news = threading.Condition()
        self._is_over, self._is_stopped = False, False
        self._error: Exception | None = None
        self._least, self.lag = float("inf"), 0.0
        self._scored_until, self._num_lost = -1.0, 0
        self.num_read = 0

    @property
    def num_dropped(self) -> int:
        """Frames that left without being scored."""
        return self._num_lost + self._source.num_skipped

    def run(self) -> None:
        try:
            for frame in self._source.frames(self._is_late):
                with self._news:
                    self._add(frame)
                    self._news.notify_all()
                if self._is_stopped:
                    break
        except (UnreadableVideo, ValueError, OSError) as error:
            self._error = error
        finally:
            with self._news:
                self._is_over = True
                self._news.notify_all()

    def stop(self) -> None:
        """Let the thread end with its next frame."""
        self._is_stopped = True

    def wait(self, seconds: float, *, patience: float = 0.5) -> list[TimedFrame] | None:
        """The newest frames once the stream is `seconds` long; [] if nothing came for a while.

        None at its end. ValueError where nothing could be read.
        """
        with self._news:
            self._news.wait_for(lambda: self._is_over or self._reaches(seconds), patience)
            if self._reaches(seconds):
                self._scored_until = self._ring[-1].time
                return list(self._ring)
            if self._error is not None:
                raise ValueError(f"{self._source.name}: {self._error}")
            return None if self._is_over else []

    def _reaches(self, seconds: float) -> bool:
        return bool(self._ring) and self._ring[-1].time + 1 / self.fps >= seconds - _ALMOST

    @property
    def fps(self) -> float:
        return self._source.fps or 30.0

    def _add(self, frame: TimedFrame) -> None:
        self.num_read += 1
        if len(self._ring) == _MOST_FRAMES:
            self._lose()
        self._ring.append(frame)
        while self._ring[0].time <= frame.time - self._seconds + 0.5 / self.fps:
            self._lose()

    def _lose(self) -> None:
        self._num_lost += self._ring.popleft().time > self._scored_until

    def _is_late(self, seconds: float) -> bool:
        offset = time.monotonic() - seconds
        self._least = min(self._least, offset)
        self.lag = offset - self._least
        return self.lag > self._most_delay


def watch(
    reader: LiveReader,
    plan: WindowPlan,
    score: Callable[[Sequence[HeldFrames]], np.ndarray],
    *,
    is_stopped: Callable[[], object] = bool,
) -> Iterator[LiveScores]:
    """Scores of a started reader's newest window, again and again, until the stream ends.

    Windows end every `plan.stride` seconds; those that are over before the last one is scored are
    left out.
    """
    number, converters = 0, {}
    try:
        while not is_stopped():
            frames = reader.wait(plan.end(number))
            if frames is None:
                return
            if not frames:
                continue
            newest, lag = frames[-1], reader.lag
            scores = score([HeldFrames(frames, reader.fps, converters)])[0]
            now = time.monotonic()
            delay, seconds = now - newest.arrived + lag, newest.arrived - frames[0].arrived
            rate = (len(frames) - 1) / max(seconds, 1e-9)
            end = newest.time + 1 / reader.fps
            yield LiveScores(frames[0].time, end, scores, delay, rate, reader.num_dropped)
            number = plan.first_ending_after(end)
    finally:
        reader.stop()
