"""The published csv files of Kinetics become lists of the videos that are there."""

import csv
import logging

import pytest

from slowfast.curation.kinetics_lists import ListCounts, make_kinetics_lists
from slowfast.datasets.annotations.kinetics import ListRules, read_records

K400 = """label,youtube_id,time_start,time_end,split,is_cc
abseiling,0wR5jVB-WPk,417,427,train,0
"air drumming",--nQbRBEz2s,104.0,114.0,train,0
zumba,zzz,0,10,train,0
"""
K600_VAL = """label,youtube_id,time_start,time_end,split
air drumming,-val_1,5,15,val
"""
TEST = "youtube_id,time_start,time_end,split\nabc,0,10,test\n"
VIDEOS = {
    "videos/abseiling/0wR5jVB-WPk_000417_000427.mp4": None,
    "videos/air_drumming/--nQbRBEz2s.webm": None,
    "videos/-val_1_000005_000015.mp4": None,
}


@pytest.fixture
def make(write_files, tmp_path):
    """Function (other files, subset) -> counts; lists are in tmp_path/lists."""

    def make(files=(), subset=(), splits=("train", "val")):
        write_files({"train": K400, "val": K600_VAL, "test": TEST, **VIDEOS, **dict(files)})
        return make_kinetics_lists(
            {split: tmp_path / split for split in splits},
            tmp_path / "videos",
            tmp_path / "lists",
            subset=[tmp_path / name for name in subset],
        )

    return make


@pytest.fixture
def rows(tmp_path):
    """Function (split, classes) -> [(path below videos, label)] of the list that was made."""

    def rows(split, num_classes=3):
        path = tmp_path / f"lists/{split}.csv"
        records = read_records(path, ListRules(counts=(num_classes,)))
        return [(r.path.removeprefix(f"{tmp_path}/videos/"), r.label) for r in records]

    return rows


def test_lists_name_the_videos_that_are_there(make, rows):
    assert make() == {"train": ListCounts(2, 1), "val": ListCounts(1, 0)}
    train, drumming, val = (path.removeprefix("videos/") for path in VIDEOS)
    assert rows("train") == [(train, 0), (drumming, 1)]
    assert rows("val") == rows("test") == [(val, 1)]


def test_classes_are_the_sorted_labels_of_train(make, tmp_path):
    make()
    lines = (tmp_path / "lists/classes.txt").read_text().splitlines()
    assert lines == ["abseiling", "air drumming", "zumba"]


def test_missing_videos_are_written_down(make, tmp_path):
    make()
    with open(tmp_path / "lists/missing.csv", newline="") as file:
        (row,) = csv.DictReader(file)
    assert row == {
        "label": "zumba",
        "youtube_id": "zzz",
        "time_start": "0",
        "time_end": "10",
        "split": "train",
    }


def test_columns_are_found_by_name(make, rows):
    text = "split,time_end,time_start,youtube_id,label\r\nval,15,5,-val_1,air drumming"
    assert make({"val": text})["val"] == ListCounts(1, 0)


def test_test_csv_without_labels_is_left_out(make, rows, caplog):
    with caplog.at_level(logging.WARNING):
        make(splits=("train", "val", "test"))
    assert "has no labels" in caplog.text and rows("test") == rows("val")


def test_test_csv_with_labels_is_used(make, rows):
    make({"test": K400}, splits=("train", "val", "test"))
    assert len(rows("test")) == 2


def test_file_in_the_folder_of_the_class_comes_first(make, rows):
    name = "-val_1_000005_000015"
    make({f"videos/a/{name}.mp4": None, f"videos/air drumming/{name}.mkv": None})
    assert rows("val") == [("air drumming/-val_1_000005_000015.mkv", 1)]


def test_file_named_by_the_id_alone_is_not_taken_for_two_segments(make):
    text = K400 + "zumba,--nQbRBEz2s,0,10,train,0\n"
    assert make({"train": text})["train"] == ListCounts(1, 3)


def test_lists_in_the_folder_of_the_videos_have_relative_paths(write_files, tmp_path):
    write_files({"train": K400, "val": K600_VAL, **VIDEOS})
    files = {split: tmp_path / split for split in ("train", "val")}
    make_kinetics_lists(files, tmp_path / "videos", tmp_path / "videos")
    assert (tmp_path / "videos/val.csv").read_text() == "-val_1_000005_000015.mp4 1\n"


@pytest.mark.parametrize(
    "lines",
    [
        "--nQbRBEz2s\n-val_1\n",
        "air drumming\r\n",
        "some where/--nQbRBEz2s_000104_000114.mp4 12\n/x/-val_1.mp4 12\n",
        "x/--nQbRBEz2s.mp4,12\nx/-val_1.mp4,12",
    ],
    ids=["ids", "classes", "our lists", "our lists with commas"],
)
def test_subset_restricts_the_lists_and_the_classes(make, rows, tmp_path, lines):
    counts = make({"mini.txt": lines}, subset=["mini.txt"])
    assert counts == {"train": ListCounts(1, 0), "val": ListCounts(1, 0)}
    assert rows("train", 1)[0][1] == 0
    assert (tmp_path / "lists/classes.txt").read_text() == "air drumming\n"


def test_subset_files_add_up(make):
    files = {"t.txt": "--nQbRBEz2s\n0wR5jVB-WPk\n", "v.txt": "-val_1\n"}
    counts = make(files, subset=["t.txt", "v.txt"])
    assert counts == {"train": ListCounts(2, 0), "val": ListCounts(1, 0)}


@pytest.mark.parametrize(
    "files, reason",
    [
        ({"train": "label,youtube_id\n"}, r"train:1: no column \['time_end', 'time_start'\]"),
        ({"val": TEST}, "val:1: no column 'label'"),
        ({"train": K400.replace("417", "?")}, "train:2: the times .* are not seconds"),
        ({"train": K400.replace("zumba", "")}, "train:4: no label or no youtube_id"),
        ({"val": K600_VAL.replace("air ", "")}, "val:2: no training video has .* 'drumming'"),
        ({"train": K400.splitlines()[0]}, "no video of the train csv is left"),
    ],
)
def test_bad_csv_is_named(make, files, reason):
    with pytest.raises(ValueError, match=reason):
        make(files)


def test_subset_that_names_nothing(make):
    with pytest.raises(ValueError, match="no video of the train csv is left"):
        make({"mini.txt": "nobody\n"}, subset=["mini.txt"])


def test_folder_without_videos(write_files, tmp_path):
    write_files({"train": K400, "val": K600_VAL, "videos/readme.txt": None})
    files = {split: tmp_path / split for split in ("train", "val")}
    with pytest.raises(ValueError, match="videos: no video in this folder"):
        make_kinetics_lists(files, tmp_path / "videos", tmp_path)


def test_videos_behind_links_are_found(make, rows, write_files, tmp_path):
    write_files({"disk2/zzz_000000_000010.mp4": None, **VIDEOS})
    (tmp_path / "videos/zumba").symlink_to("../disk2", target_is_directory=True)
    assert make()["train"] == ListCounts(3, 0)
    assert ("zumba/zzz_000000_000010.mp4", 2) in rows("train")


def test_a_list_without_videos_is_named(make, caplog):
    make({"val": K600_VAL.replace("-val_1", "other")})
    assert "val: none of its 1 videos is below" in caplog.text
