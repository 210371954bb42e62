from functools import partial

import pytest

from slowfast.datasets.annotations.ucf101 import build_ucf101
from slowfast.datasets.records import Record

FILES = {
    "classInd.txt": "1 Archery\r\n2 HandstandPushups\r\n",
    "trainlist01.txt": "Archery/v_Archery_g08_c01.avi 1\r\n"
    "HandstandPushups/v_HandStandPushups_g08_c01.avi 2",
    "testlist01.txt": "HandstandPushups/v_HandStandPushups_g01_c01.avi\r\n",
    "trainlist03.txt": "Archery/v_Archery_g01_c01.avi 1\n",
    "Archery/v_Archery_g08_c01.avi": None,
    "Archery/v_Archery_g01_c01.avi": None,
    "HandStandPushups/v_HandstandPushups_g01_c01.avi": None,
}


@pytest.fixture
def build(build_from_files):
    return partial(build_from_files, build_ucf101, FILES)


def test_labels_count_from_zero(build, tmp_path):
    annotations = build()
    assert annotations.records[0] == Record(str(tmp_path / "Archery/v_Archery_g08_c01.avi"), 0)
    assert [record.label for record in annotations.records] == [0, 1]
    assert annotations.class_names == ["Archery", "HandstandPushups"]


@pytest.mark.parametrize("split", ["val", "test"])
def test_class_of_a_test_video_is_its_folder_in_any_case(build, tmp_path, split):
    path = tmp_path / "HandStandPushups/v_HandstandPushups_g01_c01.avi"
    assert build(split=split).records == [Record(str(path), 1)]


def test_split_number_chooses_the_list(build):
    assert len(build(SPLIT_NUMBER=3).records) == 1


def test_missing_split_is_named(build):
    with pytest.raises(ValueError, match=r"holds no trainlist02.txt .*'trainlist03.txt'"):
        build(SPLIT_NUMBER=2)


@pytest.mark.parametrize(
    "line, reason",
    [
        ("Eating/v_1.avi 1", "'Eating/v_1.avi' is not in the folder of a known class"),
        ("v_1.avi 1", "'v_1.avi' is not in the folder of a known class"),
        ("Archery/v_1.avi 2", "'Archery/v_1.avi' has number 2, not 1"),
    ],
)
def test_bad_line_is_named(build, line, reason):
    with pytest.raises(ValueError, match=f"trainlist01.txt:2: {reason}"):
        build({"trainlist01.txt": f"\n{line}\n"})


def test_list_without_videos(build):
    with pytest.raises(ValueError, match="trainlist01.txt: the list holds no videos"):
        build({"trainlist01.txt": "\n"})


@pytest.mark.parametrize("text", ["0 Archery\n1 Biking\n", "Archery\n", "1 Archery\n3 Biking\n"])
def test_bad_class_index_is_named(build, text):
    with pytest.raises(ValueError, match="classInd.txt:[12]: .* is not [12] and a class name"):
        build({"classInd.txt": text})


def test_number_of_classes_is_checked(build):
    with pytest.raises(ValueError, match="classInd.txt: 2 class names, but MODEL.NUM_CLASSES"):
        build(num_classes=101)


def test_wrong_folder_of_videos_is_named(build):
    with pytest.raises(ValueError, match="none of its videos exists, .*DATA.PATH_PREFIX"):
        build(PATH_PREFIX="/no")
