import pytest

from slowfast.sweep.points import Range, grid, point_name, read_axes, read_ranges


def test_grid_has_all_combinations():
    axes = read_axes([["A.X", "1", "2"], ["B.Y", "a", "b"]])
    assert [tuple(point.values()) for point in grid(axes)] == [
        ("1", "a"),
        ("1", "b"),
        ("2", "a"),
        ("2", "b"),
    ]


def test_names_have_last_parts_of_keys():
    assert point_name({"SOLVER.BASE_LR": 0.1, "BN.EPS": 1}) == "BASE_LR=0.1,EPS=1"
    assert point_name({"TRAIN.DATASET": "a", "TEST.DATASET": "b"}).startswith("TRAIN.DATASET=a,")


def test_values_that_cannot_be_a_folder_have_names_of_their_own():
    names = {point_name({"A.B": value}) for value in ([1, 2], "[1. 2]", "a/b", "a b", "x" * 200)}
    assert len(names) == 5 and not any(set(name) & set("/ []") for name in names)


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        ([["SOLVER.BASE_LR"]], "give the values to try"),
        ([["RNG_SEED", "1"]], "--seeds sets it"),
        ([["A", "1"], ["A", "2"]], "given twice"),
    ],
)
def test_wrong_axes_are_refused(groups, message):
    with pytest.raises(ValueError, match=message):
        read_axes(groups)


def test_ranges():
    assert read_ranges([["A", "1e-3", "1", "log"], ["B", "1", "9", "int"]]) == [
        Range("A", 0.001, 1.0, is_log=True),
        Range("B", 1.0, 9.0, is_int=True),
    ]


@pytest.mark.parametrize("words", ["A", "A 1", "A 2 1", "A 0 1 log", "A x 1", "A 1 2 lin"])
def test_wrong_ranges_are_refused(words):
    with pytest.raises(ValueError, match="LOW HIGH"):
        read_ranges([words.split()])
