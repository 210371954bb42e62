"""Windows of a long video: which there are, what is in them, how little is kept."""

import numpy as np
import pytest

from slowfast.datasets.decoding.video import open_video
from slowfast.datasets.synthetic import write_video
from slowfast.streams.source import TimedFrame, is_stream, open_source
from slowfast.streams.windows import HeldFrames, WindowPlan, cut_windows

FPS = 10


def frames(count, fps=FPS, first=0):
    return [TimedFrame(n / fps, np.full((2, 2, 3), n % 256, np.uint8)) for n in range(first, count)]


def spans(windows):
    return [(round(w.start, 3), round(w.end, 3), len(w.frames)) for w in windows]


def test_windows_lie_on_a_grid_and_the_last_one_ends_with_the_video():
    assert spans(cut_windows(frames(35), WindowPlan(2, 1))) == [
        (0, 2, 20),
        (1, 3, 20),
        (1.5, 3.5, 20),
    ]


def test_a_short_video_is_one_window():
    assert spans(cut_windows(frames(5), WindowPlan(2, 1))) == [(0, 0.5, 5)]


def test_no_window_repeats_the_end():
    assert spans(cut_windows(frames(30), WindowPlan(2, 1))) == [(0, 2, 20), (1, 3, 20)]


def test_windows_may_lie_apart():
    assert spans(cut_windows(frames(30), WindowPlan(0.5, 1))) == [
        (0, 0.5, 5),
        (1, 1.5, 5),
        (2, 2.5, 5),
        (2.5, 3, 5),
    ]


def test_a_gap_of_years_has_no_windows():
    late = [TimedFrame(1e8 + f.time, f.picture) for f in frames(25)]
    found = list(cut_windows([*frames(10), *late], WindowPlan(1, 1)))
    assert [len(w.frames) for w in found][0] == 10 and len(found) <= 4
    assert all(w.frames for w in found)


def test_an_empty_video_has_no_windows():
    assert list(cut_windows([], WindowPlan(1, 1))) == []


def test_frames_of_two_windows_are_alive_at_most():
    alive = []

    class Counted(TimedFrame):
        def __init__(self, time):
            super().__init__(time, np.zeros(0))
            alive.append(1)

        def __del__(self):
            alive.pop()

    most = 0
    for window in cut_windows((Counted(n / FPS) for n in range(400)), WindowPlan(1, 1)):
        most = max(most, len(alive))
        del window
    assert most <= 22


@pytest.mark.parametrize("window", [(0, 1), (1, -1), (float("nan"), 1), (1, float("inf"))])
def test_lengths_are_checked(window):
    with pytest.raises(ValueError, match="seconds above 0"):
        WindowPlan(*window)


def test_a_window_reads_as_the_file_does(tmp_path, numbered_frames):
    path = tmp_path / "a.mp4"
    write_video(path, numbered_frames(20))
    with open_source(str(path)) as source:
        held = HeldFrames(list(source.frames()), source.fps)
    with open_video(path) as video:
        assert held.index.num_frames == video.index.num_frames
        assert held.index.fps == pytest.approx(video.index.fps)
        for size in ({"short_side": 32}, {"size": (30, 40)}, {}):
            np.testing.assert_array_equal(
                held.read([3, 19, 3], **size), video.read([3, 19, 3], **size)
            )


def test_times_that_jump_back_go_on(tmp_path, numbered_frames):
    path = tmp_path / "a.mp4"
    write_video(path, numbered_frames(6))
    with open_source(str(path)) as source:
        frames = list(source.frames())
        again = [source._seconds(frame.picture) for frame in frames]
    times = [frame.time for frame in frames] + again
    np.testing.assert_allclose(np.diff(times), 1 / 30, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "answer"),
    [("rtsp://a/b", True), ("-", True), ("0", True), ("a.mp4", False), ("/x/0", False)],
)
def test_streams_are_told_from_files(name, answer, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert is_stream(name) == answer


def test_a_file_may_be_called_0(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "0").write_text("")
    assert not is_stream("0")


def test_an_address_is_shown_as_it_was_given():
    with pytest.raises(ValueError, match="rtsp://127.0.0.1:9/camera: this stream cannot be opened"):
        open_source("rtsp://127.0.0.1:9/camera")
