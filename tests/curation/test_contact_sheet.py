"""What a contact sheet shows of samples."""

import numpy as np
import torch

from slowfast.curation.contact_sheet import SheetRow, draw_sheet, sheet_rows
from slowfast.datasets.clip_dataset import Sample
from slowfast.datasets.records import KeyFrame, Record


class _Samples(list):
    """A dataset of given samples."""

    records = [Record("a/b.mp4", 1, key=KeyFrame("b,0902", 3, None, ()))]

    def __getitem__(self, key):
        return super().__getitem__(key.index)


def _rows(sample, names=(("sit", "run"),), **options):
    options = {"is_bgr": False, **options}
    return sheet_rows(_Samples([sample]), num=3, seed=0, class_names=names, **options)


def test_the_middle_view_of_the_fast_pathway_is_shown():
    slow, fast = torch.zeros(3, 3, 1, 4, 6), torch.rand(3, 3, 4, 4, 6) * 300 - 20
    (row,) = _rows(Sample([slow, fast], 1, 0))
    assert row.title == "b.mp4  run" and row.frames.shape == (4, 4, 6, 3)
    expected = fast[1].clamp(0, 255).round().permute(1, 2, 3, 0)
    np.testing.assert_array_equal(row.frames, expected)


def test_colours_are_natural_where_the_network_gets_bgr():
    clip = torch.zeros(1, 3, 2, 4, 4)
    clip[:, 0] = 255  # blue
    (row,) = _rows(Sample([clip], 1, 0), is_bgr=True)
    assert row.frames[0, 0, 0].tolist() == [0, 0, 255]


def test_several_labels_and_those_of_boxes_are_named():
    clip = torch.zeros(1, 3, 2, 4, 4)
    (row,) = _rows(Sample([clip], torch.tensor([1.0, 1.0]), 0))
    assert row.title == "b.mp4  sit, run"
    boxes, labels = torch.tensor([[0.0, 1, 2, 3], [1, 1, 3, 3]]), torch.tensor([[0.0, 1], [1, 0]])
    (row,) = _rows(Sample([clip], -1, 0, boxes=boxes, box_labels=labels))
    assert row.title == "b,0902  1: run  2: sit" and row.boxes.tolist() == boxes.tolist()


def test_each_target_is_named():
    sample = Sample([torch.zeros(1, 3, 2, 4, 4)], torch.tensor([1, 0]), 0)
    (row,) = _rows(sample, [["take", "put"], ["cup", "fork"]])
    assert row.title == "b.mp4  put, cup"


def test_unreadable_videos_are_left_out():
    assert _rows(Sample([], 1, 0, [(0, "it is broken")])) == []


def test_boxes_are_in_the_picture(tmp_path):
    import cv2

    frames = np.zeros((2, 40, 60, 3), np.uint8)
    draw_sheet(tmp_path / "a.png", [SheetRow("$x_{1$", frames, np.array([[10.0, 10, 30, 30]]))])
    picture = cv2.imread(str(tmp_path / "a.png")).astype(int)
    green = (picture[..., 1] > 200) & (picture[..., [0, 2]].max(-1) < 100)
    columns = np.flatnonzero(green.any(0))
    assert columns[0] < picture.shape[1] / 2 < columns[-1]
