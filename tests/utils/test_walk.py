"""Videos below folders: links, hidden files, and what is left out."""

import logging
import os

import pytest

from slowfast.utils.walk import walk_videos


@pytest.fixture
def found(write_files, tmp_path):
    """Function (names of files) -> paths of videos below tmp_path/set, relative to it."""

    def found(*names):
        write_files(dict.fromkeys(f"set/{name}" for name in names))
        return [os.path.relpath(path, tmp_path / "set") for path in walk_videos(tmp_path / "set")]

    return found


def test_videos_of_all_depths_in_alphabetical_order(found):
    assert found("b.MP4", "a/c/1.mkv", "a.gif", "x.txt") == ["a.gif", "a/c/1.mkv", "b.MP4"]


def test_links_to_folders_and_files_are_followed(found, tmp_path, write_files):
    write_files(dict.fromkeys(["disk2/session/1.mp4", "disk2/2.mp4"]))
    found("a/0.mp4")
    (tmp_path / "set/a/linked").symlink_to(tmp_path / "disk2/session", target_is_directory=True)
    (tmp_path / "set/b").symlink_to("../disk2")
    (tmp_path / "set/c.mp4").symlink_to("../disk2/2.mp4")
    assert found() == ["a/0.mp4", "a/linked/1.mp4", "b/2.mp4", "b/session/1.mp4", "c.mp4"]


@pytest.mark.parametrize("target", [".", "..", "../..", "loop"])
def test_links_that_lead_back_up_are_not(found, tmp_path, target, caplog):
    caplog.set_level(logging.INFO)
    found("a/0.mp4", "1.mp4")
    (tmp_path / "set/a/loop").symlink_to(target)
    assert found() == ["1.mp4", "a/0.mp4"]
    assert "links that lead back up" in caplog.text or target == "loop"


def test_two_folders_that_link_to_each_other_end(found, tmp_path):
    found("a/0.mp4", "b/1.mp4")
    (tmp_path / "set/a/to_b").symlink_to("../b")
    (tmp_path / "set/b/to_a").symlink_to("../a")
    assert found() == ["a/0.mp4", "a/to_b/1.mp4", "b/1.mp4", "b/to_a/0.mp4"]


def test_hidden_and_foreign_files_are_left_out_and_counted(found, caplog):
    caplog.set_level(logging.INFO)
    names = ["._0.mp4", ".cache/1.mp4", "__MACOSX/a/._0.mp4", "__MACOSX/a/0.mp4", "@eaDir/0.mp4"]
    assert found("0.mp4", *names) == ["0.mp4"]
    assert len(caplog.messages) == 1 and "4 hidden files and folders" in caplog.text


def test_files_with_other_suffixes_are_counted_once(found, caplog):
    caplog.set_level(logging.INFO)
    found("0.mp4", *(f"{name}/{number}.txt" for name in "ab" for number in range(6)))
    found()
    (line,) = caplog.messages
    assert "12 files with other suffixes" in line and "a/0.txt" in line


def test_nothing_is_said_where_nothing_is_left_out(found, caplog):
    caplog.set_level(logging.INFO)
    found("0.mp4")
    assert not caplog.messages


def test_a_hidden_folder_that_is_asked_for_is_searched(tmp_path, write_files):
    write_files({".data/0.mp4": None})
    assert walk_videos(tmp_path / ".data") == [str(tmp_path / ".data/0.mp4")]
