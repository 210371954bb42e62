import logging

import numpy as np
import pytest

from slowfast.datasets.records import KeyFrame, Record
from slowfast.runtime import unreadable
from slowfast.runtime.unreadable import UnreadableVideos


def test_each_video_is_named_once_and_written(tmp_path, caplog):
    videos = UnreadableVideos([Record("a.mp4"), Record("b.mp4"), Record("c.mp4")])
    assert videos.add([(1, "InvalidDataError: moov")]) == 1
    assert videos.add([(1, "InvalidDataError: moov")]) == 1
    videos.sync()
    assert videos.add([(1, "InvalidDataError: moov")]) == 0
    assert videos.write(tmp_path, "val") == [tmp_path / "unreadable_val.csv"]
    assert (tmp_path / "unreadable_val.csv").read_text().split() == [
        "path,reason",
        "b.mp4,InvalidDataError:",
        "moov",
    ]


def test_too_large_a_share_stops_and_names_them():
    videos = UnreadableVideos([Record("a.mp4"), Record("b.mp4")], max_share=0.4)
    videos.add([(0, "InvalidDataError: moov")])
    with pytest.raises(ValueError, match="(?s)MAX_UNREADABLE_SHARE: 1 of 2.*0.4.*a.mp4: Invalid"):
        videos.sync()


def test_nothing_unreadable_writes_no_file(tmp_path):
    assert UnreadableVideos([Record("a.mp4")]).write(tmp_path, "val") == []
    assert not list(tmp_path.iterdir())


def test_key_frames_are_named_and_a_video_is_told_of_once(monkeypatch):
    told = []
    monkeypatch.setattr(unreadable.logger, "log", lambda level, *words: told.append(level))
    boxes = np.zeros((1, 4), np.float32)
    keys = [KeyFrame(f"a,{second:04d}", 0.0, boxes, ((),)) for second in (902, 903)]
    videos = UnreadableVideos([Record("a.mp4", key=key) for key in keys])
    videos.add([(0, "NoFrames: a"), (1, "NoFrames: a")])
    videos.sync()
    assert list(videos.reasons) == ["a.mp4 (a,0902)", "a.mp4 (a,0903)"]
    assert told == [logging.WARNING, logging.DEBUG]  # debug goes to the file only


def test_a_damaged_video_is_named_once_and_counted_apart(caplog):
    boxes = np.zeros((1, 4), np.float32)
    keys = [KeyFrame(f"a,{second:04d}", 0.0, boxes, ((),)) for second in (902, 903)]
    videos = UnreadableVideos([Record("a", key=key) for key in keys], max_share=0)
    assert videos.add([], [(0, 3, 9), (1, 4, 9)]) == 0
    videos.sync()
    videos.add([], [(1, 4, 9)])
    videos.sync()
    assert (videos.damaged, videos.reasons) == ({"a": (3, 9)}, {})
    assert caplog.text.count("damaged video: a (3 of 9 ") == 1 == caplog.text.count("damaged")


def test_damaged_videos_are_written_with_what_they_lost(tmp_path):
    videos = UnreadableVideos([Record("a.mp4"), Record("b.mp4")])
    videos.add([], [(1, 3, 9)])
    videos.sync()
    assert videos.write(tmp_path, "val") == [tmp_path / "damaged_val.csv"]
    lines = (tmp_path / "damaged_val.csv").read_text().splitlines()
    assert lines == ["path,num_lost,num_frames", "b.mp4,3,9"]


def test_a_hundred_lines_are_enough_and_the_file_lists_all(tmp_path, caplog):
    videos = UnreadableVideos([Record(f"{number}.mp4") for number in range(150)])
    videos.add([(number, "NoFrames") for number in range(150)])
    videos.sync()
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == 101 and "only counted" in lines[-1]
    assert videos.counts()["num_unreadable"] == 150
    assert len(videos.write(tmp_path, "val")[0].read_text().splitlines()) == 151


def test_processes_need_not_join_before_the_share_may_be_too_large():
    videos = UnreadableVideos([Record(f"{number}.mp4") for number in range(10)], max_share=0.2)
    assert videos.may_exceed(3) and not videos.may_exceed(2)
    videos.add([(0, "NoFrames")])
    videos.sync()
    assert videos.may_exceed(2)
