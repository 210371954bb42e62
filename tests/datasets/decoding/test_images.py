import os
import sys

import numpy as np
import pytest
from PIL import Image

from slowfast.datasets.decoding.images import ImageReader, import_opencv, load_rgb
from slowfast.datasets.decoding.video import UnreadableVideo
from slowfast.datasets.records import FrameFiles, frame_files


@pytest.fixture
def folder(tmp_path, numbered_frames):
    """Files 00001.png to 00008.png that carry the numbers 0 to 7."""
    for number, picture in enumerate(numbered_frames(8), start=1):
        Image.fromarray(picture).save(tmp_path / f"{number:05d}.png")
    return tmp_path


def open_folder(folder, count=8, suffix="png", load=load_rgb):
    return ImageReader(FrameFiles(str(folder / f"{{:05d}}.{suffix}"), 1, count), load=load)


@pytest.fixture
def read_numbers(frame_number):
    return lambda video, indices: [frame_number(frame) for frame in video.read(indices)]


def soft_picture(height, width):
    """What a photograph is like: no pixel differs much from the next, and red is not blue."""
    y, x = np.mgrid[:height, :width]
    waves = [np.sin(y / 9) + np.cos(x / 7), np.sin(x / 11), np.cos((x + y) / 13)]
    return (127 + 60 * np.stack(waves, -1)).astype(np.uint8)


@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_pixels_are_those_of_pillow(suffix, tmp_path):
    Image.fromarray(soft_picture(50, 70)).save(tmp_path / f"00001.{suffix}")
    expected = np.asarray(Image.open(tmp_path / f"00001.{suffix}"))
    frames = open_folder(tmp_path, 1, suffix).read([0])
    np.testing.assert_array_equal(frames, expected[None])


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "1"])
def test_other_kinds_of_pixels_become_rgb(mode, tmp_path):
    Image.fromarray(soft_picture(20, 30)).convert("L").convert(mode).save(tmp_path / "00001.png")
    (frame,) = open_folder(tmp_path, 1).read([0])
    assert frame.shape == (20, 30, 3) and frame.dtype == np.uint8
    np.testing.assert_array_equal(frame[..., 0], frame[..., 2])


def test_marked_orientation_is_ignored(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(soft_picture(20, 30)).save(tmp_path / "00001.jpg", exif=exif)
    assert open_folder(tmp_path, 1, "jpg").read([0]).shape == (1, 20, 30, 3)


def test_numbers_keep_their_order_and_each_file_is_read_once(folder, read_numbers):
    loaded = []
    video = open_folder(folder, load=lambda path: loaded.append(path) or load_rgb(path))
    assert read_numbers(video, [5, 2, 5, 0, 2]) == [5, 2, 5, 0, 2]
    assert len(loaded) == 3


def test_index_counts_the_files(folder):
    index = ImageReader(FrameFiles(str(folder / "{:05d}.png"), 1, 8, fps=12.0), load=load_rgb).index
    assert (index.num_frames, index.fps) == (8, 12.0)
    assert open_folder(folder).index.fps is None


def test_short_side_refers_to_the_frame(folder, frame_number):
    frames = open_folder(folder).read([3, 1], short_side=24)
    assert frames.shape == (2, 24, 32, 3)
    assert [frame_number(frame) for frame in frames] == [3, 1]


@pytest.mark.parametrize("height, width", [(30, 42), (80, 112), (200, 280)])
def test_scaled_images_look_like_scaled_video_frames(height, width, tmp_path):
    import av

    picture = soft_picture(100, 140)
    Image.fromarray(picture).save(tmp_path / "00001.png")
    (frame,) = open_folder(tmp_path, 1).read([0], short_side=height)
    expected = av.VideoFrame.from_ndarray(picture, format="rgb24")
    expected = expected.reformat(width, height).to_ndarray(format="rgb24")
    assert np.abs(frame.astype(int) - expected).mean() < 2


def test_shrinking_averages(tmp_path):
    chequered = np.indices((64, 64)).sum(0) % 2 * 255
    Image.fromarray(chequered.astype(np.uint8)).save(tmp_path / "00001.png")
    frames = open_folder(tmp_path, 1).read([0], short_side=16)
    assert 126 <= frames.min() and frames.max() <= 129


def test_the_first_image_fixes_the_size_of_all(folder):
    Image.new("RGB", (100, 20)).save(folder / "00004.png")
    assert open_folder(folder).read([2, 3]).shape == (2, 48, 64, 3)


def cut_short(path):
    path.write_bytes(path.read_bytes()[:-30])


BROKEN = {
    "missing": (lambda path: path.unlink(), "FileNotFoundError: No such file or directory: "),
    "empty": (lambda path: path.write_bytes(b""), "InvalidImage: the file is empty: "),
    "text": (lambda path: path.write_text("404 not found"), "InvalidImage: not an image"),
    "cut short": (cut_short, "InvalidImage: not an image, or cut short: "),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_lost_frame_is_replaced_by_the_one_before(name, folder, read_numbers):
    for number in (4, 5):
        BROKEN[name][0](folder / f"{number:05d}.png")
    video = open_folder(folder)
    assert read_numbers(video, [2, 3, 4, 5]) == [2, 2, 2, 5]
    assert video.num_broken == 2


def test_a_lost_frame_does_not_depend_on_what_is_read_with_it(folder, read_numbers):
    (folder / "00004.png").unlink()
    assert read_numbers(open_folder(folder), [0, 3]) == [0, 2]


def test_lost_frames_at_the_beginning_are_replaced_by_the_first_that_is_there(folder, read_numbers):
    for number in (1, 2, 3):
        (folder / f"{number:05d}.png").write_bytes(b"")
    assert read_numbers(open_folder(folder), [0, 1, 6, 7]) == [3, 3, 6, 7]


def test_a_clip_most_of_whose_frames_are_lost_is_unreadable(folder):
    for number in (1, 2, 3):
        (folder / f"{number:05d}.png").unlink()
    reason = f"MissingFrames: 3 of 5 frames are .* example FileNotFoundError.*{folder}/00001.png"
    with pytest.raises(UnreadableVideo, match=reason):
        open_folder(folder).read(range(5))


def test_a_missing_folder_is_looked_for_once(folder):
    loaded = []
    video = ImageReader(
        FrameFiles(str(folder / "none" / "{:05d}.png"), 1, 8),
        load=lambda path: loaded.append(path) or load_rgb(path),
    )
    for read in (lambda: video.read(range(8)), lambda: list(video.frames())):
        with pytest.raises(
            UnreadableVideo, match=f"FileNotFoundError: no such folder.*{folder}/none"
        ):
            read()
    assert len(loaded) == 2


def test_all_frames_one_after_another(folder, frame_number):
    for number in (1, 4, 5):
        (folder / f"{number:05d}.png").unlink()
    loaded = []
    video = open_folder(folder, load=lambda path: loaded.append(path) or load_rgb(path))
    frames = list(video.frames((24, 32)))
    assert {frame.shape for frame in frames} == {(24, 32, 3)}
    assert [frame_number(frame) for frame in frames] == [1, 1, 2, 2, 2, 5, 6, 7]
    assert len(loaded) == 8 and video.num_broken == 3


@pytest.mark.parametrize("name", BROKEN)
def test_no_readable_image_gives_the_reason_and_the_file(name, folder):
    for path in folder.iterdir():
        BROKEN[name][0](path)
    reason = f"{BROKEN[name][1]}.*{folder}/0000"
    with pytest.raises(UnreadableVideo, match=f"MissingFrames: 2 of 2 .*{reason}3.png"):
        open_folder(folder).read([2, 5])
    with pytest.raises(UnreadableVideo, match=f"^{reason}1.png"):
        list(open_folder(folder).frames())


def test_a_truncated_jpeg_is_lost_too(tmp_path):
    for number in (1, 2):
        Image.fromarray(soft_picture(50, 70) // number).save(tmp_path / f"{number:05d}.jpg")
    cut_short(tmp_path / "00002.jpg")
    first, second = open_folder(tmp_path, 2, "jpg").read([0, 1])
    np.testing.assert_array_equal(first, second)


def test_no_files_at_all(tmp_path):
    with pytest.raises(UnreadableVideo, match="NoFrames: the video is not in the frame list"):
        ImageReader(frame_files([]), load=load_rgb)


def test_no_file_stays_open(folder):
    before = len(os.listdir("/proc/self/fd"))
    open_folder(folder).read(range(8))
    assert len(os.listdir("/proc/self/fd")) == before


def test_missing_opencv_is_one_sentence(monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(ValueError, match="pip install opencv-contrib-python-headless"):
        import_opencv.__wrapped__()
