"""Evaluation of boxes that a network finds, and the fusion of several such runs."""

import json

import numpy as np
import pytest
import torch

from slowfast.evaluation.box_evaluator import FoundBoxEvaluator
from slowfast.evaluation.box_fusion import fuse_tables, read_detections
from slowfast.utils.box_table import BoxTable, BoxTruth
from tools import ensemble

# Two frames of 20 x 40 pixels with one box each: the left half, the right half.
KEYS = ["v,0001", "v,0002"]
TRUE_BOXES = np.array([[0, 0, 0.5, 1], [0.5, 0, 1, 1]])
TRUTH = BoxTruth(
    BoxTable(np.array(KEYS), TRUE_BOXES, np.array([0, 1])),
    {0: "run", 1: "jump"},
    metric="frame_map",
)
LEFT, RIGHT = [0, 0, 20, 20], [20, 0, 40, 20]
NONE = [0, 0, 0, 0, -1, 0]


def make_evaluator(truth=TRUTH):
    return FoundBoxEvaluator(KEYS, truth, num_classes=2, ava_metric="score_sorted")


def add(evaluator, rows, indices=(0, 1)):
    clips = [torch.zeros(len(indices), 3, 4, 20, 40)]
    evaluator.add({"indices": torch.tensor(indices), "clips": clips}, torch.tensor(rows).float())


GOOD = [[[*LEFT, 0, 0.9], NONE], [[*LEFT, 0, 0.8], [*RIGHT, 1, 0.7]]]


def test_boxes_in_pixels_are_judged_in_shares_of_the_frame():
    evaluator = make_evaluator()
    assert evaluator.evaluate() is None
    add(evaluator, GOOD)
    evaluation = evaluator.evaluate()
    assert evaluation.metrics["frame_map_voc"] == 100
    assert evaluation.metrics["num_boxes"] == 3
    np.testing.assert_allclose(evaluator._table().boxes[[0, 2]], TRUE_BOXES)


def test_frame_without_a_found_box_is_scored_and_missed():
    evaluator = make_evaluator()
    add(evaluator, [[NONE, NONE], GOOD[1]])
    metrics = evaluator.evaluate().metrics
    assert (metrics["num_key_frames_scored"], metrics["frame_map_voc"]) == (2, 50)


def test_scores_of_several_processes_are_those_of_one():
    whole, first, second = make_evaluator(), make_evaluator(), make_evaluator()
    add(whole, GOOD)
    add(first, GOOD[:1], [0])
    add(second, GOOD[1:], [1])
    first.merge([second.scores, first.scores])
    assert first.evaluate() == whole.evaluate()


def table(*rows):
    keys, boxes, labels, scores = zip(*rows, strict=True)
    return BoxTable(
        np.array(keys, object), np.array(boxes, float), np.array(labels), np.array(scores)
    )


def test_boxes_of_two_runs_become_one_where_they_overlap():
    rgb = table(("a", [0, 0, 1, 1], 0, 0.6), ("b", [0, 0, 1, 1], 0, 0.5))
    flow = table(("b", [0, 0, 1, 1], 1, 0.9), ("a", [0, 0, 1, 0.6], 0, 0.2))
    fused = fuse_tables([rgb, flow], [1, 3])
    found = dict(zip(zip(fused.keys, fused.labels, strict=True), fused.scores, strict=True))
    assert found == pytest.approx({("a", 0): 0.3, ("b", 0): 0.125, ("b", 1): 0.675})
    np.testing.assert_allclose(fused.boxes[fused.keys == "a"], [[0, 0, 1, 0.8]])


@pytest.fixture
def runs(tmp_path):
    """Folders of two tested runs; each finds the box of one frame."""
    folders = []
    for place, name in enumerate(("rgb", "flow")):
        evaluator = make_evaluator()
        add(evaluator, [row if n == place else [NONE, NONE] for n, row in enumerate(GOOD)])
        (tmp_path / name).mkdir()
        path = tmp_path / name / "test_scores.npz"
        evaluator.write(tmp_path / name, evaluator.evaluate(), scores_path=path)
        folders.append(str(tmp_path / name))
    return folders


def test_written_detections_are_read_with_their_truth(runs):
    run = read_detections(runs[1])
    assert run.truth.classes == TRUTH.classes and run.detections.labels.tolist() == [0, 1]
    assert run.metrics()["frame_map_voc"] == 50


def test_the_fused_map_is_printed_and_written(run_tool, runs, tmp_path):
    code, printed = run_tool(ensemble, *runs, "--output", tmp_path / "fused.json")
    assert code == 0 and "100.00" in printed
    content = json.loads((tmp_path / "fused.json").read_text())
    assert content["frame_map_voc"] == 100
    assert [run["frame_map_voc"] for run in content["runs"]] == [50, 50]


def test_runs_on_other_frames_are_not_fused(run_tool, runs, tmp_path):
    other = BoxTruth(BoxTable(np.array(KEYS), TRUE_BOXES, np.array([1, 1])), TRUTH.classes)
    evaluator = make_evaluator(other)
    add(evaluator, GOOD)
    path = tmp_path / "other.npz"
    evaluator.write(tmp_path, evaluator.evaluate(), scores_path=path)
    code, printed = run_tool(ensemble, runs[0], path)
    assert code == 1 and "another ground truth" in printed
