import pytest

from slowfast.datasets.annotations.locate import VideoFinder


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
