"""Runs that classify boxes."""

import csv
import itertools
import json
import shutil
import signal
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from slowfast.checkpoint import files
from slowfast.datasets.build import build_dataset, build_loader
from slowfast.datasets.records import KeyFrame, Record
from slowfast.engine.predict import Predictor
from slowfast.engine.test import test as run_test
from slowfast.engine.train import train
from slowfast.evaluation.ava import ava_average_precisions
from slowfast.evaluation.metrics import mean_over_classes
from slowfast.models import build_model
from slowfast.runtime.compilation import compile_parts
from slowfast.tasks import build_evaluator, build_task
from slowfast.utils.box_table import BoxTable, BoxTruth

GROUND_TRUTH = ["AVA.TEST_BOXES", "ground_truth"]
ONE_EPOCH = ["SOLVER.MAX_EPOCH", 1]


def read_rows(path):
    with open(path) as file:
        return list(csv.DictReader(file))


def read_detections(path):
    with open(path) as file:
        rows = list(csv.reader(file))
    return BoxTable(
        np.array([f"{row[0]},{row[1]}" for row in rows]),
        np.array([row[2:6] for row in rows], dtype=float),
        np.array([int(row[6]) - 1 for row in rows]),
        np.array([float(row[7]) for row in rows]),
    )


@pytest.fixture
def trained(box_cfg, train_once):
    """A function from overrides to the state after one epoch in a new folder."""
    return train_once(box_cfg)


def batch_of(labels):
    return {
        "clips": [torch.zeros(2, 3, 1, 1, 1)],
        "boxes": torch.zeros(len(labels), 5),
        "box_labels": labels,
    }


def test_loss_is_the_mean_over_the_boxes(box_cfg):
    labels, logits = torch.tensor([[1.0, 0, 1], [0, 0, 0]]), torch.randn(2, 3)
    task = build_task(box_cfg())
    loss, sums = task.loss(lambda clips, boxes: logits, batch_of(labels), np.random.default_rng(0))
    torch.testing.assert_close(loss, F.binary_cross_entropy(logits.sigmoid(), labels))
    assert sums == {} and task.num_labelled(batch_of(labels)) == 2


def test_batch_without_boxes_has_loss_0_and_zero_gradients(box_cfg):
    layer, task = torch.nn.Linear(4, 3), build_task(box_cfg())
    batch = batch_of(torch.zeros(0, 3))
    loss, _ = task.loss(lambda clips, boxes: layer(boxes[:, 1:]), batch, np.random.default_rng(0))
    loss.backward()
    assert loss == 0 and task.num_labelled(batch) == 0
    assert all((parameter.grad == 0).all() for parameter in layer.parameters())


@pytest.mark.slow
def test_map_is_that_of_the_written_detections(box_cfg, tmp_path):
    cfg = box_cfg(*ONE_EPOCH)
    train(cfg)
    results = run_test(cfg)
    assert (results["num_key_frames"], results["num_boxes"]) == (5, 10)
    assert (results["metric_definition"], results["test_boxes"]) == ("score_sorted", "predicted")
    assert "split" not in results
    detections = read_detections(tmp_path / "run/detections.csv")
    assert len(detections) == 10 * 3
    truth = build_dataset(cfg, "test").truth
    aps = ava_average_precisions(detections, truth, definition="score_sorted")
    assert results["map"] == pytest.approx(100 * mean_over_classes(aps.values()))
    rows = read_rows(tmp_path / "run/test_results_per_class.csv")
    assert [float(row["ap"]) for row in rows] == pytest.approx([100 * aps[i] for i in range(3)])
    assert rows[0]["name"] == "colour 1" and int(rows[0]["positives"]) == 3
    with np.load(tmp_path / "run/test_scores.npz") as saved:
        assert saved["scores"].shape == (10, 3)
        np.testing.assert_allclose(saved["scores"].ravel(), detections.scores, rtol=1e-6)
    assert json.loads((tmp_path / "run/test_results.json").read_text()) == results


def test_frame_map_has_both_definitions_and_counts_what_was_not_scored(box_cfg):
    boxes = np.array([[0.1, 0.1, 0.4, 0.4], [0.5, 0.5, 0.9, 0.9]])
    keys = [KeyFrame(f"v,000{i}", i, boxes, ((0,), (1,))) for i in range(2)]
    table = BoxTable(
        np.repeat(["v,0000", "v,0001"], 2), np.tile(boxes, (2, 1)), np.array([0, 1, 0, 1])
    )
    truth = BoxTruth(table, {0: "run", 1: "jump"}, metric="frame_map")
    dataset = SimpleNamespace(records=[Record("v", key=key) for key in keys], truth=truth)
    evaluator = build_evaluator(box_cfg("MODEL.NUM_CLASSES", 2), dataset)
    assert evaluator.evaluate() is None
    batch = {"box_indices": torch.zeros(2).long(), "box_numbers": torch.arange(2)}
    evaluator.add(batch, torch.tensor([[0.9, 0.1], [0.2, 0.8]]))
    evaluation = evaluator.evaluate()
    assert evaluator.metric == "frame_map_voc"
    assert evaluation.metrics["frame_map_voc"] == pytest.approx(50)  # the second frame is missed
    assert evaluation.metrics["num_key_frames_scored"] == 1
    assert evaluation.per_class.keys() == {"positives", "ap_voc", "ap_act"}


@pytest.mark.slow
def test_a_network_that_fits_has_map_100(box_cfg):
    fit = ["SOLVER.MAX_EPOCH", 20, "TRAIN.EVAL_PERIOD", 20, "TRAIN.CHECKPOINT_PERIOD", 20]
    fit += ["TRAIN.BATCH_SIZE", 4, "SOLVER.OPTIMIZING_METHOD", "adamw", "SOLVER.BASE_LR", 0.03]
    on_train = ["AVA.GROUNDTRUTH_FILE", "ava_train_v2.2.csv", *GROUND_TRUTH]
    on_train += ["DATA.RANDOM_FLIP", False, "BN.USE_PRECISE_STATS", True]
    state = train(box_cfg(*fit, *on_train))
    assert state.history[-1]["val_map"] == pytest.approx(100)


@pytest.mark.slow
def test_best_checkpoint_goes_by_map(box_cfg, tmp_path):
    state = train(box_cfg(*GROUND_TRUTH))
    best = max(state.history, key=lambda row: row["val_map"])
    assert state.best["map"] == best["val_map"]
    assert files.load(files.best_path(tmp_path / "run"))["best"]["map"] == state.best["map"]


@pytest.mark.slow
def test_unreadable_key_frame_is_named_and_its_boxes_are_missed(box_cfg, box_set, tmp_path):
    train(box_cfg(*ONE_EPOCH))
    whole = run_test(box_cfg(*GROUND_TRUTH))
    folder = tmp_path / "damaged"
    shutil.copytree(box_set, folder)
    (folder / "val_1.mp4").write_text("not a video")
    results = run_test(box_cfg(*GROUND_TRUTH, "AVA.VIDEO_DIR", folder))
    (name,) = results["unreadable"]
    assert name == f"{folder}/val_1.mp4 (val_1,0904)" and results["num_unreadable"] == 1
    assert (results["num_key_frames"], results["num_key_frames_scored"]) == (5, 4)
    rows = read_rows(tmp_path / "run/test_results_per_class.csv")
    assert [row["positives"] for row in rows] == ["3", "4", "3"]  # those of val_1 too
    assert whole["num_key_frames_scored"] == 5


@pytest.mark.slow
def test_classes_of_boxes_are_found_by_their_names(box_cfg, box_set, tmp_path):
    train(box_cfg(*ONE_EPOCH))
    expected = run_test(box_cfg(*GROUND_TRUTH))
    folder = tmp_path / "turned"
    shutil.copytree(box_set, folder)
    annotations = folder / "annotations"
    (annotations / "labels.pbtxt").write_text(
        "".join(f'item {{ name: "colour {i}" id: {i % 3 + 1} }}\n' for i in (1, 2, 3))
    )
    path = annotations / "ava_val_v2.2.csv"
    rows = [line.split(",") for line in path.read_text().splitlines()]
    path.write_text("".join(",".join([*r[:6], str(int(r[6]) % 3 + 1), r[7]]) + "\n" for r in rows))
    found = run_test(box_cfg(*GROUND_TRUTH, "DATA.PATH_TO_DATA_DIR", folder))
    assert found["map"] == pytest.approx(expected["map"])


@pytest.mark.slow
def test_key_frame_without_a_detected_box_is_missed_and_counted(box_cfg, box_set, tmp_path):
    lines = (box_set / "annotations/val_detected.csv").read_text().splitlines(keepends=True)
    path = tmp_path / "found.csv"
    path.write_text("".join(line for line in lines if not line.startswith("val_1")))
    cfg = box_cfg(*ONE_EPOCH, "AVA.TEST_PREDICT_BOX_LISTS", [str(path)])
    train(cfg)
    results = run_test(cfg)
    assert (results["num_key_frames"], results["num_key_frames_scored"]) == (5, 4)


@pytest.mark.slow
def test_boxes_outside_of_the_centre_are_missed_and_those_inside_stay_whole(box_cfg, tmp_path):
    """The centre 32 of 64 x 64 is 0.25 to 0.75 of a frame."""
    path = tmp_path / "found.csv"
    corner, wide = "0.0,0.0,0.2,0.9", "0.1,0.5,0.6,0.7"
    lines = [f"val_{n},904,{box},,0.9\n" for n, box in ((0, corner), (1, wide), (1, corner))]
    path.write_text("".join(lines))
    train(box_cfg(*ONE_EPOCH))
    center = ["DETECTION.TEST_VIEW", "center", "DATA.TEST_CROP_SIZE", 32, "TEST.SHORT_SIDE", 64]
    results = run_test(box_cfg(*center, "AVA.TEST_PREDICT_BOX_LISTS", [str(path)]))
    assert (results["num_key_frames"], results["num_key_frames_scored"]) == (5, 1)
    assert (results["short_side"], results["crop_size"], results["num_boxes"]) == (64, 32, 1)
    boxes = read_detections(tmp_path / "run/detections.csv").boxes
    np.testing.assert_allclose(np.unique(boxes, axis=0), [[0.1, 0.5, 0.6, 0.7]])


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        ["TRAIN.EMA_DECAY", 0.5, "BN.USE_PRECISE_STATS", True, "BN.NUM_BATCHES_PRECISE", 1],
        ["TRAIN.MIXED_PRECISION", True, "TRAIN.AMP_DTYPE", "bfloat16"],
        ["TRAIN.FREEZE", "['s1']", "MODEL.FROZEN_BN", True],
        ["SOLVER.CLIP_GRAD_L2NORM", 1.0],
    ],
    ids=lambda options: options[0],
)
def test_options_of_training_work_with_boxes(trained, options):
    state = trained(*options)
    assert np.isfinite(state.history[0]["train_loss"])
    assert 0 <= state.history[0]["val_map"] <= 100


@pytest.mark.slow
def test_accumulated_gradients_equal_those_of_a_large_batch(trained):
    options = ["MODEL.FROZEN_BN", True, "DATA.RANDOM_FLIP", False, "DATA.TRAIN_JITTER_SCALES"]
    options += [[64, 64], "TRAIN.EVAL_PERIOD", 5]
    whole = trained(*options, "TRAIN.BATCH_SIZE", 4).model.state_dict()
    summed = trained(*options, "TRAIN.BATCH_SIZE", 2, "TRAIN.ACCUMULATION_STEPS", 2)
    for name, value in summed.model.state_dict().items():
        torch.testing.assert_close(value, whole[name], rtol=1e-4, atol=1e-6)


@pytest.mark.slow
@torch.no_grad()
def test_compiled_network_takes_boxes(box_cfg, traced):
    cfg = box_cfg(*GROUND_TRUTH)
    model, task = build_model(cfg).eval(), build_task(cfg)
    batch = next(iter(build_loader(cfg, "train")))
    inputs = task.inputs(task.prepare(batch, torch.device("cpu")))
    plain = model(*inputs)
    compile_parts(model, mode="default", seconds=600)
    torch.testing.assert_close(model(*inputs), plain)
    assert traced


def test_nan_stops_and_names_the_key_frames(trained, monkeypatch):
    monkeypatch.setattr("slowfast.engine.run.build_lr_schedule", lambda _cfg: lambda _epoch: 1e30)
    with pytest.raises(ValueError, match=r"not finite in epoch 1, step 2.*\(train_\d,0904\)"):
        trained()


@pytest.mark.slow
def test_stopped_run_goes_on_as_if_it_had_not(box_cfg, tmp_path, monkeypatch):
    options = ["SOLVER.MAX_EPOCH", 3, "SOLVER.CLIP_GRAD_L2NORM", 10.0]
    whole = train(box_cfg(*options, "OUTPUT_DIR", tmp_path / "whole"))
    import slowfast.engine.step as step

    clip, calls = step.clip_gradients, itertools.count(1)

    def interrupt(*args, **kwargs):
        if next(calls) == 3:
            signal.raise_signal(signal.SIGINT)
        return clip(*args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(step, "clip_gradients", interrupt)
        with pytest.raises(SystemExit):
            train(box_cfg(*options, "OUTPUT_DIR", tmp_path / "stopped"))
    resumed = train(box_cfg(*options, "OUTPUT_DIR", tmp_path / "stopped"))
    for name, value in whole.model.state_dict().items():
        assert torch.equal(resumed.model.state_dict()[name], value), name
    assert [row["val_map"] for row in resumed.history] == [row["val_map"] for row in whole.history]


@pytest.mark.slow
def test_detection_starts_from_weights_of_classification(toy_cfg, trained, tmp_path):
    train(toy_cfg("OUTPUT_DIR", tmp_path / "pretrained", "MODEL.NUM_CLASSES", 7, *ONE_EPOCH))
    path = files.last_checkpoint(tmp_path / "pretrained")
    state = trained("TRAIN.CHECKPOINT_FILE_PATH", path, "SOLVER.BASE_LR", 0.0)
    before, after = files.load(path)["model_state"], state.model.state_dict()
    assert after["head.projection.weight"].shape[0] == 3
    for name, value in before.items():
        if name.endswith("weight") and not name.startswith("head.projection"):
            assert torch.equal(after[name], value), name


def test_files_without_boxes_cannot_be_predicted(box_yaml):
    with pytest.raises(ValueError, match="DETECTION.ENABLE: True needs boxes"):
        Predictor(box_yaml, "weights.pyth")
