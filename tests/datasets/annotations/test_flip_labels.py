"""Classes that mirroring a video exchanges."""

import json
import logging

import pytest

from slowfast.datasets.annotations.flip_labels import derive_flip_labels, find_flip_labels

PAIRS = [
    ("Pulling [something] from left to right", "Pulling [something] from right to left"),
    (
        "Pushing something from left to right",
        "Pushing something from right to left",
    ),
    ("Pretending to turn left", "Pretending to turn right"),
    ("turning the camera left while filming", "turning the camera right while filming"),
    ("moving leftwards", "moving rightwards"),
    ("Left hand up", "Right hand up"),
    ("moving_right", "moving_left"),
    ("SwipeLeft", "SwipeRight"),
    ("lefthanded", "righthanded"),
    ("rotating_clockwise", "rotating_counterclockwise"),
    ("Turn clockwise", "Turn anti-clockwise"),
]


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: pair[0])
def test_pairs_are_exchanged(pair):
    assert derive_flip_labels(["other", *pair]) == (0, 2, 1)


@pytest.mark.parametrize(
    "names", [("upright", "upleft"), ("leftover", "rightover"), ("bright side", "bleft side")]
)
def test_words_that_only_contain_a_side_stay(names):
    assert derive_flip_labels(names) == (0, 1)


def test_class_without_counterpart_keeps_its_label_with_a_warning(caplog):
    with caplog.at_level(logging.WARNING):
        assert derive_flip_labels(["turning left", "falling"]) == (0, 1)
    assert "['turning left']" in caplog.text


def test_class_that_mentions_no_side_gives_no_warning(caplog):
    derive_flip_labels(["falling", "a left", "a right"])
    assert not caplog.records


@pytest.fixture
def find(tmp_path):
    def find(names, changes=None):
        path = ""
        if changes is not None:
            path = str(tmp_path / "flip.json")
            (tmp_path / "flip.json").write_text(json.dumps(changes))
        return find_flip_labels(names, path, num_classes=4)

    return find


NAMES = ["wave left", "wave right", "heart hand", "other hand"]


def test_pairs_are_shown(find, caplog):
    with caplog.at_level(logging.INFO):
        find(NAMES)
    assert "0 wave left 1 wave right" in " ".join(caplog.text.split())


@pytest.mark.parametrize(
    "changes",
    [{"heart hand": "other hand", "other hand": "heart hand"}, {"2": 3, "3": "2"}],
    ids=["names", "numbers"],
)
def test_file_adds_to_the_names(find, changes):
    assert find(NAMES, changes) == (1, 0, 3, 2)


def test_file_overrides_the_names(find):
    assert find(NAMES, {"wave left": 0, "wave right": 1}) == (0, 1, 2, 3)


def test_file_alone_is_enough(find):
    assert find(None, {"0": 3, "3": 0}) == (3, 1, 2, 0)


def test_neither_names_nor_file(find):
    with pytest.raises(ValueError, match="DATA.LABEL_AWARE_FLIP: True needs class names"):
        find(None)


@pytest.mark.parametrize(
    "changes, reason",
    [
        ({"wave": 0}, "'wave' is no class name or number"),
        ({"0": 4}, "4 is no class name or number"),
        ({"2": 3}, "mirrored twice, 'heart hand' becomes 'other hand' and then 'other hand'"),
        (3, "it is an object"),
    ],
)
def test_wrong_file_is_named(find, changes, reason):
    with pytest.raises(ValueError, match=f"DATA.FLIP_LABELS_FILE: .*flip.json.*{reason}"):
        find(NAMES, changes)


def test_missing_file_is_named():
    with pytest.raises(ValueError, match="DATA.FLIP_LABELS_FILE: 'no.json'.*No such file"):
        find_flip_labels(NAMES, "no.json", num_classes=4)
