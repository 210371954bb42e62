"""Classes of weights and of data, matched by their names."""

import pytest
import torch

from slowfast.checkpoint.classes import ClassList, match_classes, move_rows

NAMES = ["climb", "dance", "jump", "walk"]


def match(names, data, counts=None):
    return match_classes(names, ClassList(data, counts or [len(data)]))


def test_equal_lists_need_nothing():
    found = match(NAMES, NAMES)
    assert found.order == (0, 1, 2, 3) and found.remarks() == []


def test_another_order_gives_the_row_of_each_class_of_the_data():
    found = match(NAMES, ["dance", "jump", "walk", "climb"])
    assert found.order == (1, 2, 3, 0) and found.num_moved == 4
    (line,) = found.remarks()
    assert line.startswith("4 of 4 classes have another number")


@pytest.mark.parametrize(
    "data",
    [
        "Apply Eye Makeup",
        "apply_eye_makeup",
        "apply-eye-makeup",
        "ApplyEyeMakeup",
        "apply [eye] makeup",
    ],
)
def test_case_spaces_and_the_like_do_not_count_but_are_said(data):
    found = match(["apply eye makeup", "jump"], ["jump", data])
    assert found.order == (1, 0)
    assert f"'apply eye makeup' is {data!r}" in found.remarks()[-1]


def test_composed_and_decomposed_letters_are_the_same():
    assert match(["caf\u00e9", "bar"], ["bar", "cafe\u0301"]).order == (1, 0)


def test_names_that_only_case_tells_apart_are_two_classes():
    assert match(["Jump", "jump"], ["jump", "Jump"]).order == (1, 0)
    assert match(["Jump", "jump"], ["JUMP", "jump"]).order is None


def test_repeated_names_keep_their_order():
    assert match(["a", "x", "x"], ["x", "x", "a"]).order == (1, 2, 0)


def test_other_names_are_counted_and_named():
    found = match(NAMES, ["climb", "dance", "run", "sit"])
    assert found.order is None and found.num_shared == 2
    assert found.differences() == (
        "2 of the data's 4 class names are among the weights'; only the weights have 'jump', "
        "'walk'; only the data have 'run', 'sit'"
    )


def test_of_many_other_names_the_first_are_shown():
    differences = match(list("abcdefgh"), list("stuvwxyz")).differences()
    assert "'a', 'b', 'c', 'd', 'e' and 3 more;" in differences


def test_lists_of_different_length_can_share_names():
    found = match(NAMES, ["walk", "sit"])
    assert found.order is None and found.num_shared == 1


def test_a_number_in_place_of_a_name_may_be_any_class():
    assert match(["stand", "class 2", "sit"], ["stand", "lie", "sit"]).order == (0, 1, 2)
    assert match(["stand", "lie", "sit"], ["stand", "class 2", "sit"]).order == (0, 1, 2)


def test_targets_do_not_share_names():
    verbs_and_nouns = ["open", "close", "door", "open"]
    assert match(verbs_and_nouns, ["close", "open", "open", "door"], [2, 2]).order == (1, 0, 3, 2)
    assert match(verbs_and_nouns, ["open", "door", "close", "open"], [2, 2]).order is None


def test_rows_of_the_classifier_alone_are_moved():
    state = {
        "head.projection.weight": torch.arange(6.0).view(3, 2),
        "head.projection.bias": torch.arange(3.0),
        "s1.conv.bias": torch.arange(3.0),
    }
    moved = move_rows(state, [2, 0, 1], classifier="head.projection")
    assert moved["head.projection.weight"].tolist() == [[4, 5], [0, 1], [2, 3]]
    assert moved["head.projection.bias"].tolist() == [2, 0, 1]
    assert moved["s1.conv.bias"].tolist() == [0, 1, 2]
