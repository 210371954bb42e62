import numpy as np
import pytest
import torch

from slowfast.evaluation.box_evaluator import BoxScores

KEYS = ["v,0902", "v,0903", "w,0902"]
BOXES = [
    np.random.default_rng(i).random((n, 4)).astype(np.float32) for i, n in enumerate((2, 1, 3))
]
PLACES = [(0, 0), (0, 1), (1, 0), (2, 0), (2, 1), (2, 2)]
SCORES = torch.rand(6, 2, generator=torch.Generator().manual_seed(0))


def _filled(rows):
    scores = BoxScores(3, 2)
    indices, numbers = torch.tensor(PLACES)[list(rows)].reshape(-1, 2).unbind(1)
    scores.add(indices, numbers, SCORES[list(rows)])
    return scores


def _columns(table):
    return [table.keys.tolist(), table.boxes.tolist(), table.labels.tolist(), table.scores.tolist()]


def test_a_row_per_box_and_class():
    table = _filled(range(6)).table(KEYS, BOXES)
    assert table.keys.tolist() == ["v,0902"] * 4 + ["v,0903"] * 2 + ["w,0902"] * 6
    assert table.labels.tolist() == [0, 1] * 6
    np.testing.assert_array_equal(table.boxes, np.concatenate(BOXES).repeat(2, axis=0))
    np.testing.assert_array_equal(table.scores, SCORES.flatten())


def test_the_order_of_adding_does_not_matter():
    expected = _columns(_filled(range(6)).table(KEYS, BOXES))
    assert _columns(_filled([5, 0, 3, 1, 4, 2]).table(KEYS, BOXES)) == expected


def test_shares_that_overlap_merge_to_the_whole():
    shares = [_filled([0, 2, 4]), _filled([1, 3, 5, 0])]
    shares[0].merge(shares)
    assert _columns(shares[0].table(KEYS, BOXES)) == _columns(_filled(range(6)).table(KEYS, BOXES))


def test_a_box_that_never_came_has_no_rows():
    scores = _filled([1, 3])
    assert scores.seen.tolist() == [True, False, True]
    table = scores.table(KEYS, BOXES)
    assert table.keys.tolist() == ["v,0902"] * 2 + ["w,0902"] * 2
    np.testing.assert_array_equal(table.boxes[::2], [BOXES[0][1], BOXES[2][0]])


def test_no_boxes_give_an_empty_table():
    scores = _filled([])
    table = scores.table(KEYS, BOXES)
    assert (len(table), table.boxes.shape, scores.seen.any()) == (0, (0, 4), False)


def test_bfloat16_scores_can_be_added():
    scores = BoxScores(3, 2)
    scores.add(torch.tensor([1]), torch.tensor([0]), SCORES[:1].bfloat16())
    assert scores.table(KEYS, BOXES).scores.tolist() == SCORES[0].bfloat16().tolist()


def test_npz_has_a_row_per_box_that_came(tmp_path):
    _filled([4, 0]).save_npz(tmp_path / "scores.npz", KEYS, BOXES)
    with np.load(tmp_path / "scores.npz", allow_pickle=False) as content:
        assert content["keys"].tolist() == ["v,0902", "w,0902"]
        np.testing.assert_array_equal(content["boxes"], [BOXES[0][0], BOXES[2][1]])
        np.testing.assert_array_equal(content["scores"], SCORES[[0, 4]])


def test_a_record_that_does_not_exist_is_refused():
    with pytest.raises(AssertionError, match="places"):
        BoxScores(3, 2).add(torch.tensor([3]), torch.tensor([0]), SCORES[:1])
