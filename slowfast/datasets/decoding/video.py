"""Video file and frame numbers -> uint8 frames, exact, decoding no more than needed."""

import os
from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from typing import Protocol

import av
import numpy as np
from av.stream import Disposition

from slowfast.datasets.decoding.convert import FrameConverter
from slowfast.datasets.decoding.packets import (
    PacketNotFound,
    SeekedPackets,
    VideoIndex,
    index_packets,
    packet_facts,
)
from slowfast.utils.io import check_is_file

# Largest number of pixels of a frame, where nothing else is asked for: 8K, and twice as much.
MAX_PIXELS = 1 << 26
# Keyframes to go back, in a file that is not in memory, before a frame that came out damaged.
_LEAD = 4
# Metadata need not be UTF-8: an error in older versions, never one in PyAV 19, which has no option.
_METADATA = {"metadata_errors": "replace"} if int(av.__version__.split(".")[0]) < 19 else {}


class UnreadableVideo(Exception):
    """Nothing can be decoded; the text is "Type: reason" of the first exception."""


class VideoReader:
    """An open file; made by `open_video`.

    Without an index its compressed packets are all in memory, and decoding begins at any keyframe
    without the container's own seeking, which is inexact or absent in many formats. With an index
    that has `key_times` they are read when they are needed.
    """

    def __init__(
        self,
        container: av.container.InputContainer,
        stream: av.VideoStream,
        index: VideoIndex | None = None,
    ):
        self._context = stream.codec_context
        # Before `skip_frame` is set for the first packet: libdav1d would keep to that for ever.
        self._context.open(strict=False)
        self._broken: dict[int, av.FFmpegError] = {}  # position of the packet: what FFmpeg said
        self._lost: set[int] = set()  # frame numbers
        self._tried: set[int] = set()  # positions of packets that were decoded
        if index is not None and index.key_times:
            self._packets, self.index = SeekedPackets(container, stream, index), index
            self._lead, self._is_in_memory = _LEAD, False
        else:
            errors: list[av.FFmpegError] = []
            self._packets = list(_demux(container, stream, errors))
            # Past the last packet: damage at the end.
            self._broken.update((len(self._packets), error) for error in errors)
            facts = list(packet_facts(self._packets, self._context))
            self.index = index_packets(facts, stream, container.format.name)
            self._lead = len(self._packets)  # in memory: back to the beginning costs nothing
            self._is_in_memory = True
        if not self.index.num_frames:
            raise _unreadable(self._broken.values())
        # Number of the first frame that is whole when decoding begins at a packet position.
        self._starts = list(zip(self.index.keyframes, self.index.key_packets, strict=True))

    def read(
        self,
        numbers: Sequence[int] | np.ndarray,
        *,
        short_side: int | None = None,
        size: tuple[int, int] | None = None,
    ) -> np.ndarray:
        """Frames T,H,W,C (RGB, uint8) of the given numbers, in their order, in one pass.

        Scaled to this short side, or size (height, width); None: the video's own size. A frame that
        is lost through damage is replaced by the nearest one before it; UnreadableVideo if more
        than half of the video, or of what is decoded of a file that is not in memory, is lost.
        """
        wanted = sorted({int(number) for number in numbers})
        assert wanted and 0 <= wanted[0] and wanted[-1] < self.index.num_frames, (
            f"frames {wanted} of {self.index.num_frames}"
        )
        convert = FrameConverter(size, short_side=short_side)
        frames: dict[int, np.ndarray] = {}
        is_intact = False
        # Without times a frame is known only by counting, so nothing can be skipped.
        if self.index.pts:
            frames, is_intact = self._decode(wanted, convert, sparse=True)
        if not is_intact:
            frames = self._decode_all_on_the_way(wanted, convert)
        if not frames:
            raise _unreadable(self._broken.values())
        if self._broken or self._lost:
            self._check_damage()
        return np.stack([frames[int(number)] for number in numbers])

    def frames(self, size: tuple[int, int] | None = None) -> Iterator[np.ndarray]:
        """All frames H,W,C, one after another, none of them kept; lost ones are replaced, too.

        Scaled to a size (height, width); None: the video's own.
        """
        numbers, picture = range(self.index.num_frames), None
        for _, picture, _ in self._decoded(numbers, FrameConverter(size), sparse=False):
            yield picture
        if picture is None:
            raise _unreadable(self._broken.values())
        self._check_lost(self.num_broken, len(numbers))

    @property
    def num_broken(self) -> int:
        """Packets met so far that could not be decoded, or frames that came out damaged or not at
        all, whichever are more."""
        return max(len(self._broken), len(self._lost))

    def close(self) -> None:
        """Drop the packets; they must not outlive the container."""
        self._packets = []

    def _decode_all_on_the_way(
        self, wanted: Sequence[int], convert: FrameConverter
    ) -> dict[int, np.ndarray]:
        """Frames by number, with a long run-up in which nothing is skipped.

        A frame's run-up is its own, so that damage does not depend on what is read with it.
        """
        frames: dict[int, np.ndarray] = {}
        for start, run in groupby(wanted, self._lead_start):
            group = list(run)
            found, _ = self._decode(group, convert, sparse=False, start=start)
            frames |= found or self._decode(group, convert, sparse=False)[0]
        return frames

    def _check_damage(self) -> None:
        """UnreadableVideo if most of a damaged video is lost, or most that was decoded of it.

        A file in memory is decoded to its end, so that the answer does not depend on what is read.
        """
        if not self._is_in_memory:
            return self._check_lost(len(self._broken), len(self._tried))
        decoded = self._decode_for(deque([0]), sparse=False, start=0)
        num_whole = sum(not frame.is_corrupt for frame, _, _ in decoded)
        num_frames = self.index.num_frames
        self._check_lost(max(len(self._broken), num_frames - num_whole), num_frames)

    def _check_lost(self, num_lost: int, count: int) -> None:
        if num_lost > count / 2:
            reason = next((f", {error.strerror or error}" for error in self._broken.values()), "")
            raise UnreadableVideo(f"LostFrames: {num_lost} of {count} are damaged or lost{reason}")

    def _lead_start(self, number: int) -> int:
        """Position at which to begin for a frame that a short run-up did not give undamaged."""
        key = bisect_right(self.index.keyframes, number) - 1
        return self.index.key_packets[max(0, key - self._lead)]

    def _decode(
        self, wanted: Sequence[int], convert: FrameConverter, *, sparse: bool, start: int = 0
    ) -> tuple[dict[int, np.ndarray], bool]:
        """Frames of `_decoded` by number, and whether all are there and undamaged."""
        decoded = list(self._decoded(wanted, convert, sparse=sparse, start=start))
        is_intact = len(decoded) == len(wanted) and all(is_intact for _, _, is_intact in decoded)
        return {number: picture for number, picture, _ in decoded}, is_intact

    def _decoded(
        self, wanted: Sequence[int], convert: FrameConverter, *, sparse: bool, start: int = 0
    ) -> Iterator[tuple[int, np.ndarray, bool]]:
        """(number, converted frame, whether it came out and nothing was damaged on the way).

        `sparse` jumps to the last keyframe before the next wanted frame, and passes over frames
        that are neither wanted nor referred to; otherwise every packet is decoded, from the one at
        `start` on.
        """
        queue, previous = deque(wanted), None
        for frame, number, is_sound in self._decode_for(queue, sparse=sparse, start=start):
            # Frames come in display order: one that is passed over will not come any more.
            while queue and number is not None and queue[0] <= number:
                is_lost = queue[0] != number or frame.is_corrupt
                if is_lost and not sparse:
                    self._lost.add(queue[0])
                chosen = frame if queue[0] == number or previous is None else previous
                yield queue.popleft(), convert(chosen), is_sound and not is_lost
            previous = frame
        if previous is not None:
            self._lost.update(() if sparse else queue)
            for number in queue:
                yield number, convert(previous), False

    def _decode_for(
        self, queue: deque[int], *, sparse: bool, start: int
    ) -> Iterator[tuple[av.VideoFrame, int | None, bool]]:
        """(frame, its number, whether nothing was damaged before it) while the queue holds any.

        The reader of these takes the numbers of frames that it has seen out of the queue.
        """
        times = {self.index.pts[number] for number in queue} if sparse else set()
        position, num_out, awaited, is_broken = start, 0, None, False
        # An earlier pass left frames in the decoder, or drained it, after which it takes no packets
        # until it is flushed; and it may have left frames to be skipped.
        self._context.flush_buffers()
        self._context.skip_frame = "DEFAULT"
        while queue and position <= len(self._packets):
            if sparse:
                first, begin = self._start(queue[0])
                if begin > position:
                    # Frames still in the decoder, and references to them, belong before the jump.
                    position, awaited = begin, first
                    self._context.flush_buffers()
                self._skip_unless(position, times)
            for frame in self._decode_packet(position):
                number = self._number(frame.pts) if self.index.pts else num_out
                num_out += 1
                # After a jump, frames may come out that refer to others before it: none is trusted
                # until the one of the keyframe is there.
                awaited = None if number == awaited else awaited
                yield frame, number, not is_broken and awaited is None
                is_broken |= frame.is_corrupt
            is_broken |= position in self._broken
            position += 1

    def _number(self, time: int | None) -> int | None:
        """Number of the frame that is shown at `time`, if one is."""
        pts = self.index.pts
        number = len(pts) if time is None else bisect_left(pts, time)
        return number if number < len(pts) and pts[number] == time else None

    def _start(self, number: int) -> tuple[int, int]:
        """The last keyframe at or before a frame, and the position of its packet."""
        # The tuple compares above any (number, position of a packet).
        return self._starts[bisect_right(self._starts, (number, len(self._packets))) - 1]

    def _skip_unless(self, position: int, times: set[int]) -> None:
        """Let the decoder leave out the packet's frame if no other refers to it, unless its time is
        wanted. A packet bears the time of its own frame, though others come out when it goes in.
        """
        is_wanted = position == len(self._packets) or self._packets[position].pts in times
        self._context.skip_frame = "DEFAULT" if is_wanted else "NONREF"

    def _decode_packet(self, position: int) -> list[av.VideoFrame]:
        """Frames that come out when the packet at `position` goes in; past the last, all others."""
        packet = self._packets[position] if position < len(self._packets) else None
        self._tried.add(position)
        try:
            return self._context.decode(packet)
        except av.FFmpegError as error:
            self._broken.setdefault(position, error)
            return []


class SeekableFile(Protocol):
    """Bytes that are read like those of an open file."""

    name: str

    def read(self, size: int = -1) -> bytes:
        """The next bytes, none at the end."""

    def seek(self, offset: int, whence: int = 0) -> int:
        """Go to a place."""

    def tell(self) -> int:
        """The place of the next byte."""


# A path, or what is open already.
VideoFile = str | SeekableFile


def open_container(file: VideoFile, *, max_pixels: int = MAX_PIXELS) -> av.container.InputContainer:
    """Open a file to read; its name may hold a colon, and its metadata need not be UTF-8.

    UnreadableVideo for a path of no file: reading a pipe or a device might never end.
    """
    # FFmpeg decodes frames here already, to learn their size.
    options = {"max_pixels": str(max_pixels)}
    if not isinstance(file, str):
        return av.open(file, options=options, **_METADATA)
    try:
        check_is_file(file)
    except OSError as error:
        raise UnreadableVideo(f"{type(error).__name__}: {error.strerror}") from error
    return av.open(os.path.abspath(file), options=options, **_METADATA)


@contextmanager
def open_video(
    file: VideoFile, index: VideoIndex | None = None, *, max_pixels: int = MAX_PIXELS
) -> Iterator[VideoReader]:
    """A reader of the best video stream of a file; UnreadableVideo names what is wrong with it.

    Given its index, with `key_times`, only what is wanted is read from the disk. Otherwise the
    whole compressed stream is held in memory while it is open. No larger frame is decoded than one
    of `max_pixels`.
    """
    with _open_stream(file, max_pixels) as (container, stream):
        video = VideoReader(container, stream, index)
        try:
            yield video
        finally:
            video.close()


def scan_video(file: VideoFile, *, max_pixels: int = MAX_PIXELS) -> VideoIndex:
    """The index of a file; nothing is decoded or kept."""
    with _open_stream(file, max_pixels) as (container, stream):
        errors: list[av.FFmpegError] = []
        packets = _demux(container, stream, errors)
        facts = list(packet_facts(packets, stream.codec_context))
        index = index_packets(facts, stream, container.format.name)
        if not index.num_frames:
            raise _unreadable(errors)
        return index


@contextmanager
def _open_stream(
    file: VideoFile, max_pixels: int
) -> Iterator[tuple[av.container.InputContainer, av.VideoStream]]:
    try:
        with open_container(file, max_pixels=max_pixels) as container:
            stream = _first_stream(container)
            _limit_size(stream.codec_context, max_pixels)
            yield container, stream
    except av.FFmpegError as error:
        raise _unreadable([error]) from error
    except PacketNotFound as error:
        raise UnreadableVideo(f"PacketNotFound: {error}") from error


def _limit_size(context: av.VideoCodecContext, max_pixels: int) -> None:
    """Let the decoder refuse larger frames, whose size may change inside a stream."""
    if context.width * context.height > max_pixels:
        raise UnreadableVideo(
            f"FrameTooLarge: frames of {context.width} x {context.height} pixels, DATA.MAX_PIXELS "
            f"is {max_pixels}"
        )
    context.options = {"max_pixels": str(max_pixels)}


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


def _demux(
    container: av.container.InputContainer, stream: av.VideoStream, errors: list[av.FFmpegError]
) -> Iterator[av.Packet]:
    """Packets up to the end of the file or the first error, which is appended to `errors`."""
    try:
        for packet in container.demux(stream):
            if packet.size:
                yield packet
    except av.FFmpegError as error:
        errors.append(error)


def _unreadable(errors: Iterable[av.FFmpegError]) -> UnreadableVideo:
    for error in errors:
        if isinstance(error, av.error.ArgumentError) and "avcodec" in str(error):
            return UnreadableVideo(
                "FrameTooLarge: frames of no known size, or of more pixels than DATA.MAX_PIXELS"
            )
        return UnreadableVideo(f"{type(error).__name__}: {error.strerror or error}")
    return UnreadableVideo("NoFrames: the video stream holds no frames")
