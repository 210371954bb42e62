"""The loss of a training step, and what the log shows beside it."""

from types import SimpleNamespace
from unittest import mock

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from slowfast.config.defaults import get_cfg
from slowfast.engine.state import Sums
from slowfast.tasks import build_evaluator, build_task
from slowfast.tasks.build import TASKS, TaskParts, check_task

CLIPS = [torch.zeros(2, 3, 1, 1, 1)]
LABELS = torch.tensor([1, 3])
BATCH = {"clips": CLIPS, "labels": LABELS}
LOGITS = torch.tensor([[0.0, 2.0, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0]])  # top-1: right, wrong


def step(*options, network=lambda clips: LOGITS):
    cfg = get_cfg()
    cfg.merge_from_list(["MODEL.NUM_CLASSES", 4, *options])
    return build_task(cfg).loss(network, BATCH, np.random.default_rng(0))


def smoothed(smoothing):
    return F.one_hot(LABELS, 4) * (1 - smoothing) + smoothing / 4


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize(
    "name, expected",
    [("cross_entropy", F.cross_entropy), ("bce_logit", F.binary_cross_entropy_with_logits)],
)
def test_loss_is_that_of_smoothed_labels(name, expected, smoothing):
    loss, _ = step("MODEL.LOSS_FUNC", name, "MODEL.LABEL_SMOOTHING", smoothing)
    torch.testing.assert_close(loss, expected(LOGITS, smoothed(smoothing)))


@pytest.mark.parametrize("name", ["cross_entropy", "soft_cross_entropy", "bce_logit"])
def test_mixed_labels_are_not_smoothed_again(name):
    mixup = ["MIXUP.ENABLE", True, "MODEL.LOSS_FUNC", name]
    loss, _ = step(*mixup)
    again, _ = step(*mixup, "MODEL.LABEL_SMOOTHING", 0.2)
    assert loss == again and loss != step("MODEL.LOSS_FUNC", name)[0]


def test_network_sees_mixed_clips():
    seen = []
    clips = [torch.stack([torch.zeros(3, 1, 8, 8), torch.ones(3, 1, 8, 8)])]
    cfg = get_cfg()
    cfg.merge_from_list(["MODEL.NUM_CLASSES", 4, "MIXUP.ENABLE", True, "MIXUP.CUTMIX_ALPHA", 0])
    build_task(cfg).loss(
        lambda clips: seen.extend(clips) or LOGITS,
        {"clips": clips, "labels": LABELS},
        np.random.default_rng(0),
    )
    assert 0 < seen[0].min() < seen[0].max() < 1


def test_sums_become_means_over_clips():
    _, sums = step()
    assert Sums(sums, count=2).means() == {"top1_acc": 50, "top5_acc": 100}


def test_a_task_from_outside_is_named_and_built():
    cfg = get_cfg()
    task = SimpleNamespace()
    parts = TaskParts(lambda cfg: task, lambda cfg, dataset: f"judge of {dataset}")
    with mock.patch.dict(TASKS._entries):
        TASKS.register("mine")(parts)
        cfg.TASK = "mine"
        assert build_task(cfg) is task
        assert build_evaluator(cfg, "videos") == "judge of videos"
        assert not list(check_task("mine", boxes(False), False, False, 4))


def boxes(are_classified):
    detection = get_cfg().DETECTION
    detection.ENABLE = are_classified
    return detection


def test_mistakes_in_the_name_of_a_task_are_named():
    (unknown,) = check_task("mine", boxes(False), False, False, 4)
    assert unknown.startswith("TASK: 'mine' is not one of ['adaptive', 'classification'")
    (other,) = check_task("detection", boxes(False), False, True, 4)
    assert other.startswith(
        "TASK: 'detection' must be 'multi_label' or '': so say DETECTION.ENABLE"
    )
    for name, switches in (
        ("", (boxes(True), False, False, 4)),
        ("adaptive", (boxes(False), True, False, 4)),
        ("several_targets", (boxes(False), False, False, [4, 3])),
    ):
        assert not list(check_task(name, *switches))
