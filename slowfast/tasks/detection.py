"""Any number of labels for each box of a key frame, as in AVA."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from slowfast.config.node import ConfigNode
from slowfast.datasets.clip_dataset import ClipDataset
from slowfast.evaluation.box_evaluator import BoxEvaluator
from slowfast.tasks.base import Task


class Detection(Task):
    """Labels of boxes, trained with binary cross-entropy."""

    moved = ("boxes", "box_labels")

    def inputs(self, batch: dict) -> tuple:
        return batch["clips"], batch["boxes"]

    def num_labelled(self, batch: dict) -> int:
        return len(batch["box_labels"])

    def loss(
        self, network: nn.Module, batch: dict, _rng: np.random.Generator
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """The loss is the mean over the boxes and classes of this process, 0 without boxes.

        Several processes average their gradients, as in the reference: then boxes of a process
        that has few of them count more.
        """
        targets = batch["box_labels"]
        logits = network(*self.inputs(batch)).float()
        total = F.binary_cross_entropy_with_logits(logits, targets, reduction="sum")
        loss = total / max(targets.numel(), 1)  # a sum over nothing still has a graph
        return loss, {}


def build_detection(cfg: ConfigNode) -> Detection:
    """The task of DETECTION.ENABLE."""
    return Detection(mean=cfg.DATA.MEAN, std=cfg.DATA.STD)


def build_box_evaluator(cfg: ConfigNode, dataset: ClipDataset) -> BoxEvaluator:
    """The evaluator of a split of key frames."""
    keys = [record.key for record in dataset.records]
    return BoxEvaluator(
        [key.key for key in keys],
        [key.boxes for key in keys],
        dataset.truth,
        num_classes=cfg.MODEL.NUM_CLASSES,
        ava_metric=cfg.AVA.METRIC,
        test_boxes=cfg.AVA.TEST_BOXES,
    )
