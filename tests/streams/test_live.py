"""A live stream: the newest window is scored, what is too late is dropped, little is kept."""

import itertools
import threading
import time

import numpy as np
import pytest

from slowfast.streams.live import LiveReader, watch
from slowfast.streams.source import TimedFrame
from slowfast.streams.windows import WindowPlan

FPS = 100.0


class Camera:
    """Frames at their times, for so many seconds."""

    name, fps, num_skipped = "camera", FPS, 0

    def __init__(self, seconds, error=None):
        self.count, self.error = int(seconds * FPS), error

    def frames(self, is_late):
        began = time.monotonic()
        for number in range(self.count):
            time.sleep(max(0.0, began + number / FPS - time.monotonic()))
            if is_late(number / FPS):
                self.num_skipped += 1
                continue
            picture = np.full((2, 2, 3), number, np.uint8)
            yield TimedFrame(number / FPS, picture, time.monotonic())
        if self.error:
            raise self.error


def newest(videos):
    """The number in the last frame of each video, as its score."""
    return np.array([[video.read([video.index.num_frames - 1])[0, 0, 0, 0]] for video in videos])


def start(camera, seconds=0.1):
    reader = LiveReader(camera, seconds)
    reader.start()
    return reader


def test_a_quick_machine_scores_every_window_and_drops_nothing():
    found = list(watch(start(Camera(0.5)), WindowPlan(0.1, 0.1), newest))
    assert len(found) >= 3
    assert found[0].end == pytest.approx(0.1, abs=0.05)
    assert all(f.end - f.start == pytest.approx(0.1, abs=0.015) for f in found)
    assert all(0 <= f.delay < 0.5 for f in found)
    assert np.median([f.rate for f in found]) == pytest.approx(FPS, rel=0.3)


def test_a_slow_machine_scores_the_newest_frames_and_says_what_it_dropped():
    def slowly(videos):
        time.sleep(0.25)
        return newest(videos)

    found = list(watch(start(Camera(1.0)), WindowPlan(0.1, 0.02), slowly))
    assert 2 <= len(found) <= 5
    steps = np.diff([f.end for f in found])
    # On the mean: a thread that is late once makes one step longer and the next one shorter.
    assert steps[:-1].mean() > 0.2 and found[-1].num_dropped > 10
    for f in found:  # the score of a frame is its number
        assert f.scores[0] / FPS == pytest.approx(f.end - 1 / FPS, abs=1e-6)
        assert f.delay < 0.6


def test_no_more_than_a_window_is_kept():
    reader = start(Camera(0.5))
    reader.join()
    assert len(reader.wait(0)) <= 11 and reader.num_read == 50


def test_late_packets_are_dropped():
    reader = LiveReader(Camera(0), 1.0, most_delay=0.01)
    assert not reader._is_late(0.0)
    time.sleep(0.03)
    assert reader._is_late(0.0) and reader.lag == pytest.approx(0.03, abs=0.02)
    assert not reader._is_late(10.0)


def test_the_end_and_a_request_end_the_watching():
    assert list(watch(start(Camera(0.05)), WindowPlan(1, 1), newest)) == []
    asked = itertools.chain([False] * 3, itertools.repeat(True))
    reader = start(Camera(30), 0.02)
    list(watch(reader, WindowPlan(0.02, 0.02), newest, is_stopped=lambda: next(asked)))
    reader.join(timeout=5)
    assert not reader.is_alive() and threading.active_count() < 50


def test_an_error_of_the_stream_is_told():
    with pytest.raises(ValueError, match="camera: broken"):
        list(watch(start(Camera(0, ValueError("broken"))), WindowPlan(1, 1), newest))
