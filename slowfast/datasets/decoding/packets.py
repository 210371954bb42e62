"""Packets of a video file: what they tell about it without decoding, and reading some of them."""

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import NamedTuple

import av

from slowfast.datasets.decoding.hidden import find_hidden_test

# Containers whose seeking finds a keyframe by its time.
_SEEKABLE = ("mov,mp4", "matroska,webm")


@dataclass(frozen=True, slots=True)
class VideoIndex:
    """Contents of a file, counted packet by packet, because headers lie.

    fps: None where nothing tells, as for image files. pts: times of the frames in display order, in
    ticks of `time_base` seconds; empty where the file's times do not give the display order, as in
    AVI with B-frames. keyframes: frame numbers at which decoding can begin; key_packets: positions
    of their packets among all `num_packets`; key_times: times of these packets, empty where the
    container cannot seek by them.
    """

    num_frames: int
    fps: float | None
    pts: Sequence[int] = ()
    time_base: float = 0.0
    keyframes: Sequence[int] = ()
    num_packets: int = 0
    key_packets: Sequence[int] = ()
    key_times: Sequence[int] = ()


class PacketFacts(NamedTuple):
    """Facts about a packet for the index."""

    pts: int | None
    dts: int | None
    is_keyframe: bool
    is_shown: bool


def packet_facts(
    packets: Iterable[av.Packet], codec: av.VideoCodecContext
) -> Iterator[PacketFacts]:
    """Facts of each; those without a frame are cut by an edit list, or hidden references."""
    is_hidden = find_hidden_test(codec.name, codec.extradata)
    for packet in packets:
        # Each packet is looked at, as some tell of those after it.
        has_none = is_hidden is not None and is_hidden(memoryview(packet))
        is_shown = not (has_none or packet.is_discard)
        yield PacketFacts(packet.pts, packet.dts, packet.is_keyframe, is_shown)


def index_packets(
    packets: Sequence[PacketFacts], stream: av.VideoStream, container: str
) -> VideoIndex:
    """Index of all packets of a stream; `container` is FFmpeg's name of the format."""
    shown = [packet.pts for packet in packets if packet.is_shown]
    key_times = [packet.pts for packet in packets if packet.is_keyframe]
    # AVI has no display times, and some codecs do not tell of B-frames before they decode.
    is_ordered = container != "avi" and _are_distinct_and_sorted_at_keys(shown, key_times)
    if is_ordered and stream.codec_context.has_b_frames and len(shown) > 1:
        is_ordered = shown != sorted(shown) or _is_delayed(packets, container)
    pts = array("q", sorted(shown)) if is_ordered else ()
    starts = [(0, 0)]  # number of the first frame that is whole, position of the packet
    for position, packet in enumerate(packets):
        if is_ordered and position and packet.is_keyframe:
            starts.append((bisect_left(pts, packet.pts), position))
    is_seekable = container.startswith(_SEEKABLE) and is_ordered and shown
    return VideoIndex(
        num_frames=len(shown),
        fps=_frame_rate(stream, pts),
        pts=pts,
        time_base=float(stream.time_base),
        keyframes=tuple(number for number, _ in starts),
        num_packets=len(packets),
        key_packets=tuple(position for _, position in starts),
        key_times=tuple(key_times) if is_seekable and packets[0].is_keyframe else (),
    )


def _are_distinct_and_sorted_at_keys(shown: list[int | None], key_times: list[int | None]) -> bool:
    if None in shown or len(set(shown)) < len(shown):
        return False
    return None not in key_times and key_times == sorted(key_times)


def _is_delayed(packets: Sequence[PacketFacts], container: str) -> bool:
    """True where times of a codec that may reorder frames are display times though in order.

    They are when frames are decoded before they are shown; otherwise the file has decoding times
    only. Matroska stores no decoding times, FFmpeg makes them up.
    """
    return container != "matroska,webm" and any(packet.pts != packet.dts for packet in packets)


def _frame_rate(stream: av.VideoStream, pts: Sequence[int]) -> float:
    """The header's rate, or the measured one where the header is off by more than half."""
    rate = float(stream.average_rate or stream.guessed_rate or 0)
    if len(pts) > 1:
        measured = float((len(pts) - 1) / ((pts[-1] - pts[0]) * stream.time_base))
        if not measured / 2 < rate < measured * 2:
            return measured
    return rate or 30.0


# How many keyframes earlier to seek when the container lands behind the one that was asked for.
_STEPS_BACK = (0, 1, 8, 10**9)


class PacketNotFound(Exception):
    """The file does not hold what its index says."""


class SeekedPackets:
    """Reads like a list of all packets, but holds one: any keyframe's, or the next after it."""

    def __init__(
        self, container: av.container.InputContainer, stream: av.VideoStream, index: VideoIndex
    ):
        self._container, self._stream, self._index = container, stream, index
        self._keys = {position: key for key, position in enumerate(index.key_packets)}
        self._packets = iter(())
        self._position, self._packet = -2, None

    def __len__(self) -> int:
        return self._index.num_packets

    def __getitem__(self, position: int) -> av.Packet:
        if position == self._position:
            return self._packet
        if position != self._position + 1:
            self._seek(self._keys[position])
        self._packet = next(self._packets, None)
        if self._packet is None:
            raise PacketNotFound(f"packet {position} of {len(self)}")
        self._position = position
        return self._packet

    def _seek(self, key: int) -> None:
        """Put the packet of keyframe `key` next."""
        time = self._index.key_times[key]
        for steps in _STEPS_BACK:
            target = self._index.key_times[max(0, key - steps)]
            self._container.seek(target, stream=self._stream)
            packets = (p for p in self._container.demux(self._stream) if p.size)
            for packet in packets:
                if packet.is_keyframe and packet.pts >= time:
                    if packet.pts == time:
                        self._packets = chain([packet], packets)
                        return
                    break
        raise PacketNotFound(f"keyframe {key} at time {time}")
