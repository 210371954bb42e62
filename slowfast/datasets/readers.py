"""Video file and frame numbers -> uint8 frames, exact, decoding no more than needed."""

import os
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import av
import numpy as np
from av.stream import Disposition
from av.video.reformatter import VideoReformatter

# (height, width) of a frame -> the (height, width) to scale it to
SizeRule = Callable[[int, int], tuple[int, int]]


class UnreadableVideo(Exception):
    """Nothing can be decoded; the text is "Type: reason" of the first exception."""


@dataclass(frozen=True, slots=True)
class VideoIndex:
    """What a file holds, counted packet by packet, because headers lie.

    pts: times of the frames in display order, in ticks of the stream; empty where the file's times
    do not give the display order, as in AVI with B-frames. keyframes: frame numbers at which
    decoding can begin.
    """

    num_frames: int
    fps: float
    pts: tuple[int, ...]
    keyframes: tuple[int, ...]


class Video:
    """An open file whose compressed packets are in memory; made by `open_video`.

    Having them there, decoding begins at any keyframe without the container's own seeking, which is
    inexact or absent in many formats.
    """

    def __init__(self, container: av.container.InputContainer):
        self._stream = _first_stream(container)
        self._context = self._stream.codec_context
        self._broken: dict[int, av.FFmpegError] = {}  # position of the packet: what FFmpeg said
        self._packets = self._demux(container)
        shown = [packet for packet in self._packets if _is_shown(packet, self._context.name)]
        if not shown:
            raise self._unreadable()
        # AVI has no display times, and some codecs do not tell of B-frames before they decode.
        ordered = container.format.name != "avi" and self._has_display_times(shown)
        pts = sorted(packet.pts for packet in shown) if ordered else []
        self._number = {time: number for number, time in enumerate(pts)}
        # Packet positions at which decoding can begin, and the number of the first frame that is
        # whole then.
        self._starts = [(0, 0)]
        for position, packet in enumerate(self._packets):
            if ordered and position and packet.is_keyframe:
                self._starts.append((bisect_right(pts, packet.pts - 1), position))
        self.index = VideoIndex(
            num_frames=len(shown),
            fps=self._frame_rate(pts),
            pts=tuple(pts),
            keyframes=tuple(number for number, _ in self._starts),
        )

    def read(self, indices: Sequence[int], size: SizeRule | None = None) -> np.ndarray:
        """Frames T,H,W,C (RGB, uint8) of the given numbers, in their order, in one pass.

        `size` gets height and width as they are shown, after rotation, and says what to scale to. A
        frame that is lost through damage is replaced by the nearest one before it.
        """
        wanted = sorted({int(number) for number in indices})
        assert wanted and 0 <= wanted[0] and wanted[-1] < self.index.num_frames, (
            f"frames {wanted} of {self.index.num_frames}"
        )
        convert = _Converter(size)
        frames, is_intact = {}, False
        if self.index.pts:
            frames, is_intact = self._decode(wanted, convert, sparse=True)
        if not is_intact:
            frames, _ = self._decode(wanted, convert, sparse=False)
        if not frames:
            raise self._unreadable()
        return np.stack([frames[int(number)] for number in indices])

    @property
    def num_broken(self) -> int:
        """Number of packets met so far that could not be decoded."""
        return len(self._broken)

    def close(self) -> None:
        """Drop the packets; they must not outlive the container."""
        self._packets = []

    def _demux(self, container: av.container.InputContainer) -> list[av.Packet]:
        packets = []
        try:
            for packet in container.demux(self._stream):
                if packet.size:
                    packets.append(packet)
        except av.FFmpegError as error:
            self._broken[len(packets)] = error
        return packets

    def _has_display_times(self, shown: list[av.Packet]) -> bool:
        """True when sorting frames by their times gives the order in which they are shown.

        A codec that reorders frames in a file whose times never step back has decoding times only.
        """
        times = [packet.pts for packet in shown]
        if None in times or len(set(times)) < len(times):
            return False
        keys = [packet.pts for packet in self._packets if packet.is_keyframe]
        if None in keys or keys != sorted(keys):
            return False
        return not (self._context.has_b_frames and len(times) > 1 and times == sorted(times))

    def _frame_rate(self, pts: list[int]) -> float:
        """The header's rate, or the measured one where the header is off by more than half."""
        rate = float(self._stream.average_rate or self._stream.guessed_rate or 0)
        if len(pts) > 1:
            measured = float((len(pts) - 1) / ((pts[-1] - pts[0]) * self._stream.time_base))
            if not measured / 2 < rate < measured * 2:
                return measured
        return rate or 30.0

    def _decode(
        self, wanted: list[int], convert: "_Converter", *, sparse: bool
    ) -> tuple[dict[int, np.ndarray], bool]:
        """Converted frames by number, and whether every one of them came out undamaged.

        `sparse` jumps to the last keyframe before the next wanted frame, and passes over frames
        that are neither wanted nor referred to; otherwise every packet is decoded, from the first
        one on.
        """
        queue, found = deque(wanted), {}
        times = {self.index.pts[number] for number in wanted} if sparse else set()
        position, num_out = 0, 0
        previous, is_intact = None, True
        self._context.flush_buffers()
        self._context.skip_frame = "DEFAULT"
        while queue and position <= len(self._packets):
            if sparse:
                position = self._jump(position, queue[0])
                self._skip_unless(position, times)
            for frame in self._decode_packet(position):
                number = self._number.get(frame.pts) if self._number else num_out
                num_out += 1
                while queue and number is not None and queue[0] <= number:
                    is_intact &= queue[0] == number and not frame.is_corrupt
                    chosen = frame if queue[0] == number or previous is None else previous
                    found[queue.popleft()] = convert(chosen)
                previous = frame
            is_intact &= position not in self._broken
            position += 1
        for number in queue if previous is not None else ():
            found[number] = convert(previous)
        return found, is_intact and not queue

    def _jump(self, position: int, target: int) -> int:
        """`position`, or the later one of the last keyframe at or before frame `target`."""
        start = self._starts[bisect_right(self._starts, (target, len(self._packets))) - 1][1]
        if start <= position:
            return position
        self._context.flush_buffers()
        return start

    def _skip_unless(self, position: int, times: set[int]) -> None:
        is_wanted = position == len(self._packets) or self._packets[position].pts in times
        self._context.skip_frame = "DEFAULT" if is_wanted else "NONREF"

    def _decode_packet(self, position: int) -> list[av.VideoFrame]:
        """What comes out when the packet at `position` goes in; past the last, all that is left."""
        packet = self._packets[position] if position < len(self._packets) else None
        try:
            return self._context.decode(packet)
        except av.FFmpegError as error:
            self._broken.setdefault(position, error)
            return []

    def _unreadable(self) -> UnreadableVideo:
        for error in self._broken.values():
            return _as_unreadable(error)
        return UnreadableVideo("NoFrames: the video stream holds no frames")


class _Converter:
    """Frame -> H,W,C RGB array through one scaler; the first frame fixes the size of all."""

    def __init__(self, size: SizeRule | None):
        self._size = size
        self._shape: tuple[int, int] | None = None
        self._reformatter = VideoReformatter()

    def __call__(self, frame: av.VideoFrame) -> np.ndarray:
        turns = frame.rotation // 90 % 4
        if self._shape is None:
            shown = _swapped((frame.height, frame.width), turns)
            self._shape = self._size(*shown) if self._size else shown
        height, width = _swapped(self._shape, turns)
        rgb = self._reformatter.reformat(
            frame, width=width, height=height, format="rgb24", threads=1
        )
        return np.rot90(rgb.to_ndarray(), turns)


@contextmanager
def open_video(path: str) -> Iterator[Video]:
    """A `Video` for the best video stream of a file; UnreadableVideo names what is wrong with it.

    The whole compressed stream is held in memory while it is open.
    """
    try:
        with av.open(os.path.abspath(path), metadata_errors="replace") as container:
            video = Video(container)
            try:
                yield video
            finally:
                video.close()
    except av.FFmpegError as error:
        raise _as_unreadable(error) from error


def scan_video(path: str) -> VideoIndex:
    """The index of a file; nothing is decoded."""
    with open_video(path) as video:
        return video.index


def read_frames(path: str, indices: Sequence[int], size: SizeRule | None = None) -> np.ndarray:
    """Frames T,H,W,C of a file; see `Video.read`."""
    with open_video(path) as video:
        return video.read(indices, size)


def _first_stream(container: av.container.InputContainer) -> av.VideoStream:
    """The first video stream, as in the reference, that is not a cover picture."""
    streams = [
        stream
        for stream in container.streams.video
        if stream.codec_context is not None and not stream.disposition & Disposition.attached_pic
    ]
    if not streams:
        raise UnreadableVideo("NoVideoStream: the file has no video stream that can be decoded")
    stream = streams[0]
    stream.thread_type = "NONE"
    stream.thread_count = 1
    return stream


def _is_shown(packet: av.Packet, codec: str) -> bool:
    """False for packets without a frame: cut by an edit list, or a hidden reference in VP8."""
    if codec in ("vp8", "libvpx") and not memoryview(packet)[0] & 0x10:
        return False
    return not packet.is_discard


def _swapped(size: tuple[int, int], turns: int) -> tuple[int, int]:
    return (size[1], size[0]) if turns % 2 else size


def _as_unreadable(error: av.FFmpegError) -> UnreadableVideo:
    return UnreadableVideo(f"{type(error).__name__}: {error.strerror or error}")
