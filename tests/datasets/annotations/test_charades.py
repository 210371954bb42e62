import csv
import io
from functools import partial

import pytest

from slowfast.datasets.annotations.charades import build_charades
from slowfast.datasets.records import TimedLabels

COLUMNS = "id,subject,scene,quality,relevance,verified,script,objects,descriptions,actions,length"
ACTIONS = "c019 11.90 21.20;c092 0.00 99.00"
LIST = """original_vido_id video_id frame_id path labels
46GP8 0 0 46GP8/46GP8-000001.jpg "147"
46GP8 0 1 46GP8/46GP8-000002.jpg "59,147"
1K0SU 1 0 1K0SU/1K0SU-000001.jpg ""
"""


def official(*rows, columns=COLUMNS):
    """A csv of (id, actions); scripts with commas, quotes and line ends."""
    file = io.StringIO()
    names = columns.split(",")
    table = csv.DictWriter(file, names, extrasaction="ignore")
    table.writeheader()
    for video, actions in rows:
        text = {name: 'a "quote", a comma\nand a line' for name in names}
        table.writerow({**text, "id": video, "actions": actions})
    return file.getvalue()


@pytest.fixture
def build(build_from_files):
    return partial(build_from_files, build_charades, {}, num_classes=157)


def test_frame_list_has_labels_per_frame(build, tmp_path):
    first, second = build({"train.csv": LIST, "46GP8/46GP8-000001.jpg": None}).records
    assert first.path == str(tmp_path / "46GP8") and first.frames.count == 2
    assert set(first.spans.spans) == {(147, 0, 1), (59, 1, 1)} and first.label == -1
    assert second.spans.all() == set()


def test_official_csv_is_read_by_column_name(build, tmp_path):
    turned = ",".join(reversed(COLUMNS.split(",")))
    for columns in (COLUMNS, turned):
        files = {"Charades_v1_train.csv": official(("0BH84", ACTIONS), columns=columns)}
        (record,) = build({**files, "0BH84.mp4": None}).records
        spans = ((19, 11.9, 21.2), (92, 0.0, 99.0))
        assert record.spans == TimedLabels(spans, in_seconds=True)
        assert record.path == str(tmp_path / "0BH84.mp4") and record.frames is None


def test_seconds_become_numbers_of_frames_at_24_per_second(build):
    files = {"Charades_v1_train.csv": official(("0BH84", "c019 1.5 2.0"))}
    (record,) = build({**files, "0BH84/0BH84-000001.jpg": None}).records
    assert record.spans.within(35, 35, None) == set()
    assert record.spans.within(36, 48, None) == {19}
    assert record.spans.within(49, 60, None) == set()


def test_action_beyond_the_end_holds_until_the_end(build):
    files = {"Charades_v1_train.csv": official(("0BH84", ACTIONS)), "0BH84.mp4": None}
    (record,) = build(files).records
    assert record.spans.within(590, 595, 24) == {92} and record.spans.all() == {19, 92}


def test_video_without_actions_stays(build):
    files = {"Charades_v1_train.csv": official(("A", ""), ("B", ACTIONS)), "A.mp4": None}
    assert [record.spans.all() for record in build(files).records] == [set(), {19, 92}]


@pytest.mark.parametrize("split", ["val", "test"])
@pytest.mark.parametrize(
    "files", [{"val.csv": LIST}, {"Charades_v1_test.csv": official(("46GP8", ACTIONS))}]
)
def test_the_test_csv_serves_validation_and_testing(build, files, split):
    assert build({**files, "46GP8/46GP8-000001.jpg": None}, split).records[0].frames is not None


def test_frame_list_comes_first_unless_videos_are_asked_for(build):
    files = {
        "train.csv": LIST,
        "Charades_v1_train.csv": official(("46GP8", ACTIONS)),
        "46GP8/46GP8-000001.jpg": None,
        "46GP8.mp4": None,
    }
    assert not build(files).records[0].spans.in_seconds
    assert build(files, SOURCE="videos").records[0].frames is None


@pytest.mark.parametrize(
    "actions, reason",
    [
        ("c019 11.90", "the action 'c019 11.90' is not like 'c019 11.90 21.20'"),
        ("c019 0 1;x 0 1", "the action 'x 0 1' is not like"),
        ("c157 0 1", r"action 'c157' is not within 0..156 \(MODEL.NUM_CLASSES 157\)"),
    ],
)
def test_bad_actions_are_named(build, actions, reason):
    with pytest.raises(ValueError, match=f"Charades_v1_train.csv:3: video '-A': {reason}"):
        build({"Charades_v1_train.csv": official(("-A", actions), columns="id,script,actions")})


def test_missing_column_is_named(build):
    with pytest.raises(ValueError, match=r"train.csv:1: no column \['actions'\] among \['id', "):
        build({"Charades_v1_train.csv": "id,subject\nA,1\n"})


def test_label_of_a_frame_out_of_range_is_named(build):
    with pytest.raises(ValueError, match="train.csv:2: label 157 is not within 0..156"):
        build({"train.csv": LIST.replace("147", "157")})


def test_missing_annotations_name_the_key(build):
    with pytest.raises(ValueError, match="PATH_TO_DATA_DIR: .* holds no Charades_v1_train.csv"):
        build({})


def test_class_names_stand_beside_the_lists(build):
    lines = "\r\n".join(f"c{number:03d} Holding thing {number}" for number in range(157))
    files = {"train.csv": LIST, "46GP8/46GP8-000001.jpg": None, "Charades_v1_classes.txt": lines}
    assert build(files).class_names[156] == "Holding thing 156"
    with pytest.raises(ValueError, match="Charades_v1_classes.txt: the classes are not c000"):
        build({**files, "Charades_v1_classes.txt": lines[6:]})
