"""Runs whose network finds boxes by itself."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torchvision.models import resnet18

from slowfast.engine.test import test as run_test
from slowfast.engine.train import train
from slowfast.models import build_model
from slowfast.models.detector import Learned
from slowfast.tasks import build_task
from tests.tasks.test_detection import ONE_EPOCH, read_detections

DETECTOR = ["MODEL.MODEL_NAME", "S3D", "S3D.VARIANT", "s3d-g", "S3D.WIDTH_FACTOR", 0.125]
DETECTOR += ["MODEL.HEAD_ACT", "softmax", "MODEL.LOSS_FUNC", "cross_entropy"]
DETECTOR += ["RESNET.ZERO_INIT_FINAL_BN", False, "DETECTION.PROPOSALS", "rpn"]
DETECTOR += ["DETECTION.RPN_BACKBONE", "resnet18", "DETECTION.ANCHOR_SIZES", [32, 64]]
DETECTOR += ["DETECTION.NUM_PROPOSALS", 16, "DETECTION.NUM_SAMPLED", 16, "DETECTION.HEAD_DIM", 16]
DETECTOR += ["DETECTION.MAX_DETECTIONS", 7]


@pytest.fixture
def detector_cfg(box_cfg):
    """A function from overrides to the frozen config of a detector on the set with boxes."""
    return lambda *options: box_cfg(*DETECTOR, *options)


def learned(logits, labels):
    count = len(logits)
    zeros, zero = torch.zeros(count, 4), torch.zeros(())
    return Learned(logits, labels, zeros, zeros + 1, zero + 3, zero + 5)


def loss_of(cfg, logits, labels):
    batch = {"clips": [], "boxes": None, "box_labels": None, "labels": torch.zeros(2)}
    found = learned(logits, labels)
    return build_task(cfg).loss(lambda *_: found, batch, np.random.default_rng(0))


def test_loss_is_the_sum_of_the_parts_that_the_log_shows(detector_cfg):
    logits, labels = torch.randn(4, 3), torch.eye(4)[:, :3]  # the last box shows nothing
    loss, sums = loss_of(detector_cfg(), logits, labels)
    padded = torch.cat([torch.zeros(4, 1), logits], 1)
    expected = {
        "class_loss": F.cross_entropy(padded, torch.tensor([1, 2, 3, 0])),
        "offset_loss": torch.tensor(2 * 3 * 4 * 0.5 / 4),
        "objectness_loss": torch.tensor(3.0),
        "proposal_loss": torch.tensor(10.0),
    }
    torch.testing.assert_close(sums, {name: 2 * value for name, value in expected.items()})
    torch.testing.assert_close(loss, sum(expected.values()))


def test_boxes_of_several_labels_have_sigmoids(detector_cfg):
    cfg = detector_cfg("MODEL.HEAD_ACT", "sigmoid", "MODEL.LOSS_FUNC", "bce")
    logits, labels = torch.randn(4, 3), torch.tensor([[1.0, 1, 0]]).repeat(4, 1)
    _, sums = loss_of(cfg, logits, labels)
    expected = 2 * 3 * F.binary_cross_entropy_with_logits(logits, labels)
    torch.testing.assert_close(sums["class_loss"], expected)


def test_a_run_finds_boxes_and_needs_none_in_its_test(detector_cfg, tmp_path):
    nowhere = ["AVA.TEST_PREDICT_BOX_LISTS", ["nowhere.csv"]]
    precise = ["BN.USE_PRECISE_STATS", True, "BN.NUM_BATCHES_PRECISE", 1]
    state = train(detector_cfg(*ONE_EPOCH, *nowhere, *precise, "TRAIN.EMA_DECAY", 0.5))
    assert np.isfinite(state.history[0]["train_proposal_loss"])
    results = run_test(detector_cfg(*nowhere))
    assert results["test_boxes"] == "found" and results["map"] == state.history[0]["val_map"]
    assert (results["num_key_frames"], results["num_key_frames_scored"]) == (5, 5)
    detections = read_detections(tmp_path / "run/detections.csv")
    assert len(detections) == results["num_boxes"] <= 5 * 7
    assert detections.boxes.min() >= 0 and detections.boxes.max() <= 1


def test_a_detector_starts_from_weights_of_images_and_of_videos(detector_cfg, tmp_path):
    torch.manual_seed(0)
    images, videos = resnet18(), build_model(detector_cfg())
    torch.save(images.state_dict(), tmp_path / "images.pth")
    state = {n: x for n, x in videos.state_dict().items() if not n.startswith("proposals.")}
    torch.save({"model_state": state}, tmp_path / "videos.pyth")
    start = ["TRAIN.CHECKPOINT_FILE_PATH", tmp_path / "videos.pyth"]
    start += ["DETECTION.RPN_CHECKPOINT", tmp_path / "images.pth"]
    frozen = ["TRAIN.FREEZE", ["s1", "s2", "s3", "s4", "proposals.body"]]
    model = train(detector_cfg(*ONE_EPOCH, *start, *frozen)).model
    assert torch.equal(model.proposals.body.layer3[0].conv1.weight, images.layer3[0].conv1.weight)
    for name, value in videos.s1.state_dict().items():
        torch.testing.assert_close(model.s1.state_dict()[name], value)


@pytest.mark.slow
def test_a_detector_that_fits_finds_its_training_boxes(detector_cfg):
    fit = ["SOLVER.MAX_EPOCH", 60, "TRAIN.EVAL_PERIOD", 60, "TRAIN.CHECKPOINT_PERIOD", 60]
    fit += ["TRAIN.BATCH_SIZE", 4, "SOLVER.OPTIMIZING_METHOD", "adamw", "SOLVER.BASE_LR", 0.003]
    fit += ["AVA.GROUNDTRUTH_FILE", "ava_train_v2.2.csv", "DATA.RANDOM_FLIP", False]
    fit += ["BN.USE_PRECISE_STATS", True, "DETECTION.HEAD_DIM", 64]
    assert train(detector_cfg(*fit)).history[-1]["val_map"] > 90
