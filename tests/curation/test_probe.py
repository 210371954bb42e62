"""What decoding tells of good, damaged and unreadable files."""

import os
import tarfile
from fractions import Fraction

import av
import cv2
import pytest

from slowfast.curation.probe import examine, fingerprint
from slowfast.datasets.records import Record, frame_files
from slowfast.datasets.synthetic import write_video


@pytest.fixture(scope="module")
def video(tmp_path_factory, numbered_frames):
    """Function (suffix) -> path of a video of 60 frames at 30 fps, a keyframe every 8."""
    folder = tmp_path_factory.mktemp("facts")

    def make(suffix):
        path = folder / f"video{suffix}"
        if not path.exists():
            write_video(path, numbered_frames(60), gop=8)
        return path

    return make


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".avi"])
def test_a_good_video_has_no_error_and_no_damage(video, suffix):
    facts = examine(Record(str(video(suffix))))
    assert (facts.num_frames, facts.fps, facts.error, facts.damage) == (60, 30, "", "")


def test_member_of_a_tar_is_examined_like_a_file(video, tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        tar.add(video(".mp4"), "a.mp4")
    member = Record(f"{tmp_path}/a.tar/a.mp4")
    assert examine(member) == examine(Record(str(video(".mp4"))))
    assert fingerprint(member).startswith(f"{member.path}|1|")
    assert fingerprint(Record(f"{tmp_path}/a.tar/no.mp4")) is None


def test_metadata_that_is_not_utf8_is_no_damage(video, tmp_path):
    path = tmp_path / "odd.mkv"
    path.write_bytes(video(".mkv").read_bytes().replace(b"Lavf", b"\xe9\xe8\xff\xfe"))
    facts = examine(Record(str(path)))
    assert (facts.num_frames, facts.error, facts.damage) == (60, "", "")


@pytest.mark.parametrize("suffix", [".mkv", ".mov"])
def test_the_lost_end_of_a_file_is_damage(tmp_path, numbered_frames, suffix):
    # In a .mov the table of contents comes first here, or nothing could be read.
    options = {"movflags": "faststart"} if suffix == ".mov" else {}
    with av.open(str(tmp_path / f"whole{suffix}"), "w", options=options) as container:
        stream = container.add_stream("libx264", rate=30)
        stream.height, stream.width = 48, 64
        for frame in numbered_frames(60):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame)))
        container.mux(stream.encode(None))
    content = (tmp_path / f"whole{suffix}").read_bytes()
    path = tmp_path / f"cut{suffix}"
    path.write_bytes(content[: len(content) * 8 // 10])
    facts = examine(Record(str(path)))
    assert 0 < facts.num_frames < 60 and "of 2.0 s" in facts.damage


def test_an_edit_list_that_shifts_the_start_is_no_damage(tmp_path, numbered_frames):
    path, rate = tmp_path / "edit.mp4", Fraction(1, 1000)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=2)
        stream.height, stream.width, stream.codec_context.time_base = 48, 64, rate
        for number, picture in enumerate(numbered_frames(10)):
            frame = av.VideoFrame.from_ndarray(picture)
            frame.pts, frame.time_base = 500 * number - 1250, rate
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    facts = examine(Record(str(path)))
    assert (facts.num_frames, facts.error, facts.damage) == (7, "", "")


def test_broken_packets_are_damage(video, tmp_path):
    content = bytearray(video(".mp4").read_bytes())
    start = content.index(b"mdat") + 4
    middle = start + (content.index(b"moov") - start) // 2
    content[middle : middle + 200] = bytes(200)
    path = tmp_path / "broken.mp4"
    path.write_bytes(content)
    facts = examine(Record(str(path)))
    assert facts.num_frames == 60 and "of 60 frames" in facts.damage and not facts.error


@pytest.mark.parametrize("content", [b"", b"x", b"text, not a video\n" * 200])
def test_what_is_no_video_is_an_error(tmp_path, content):
    path = tmp_path / "bad.mp4"
    path.write_bytes(content)
    facts = examine(Record(str(path)))
    assert facts.num_frames == 0 and facts.error.startswith("InvalidDataError")


def test_a_folder_and_a_pipe_in_place_of_a_file_are_errors(tmp_path):
    os.mkfifo(tmp_path / "pipe.mp4")
    assert examine(Record(str(tmp_path))).error == "IsADirectoryError: Is a directory"
    pipe = examine(Record(str(tmp_path / "pipe.mp4")))
    assert pipe.error == "OSError: a named pipe, not an ordinary file"


@pytest.fixture
def images(tmp_path, numbered_frames):
    """A record of 6 JPEG files."""
    paths = [str(tmp_path / f"{number:05d}.jpg") for number in range(1, 7)]
    for path, frame in zip(paths, numbered_frames(6), strict=True):
        cv2.imwrite(path, frame)
    return Record(str(tmp_path), frames=frame_files(paths))


def test_missing_and_empty_image_files_are_damage(images):
    assert examine(images).damage == ""
    os.remove(images.frames.path(1))
    with open(images.frames.path(3), "wb"):
        pass
    damage = "1 of 6 image files are missing; 1 of 6 frames are damaged or lost"
    assert examine(images).damage == damage


def test_a_fingerprint_changes_with_the_files_alone(images):
    before = fingerprint(images)
    os.utime(images.path)
    assert fingerprint(images) == before
    os.utime(images.frames.path(5), (1, 1))
    same = fingerprint(images)
    os.remove(images.frames.path(5))
    assert fingerprint(images) not in (before, same)
    for number in range(5):
        os.remove(images.frames.path(number))
    assert fingerprint(images) is None
