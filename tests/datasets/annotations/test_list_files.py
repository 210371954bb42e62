import json
import logging
import os
from functools import partial

import pytest

from slowfast.curation.kinetics_lists import read_official_csv
from slowfast.datasets.annotations.charades import read_actions
from slowfast.datasets.annotations.list_files import (
    FileFacts,
    check_files_exist,
    collect_by_id,
    find_file,
    find_missing,
    look_for_files,
    numbers_by_name,
    read_lines,
    report_missing,
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


@pytest.fixture
def listed(tmp_path):
    """12 video files below tmp_path, 9 of them in one folder, and their records."""
    names = [*(f"many/{n}.mp4" for n in range(9)), *(f"{n}.mp4" for n in range(3))]
    paths = [tmp_path / name for name in names]
    (tmp_path / "many").mkdir()
    for path in paths:
        path.touch()
    return [Record(str(path), 0) for path in paths]


def test_all_files_are_looked_for(listed, tmp_path):
    assert find_missing(listed) == {}
    (tmp_path / "many/3.mp4").unlink()
    (tmp_path / "1.mp4").unlink()
    found = find_missing(listed)
    assert set(found) == {str(tmp_path / "many/3.mp4"), str(tmp_path / "1.mp4")}
    assert set(found.values()) == {"FileNotFoundError: No such file or directory"}


@pytest.mark.parametrize("name", ["many/3.mp4", "1.mp4"])
def test_kind_of_a_file_is_looked_at(name, listed, tmp_path):
    (tmp_path / name).unlink()
    os.mkfifo(tmp_path / name)
    assert find_missing(listed) == {
        str(tmp_path / name): "OSError: a named pipe, not an ordinary file"
    }
    (tmp_path / name).unlink()
    (tmp_path / name).mkdir()
    assert find_missing(listed) == {str(tmp_path / name): "IsADirectoryError: Is a directory"}
    (tmp_path / name).rmdir()
    (tmp_path / name).symlink_to(tmp_path / name)
    assert "OSError" in find_missing(listed)[str(tmp_path / name)]


def test_links_and_other_spellings_of_a_folder_are_followed(listed, tmp_path, monkeypatch):
    (tmp_path / "link").symlink_to(tmp_path / "many")
    monkeypatch.chdir(tmp_path)
    records = [Record(f"link/{n}.mp4", 0) for n in range(9)] + [Record("1.mp4", 0)]
    assert find_missing(records) == {}


def test_folders_of_images_and_of_flow(tmp_path):
    (tmp_path / "flow/a").mkdir(parents=True)
    (tmp_path / "1.jpg").touch()
    frames = frame_files([str(tmp_path / "1.jpg")])
    records = [
        Record(str(tmp_path), 0, frames=frames),
        Record(str(tmp_path / "none"), 0, frames=frame_files([])),
        Record(str(tmp_path / "flow/a.mp4"), 0, is_flow=True),
        Record(str(tmp_path / "flow/b.mp4"), 0, is_flow=True),
    ]
    found = dict(look_for_files(records, tmp_path))
    assert set(found) == {str(tmp_path / "none"), str(tmp_path / "flow/b.mp4")}


def test_share_of_missing_videos_is_limited(caplog):
    found = [(f"/v/{n}.mp4", "FileNotFoundError: no") for n in range(30)]
    report_missing(found, 200, "train", max_share=0.2)
    assert "30 of 200 videos of the train split are not there (15.0 %)" in caplog.text
    assert "/v/4.mp4" in caplog.text and "/v/5.mp4" not in caplog.text
    with pytest.raises(ValueError, match="DATA.MAX_UNREADABLE_SHARE: 30 of 100 .* 0.2 .*\n.*/v/0"):
        report_missing(found, 100, "train", max_share=0.2)


@pytest.fixture
def old_listed(listed, tmp_path):
    """The same records; their folders have not changed for long."""
    for folder in (tmp_path, tmp_path / "many"):
        os.utime(folder, (1, 1))
    return listed


def test_unchanged_folders_are_not_listed_again(old_listed, tmp_path, monkeypatch):
    path = tmp_path / "facts.json"
    facts = FileFacts(path)
    find_missing(old_listed, facts)
    facts.save()
    with monkeypatch.context() as patch:
        patch.setattr("os.scandir", None)
        assert find_missing(old_listed, FileFacts(path)) == {}
    (tmp_path / "many/3.mp4").unlink()
    assert len(find_missing(old_listed, FileFacts(path))) == 1


def test_missing_files_are_looked_for_again(old_listed, tmp_path):
    (tmp_path / "many/3.mp4").rename(tmp_path / "aside.mp4")
    os.utime(tmp_path / "many", (1, 1))
    facts = FileFacts(tmp_path / "facts.json")
    assert len(find_missing(old_listed, facts)) == 1
    facts.save()
    (tmp_path / "aside.mp4").rename(tmp_path / "many/3.mp4")
    os.utime(tmp_path / "many", (1, 1))
    assert find_missing(old_listed, FileFacts(tmp_path / "facts.json")) == {}


def test_folder_that_has_just_changed_is_not_trusted(listed, tmp_path):
    facts = FileFacts(tmp_path / "facts.json")
    find_missing(listed, facts)
    facts.save()
    assert json.loads((tmp_path / "facts.json").read_text()) == {}


@pytest.mark.parametrize("content", ["", "[1, 2]", "\0", '{"a": "b"}'])
def test_broken_cache_is_no_cache(content, old_listed, tmp_path):
    (tmp_path / "facts.json").write_text(content)
    assert find_missing(old_listed, FileFacts(tmp_path / "facts.json")) == {}


def test_cache_that_cannot_be_written_is_none(tmp_path):
    (tmp_path / "file").touch()
    FileFacts(tmp_path / "file/facts.json").save()


def test_quick_look_leaves_no_file(listed, tmp_path):
    assert look_for_files(listed, tmp_path / "run") == []
    assert not (tmp_path / "run").exists()


def test_list_that_is_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "train.csv")
    with pytest.raises(OSError, match="a named pipe"):
        next(read_lines(tmp_path / "train.csv"))


@pytest.mark.parametrize(
    "read", [read_lines, read_official_csv, partial(read_actions, num_classes=2)]
)
def test_utf16_is_named_by_every_reader(read, tmp_path):
    (tmp_path / "list.csv").write_bytes("id,actions\na,c000 0 1\n".encode("utf-16"))
    with pytest.raises(ValueError, match="list.csv:1: the text is UTF-16"):
        list(read(tmp_path / "list.csv") or ())
