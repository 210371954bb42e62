import logging

import pytest

from slowfast.datasets.annotations.list_files import (
    check_files_exist,
    collect_by_id,
    find_file,
    numbers_by_name,
)
from slowfast.datasets.records import Record, frame_files


def test_missing_file_names_the_key_and_what_is_there(write_files, tmp_path):
    write_files({"val.json": None, "train.csv": None})
    with pytest.raises(ValueError, match=r"DATA.KEY: .* holds no train.json .*\['val.json'\]"):
        find_file("DATA.KEY", str(tmp_path), "train.json")


def test_missing_file_among_many_others(write_files, tmp_path):
    write_files({f"{number}.jpg": None for number in range(12)})
    with pytest.raises(ValueError, match="'0.jpg'.* and 2 more"):
        find_file("DATA.KEY", str(tmp_path), "train.csv")


def test_missing_folder_names_the_key(tmp_path):
    with pytest.raises(ValueError, match="DATA.KEY: .*none' holds no train.csv"):
        find_file("DATA.KEY", str(tmp_path / "none"), "train.csv")


def test_video_that_is_listed_twice_counts_once(caplog, tmp_path):
    rows = [("l:1", "a", 0), ("l:2", "b", 1), ("l:3", "a", 0)]
    with caplog.at_level(logging.WARNING):
        assert collect_by_id(rows, tmp_path / "l") == {"a": 0, "b": 1}
    assert "1 videos are listed again" in caplog.text


def test_video_with_two_labels_is_refused(tmp_path):
    with pytest.raises(ValueError, match="l:2: video 'a' is listed before with another label"):
        collect_by_id([("l:1", "a", 0), ("l:2", "a", 1)], tmp_path)


def test_list_without_videos(tmp_path):
    with pytest.raises(ValueError, match="l: the list holds no videos"):
        collect_by_id([], tmp_path / "l")


def test_class_name_that_occurs_twice_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"occur twice: \['a'\]"):
        numbers_by_name(["a", "b", "a"], tmp_path)


def test_first_frame_is_looked_for(write_files, tmp_path):
    write_files({"v/2.jpg": None})
    frames = frame_files([str(tmp_path / "v/1.jpg"), str(tmp_path / "v/2.jpg")])
    with pytest.raises(ValueError, match="list: none of its videos exists, .*1.jpg.*PREFIX"):
        check_files_exist([Record(str(tmp_path / "v"), frames=frames)], "list")


def test_videos_without_frames_do_not_exist(tmp_path):
    with pytest.raises(ValueError, match=r"none of its videos exists, for example .*\*.jpg"):
        check_files_exist([Record(str(tmp_path), frames=frame_files([]))], "list")


def test_one_video_that_exists_is_enough(write_files, tmp_path):
    write_files({"a.mp4": None})
    check_files_exist([Record("/no.mp4"), Record(str(tmp_path / "a.mp4"))], "list")
