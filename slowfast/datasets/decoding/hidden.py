"""Packets without a frame to show: hidden references of VP8, VP9 and AV1, lost heads of HEVC.

A frame that is only referred to may be a packet of its own, or share one with a frame that is
shown. A clip that was cut from a HEVC file may begin with frames that refer to others before the
cut. Their first bits tell, so that nothing has to be decoded.
"""

from collections.abc import Callable, Iterator

# Types of AV1's units ("OBU") that begin with the header of a frame (AV1 specification, 6.2.2).
_FRAME_HEADER, _FRAME = 3, 6
_SEQUENCE_HEADER = 1
# A packet, byte by byte.
Data = memoryview


def find_hidden_test(codec: str, extradata: bytes | None = None) -> Callable[[Data], bool] | None:
    """Test whether the next packet of a stream shows no frame; None where every packet shows one.

    codec: FFmpeg's name of the decoder. extradata: what the file holds for it before all packets.
    """
    return LeadingPictures(extradata or b"") if codec == "hevc" else _TESTS.get(codec)


def _is_hidden_vp8(data: Data) -> bool:
    """RFC 6386, 9.1: bit 4 of a frame is show_frame."""
    return not data[0] & 0x10


def _is_hidden_vp9(data: Data) -> bool:
    return not any(map(_shows_vp9, _split_superframe(data)))


def _split_superframe(data: Data) -> Iterator[Data]:
    """Frames of a packet (VP9 specification, annex B): the sizes of several stand at its end."""
    mark = data[-1]
    num_frames, num_bytes = (mark & 7) + 1, (mark >> 3 & 3) + 1
    start = len(data) - (2 + num_frames * num_bytes)
    if mark >> 5 != 0b110 or start < 0 or data[start] != mark:
        yield data
        return
    place = 0
    for number in range(num_frames):
        field = start + 1 + number * num_bytes
        size = int.from_bytes(data[field : field + num_bytes], "little")
        yield data[place : place + size]
        place += size


def _shows_vp9(frame: Data) -> bool:
    """VP9 specification, 7.2: after two bits and the profile's, show_existing_frame, the frame type
    and show_frame."""
    if not frame:
        return False
    bits = frame[0] << 8 | (frame[1] if len(frame) > 1 else 0)
    shift = 11 - (frame[0] >> 4 & 3 == 3)  # profile 3 has one bit more
    return bool(bits >> shift & 1 or bits >> (shift - 2) & 1)


def _is_hidden_av1(data: Data) -> bool:
    """Whether there are frame headers, and none that shows its frame."""
    shown = []
    for kind, content in _split_units(data):
        if kind == _SEQUENCE_HEADER and content and content[0] & 0x08:
            return False  # reduced_still_picture_header: a header without these bits
        if kind in (_FRAME_HEADER, _FRAME) and content:
            # show_existing_frame, two bits of the frame's type, show_frame
            shown.append(bool(content[0] & 0x80 or content[0] & 0x10))
    return bool(shown) and not any(shown)


def _split_units(data: Data) -> Iterator[tuple[int, Data]]:
    """(type, content) of each unit (AV1 specification, 5.3)."""
    place = 0
    while place < len(data):
        head = data[place]
        place += 1 + (head >> 2 & 1)  # an extension of one byte
        size = len(data) - place
        if head & 2:
            size, place = _read_leb128(data, place)
        yield head >> 3 & 15, data[place : place + size]
        place += size


def _read_leb128(data: Data, place: int) -> tuple[int, int]:
    """A number of seven bits a byte, the lowest first, and the place after it."""
    value = 0
    for number, byte in enumerate(data[place : place + 8]):
        value |= (byte & 0x7F) << 7 * number
        if not byte & 0x80:
            return value, place + number + 1
    return len(data), len(data)  # damaged: no unit after it


class LeadingPictures:
    """Frames of HEVC that refer to others before the place at which the stream begins.

    They follow the key frame that is shown after them (H.265, 7.4.2.2 and 8.3.3: RASL pictures of
    the first CRA picture, and those of any BLA picture), and no decoder shows them.
    """

    def __init__(self, extradata: bytes):
        has_lengths = extradata[:1] == b"\1" and len(extradata) > 21
        self._num_bytes = (extradata[21] & 3) + 1 if has_lengths else 0
        self._is_first, self._follows_cut = True, False

    def __call__(self, data: Data) -> bool:
        kind = self._kind(bytes(data))
        if 16 <= kind <= 23:  # a key frame; BLA is 16..18, CRA is 21
            self._follows_cut = kind <= 18 or (kind == 21 and self._is_first)
            self._is_first = False
        return self._follows_cut and kind in (8, 9)

    def _kind(self, data: bytes) -> int:
        """Type of the first slice of a packet; those from 32 on are none."""
        units = self._sized(data) if self._num_bytes else _marked(data)
        return next((head >> 1 & 63 for head in units if head >> 1 & 63 < 32), -1)

    def _sized(self, data: bytes) -> Iterator[int]:
        """First byte of each unit, as MP4 and Matroska hold them: after its length."""
        place = 0
        while place + self._num_bytes < len(data):
            start = place + self._num_bytes
            yield data[start]
            place = start + int.from_bytes(data[place:start], "big")


def _marked(data: bytes) -> Iterator[int]:
    """First byte of each unit, as transport streams hold them: after 0, 0, 1."""
    place = data.find(b"\0\0\1")
    while 0 <= place < len(data) - 3:
        yield data[place + 3]
        place = data.find(b"\0\0\1", place + 3)


_VP8, _VP9, _AV1 = _is_hidden_vp8, _is_hidden_vp9, _is_hidden_av1
_TESTS = {
    **dict.fromkeys(("vp8", "libvpx"), _VP8),
    **dict.fromkeys(("vp9", "libvpx-vp9"), _VP9),
    **dict.fromkeys(("av1", "libdav1d", "libaom-av1"), _AV1),
}
