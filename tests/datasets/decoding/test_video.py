import json
import os
import struct
from fractions import Fraction
from types import SimpleNamespace

import av
import numpy as np
import pytest
from av.stream import Disposition

from slowfast.datasets.decoding import video as video_module
from slowfast.datasets.decoding.convert import short_side_size
from slowfast.datasets.decoding.video import UnreadableVideo, open_video, scan_video
from slowfast.datasets.synthetic import write_video
from tests.helpers.paths import GOLDENS
from tests.helpers.videos import read_frames

NUM_FRAMES = 40


@pytest.fixture(scope="module")
def pictures():
    """A moving random texture, so that every frame refers to others and none is like another."""
    texture = np.random.default_rng(0).integers(0, 255, (48, 64, 3), dtype=np.uint8)
    return np.stack([np.roll(texture, 2 * number, axis=1) for number in range(NUM_FRAMES)])


def encode(path, frames, *, codec="libx264", options=None, times=None, **attributes):
    """Like write_video, for what it does not offer: any container, times, B-frames."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25, options=options or {})
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p"
        if times is not None:
            stream.codec_context.time_base = Fraction(1, 1000)
        for name, value in attributes.items():
            setattr(stream.codec_context, name, value)
        for number, picture in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts = number if times is None else times[number]
            if times is not None:
                frame.time_base = Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def decode_all(path):
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def assert_frames_equal_full_decode(path):
    """Any frames, read together or alone, are bit-equal to those of a decode from the start."""
    expected = np.stack(decode_all(path))
    index = scan_video(path)
    for given in (None, index) if index.key_times else (None,):
        for number in range(0, len(expected), 3):  # the first thing that the decoder does
            with open_video(path, given) as video:
                np.testing.assert_array_equal(video.read([number])[0], expected[number])
        with open_video(path, given) as video:
            assert_reads_equal(video, expected)


def assert_reads_equal(video, expected):
    assert video.index.num_frames == len(expected)
    np.testing.assert_array_equal(video.read(range(len(expected))), expected)
    np.testing.assert_array_equal(list(video.frames()), expected)
    rng = np.random.default_rng(0)
    for count in (1, 1, 1, 1, 2, 4, 8):
        indices = rng.choice(len(expected), count, replace=False)
        np.testing.assert_array_equal(video.read(indices), expected[indices])
    assert video.num_broken == 0


STREAMS = {
    "h264, long GOP, B-frames": ("mp4", "libx264", {"bf": "3"}, {"gop_size": 250}),
    "h264, short open GOP": (
        "mkv",
        "libx264",
        {"x264-params": "open-gop=1:bframes=3:b-pyramid=normal:scenecut=0"},
        {"gop_size": 8},
    ),
    "h264, intra refresh": ("mp4", "libx264", {"x264-params": "intra-refresh=1"}, {"gop_size": 10}),
    "h264 in AVI, B-frames": ("avi", "libx264", {"bf": "3"}, {"gop_size": 8}),
    "h264, no container": ("h264", "libx264", {"bf": "2"}, {"gop_size": 8}),
    "h264, transport stream": ("ts", "libx264", {"bf": "2"}, {"gop_size": 8}),
    "mpeg4 in AVI, B-frames": ("avi", "mpeg4", {}, {"gop_size": 12, "max_b_frames": 2}),
    "mpeg4, no container": ("m4v", "mpeg4", {}, {"gop_size": 12}),
    "vp9, hidden references": (
        "webm",
        "libvpx-vp9",
        {"auto-alt-ref": "1", "lag-in-frames": "16", "cpu-used": "8"},
        {"gop_size": 16},
    ),
    "vp8, hidden references": (
        "webm",
        "libvpx",
        {"auto-alt-ref": "1", "lag-in-frames": "16", "deadline": "good", "cpu-used": "5"},
        {"gop_size": 16},
    ),
    "av1": ("mkv", "libsvtav1", {"preset": "12", "svtav1-params": "lp=1"}, {"gop_size": 32}),
}


@pytest.mark.parametrize("name", STREAMS)
def test_frames_are_exact(name, tmp_path, pictures):
    suffix, codec, options, attributes = STREAMS[name]
    path = tmp_path / f"video.{suffix}"
    encode(path, pictures, codec=codec, options=options, **attributes)
    assert_frames_equal_full_decode(path)


def test_frames_are_exact_with_variable_frame_rate(tmp_path, pictures):
    times = np.cumsum(np.random.default_rng(0).integers(20, 90, NUM_FRAMES)).tolist()
    encode(tmp_path / "vfr.mp4", pictures, times=times, gop_size=10)
    assert_frames_equal_full_decode(tmp_path / "vfr.mp4")


def test_frames_before_an_edit_list_are_not_counted(tmp_path, numbered_frames, frame_number):
    times = [40 * (number - 10) for number in range(NUM_FRAMES)]
    encode(tmp_path / "edit.mp4", numbered_frames(NUM_FRAMES), times=times, gop_size=8)
    frames = read_frames(tmp_path / "edit.mp4", [0, 5])
    assert scan_video(tmp_path / "edit.mp4").num_frames == NUM_FRAMES - 10
    assert [frame_number(frame) for frame in frames] == [10, 15]


def test_index_counts_packets(tmp_path, pictures):
    write_video(tmp_path / "video.mkv", pictures, gop=8, options={"x264-params": "scenecut=0"})
    index = scan_video(tmp_path / "video.mkv")
    assert (index.num_frames, index.fps) == (NUM_FRAMES, 30)
    assert index.keyframes == (0, 8, 16, 24, 32)
    assert len(index.pts) == NUM_FRAMES and list(index.pts) == sorted(index.pts)


def test_announced_b_frames_that_are_not_there_cost_no_decoding(tmp_path, pictures):
    # All scenes are cuts: x264 takes no B-frames, but leaves room for them.
    noise = np.random.default_rng(0).integers(0, 255, pictures.shape, dtype=np.uint8)
    encode(tmp_path / "v.mp4", noise, options={"bf": "3"}, gop_size=8)
    with av.open(str(tmp_path / "v.mp4")) as container:
        times = [packet.pts for packet in container.demux(video=0) if packet.size]
        assert container.streams.video[0].codec_context.has_b_frames and times == sorted(times)
    assert list(scan_video(tmp_path / "v.mp4").pts) == times
    assert_frames_equal_full_decode(tmp_path / "v.mp4")


def test_avi_has_no_display_times(tmp_path, pictures):
    encode(tmp_path / "video.avi", pictures, codec="mpeg4", max_b_frames=2)
    assert scan_video(tmp_path / "video.avi").pts == ()


def test_repeated_and_unsorted_numbers_keep_their_order(video_dir, frame_number):
    wanted = [7, 3, 19, 3, 0]
    frames = read_frames(video_dir / "video0.mp4", wanted)
    assert [frame_number(frame) for frame in frames] == wanted


def test_unwanted_packets_are_not_decoded(tmp_path, pictures):
    write_video(
        tmp_path / "v.mp4", pictures, gop=8, options={"x264-params": "scenecut=0:bframes=0"}
    )
    decoded = []
    with open_video(tmp_path / "v.mp4") as video:
        decode = video._decode_packet
        video._decode_packet = lambda position: decoded.append(position) or decode(position)
        video.read([9, 33])
    assert decoded == [8, 9, 32, 33]


def test_short_side_size_golden():
    rows = json.loads((GOLDENS / "transforms.json").read_text())["short_side_size"]["rows"]
    for height, width, size, *expected in rows:
        assert list(short_side_size(height, width, size)) == expected


def test_scaling_while_decoding(video_dir, frame_number):
    frames = read_frames(video_dir / "video0.mp4", [2, 5], short_side=24)
    assert frames.shape == (2, 24, 32, 3) and frames.dtype == np.uint8
    assert [frame_number(frame) for frame in frames] == [2, 5]


def turned_copy(path, quarters):
    """A copy of an mp4 that is to be shown turned clockwise, as phones write them."""
    cosine, sine = ((1, 0), (0, 1), (-1, 0), (0, -1))[quarters]
    plain, turned = (
        struct.pack(">9i", c << 16, s << 16, 0, -s << 16, c << 16, 0, 0, 0, 1 << 30)
        for c, s in ((1, 0), (cosine, sine))
    )
    head, _, track = path.read_bytes().rpartition(plain)
    return _write(path.with_name("turned.mp4"), head + turned + track)


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_rotation_is_applied(quarters, tmp_path, pictures):
    encode(tmp_path / "plain.mp4", pictures[:3])
    expected = np.rot90(read_frames(tmp_path / "plain.mp4", [0, 2]), -quarters, axes=(1, 2))
    turned = turned_copy(tmp_path / "plain.mp4", quarters)
    np.testing.assert_array_equal(read_frames(turned, [0, 2]), expected)


def test_size_refers_to_the_rotated_frame(tmp_path, pictures):
    encode(tmp_path / "plain.mp4", pictures[:2])
    turned = turned_copy(tmp_path / "plain.mp4", 1)
    assert read_frames(turned, [0]).shape == (1, 64, 48, 3)
    assert read_frames(turned, [0], short_side=30).shape == (1, 40, 30, 3)
    with open_video(turned) as video:
        assert next(video.frames((32, 20))).shape == (32, 20, 3)


def test_first_of_several_video_streams_as_in_the_reference(tmp_path, pictures):
    with av.open(str(tmp_path / "two.mp4"), "w") as container:
        streams = [container.add_stream("mpeg4", rate=25) for _ in range(2)]
        for stream, width in zip(streams, (32, 64), strict=True):
            stream.height, stream.width, stream.pix_fmt = 48, width, "yuv420p"
        for stream in streams:
            frame = av.VideoFrame.from_ndarray(pictures[0][:, : stream.width].copy())
            container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
    assert read_frames(tmp_path / "two.mp4", [0]).shape == (1, 48, 32, 3)


def test_cover_picture_is_no_video(tmp_path, pictures):
    with av.open(str(tmp_path / "song.mp4"), "w") as container:
        stream = container.add_stream("mjpeg", rate=25)
        stream.height, stream.width, stream.pix_fmt = 48, 64, "yuvj420p"
        stream.disposition = Disposition.attached_pic.value
        container.mux(stream.encode(av.VideoFrame.from_ndarray(pictures[0].copy())))
        container.mux(stream.encode(None))
    with pytest.raises(UnreadableVideo, match="NoVideoStream"):
        scan_video(tmp_path / "song.mp4")


def test_file_names_with_a_colon_and_text_that_is_not_utf8(tmp_path, pictures, monkeypatch):
    with av.open(str(tmp_path / "a.mkv"), "w") as container:
        container.metadata["title"] = "AAAA"
        stream = container.add_stream("mpeg4", rate=25)
        stream.height, stream.width, stream.pix_fmt = 48, 64, "yuv420p"
        container.mux(stream.encode(av.VideoFrame.from_ndarray(pictures[0], format="rgb24")))
        container.mux(stream.encode(None))
    monkeypatch.chdir(tmp_path)
    damaged = (tmp_path / "a.mkv").read_bytes().replace(b"AAAA", b"\xe9\xe8\xff\xfe")
    (tmp_path / "10:30 é.mkv").write_bytes(damaged)
    assert scan_video("10:30 é.mkv").num_frames == 1


@pytest.fixture(scope="module")
def whole_file(tmp_path_factory, pictures):
    """A video whose index stands before its data, as bytes."""
    path = tmp_path_factory.mktemp("whole") / "video.mp4"
    with av.open(str(path), "w", options={"movflags": "faststart"}) as container:
        stream = container.add_stream("libx264", rate=25, options={"bf": "2"})
        stream.height, stream.width, stream.pix_fmt = 48, 64, "yuv420p"
        stream.codec_context.gop_size = 10
        for picture in pictures:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    return path.read_bytes()


def test_truncated_video_repeats_its_last_frame(tmp_path, whole_file):
    path = tmp_path / "cut.mp4"
    path.write_bytes(whole_file[: len(whole_file) * 6 // 10])
    with open_video(path) as video:
        last = video.index.num_frames - 1
        assert 10 < last < NUM_FRAMES - 1
        frames = video.read([0, last])
    assert len(frames) == 2 and frames[0].std() > 0


def _damage_packet(tmp_path, whole_file):
    """A copy of the file in which packet 11, a reference of those after it, is zeroed."""
    with av.open(str(_write(tmp_path / "whole.mp4", whole_file))) as container:
        place, size = [(p.pos, p.size) for p in container.demux(video=0) if p.size][11]
    damaged = bytearray(whole_file)
    damaged[place : place + size] = bytes(size)
    return _write(tmp_path / "damaged.mp4", bytes(damaged))


def test_broken_packets_are_skipped_and_counted(tmp_path, whole_file):
    with open_video(_damage_packet(tmp_path, whole_file)) as video:
        frames = video.read(range(NUM_FRAMES))
        assert video.num_broken == 1
    expected = read_frames(tmp_path / "whole.mp4", range(NUM_FRAMES))
    # The groups of pictures before the damage and after it are whole.
    np.testing.assert_array_equal(frames[:9], expected[:9])
    np.testing.assert_array_equal(frames[20:], expected[20:])


def test_a_lost_frame_is_replaced_by_the_one_before(tmp_path, numbered_frames, frame_number):
    write_video(tmp_path / "v.mp4", numbered_frames(12), gop=1, codec="mpeg4")
    with open_video(tmp_path / "v.mp4") as video:
        decode = video._decode_packet
        video._decode_packet = lambda position: [] if position in (4, 5) else decode(position)
        frames = video.read([3, 4, 5, 6])
    assert [frame_number(frame) for frame in frames] == [3, 3, 3, 6]


def test_damage_in_a_file_that_is_sought_in(tmp_path, whole_file, monkeypatch):
    monkeypatch.setattr(video_module, "_LEAD", 1)
    path = _damage_packet(tmp_path, whole_file)
    expected = read_frames(path, range(NUM_FRAMES))
    for indices in (range(NUM_FRAMES), *([number] for number in range(10, 20))):
        with open_video(path, scan_video(path)) as video:
            np.testing.assert_array_equal(video.read(indices), expected[indices])


def test_a_long_damaged_stretch_is_replaced_by_the_frame_before_it(
    tmp_path, numbered_frames, frame_number, monkeypatch
):
    monkeypatch.setattr(video_module, "_LEAD", 2)
    write_video(tmp_path / "v.mp4", numbered_frames(12), gop=1, codec="mpeg4")
    with open_video(tmp_path / "v.mp4", scan_video(tmp_path / "v.mp4")) as video:
        decode = video._decode_packet
        video._decode_packet = lambda position: [] if position in range(4, 12) else decode(position)
        frames = video.read([3, 6, 11])
    assert [frame_number(frame) for frame in frames] == [3, 3, 3]


def test_a_file_that_its_index_does_not_describe_is_unreadable(video_dir):
    index = scan_video(video_dir / "video3.mp4")  # longer than the other
    with open_video(video_dir / "video0.mp4", index) as video:
        video.read([0])
    with (
        pytest.raises(UnreadableVideo, match="PacketNotFound: "),
        open_video(video_dir / "video0.mp4", index) as video,
    ):
        video.read([22])


def test_all_frames_one_after_another(tmp_path, numbered_frames, frame_number):
    write_video(tmp_path / "v.mp4", numbered_frames(12), gop=1, codec="mpeg4")
    with open_video(tmp_path / "v.mp4") as video:
        decode = video._decode_packet
        video._decode_packet = lambda position: [] if position in (4, 5, 11) else decode(position)
        frames = list(video.frames((24, 32)))
        assert video.num_broken == 3
    assert frames[0].shape == (24, 32, 3)
    assert [frame_number(frame) for frame in frames] == [0, 1, 2, 3, 3, 3, 6, 7, 8, 9, 10, 10]


def test_a_damaged_frame_on_the_way_means_decoding_from_the_start(tmp_path, pictures):
    write_video(
        tmp_path / "v.mp4", pictures, gop=8, options={"x264-params": "scenecut=0:bframes=0"}
    )
    decoded = []
    with open_video(tmp_path / "v.mp4") as video:
        decode = video._decode_packet

        def decode_packet(position):
            decoded.append(position)
            (frame,) = decode(position)
            return [SimpleNamespace(pts=frame.pts, is_corrupt=True) if position == 9 else frame]

        video._decode_packet = decode_packet
        video.read([10])
    assert decoded == [8, 9, 10, *range(11)]


def test_damaged_frames_do_not_depend_on_what_is_read_with_them(tmp_path, whole_file):
    path = _damage_packet(tmp_path, whole_file)
    with open_video(path) as video:
        together = video.read(range(NUM_FRAMES))
    for number in range(10, 20):
        np.testing.assert_array_equal(read_frames(path, [number])[0], together[number])


def _write(path, content):
    path.write_bytes(content)
    return path


def _audio_only(path):
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=8000)
        stream.layout = "mono"
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


UNREADABLE = {
    "empty": (b"", "InvalidDataError: Invalid data found"),
    "one byte": (b"\x00", "InvalidDataError: Invalid data found"),
    "text": (b"404 not found\n" * 50, "InvalidDataError: Invalid data found"),
    "noise": (np.random.default_rng(0).bytes(5000), "InvalidDataError: Invalid data found"),
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_unreadable_file_gives_the_reason(name, tmp_path):
    content, reason = UNREADABLE[name]
    with pytest.raises(UnreadableVideo, match=reason):
        read_frames(_write(tmp_path / "bad.mp4", content), [0])


def test_missing_index_gives_the_reason(tmp_path, whole_file):
    path = _write(tmp_path / "bad.mp4", whole_file.replace(b"moov", b"junk", 1))
    with pytest.raises(UnreadableVideo, match="InvalidDataError: Invalid data found"):
        scan_video(path)


def test_missing_file_gives_the_reason(tmp_path):
    with pytest.raises(UnreadableVideo, match="FileNotFoundError: No such file or directory"):
        scan_video(tmp_path / "none.mp4")


def test_audio_only_gives_the_reason(tmp_path):
    _audio_only(tmp_path / "audio.mp4")
    with pytest.raises(UnreadableVideo, match="NoVideoStream"):
        scan_video(tmp_path / "audio.mp4")


def test_unknown_codec_gives_the_reason(tmp_path, whole_file):
    path = _write(
        tmp_path / "bad.mp4", whole_file.replace(b"avc1", b"zzzz").replace(b"avcC", b"zzzC")
    )
    with pytest.raises(UnreadableVideo, match="NoVideoStream"):
        scan_video(path)


def test_error_while_scaling_makes_a_video_unreadable(video_dir):
    with pytest.raises(UnreadableVideo, match="Error: "):
        read_frames(video_dir / "video0.mp4", [0], short_side=-1)


def test_stream_that_never_decodes_gives_the_first_reason(tmp_path, whole_file):
    with av.open(str(_write(tmp_path / "whole.mp4", whole_file))) as container:
        places = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size]
    damaged = bytearray(whole_file)
    for place, size in places:
        damaged[place : place + size] = bytes(size)
    path = _write(tmp_path / "zeros.mp4", bytes(damaged))
    assert scan_video(path).num_frames == NUM_FRAMES
    with pytest.raises(UnreadableVideo, match="InvalidDataError"):
        read_frames(path, [0, 20])
    with (
        pytest.raises(UnreadableVideo, match="InvalidDataError"),
        open_video(path, scan_video(path)) as video,
    ):
        next(video.frames())


def test_no_file_stays_open(tmp_path, video_dir):
    bad = _write(tmp_path / "bad.mp4", b"text")
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        read_frames(video_dir / "video0.mp4", [0, 9])
        with pytest.raises(UnreadableVideo):
            scan_video(bad)
    assert len(os.listdir("/proc/self/fd")) == before
