"""Which files are predicted, and what is written about them."""

import csv
import json

import pytest

from slowfast.engine.predict import (
    Prediction,
    VideoResult,
    find_videos,
    printable,
    write_results,
)
from slowfast.runtime.unreadable import Damage

RESULTS = [
    VideoResult("a b.mp4", (Prediction(2, "run", 0.75), Prediction(0, "eat, drink", 0.25))),
    VideoResult("broken.mp4", (), "InvalidDataError: no"),
]


@pytest.fixture
def folder(write_files, tmp_path):
    names = ("b.MP4", "notes.txt", "deep/er/a.webm", "deep/poster.jpg", "deep/x.mkv/y.avi")
    write_files(dict.fromkeys(names))
    return tmp_path


def test_a_folder_stands_for_all_videos_below_it(folder):
    names = [path.relative_to(folder).as_posix() for path in find_videos([folder])]
    assert names == ["b.MP4", "deep/er/a.webm", "deep/x.mkv/y.avi"]


def test_a_file_is_taken_as_it_is_named_and_once(folder):
    named = [folder / "notes.txt", folder / "gone.mp4", folder / "b.MP4"]
    assert find_videos([*named, folder])[:4] == [*named, folder / "deep/er/a.webm"]


def test_a_folder_without_videos_is_named(tmp_path):
    (tmp_path / "text.txt").touch()
    with pytest.raises(ValueError, match=rf"{tmp_path.name}: no video.*\.mp4"):
        find_videos([tmp_path])


def test_json_holds_names_scores_and_reasons(tmp_path):
    write_results(tmp_path / "r.json", RESULTS, {"views": "1 x 1"})
    content = json.loads((tmp_path / "r.json").read_text())
    assert content["views"] == "1 x 1"
    first, second = content["videos"]
    assert first["predictions"][1] == {"class": 0, "name": "eat, drink", "score": 0.25}
    assert second == {"path": "broken.mp4", "error": "InvalidDataError: no"}


def test_json_says_what_a_damaged_video_lost(tmp_path):
    result = VideoResult("a.mp4", RESULTS[0].predictions, damage=Damage(3, 9))
    write_results(tmp_path / "r.json", [result], {})
    (video,) = json.loads((tmp_path / "r.json").read_text())["videos"]
    assert video["damage"] == {"num_lost": 3, "num_frames": 9}


def test_csv_has_a_line_per_class_and_one_per_reason(tmp_path):
    write_results(tmp_path / "r.csv", RESULTS, {})
    with open(tmp_path / "r.csv") as file:
        rows = list(csv.DictReader(file))
    assert [(row["path"], row["rank"], row["class"], row["name"]) for row in rows[:2]] == [
        ("a b.mp4", "1", "2", "run"),
        ("a b.mp4", "2", "0", "eat, drink"),
    ]
    assert rows[2]["path"] == "broken.mp4" and rows[2]["error"] == "InvalidDataError: no"
    assert len(rows) == 3


def test_other_formats_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"r.txt: .*\.json or \.csv"):
        write_results(tmp_path / "r.txt", RESULTS, {})


def test_a_name_that_is_not_unicode_can_be_printed():
    assert printable("caf\udce9.mp4") == "caf\\xe9.mp4"
