"""Packets without a frame to show: the hidden references of VP8, VP9 and AV1.

A frame that is only referred to may be a packet of its own, or share one with a frame that is
shown. Their first bits tell, so that nothing has to be decoded.
"""

from collections.abc import Callable, Iterator

# Types of AV1's units ("OBU") that begin with the header of a frame (AV1 specification, 6.2.2).
_FRAME_HEADER, _FRAME = 3, 6
_SEQUENCE_HEADER = 1
# A packet, byte by byte.
Data = memoryview


def find_hidden_test(codec: str) -> Callable[[Data], bool] | None:
    """Test whether a packet of this codec, by FFmpeg's name of its decoder, shows no frame.

    None where every packet shows one.
    """
    return _TESTS.get(codec)


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


_VP8, _VP9, _AV1 = _is_hidden_vp8, _is_hidden_vp9, _is_hidden_av1
_TESTS = {
    **dict.fromkeys(("vp8", "libvpx"), _VP8),
    **dict.fromkeys(("vp9", "libvpx-vp9"), _VP9),
    **dict.fromkeys(("av1", "libdav1d", "libaom-av1"), _AV1),
}
