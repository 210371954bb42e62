"""Parts of a video in seconds, read as videos of their own."""

import numpy as np
import pytest
from PIL import Image

from slowfast.datasets.decoding import open as opening
from slowfast.datasets.decoding.index_file import load_index, write_index
from slowfast.datasets.decoding.open import open_frames
from slowfast.datasets.decoding.packets import VideoIndex
from slowfast.datasets.decoding.part import frames_within
from slowfast.datasets.decoding.video import UnreadableVideo
from slowfast.datasets.records import FrameFiles, Record
from slowfast.datasets.synthetic import write_video

# 100 frames at 25 fps, 4 seconds: with times of 1/1000 s from 0.5 on, and without times.
TIMED = VideoIndex(100, 25.0, pts=[500 + 40 * n for n in range(100)], time_base=1 / 1000)
UNTIMED = VideoIndex(100, 25.0)


@pytest.mark.parametrize("index", [TIMED, UNTIMED], ids=["timed", "untimed"])
@pytest.mark.parametrize(
    ("part", "frames"),
    [
        ((0.0, 4.0), range(0, 100)),
        ((1.0, 2.0), range(25, 50)),
        ((2.0, 3.0), range(50, 75)),
        ((1.01, 2.01), range(26, 51)),
        ((1.04, 1.08), range(26, 27)),
        ((1.01, 1.02), range(25, 26)),
        ((0.0, 0.01), range(0, 1)),
        ((3.0, 4.9), range(75, 100)),
    ],
)
def test_frames_of_a_part(index, part, frames):
    assert frames_within(index, part) == frames


@pytest.mark.parametrize("part", [(4.0, 5.0), (10.0, 12.0), (3.9, 8.0)])
def test_part_outside_of_the_file_is_unreadable(part):
    with pytest.raises(UnreadableVideo, match="NoSuchPart: .* of 4.00 s"):
        frames_within(TIMED, part)


def test_images_without_a_rate_have_no_parts():
    with pytest.raises(UnreadableVideo, match="DATA.FRAMES_FPS"):
        frames_within(VideoIndex(100, None), (0.0, 1.0))


@pytest.fixture(scope="module")
def video(tmp_path_factory, numbered_frames):
    """90 numbered frames at 30 fps, a keyframe every 8 frames."""
    path = tmp_path_factory.mktemp("parts") / "long.mp4"
    write_video(path, numbered_frames(90), gop=8)
    return str(path)


def test_numbers_count_from_the_start_of_the_part(video, frame_number):
    with open_frames(Record(video, part=(1.0, 2.0))) as part:
        assert (part.index.num_frames, part.index.fps) == (30, 30.0)
        frames = part.read([0, 7, 29, 0], short_side=48)
        every = list(part.frames())
        assert part.read([1], size=(20, 24)).shape == (1, 20, 24, 3)
    assert [frame_number(frame) for frame in frames] == [30, 37, 59, 30]
    assert [frame_number(frame) for frame in every] == list(range(30, 60))
    assert part.num_broken == 0


def test_index_file_spares_the_scan_of_a_long_video(video, frame_number, tmp_path, monkeypatch):
    write_index(tmp_path / "index.npz", [video])
    index = load_index(tmp_path / "index.npz")
    monkeypatch.setattr(opening, "_LONG_FILE_OF_PARTS", 0)
    monkeypatch.setattr(opening, "scan_video", None)
    with open_frames(Record(video, part=(1.0, 2.0)), index) as part:
        assert frame_number(part.read([3])[0]) == 33


def test_part_of_a_folder_of_images(tmp_path, numbered_frames, frame_number):
    for number, frame in enumerate(numbered_frames(20)):
        Image.fromarray(np.asarray(frame)).save(tmp_path / f"{number:03d}.png")
    files = FrameFiles(f"{tmp_path}/{{:03d}}.png", 0, 20, fps=10.0)
    with open_frames(Record(str(tmp_path), frames=files, part=(0.5, 1.5))) as part:
        assert part.index.num_frames == 10
        assert [frame_number(frame) for frame in part.read([0, 9])] == [5, 14]


def test_two_parts_of_a_file_have_two_names():
    names = [Record("v.mp4", 0, part=part).name for part in ((2.0, 4.25), (4.25, 1e5))]
    assert names == ["v.mp4 [2, 4.25]", "v.mp4 [4.25, 100000]"]
    assert Record("v.mp4", 0).name == "v.mp4"
