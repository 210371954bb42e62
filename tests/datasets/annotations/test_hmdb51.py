from functools import partial

import pytest

from slowfast.datasets.annotations.hmdb51 import build_hmdb51

ODD = "!April_09_brush_hair_u_nm_np1_ba_goo_0(1)&x.avi"
FILES = {
    "wave_test_split1.txt": "w1.avi 1 \r\nw2.avi 2 \r\nw3.avi 0",
    "brush_hair_test_split1.txt": f"{ODD} 1 \nb2.avi 2 \n",
    "wave_test_split2.txt": "w3.avi 1 \n",
    "wave/w1.avi": None,
    "wave/w3.mp4": None,
    f"brush_hair/{ODD}": None,
    "brush_hair/b2.avi": None,
}


@pytest.fixture
def build(build_from_files):
    return partial(build_from_files, build_hmdb51, FILES)


def test_classes_are_sorted_by_name(build, tmp_path):
    annotations = build()
    assert annotations.class_names == ["brush_hair", "wave"]
    assert [(record.path, record.label) for record in annotations.records] == [
        (str(tmp_path / "brush_hair" / ODD), 0),
        (str(tmp_path / "wave/w1.avi"), 1),
    ]


@pytest.mark.parametrize("split", ["val", "test"])
def test_mark_2_is_for_testing_and_missing_videos_stay(build, tmp_path, split):
    paths = [record.path for record in build(split=split).records]
    assert paths == [str(tmp_path / "brush_hair/b2.avi"), str(tmp_path / "wave/w2.avi")]


def test_split_number_chooses_the_files(build, tmp_path):
    records = build(num_classes=1, SPLIT_NUMBER=2).records
    assert [record.path for record in records] == [str(tmp_path / "wave/w3.mp4")]


def test_missing_split_is_named(build):
    with pytest.raises(ValueError, match=r"holds no \*_test_split3.txt .*SPLIT_NUMBER.*split1.txt"):
        build(SPLIT_NUMBER=3)


@pytest.mark.parametrize("line", ["w1.avi 3", "w1.avi", "1"])
def test_bad_mark_is_named(build, line):
    with pytest.raises(ValueError, match="wave_test_split1.txt:2: .* is not a video and one of"):
        build({"wave_test_split1.txt": f"w1.avi 1\n{line}\n"})


def test_number_of_classes_is_checked(build):
    with pytest.raises(ValueError, match="2 class names, but MODEL.NUM_CLASSES is 51"):
        build(num_classes=51)


def test_split_without_videos(build):
    with pytest.raises(ValueError, match="split 2 holds no videos for test"):
        build(split="test", num_classes=1, SPLIT_NUMBER=2)


def test_wrong_folder_of_videos_is_named(build):
    with pytest.raises(ValueError, match="none of its videos exists, .*DATA.PATH_PREFIX"):
        build(PATH_PREFIX="/no")


def test_hidden_files_of_a_mac_archive_are_no_classes(build):
    assert build({"._wave_test_split1.txt": b"\0\5\x16\7"}).class_names == ["brush_hair", "wave"]
