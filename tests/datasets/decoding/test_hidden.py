"""Packets that are no frames: hidden references of VP8, VP9 and AV1, lost heads of HEVC."""

import av
import numpy as np
import pytest

from slowfast.datasets.decoding.hidden import find_hidden_test
from slowfast.datasets.decoding.video import open_video, scan_video
from tests.datasets.decoding.test_video import assert_frames_equal_full_decode

NUM_FRAMES = 24
# Bit of show_frame in the first byte of a key frame; of AV1 see `split_units`.
_SHOW = {"libvpx": 0x10, "libvpx-vp9": 0x02}
CODECS = {
    "libvpx": {"deadline": "realtime", "cpu-used": "8"},
    "libvpx-vp9": {"deadline": "realtime", "cpu-used": "8"},
    "libsvtav1": {"preset": "12", "svtav1-params": "lp=1"},
}


@pytest.fixture(scope="module")
def pictures():
    texture = np.random.default_rng(0).integers(0, 255, (72, 96, 3), dtype=np.uint8)
    return [np.roll(texture, 2 * number, axis=1) for number in range(NUM_FRAMES)]


def encode(path, pictures, codec, change):
    """Write a file whose packets `change` has made others of: data -> list of (data, is shown)."""
    # Without the filters that would put frames together again.
    with av.open(str(path), "w", options={"fflags": "-autobsf"}) as container:
        stream = container.add_stream(codec, rate=25, options=CODECS[codec])
        stream.width, stream.height, stream.pix_fmt = 96, 72, "yuv420p"
        stream.codec_context.gop_size = 8
        frames = [av.VideoFrame.from_ndarray(picture, format="rgb24") for picture in pictures]
        for number, frame in enumerate([*frames, None]):
            if frame is not None:
                frame.pts = number
            for whole in stream.encode(frame):
                for data, is_shown in change(bytes(whole), whole.is_keyframe):
                    packet = av.Packet(data)
                    packet.stream, packet.time_base = stream, whole.time_base
                    # As old encoders: between the times of its neighbours, or at the next one's.
                    packet.pts = packet.dts = whole.pts
                    packet.is_keyframe = whole.is_keyframe and is_shown
                    container.mux(packet)


def hidden(data, codec):
    """A key frame of VP8 or VP9 that is not shown."""
    return bytes([data[0] & ~_SHOW[codec]]) + data[1:]


def superframe(*frames):
    """Several frames of VP9 in one packet."""
    mark = bytes([0b110_01_000 | len(frames) - 1])
    sizes = b"".join(len(frame).to_bytes(2, "little") for frame in frames)
    return b"".join(frames) + mark + sizes + mark


def split_units(data):
    """A packet of AV1 in as many as it holds frames; all but the last are hidden."""
    pieces, place, start = [], 0, 0
    while place < len(data):
        kind, place = data[place] >> 3 & 15, place + 1
        size = shift = 0
        while True:
            byte, place = data[place], place + 1
            size, shift = size | (byte & 127) << shift, shift + 7
            if byte < 128:
                break
        place += size
        if kind in (3, 6):
            pieces.append(data[start:place])
            start = place
    return pieces


def _with_hidden_key(codec):
    def change(data, is_key):
        return [(hidden(data, codec), False)] * is_key + [(data, True)]

    return change


def _with_superframe(data, is_key):
    return [(superframe(hidden(data, "libvpx-vp9"), data) if is_key else data, True)]


def _split(data, is_key):
    pieces = split_units(data)
    return [(piece, place in (0, len(pieces) - 1)) for place, piece in enumerate(pieces)]


CHANGES = {
    "vp8": ("libvpx", _with_hidden_key("libvpx")),
    "vp9": ("libvpx-vp9", _with_hidden_key("libvpx-vp9")),
    "vp9, together": ("libvpx-vp9", _with_superframe),
    "av1": ("libsvtav1", _split),
}


@pytest.mark.parametrize("name", CHANGES)
def test_hidden_frames_are_not_counted_and_frames_are_exact(name, tmp_path, pictures):
    codec, change = CHANGES[name]
    encode(tmp_path / "v.mkv", pictures, codec, change)
    index = scan_video(tmp_path / "v.mkv")
    assert index.num_frames == len(index.pts) == NUM_FRAMES and index.key_times
    assert (index.num_packets > NUM_FRAMES) == (name != "vp9, together")
    with open_video(tmp_path / "v.mkv") as video:
        assert len(list(video.frames((8, 8)))) == NUM_FRAMES and video.num_broken == 0
    assert_frames_equal_full_decode(tmp_path / "v.mkv")


@pytest.mark.parametrize(
    "data, is_hidden",
    [
        ([0b10_00_0_1_1_0, 0], False),  # an inter frame that is shown
        ([0b10_00_0_1_0_0, 0], True),
        ([0b10_00_1_000], False),  # a frame that is there already
        ([0b10_11_0_0_1_0, 0b0_0000000], True),  # profile 3 has a bit more
        ([0b10_11_0_0_1_1, 0b0_0000000], False),
    ],
)
def test_bits_of_vp9(data, is_hidden):
    assert find_hidden_test("vp9")(memoryview(bytes(data))) is is_hidden


@pytest.mark.parametrize(
    "data, is_hidden",
    [
        ([0x12, 0, 0x32, 1, 0b0_01_1_0000], False),  # a delimiter, a frame that is shown
        ([0x32, 1, 0b0_01_0_0000], True),
        ([0x32, 1, 0b0_01_0_0000, 0x1A, 1, 0b1_000_0000], False),  # and an older one that is
        ([0x36, 0, 1, 0b0_01_0_0000], True),  # with an extension
        ([0x30, 0b0_01_0_0000], True),  # without a size
        ([0x0A, 1, 0b000_1_1_000, 0x32, 1, 0], False),  # a still picture
        ([0x12, 0], False),
        ([0x32, 0xFF], False),  # damaged
    ],
)
def test_bits_of_av1(data, is_hidden):
    assert find_hidden_test("libdav1d")(memoryview(bytes(data))) is is_hidden


def test_other_codecs_have_no_hidden_frames():
    assert find_hidden_test("h264") is None


class TestLeadingPictures:
    """HEVC that was cut at a key frame before which others are shown."""

    @pytest.mark.parametrize("suffix", [".mkv", ".ts"])
    def test_frames_before_the_first_key_frame_are_not_counted(self, suffix, tmp_path, pictures):
        path = tmp_path / f"v{suffix}"
        options = {"x265-params": "keyint=8:min-keyint=8:open-gop=1:bframes=3:log-level=none"}
        with av.open(str(path), "w") as container:
            stream = container.add_stream("libx265", rate=25, options=options)
            stream.width, stream.height, stream.pix_fmt = 96, 72, "yuv420p"
            packets = []
            for number, picture in enumerate(pictures):
                frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
                frame.pts = number
                packets += stream.encode(frame)
            packets += stream.encode(None)
            second_key = [place for place, packet in enumerate(packets) if packet.is_keyframe][1]
            container.mux(packets[second_key:])
        with av.open(str(path)) as container:
            num_shown = sum(1 for _ in container.decode(video=0))
        index = scan_video(path)
        assert index.num_packets > index.num_frames == len(index.pts) == num_shown
        with open_video(path) as video:
            assert len(list(video.frames((8, 8)))) == num_shown and video.num_broken == 0
        assert_frames_equal_full_decode(path)

    @pytest.mark.parametrize(
        "kinds, hidden",
        [
            ([21, 9, 8, 1, 21, 9, 1], [1, 2]),  # of the first CRA picture, not of the second
            ([19, 8, 21, 9], []),
            ([21, 1, 17, 9, 1], [3]),  # of any BLA picture
        ],
    )
    def test_kinds_of_units(self, kinds, hidden):
        heads = [bytes([kind << 1]) for kind in kinds]
        other = bytes([32 << 1])  # parameters, which are no slice
        extradata = b"\1" + bytes(20) + b"\3"
        with_lengths = [b"\0\0\0\1" + other + b"\0\0\0\1" + head for head in heads]
        marked = [b"\0\0\0\1" + other + b"\0\0\1" + head for head in heads]
        for packets, extra in ((with_lengths, extradata), (marked, None)):
            is_hidden = find_hidden_test("hevc", extra)
            found = [is_hidden(memoryview(packet)) for packet in packets]
            assert [place for place, answer in enumerate(found) if answer] == hidden
