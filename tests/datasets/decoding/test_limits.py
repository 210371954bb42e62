"""Limits of what is read: sizes of frames, kinds of files, and how much may be lost."""

import io
import os
import socket

import av
import pytest
from PIL import Image

from slowfast.config.defaults import get_cfg
from slowfast.curation.prepare import PrepareSettings, name_targets, prepare
from slowfast.curation.probe import examine
from slowfast.datasets.build import build_dataset
from slowfast.datasets.decoding.images import image_size
from slowfast.datasets.decoding.index_file import write_index
from slowfast.datasets.decoding.open import open_frames
from slowfast.datasets.decoding.video import MAX_PIXELS, UnreadableVideo, open_video, scan_video
from slowfast.datasets.records import Record, frame_files
from slowfast.datasets.synthetic import write_video
from tests.helpers.videos import read_frames


def image_bytes(width, height, kind="JPEG", **options):
    file = io.BytesIO()
    Image.new("RGB", (width, height)).save(file, kind, **options)
    return file.getvalue()


def write_images(path, sizes, kind="mjpeg"):
    """A file of JPEG or PNG images (width, height), each a packet."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(kind, rate=25)
        stream.width, stream.height = sizes[0]
        stream.pix_fmt = "yuvj420p" if kind == "mjpeg" else "rgb24"
        for number, size in enumerate(sizes):
            packet = av.Packet(image_bytes(*size, "JPEG" if kind == "mjpeg" else "PNG"))
            packet.stream, packet.pts, packet.dts = stream, number, number
            packet.time_base, packet.is_keyframe = 1 / stream.average_rate, True
            container.mux(packet)
    return path


class TestSizes:
    def test_the_default_is_that_of_the_config(self):
        assert get_cfg().DATA.MAX_PIXELS == MAX_PIXELS
        assert 7680 * 4320 <= MAX_PIXELS < 16000 * 16000

    @pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
    def test_larger_videos_are_refused_by_their_header(self, suffix, tmp_path, numbered_frames):
        path = tmp_path / f"v{suffix}"
        write_video(path, numbered_frames(4))
        for read in (scan_video, lambda path, **limit: open_video(path, **limit).__enter__()):
            with pytest.raises(UnreadableVideo, match="FrameTooLarge: .*64 x 48 .*MAX_PIXELS"):
                read(path, max_pixels=64 * 48 - 1)
        with open_video(path, max_pixels=64 * 48) as video:
            assert video.read([0]).shape == (1, 48, 64, 3)

    def test_where_only_frames_tell_the_size_none_is_decoded(self, tmp_path):
        path = write_images(tmp_path / "v.mov", [(640, 480)] * 3, "png")
        with (
            pytest.raises(UnreadableVideo, match="FrameTooLarge: .*DATA.MAX_PIXELS"),
            open_video(path, max_pixels=1000) as video,
        ):
            video.read([0])

    def test_a_size_that_grows_inside_a_stream_is_refused_too(self, tmp_path):
        path = write_images(tmp_path / "v.mkv", [(64, 48)] * 4 + [(640, 480)] * 2)
        with open_video(path, max_pixels=64 * 48) as video:
            assert len(list(video.frames())) == 6 and video.num_broken == 2
        with open_video(path) as video:
            assert len(list(video.frames())) == 6 and video.num_broken == 0

    def test_larger_images_are_refused(self, tmp_path):
        paths = [tmp_path / f"{number}.jpg" for number in range(3)]
        for path in paths:
            path.write_bytes(image_bytes(64, 48))
        record = Record(str(tmp_path), frames=frame_files(list(map(str, paths))))
        with open_frames(record, max_pixels=64 * 48) as video:
            assert len(video.read([0, 1])) == 2
        with open_frames(record, max_pixels=64 * 48 - 1) as video:
            with pytest.raises(UnreadableVideo, match="FrameTooLarge: 64 x 48 .*MAX_PIXELS"):
                video.read([0])

    def test_the_key_reaches_the_reader(self, tmp_path, video_dir):
        cfg = get_cfg()
        (tmp_path / "train.csv").write_text(f"{video_dir / 'video0.mp4'} 0\n")
        cfg.DATA.PATH_TO_DATA_DIR, cfg.DATA.MAX_PIXELS = str(tmp_path), 1000
        dataset = build_dataset(cfg, "train")
        with (
            pytest.raises(UnreadableVideo, match="FrameTooLarge"),
            dataset.open_record(dataset.records[0]),
        ):
            pass


def test_tools_take_the_limit(tmp_path, numbered_frames):
    write_video(tmp_path / "in/v.mp4", numbered_frames(4))
    paths, limit = [str(tmp_path / "in/v.mp4")], {"max_pixels": 64 * 48 - 1}
    assert "FrameTooLarge" in write_index(tmp_path / "index", paths, **limit)[paths[0]]
    settings = PrepareSettings(short_side=0, **limit)
    targets = name_targets(paths, tmp_path / "in", as_images=False)
    _, failed = prepare(targets, tmp_path / "out", settings, workers=1)
    assert "FrameTooLarge" in failed[paths[0]]
    assert "FrameTooLarge" in examine(Record(paths[0]), **limit).error


@pytest.mark.parametrize(
    "kind, options",
    [
        ("JPEG", {}),
        ("JPEG", {"progressive": True, "exif": b"Exif\0\0" + bytes(2000), "comment": b"\xff\xc0"}),
        ("PNG", {}),
        ("WEBP", {}),
        ("BMP", {}),
        ("TIFF", {}),
    ],
)
def test_sizes_of_images_are_read_from_their_headers(kind, options):
    assert image_size(image_bytes(31, 17, kind, **options)) == (31, 17)


@pytest.mark.parametrize("content", [b"\xff\xd8", b"\xff\xd8\xff\xda" + bytes(9), b"text"])
def test_headers_without_a_size(content):
    assert image_size(content) == (0, 0)


@pytest.fixture
def special_files(tmp_path, monkeypatch):
    """Paths of what is no ordinary file, by what it is called."""
    monkeypatch.chdir(tmp_path)  # the name of a socket must be short
    os.mkfifo("pipe.mp4")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket.mp4")
        yield {"a named pipe": "pipe.mp4", "a socket": "socket.mp4", "a device": "/dev/zero"}


def test_pipes_sockets_and_devices_are_named_and_not_waited_for(special_files):
    for kind, path in special_files.items():
        for read in (scan_video, lambda path: read_frames(path, [0])):
            with pytest.raises(UnreadableVideo, match=f"{kind}, not an ordinary file"):
                read(path)
        with open_frames(Record("x", frames=frame_files([path]))) as images:
            with pytest.raises(UnreadableVideo, match=f"{kind}, not an ordinary file: {path}"):
                images.read([0])


def test_a_name_that_no_file_can_have_is_unreadable():
    with pytest.raises(UnreadableVideo, match="not the name of a file"):
        scan_video("a\0b.mp4")
    with pytest.raises(UnreadableVideo, match="not the name of a file"):
        with open_frames(Record("a\0b.mp4")):
            pass


class TestDamage:
    """A video of 12 frames that refer to no other, of which some packets are zeros."""

    @pytest.fixture
    def damaged(self, tmp_path, numbered_frames):
        def make(positions):
            path = tmp_path / "v.mp4"
            write_video(path, numbered_frames(12), gop=1, codec="mpeg4")
            with av.open(str(path)) as container:
                places = [(p.pos, p.size) for p in container.demux(video=0) if p.size]
            content = bytearray(path.read_bytes())
            for place, size in (places[position] for position in positions):
                content[place : place + size] = bytes(size)
            path.write_bytes(content)
            return path

        return make

    def test_a_video_of_which_half_is_lost_is_read(self, damaged, frame_number):
        path = damaged(range(4, 10))
        frames = read_frames(path, [3, 6, 11])
        assert [frame_number(frame) for frame in frames] == [3, 3, 11]

    def test_a_video_of_which_more_is_lost_is_unreadable(self, damaged):
        path = damaged(range(4, 11))
        for wanted in ([6], [3, 6, 11], [1, 2, 11, 4]):
            with pytest.raises(UnreadableVideo, match="LostFrames: 7 of 12 are damaged or lost, "):
                read_frames(path, wanted)
        with open_video(path) as video, pytest.raises(UnreadableVideo, match="LostFrames: 7 of 12"):
            list(video.frames())

    def test_the_same_goes_for_a_file_that_is_sought_in(self, damaged):
        path = damaged(range(4, 11))
        with open_video(path, scan_video(path)) as video:
            with pytest.raises(UnreadableVideo, match="LostFrames"):
                video.read([9, 10])

    def test_frames_that_are_whole_need_no_others(self, damaged, frame_number):
        (frame,) = read_frames(damaged(range(4, 11)), [2])
        assert frame_number(frame) == 2
