import numpy as np
import pytest
from PIL import Image

from slowfast.datasets.decoding import open as open_module
from slowfast.datasets.decoding.images import ImageReader
from slowfast.datasets.decoding.index_file import load_index, write_index
from slowfast.datasets.decoding.open import open_frames
from slowfast.datasets.decoding.packets import SeekedPackets
from slowfast.datasets.decoding.video import UnreadableVideo
from slowfast.datasets.records import Record, frame_files
from slowfast.datasets.synthetic import write_video
from tests.helpers.videos import read_frames


def is_sought(video):
    return isinstance(video._packets, SeekedPackets)


def test_a_short_file_is_held_in_memory(video_dir):
    with open_frames(Record(str(video_dir / "video0.mp4"))) as video:
        assert not is_sought(video)


def test_a_long_file_is_scanned_once_and_sought_in(video_dir, monkeypatch):
    path = str(video_dir / "video1.mp4")
    monkeypatch.setattr(open_module, "_LONG_FILE", 0)
    scanned, scan = [], open_module.scan_video
    monkeypatch.setattr(
        open_module, "scan_video", lambda path, **_: scanned.append(path) or scan(path)
    )
    for _ in range(2):
        with open_frames(Record(path)) as video:
            assert is_sought(video)
            np.testing.assert_array_equal(video.read([17, 4]), read_frames(path, [17, 4]))
    assert scanned == [path]


def test_a_video_of_the_index_file_is_sought_in(video_dir, tmp_path, monkeypatch):
    path = str(video_dir / "video2.mp4")
    write_index(tmp_path / "index", [path])
    with open_frames(Record(path), load_index(tmp_path / "index")) as video:
        assert is_sought(video)
        np.testing.assert_array_equal(video.read([0, 19]), read_frames(path, [0, 19]))


def test_a_long_file_that_cannot_be_sought_in_is_held_in_memory(
    tmp_path, monkeypatch, numbered_frames, frame_number
):
    monkeypatch.setattr(open_module, "_LONG_FILE", 0)
    write_video(tmp_path / "v.avi", numbered_frames(12), codec="mpeg4")
    with open_frames(Record(str(tmp_path / "v.avi"))) as video:
        assert not is_sought(video)
        assert [frame_number(frame) for frame in video.read([3, 11])] == [3, 11]


def test_records_with_frames_are_image_files(tmp_path):
    paths = [str(tmp_path / f"{number}.jpg") for number in (1, 2)]
    for path in paths:
        Image.new("RGB", (32, 24)).save(path)
    with open_frames(Record(str(tmp_path), frames=frame_files(paths))) as video:
        assert isinstance(video, ImageReader) and video.read([1, 0]).shape == (2, 24, 32, 3)


@pytest.mark.parametrize("limit", [0, 1 << 20])
def test_unreadable_videos_give_the_reason(limit, tmp_path, monkeypatch):
    monkeypatch.setattr(open_module, "_LONG_FILE", limit)
    (tmp_path / "text.mp4").write_text("no video")
    for name, reason in (("text.mp4", "InvalidDataError: "), ("none.mp4", "FileNotFoundError: ")):
        with (
            pytest.raises(UnreadableVideo, match=reason),
            open_frames(Record(str(tmp_path / name))),
        ):
            pass


def test_a_record_without_files_gives_the_reason(tmp_path):
    with pytest.raises(UnreadableVideo, match="NoFrames: "):
        open_frames(Record(str(tmp_path), frames=frame_files([])))
