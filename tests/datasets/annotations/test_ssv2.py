import json
from functools import partial

import pytest

from slowfast.datasets.annotations.something_something import build_ssv2

LABELS = {"Holding something next to something": "0", "Pulling something from left to right": "1"}
TRAIN = [
    {"id": "78687", "template": "Holding [something] next to [something]"},
    {"id": "42326", "template": "Pulling [something] from left to right"},
]
FILES = {
    "something-something-v2-labels.json": json.dumps(LABELS),
    "something-something-v2-train.json": json.dumps(TRAIN),
    "something-something-v2-validation.json": json.dumps(TRAIN[1:]),
}
LIST = 'original_vido_id video_id frame_id path labels\n78687 0 0 78687/78687_000001.jpg """"'


@pytest.fixture
def build(build_from_files):
    return partial(build_from_files, build_ssv2, FILES)


def test_label_is_that_of_the_template_without_brackets(build):
    annotations = build({"78687.webm": None})
    assert [record.label for record in annotations.records] == [0, 1]
    assert annotations.class_names == list(LABELS)


@pytest.mark.parametrize(
    "there, paths",
    [
        ({"78687.webm": None}, ["78687.webm", "42326.webm"]),
        ({"78687/78687_000001.jpg": None}, ["78687", "42326"]),
        ({"train.csv": LIST, "78687/78687_000001.jpg": None}, ["78687", "42326"]),
    ],
    ids=["webm", "frame folders", "frame list"],
)
def test_missing_video_stays_in_the_records(build, tmp_path, there, paths):
    assert [record.path for record in build(there).records] == [str(tmp_path / p) for p in paths]


def test_videos_may_lie_elsewhere(build, tmp_path):
    prefix = tmp_path / "20bn-something-something-v2"
    (record, _) = build({f"{prefix.name}/78687.webm": None}, PATH_PREFIX=str(prefix)).records
    assert record.path == str(prefix / "78687.webm")


@pytest.mark.parametrize("split", ["val", "test"])
def test_validation_videos_are_also_the_test(build, split):
    assert [record.label for record in build({"42326.webm": None}, split).records] == [1]


def test_source_chooses_between_frames_and_videos(build):
    there = {"78687.webm": None, "78687/1.jpg": None}
    assert build(there).records[0].frames.count == 1
    assert build(there, SOURCE="videos").records[0].frames is None


def test_files_without_the_long_prefix(write_files, data_cfg):
    names = {name.removeprefix("something-something-v2-"): text for name, text in FILES.items()}
    write_files({**names, "78687.webm": None})
    assert len(build_ssv2(data_cfg(2), "train").records) == 2


def test_missing_annotations_name_the_key(data_cfg):
    with pytest.raises(
        ValueError,
        match="DATA.PATH_TO_DATA_DIR: .* no something-something-v2-labels.json or labels",
    ):
        build_ssv2(data_cfg(2), "train")


def test_number_of_classes_is_checked(build):
    with pytest.raises(ValueError, match="v2-labels.json: 1 class names, but MODEL.NUM_CLASSES"):
        build({"something-something-v2-labels.json": '{"Unfolding something": "0"}'})


@pytest.mark.parametrize(
    "video, reason",
    [
        ({"id": "8", "template": "Eating [something]"}, "'8' has the unknown template 'Eating"),
        ({"id": "8"}, "'8' has the unknown template None"),
        ({"template": "Eating"}, "KeyError: 'id'"),
        ("8", "AttributeError"),
        ({"id": "78687", "template": TRAIN[1]["template"]}, "'78687' is listed before with anot"),
    ],
)
def test_bad_entry_is_named(build, video, reason):
    with pytest.raises(ValueError, match=f"v2-train.json: .*{reason}"):
        build({"something-something-v2-train.json": json.dumps([*TRAIN, video])})


@pytest.mark.parametrize("text, reason", [("[{", "JSONDecodeError"), ("[]", "holds no videos")])
def test_bad_file_is_named(build, text, reason):
    with pytest.raises(ValueError, match=f"v2-train.json: .*{reason}"):
        build({"something-something-v2-train.json": text})


def test_entry_that_is_listed_twice_counts_once(build):
    files = {"something-something-v2-train.json": json.dumps([*TRAIN, TRAIN[0]])}
    assert len(build({**files, "78687.webm": None}).records) == 2
