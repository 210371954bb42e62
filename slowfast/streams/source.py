"""Frames of anything that FFmpeg opens, one after another: files, addresses, cameras, a pipe."""

import logging
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import av
import numpy as np

from slowfast.datasets.decoding.convert import FrameConverter
from slowfast.datasets.decoding.video import UnreadableVideo
from slowfast.utils.video_names import is_url

logger = logging.getLogger(__name__)

STDIN = "-"
_SECONDS_TO_WAIT = (15.0, 15.0)  # for an address to answer, and for the next packet
_LOW_DELAY = {"analyzeduration": "1000000"}  # microseconds to look at before it begins
# FFmpeg's name of the cameras of a system, and of the one with a number.
_CAMERAS = {"linux": ("v4l2", "/dev/video{}"), "darwin": ("avfoundation", "{}")}


@dataclass(slots=True)
class TimedFrame:
    """A picture, a frame of PyAV or an array H,W,3 (uint8 RGB), and its time in seconds.

    arrived: `time.monotonic()` when it was there. scaled: arrays in other sizes, made once.
    """

    time: float
    picture: av.VideoFrame | np.ndarray
    arrived: float = 0.0
    scaled: dict[tuple, np.ndarray] = field(default_factory=dict)

    def array(self, convert: FrameConverter, key: tuple) -> np.ndarray:
        """The picture H,W,3 as `convert` makes it, kept under `key`."""
        if key not in self.scaled:
            picture = self.picture
            if isinstance(picture, np.ndarray):
                picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), "rgb24")
            self.scaled[key] = convert(picture)
        return self.scaled[key]


def is_stream(name: str) -> bool:
    """True for an address, the number of a camera, and - for the standard input."""
    is_camera = name.isascii() and name.isdigit() and not os.path.exists(name)
    return name == STDIN or is_camera or is_url(name)


class VideoSource:
    """An opened video, whose frames are decoded once, in order; made by `open_source`.

    is_live: its length is unknown, so it may come from a camera. fps: as the header says, None
    where it is silent. num_broken: packets that could not be decoded; num_skipped: packets that
    were left out because they were late.
    """

    def __init__(self, name: str, container: av.container.InputContainer, *, is_live: bool):
        self.name, self.is_live = name, is_live
        self.container, self._stream = container, container.streams.video[0]
        self._stream.thread_type = "SLICE" if is_live else "AUTO"  # threads of frames cost delay
        rate = self._stream.average_rate or self._stream.guessed_rate
        self.fps = float(rate) if rate else None
        self.num_broken, self.num_skipped = 0, 0
        self._first: float | None = None
        self._last, self._shift = 0.0, 0.0

    def frames(self, is_late: Callable[[float], bool] | None = None) -> Iterator[TimedFrame]:
        """All frames; the first has time 0, and no time is smaller than the one before.

        is_late: gets the time of each packet as it arrives; those that are late, and all up to the
        next keyframe, are not decoded. UnreadableVideo where there is no frame at all.
        """
        is_waiting = False
        for packet in self._packets():
            if is_late is not None and packet.pts is not None:
                late = is_late(float(packet.pts * packet.time_base))
                if late or (is_waiting and not packet.is_keyframe):
                    self.num_skipped += 1
                    is_waiting = True
                    continue
                if is_waiting:
                    self._stream.codec_context.flush_buffers()
                    is_waiting = False
            yield from self._decode(packet)
        if self._first is None:
            raise UnreadableVideo("NoFrames: nothing could be decoded")

    def __enter__(self) -> "VideoSource":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file or the connection."""
        self.container.close()

    def _packets(self) -> Iterator[av.Packet]:
        try:
            yield from self.container.demux(self._stream)
        except (av.FFmpegError, OSError) as error:
            logger.warning("%s: ends here (%s)", self.name, _reason(error))

    def _decode(self, packet: av.Packet) -> Iterator[TimedFrame]:
        arrived = time.monotonic()
        try:
            for frame in packet.decode():
                yield TimedFrame(self._seconds(frame), frame, arrived)
        except av.FFmpegError:
            self.num_broken += 1

    def _seconds(self, frame: av.VideoFrame) -> float:
        """Its time; one that jumps back, as where a camera starts anew, follows the last one."""
        step = 1 / (self.fps or 30.0)
        if self._first is None:
            self._first = frame.time or 0.0
            return 0.0
        now = self._last + step if frame.time is None else frame.time - self._first + self._shift
        if now <= self._last:
            self._shift += self._last + step - now
            now = self._last + step
        self._last = now
        return now


def open_source(name: str, *, keep_all: bool = False) -> VideoSource:
    """Open a file, an address (rtsp://, http://, udp://, ...), a camera by its number, or -.

    keep_all: nothing of it is live. ValueError says why it cannot be opened.
    """
    where, settings = _place(name)
    try:
        container = av.open(where, timeout=_SECONDS_TO_WAIT, metadata_errors="replace", **settings)
    except (av.FFmpegError, OSError, ValueError) as error:
        kind = "stream" if is_stream(name) else "video"
        raise ValueError(f"{name}: this {kind} cannot be opened ({_reason(error)})") from error
    if not container.streams.video:
        container.close()
        raise ValueError(f"{name}: has no video stream")
    is_live = name == STDIN or (is_stream(name) and container.duration is None)
    return VideoSource(name, container, is_live=is_live and not keep_all)


def _place(name: str) -> tuple[str, dict]:
    """Name to open, and settings of `av.open`."""
    if name == STDIN:
        return "pipe:0", {"options": _LOW_DELAY}
    if is_url(name):
        more = {"rtsp_transport": "tcp"} if name.startswith("rtsp") else {}
        return name, {"options": _LOW_DELAY | more}
    if not is_stream(name):
        return name, {}
    if sys.platform not in _CAMERAS:
        raise ValueError(f"{name}: cameras have numbers on {sorted(_CAMERAS)} only")
    kind, pattern = _CAMERAS[sys.platform]
    return pattern.format(name), {"format": kind, "options": _LOW_DELAY}


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {getattr(error, 'strerror', None) or error}"
