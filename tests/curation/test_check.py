"""Which faults follow from lists and facts, and what is kept of a list."""

import pytest

from slowfast.curation.check import Fault, find_faults, fixed_path, write_fixed
from slowfast.curation.probe import Facts
from slowfast.curation.splits import Entry, Split, class_names_of, read_csv_split, read_csv_splits
from slowfast.datasets.annotations.kinetics import ListRules
from slowfast.datasets.records import FrameFiles, KeyFrame, Record


def _good(digest, num_frames=20):
    return Facts(num_frames, 30.0, digest=digest)


@pytest.fixture
def found(tmp_path):
    """A function (lines of train.csv, lines of val.csv, facts by name) -> (kind, split, line)."""

    def find(train, val, facts, num_classes=None):
        paths = []
        for name, lines in (("train", train), ("val", val)):
            paths.append(tmp_path / f"{name}.csv")
            paths[-1].write_text("\n".join(lines))
        splits = read_csv_splits(paths, ListRules(counts=num_classes and (num_classes,)))
        facts = {str(tmp_path / name): value for name, value in facts.items()}
        names = class_names_of(splits, num_classes)
        faults = find_faults(splits, facts, span=lambda fps: 8 / 30 * fps, class_names=names)
        return [(fault.kind, fault.split, fault.line) for fault in faults]

    return find


def test_good_lists_have_no_faults(found):
    facts = {name: _good(name) for name in "abc"}
    assert found(["a 0", "", "b 1"], ["c 0"], facts, num_classes=2) == []


@pytest.mark.parametrize(
    ("facts", "kind"),
    [
        (None, "missing"),
        (Facts(error="InvalidDataError: it is"), "unreadable"),
        (Facts(error="NoFrames: there are none"), "no frames"),
        (_good("a", num_frames=7), "short"),
        (Facts(20, 30.0, damage="1 of 20 frames", digest="a"), "damaged"),
    ],
)
def test_each_fault_of_a_file_is_named_once(found, facts, kind):
    assert found(["a 0"], ["b 0"], {"a": facts, "b": _good("b")}) == [(kind, "train", 1)]


def test_a_video_as_long_as_a_clip_is_not_short(found):
    facts = {"a": Facts(7, 29.97, digest="a"), "b": _good("b", num_frames=8)}
    assert found(["a 0"], ["b 0"], facts) == []


def test_wrong_labels_are_found_on_every_line(found):
    facts = {name: _good(name) for name in "abcde"}
    train = ["a 0", "b x", "c", "d 2", "e -1"]
    faults = found(train, ["a 1"], facts, num_classes=2)
    assert faults == [
        *(("wrong label", "train", line) for line in (2, 3, 4, 5)),
        ("class without a video", "train", 0),
        ("in train and val", "train", 1),
    ]


def test_repetitions_within_and_between_lists(found):
    facts = {"a": _good("1"), "b": _good("1"), "c": _good("2"), "d": _good("2"), "e": _good("3")}
    faults = found(["a 0", "./a 0", "b 1", "c 1", "e 0"], ["d 0", "e 1"], facts)
    assert faults == [
        ("same path twice", "train", 2),
        ("duplicate", "train", 3),
        ("in train and val", "train", 4),
        ("in train and val", "train", 5),
    ]


def test_unreadable_files_are_no_duplicates(found):
    facts = {name: Facts(error="InvalidDataError: empty") for name in "ab"}
    kinds = [kind for kind, _, _ in found(["a 0"], ["b 0"], facts)]
    assert kinds == ["unreadable", "unreadable"]


def test_key_frames_of_one_video_are_no_repetition():
    boxes = KeyFrame("v,0902", 60, None, ((3,),))
    record = Record("v", frames=FrameFiles("v_{:06d}.jpg", 1, 90), key=boxes)
    split = Split("train", [Entry(0, record, (3,)), Entry(0, record, (3,))], is_training=True)
    facts, names = {"v": Facts(90, None, digest="1")}, {3: "sit"}
    assert find_faults([split], facts, span=lambda fps: 8, class_names=names) == []


def test_a_fixed_list_keeps_the_bytes_of_the_other_lines(tmp_path):
    path = tmp_path / "train.csv"
    path.write_bytes(b'\xef\xbb\xbf"a b",0\r\nmiss,1\r\n\r\nmiss,0\r\nw\xe9,x\r\n\xe9,1')
    (split,) = read_csv_splits([path], ListRules(separator=","))
    missing = str(tmp_path / "miss")
    faults = [
        Fault("missing", "train", 2, missing, ""),
        Fault("wrong label", "train", 5, "", ""),
        Fault("short", "train", 6, "", ""),
        Fault("wrong label", "val", 1, "", ""),
    ]
    assert write_fixed(split, faults, ["missing", "wrong label"]) == 2
    fixed = (tmp_path / "train.fixed.csv").read_bytes()
    assert fixed == b'\xef\xbb\xbf"a b",0\r\n\xe9,1'
    with pytest.raises(FileExistsError, match=r"train\.fixed\.csv"):
        fixed_path(split)


def test_two_parts_of_a_file_are_two_entries(found):
    facts = {"a": _good("a", 90), "b": _good("b")}
    assert found(["a 0.0 1.0 0", "a 1.0 2.0 1"], ["a 2.0 3.0 0", "b 0.0 0.5 1"], facts) == []


def test_faults_of_parts_have_their_lines(found):
    train = ["a 0.0 1.0 0", "a 1.0 1.1 1", "a 5.0 6.0 1", "a 0.0 1.0 0", "c 0.0 1.0 1"]
    facts = {"a": _good("a", 90), "b": _good("b"), "c": None}
    assert found(train, ["b 0.0 0.5 1", "a 0.0 1.0 0"], facts) == [
        ("missing", "train", 5),
        ("short", "train", 2),
        ("unreadable", "train", 3),
        ("in train and val", "train", 1),
        ("same path twice", "train", 4),
        ("in train and val", "train", 4),
    ]


def test_second_label_is_a_wrong_label(found):
    facts = {name: _good(name) for name in ("a.mp4", "b.mp4")}
    assert found(["a.mp4 0 3"], ["b.mp4 0"], facts, 4)[0] == ("wrong label", "train", 1)


def test_labels_of_all_targets_are_counted(tmp_path):
    (tmp_path / "train.csv").write_text("a.mp4 1 2\n")
    split = read_csv_split(tmp_path / "train.csv", ListRules(counts=(3, 5)), is_training=True)
    assert split.entries[0].labels == (1, 5)
