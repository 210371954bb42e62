"""Videos named by ids: by frame list, by folder of frames, or as files."""

import pytest

from slowfast.datasets.annotations.locate import (
    VideoFinder,
    find_in_any_form,
    find_videos_by_id,
    list_frame_folders,
)

FRAME_LIST = (
    'original_vido_id video_id frame_id path labels\n7 0 0 f/7/1.jpg ""\n7 0 1 f/7/2.jpg ""'
)


@pytest.fixture
def find(tmp_path):
    def find(videos, source="auto"):
        return find_videos_by_id(
            videos,
            str(tmp_path),
            source=source,
            suffix=".webm",
            frame_list=tmp_path / "train.csv",
        )

    return find


def paths(place):
    return [place.frames.path(number) for number in range(place.frames.count)]


def test_frames_by_list(find, write_files, tmp_path):
    write_files({"train.csv": FRAME_LIST, "7.webm": None})
    (place,) = find(["7"])
    assert place.path == str(tmp_path / "f/7")
    assert paths(place) == [str(tmp_path / "f/7/1.jpg"), str(tmp_path / "f/7/2.jpg")]


def test_video_that_the_list_lacks_has_a_place_without_frames(find, write_files, tmp_path):
    write_files({"train.csv": FRAME_LIST})
    _, place = find(["7", "8"])
    assert place.path == str(tmp_path / "8") and place.frames.count == 0


def test_frames_by_folder_in_the_order_of_their_numbers(find, write_files, tmp_path):
    write_files({"7/10.jpg": None, "7/9.jpg": None, "7/Thumbs.db": None, "7.webm": None})
    (place,) = find(["7"])
    assert paths(place) == [str(tmp_path / "7/9.jpg"), str(tmp_path / "7/10.jpg")]


def test_missing_folder_has_no_frames(find, write_files):
    write_files({"7/1.jpg": None, "8.webm": None})
    assert [place.frames.count for place in find(["7", "8", "9"])] == [1, 0, 0]


def test_files_where_there_are_no_frames(find, write_files, tmp_path):
    write_files({"7.webm": None, "8.mp4": None})
    places = find(["7", "8", "9"])
    assert [place.path for place in places] == [
        str(tmp_path / name) for name in ("7.webm", "8.mp4", "9.webm")
    ]
    assert all(place.frames is None for place in places)


def test_source_videos_passes_over_frames(find, write_files):
    write_files({"train.csv": FRAME_LIST, "7/1.jpg": None, "7.webm": None})
    assert find(["7"], "videos")[0].frames is None


def test_source_frames_passes_over_files(find, write_files):
    write_files({"7.webm": None})
    assert find(["7"], "frames")[0].frames.count == 0


@pytest.mark.parametrize(
    "there, asked",
    [
        ("Archery/v_1.avi", "Archery/v_1.avi"),
        ("HandStandPushups/v_HandStand_g01.avi", "HandstandPushups/v_handStand_g01.avi"),
        ("Archery/v_1.mp4", "Archery/v_1.avi"),
        ("Archery/V_1.MP4", "Archery/v_1.avi"),
        ("smile/a!(1)&b.avi", "smile/a!(1)&b.avi"),
        ("-v.webm", "-v.webm"),
    ],
)
def test_case_and_suffix_may_differ(write_files, tmp_path, there, asked):
    write_files({there: None})
    assert VideoFinder(str(tmp_path)).find(asked) == str(tmp_path / there)


def test_exact_name_wins_over_other_case_and_suffix(write_files, tmp_path):
    write_files({"v.avi": None, "V.avi": None, "v.mkv": None})
    assert VideoFinder(str(tmp_path)).find("V.avi") == str(tmp_path / "V.avi")


@pytest.mark.parametrize("there", ["other.avi", "v.txt", "v/1.jpg"])
def test_missing_video_keeps_its_path(write_files, tmp_path, there):
    write_files({there: None})
    assert VideoFinder(str(tmp_path)).find("v.avi") == str(tmp_path / "v.avi")


def test_missing_folder_keeps_its_path(tmp_path):
    assert VideoFinder(str(tmp_path / "no")).find("a/v.avi") == str(tmp_path / "no/a/v.avi")


COMPOSED = "caf\u00e9/\u00fcber.mp4"
DECOMPOSED = "cafe\u0301/u\u0308ber.mp4"


@pytest.mark.parametrize(
    "there, asked", [(DECOMPOSED, COMPOSED), (COMPOSED, DECOMPOSED), (COMPOSED, COMPOSED)]
)
class TestNormalForms:
    """Letters with accents are one character in most lists, and two on the disks of a Mac."""

    def test_listed_videos_are_found(self, write_files, tmp_path, there, asked):
        write_files({there: None})
        assert VideoFinder(str(tmp_path)).find(asked) == str(tmp_path / there)

    def test_paths_are_found(self, write_files, tmp_path, there, asked, monkeypatch):
        write_files({there: None})
        monkeypatch.chdir(tmp_path)
        assert find_in_any_form(str(tmp_path / asked)) == str(tmp_path / there)
        assert find_in_any_form(asked) == there


def test_a_path_that_is_not_there_stays(tmp_path):
    for name in (COMPOSED, DECOMPOSED, "a.mp4"):
        assert find_in_any_form(str(tmp_path / name)) == str(tmp_path / name)


def test_flow_beside_the_images_of_a_video_is_left_out(tmp_path):
    for number in (1, 2):
        for prefix in ("img", "flow_x", "flow_y"):
            (tmp_path / f"{prefix}_{number:05d}.jpg").touch()
    (frames,) = list_frame_folders([str(tmp_path)])
    assert [frames.path(n) for n in range(len(frames))] == [
        str(tmp_path / "img_00001.jpg"),
        str(tmp_path / "img_00002.jpg"),
    ]
