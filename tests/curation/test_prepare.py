"""Times of the frames of a converted video."""

from array import array
from fractions import Fraction

import av
import pytest

from slowfast.curation.convert import (
    Job,
    PrepareSettings,
    convert,
    frame_times,
    resampled,
)
from slowfast.curation.prepare import name_targets, prepare_lists
from slowfast.datasets.decoding.packets import VideoIndex
from slowfast.datasets.decoding.video import open_video


def test_rounded_times_of_a_steady_rate_are_on_its_grid():
    milliseconds = array("q", [round(1000 * n * 1001 / 30000) + 7 for n in range(300)])
    index = VideoIndex(300, 29.97002997, milliseconds, time_base=0.001)
    assert frame_times(index)[1:] == (Fraction(30000, 1001), True)


def test_other_times_stay_as_they_are():
    index = VideoIndex(3, 25.0, array("q", [100, 140, 300]), time_base=0.001)
    assert frame_times(index) == (pytest.approx([0, 0.04, 0.2]), 25, False)


def test_without_times_the_frame_rate_counts():
    assert frame_times(VideoIndex(3, 12.5)) == ([0, 0.08, 0.16], Fraction(25, 2), True)


@pytest.mark.parametrize(
    ("times", "step", "fps", "copies"),
    [
        ([0, 0.5, 1, 1.5], 0.5, 1, [1, 0, 1, 0]),
        ([0, 0.5], 0.5, 4, [2, 2]),
        ([0, 0.1, 0.9], 0.1, 4, [1, 3, 0]),
        ([0], 0.01, 1, [1]),
    ],
)
def test_a_steady_rate_shows_the_frame_that_is_there(times, step, fps, copies):
    assert resampled(times, fps, step=step) == copies


@pytest.mark.parametrize(
    "wrong", [{"short_side": 1}, {"short_side": -4}, {"gop": 0}, {"fps": -1}, {"crf": -1}]
)
def test_wrong_settings_are_named(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        PrepareSettings(**wrong)


def test_a_varying_frame_rate_survives(tmp_path, numbered_frames, frame_number):
    source = tmp_path / "source.mkv"
    milliseconds = [n * 40 + (n > 6) * 500 + (n > 11) * 33 for n in range(16)]
    with av.open(str(source), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.height, stream.width = 48, 64
        stream.codec_context.time_base = Fraction(1, 1000)
        for time, picture in zip(milliseconds, numbered_frames(16), strict=True):
            frame = av.VideoFrame.from_ndarray(picture)
            frame.pts, frame.time_base = time, Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    (tmp_path / "unfinished").mkdir()
    folders = {"output": tmp_path / "out", "partial_folder": tmp_path / "unfinished"}
    made = convert(Job(str(source), "a/b.mp4"), **folders, settings=PrepareSettings(32))
    assert made.num_frames == 16 and not made.damage
    with open_video(str(tmp_path / "out" / "a" / "b.mp4")) as video:
        pictures = list(video.frames())
    assert [frame_number(picture) for picture in pictures] == list(range(16))
    with av.open(str(tmp_path / "out" / "a" / "b.mp4")) as container:
        times = [frame.time for frame in container.decode(video=0)]
    assert times == pytest.approx([time / 1000 for time in milliseconds], abs=1e-4)


@pytest.mark.parametrize(
    ("names", "as_images", "message"),
    [
        (["a b.mp4", "a_b.mp4"], True, "/v/a b.mp4 and /v/a_b.mp4: both would become a_b.mp4;"),
        (["x.mp4", "x.avi", "x.mp4.mkv"], False, "both would become x.mp4.mp4;"),
        (["x.mp4", "x/y.mp4"], True, "/v/x.mp4 and /v/x/y.mp4: would become x and x/y inside it;"),
    ],
)
def test_two_videos_that_would_become_one_are_named(names, as_images, message):
    with pytest.raises(ValueError, match=message):
        name_targets([f"/v/{name}" for name in names], "/v", as_images=as_images)


@pytest.mark.slow
def test_lists_keep_all_labels_and_parts(tmp_path, video_dir):
    lines = {
        "labels": "video0.mp4 0 3\n",
        "parts": "video1.mp4 0.0 0.25 1\nvideo1.mp4 0.25 0.5 2\n",
    }
    paths = [tmp_path / f"{name}.csv" for name in lines]
    for path, text in zip(paths, lines.values(), strict=True):
        path.write_text(text)
    settings, folder = PrepareSettings(24), tmp_path / "small"
    prepare_lists(paths, str(video_dir), folder, settings, separator=" ", workers=1)
    assert {name: (folder / f"{name}.csv").read_text() for name in lines} == lines
