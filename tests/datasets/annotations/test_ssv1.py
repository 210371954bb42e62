from functools import partial

import pytest

from slowfast.datasets.annotations.something_something import build_ssv1

LIST = 'original_vido_id video_id frame_id path labels\n100218 0 0 100218/00001.jpg ""\n'
FILES = {
    "something-something-v1-labels.csv": "Tearing something into two pieces\nUnfolding something\n",
    "something-something-v1-train.csv": (
        "100218;Tearing something into two pieces\n24413;Unfolding something\n"
    ),
    "something-something-v1-validation.csv": "7;Unfolding something\n",
    "100218/00001.jpg": None,
    "7/00001.jpg": None,
}


@pytest.fixture
def build(build_from_files):
    return partial(build_from_files, build_ssv1, FILES)


def test_labels_are_the_lines_of_the_labels_file(build, tmp_path):
    annotations = build()
    assert [record.label for record in annotations.records] == [0, 1]
    assert annotations.class_names == ["Tearing something into two pieces", "Unfolding something"]


@pytest.mark.parametrize("frame_list", [{}, {"train.csv": LIST}], ids=["folders", "list"])
def test_video_without_frames_stays_in_the_records(build, tmp_path, frame_list):
    records = build(frame_list).records
    assert [(record.path, record.frames.count) for record in records] == [
        (str(tmp_path / "100218"), 1),
        (str(tmp_path / "24413"), 0),
    ]


@pytest.mark.parametrize("split", ["val", "test"])
def test_validation_videos_are_also_the_test(build, tmp_path, split):
    assert [record.path for record in build(split=split).records] == [str(tmp_path / "7")]


@pytest.mark.parametrize("name", [name for name in FILES if name.endswith("csv")])
def test_windows_ends_and_no_final_newline(build, name):
    text = FILES[name].strip().replace("\n", "\r\n")
    assert [record.label for record in build({name: text}).records] == [0, 1]


@pytest.mark.parametrize("row", ["8;Folding something", "8;", "8"])
def test_unknown_label_is_named(build, row):
    with pytest.raises(
        ValueError, match="v1-train.csv:2: video '8' has the unknown label '(Folding something)?'"
    ):
        build({"something-something-v1-train.csv": f"100218;Unfolding something\n{row}\n"})


def test_number_of_classes_is_checked(build):
    with pytest.raises(ValueError, match="v1-labels.csv: 2 class names, but MODEL.NUM_CLASSES"):
        build(num_classes=174)


def test_missing_annotations_name_the_key(data_cfg):
    with pytest.raises(
        ValueError, match="DATA.PATH_TO_DATA_DIR: .* holds no something-something-v1-labels.csv"
    ):
        build_ssv1(data_cfg(2), "train")


def test_list_without_any_frames_on_disk(build, write_files):
    write_files(FILES)
    rows = "1;Unfolding something\n2;Unfolding something\n"
    with pytest.raises(ValueError, match="v1-train.csv: none of its videos exists"):
        build({"something-something-v1-train.csv": rows})
