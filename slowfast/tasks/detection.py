"""Labels of boxes in key frames, as in AVA: of boxes that are given, or found by the network."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from slowfast.config.node import ConfigNode
from slowfast.datasets.clip_dataset import ClipDataset
from slowfast.evaluation.box_evaluator import BoxEvaluator, FoundBoxEvaluator
from slowfast.models.detector import Learned, with_background
from slowfast.tasks.base import Task

# The offsets of boxes count twice, as in TensorFlow's Object Detection API, which the paper used.
_OFFSET_WEIGHT = 2.0


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


class Detector(Task):
    """Faster R-CNN: proposals, classes and offsets of boxes learn together (arXiv 1506.01497).

    has_background: a box has one label or none, by softmax; otherwise any number, by sigmoids.
    """

    moved = ("boxes", "box_labels")

    def __init__(self, *, has_background: bool, **normalization):
        super().__init__(**normalization)
        self._has_background = has_background

    def loss(
        self, network: nn.Module, batch: dict, _rng: np.random.Generator
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss is a mean over clips; the log has its four parts."""
        learned = network(batch["clips"], batch["boxes"], batch["box_labels"])
        parts = {
            "class_loss": self._class_loss(learned),
            "offset_loss": _OFFSET_WEIGHT * _offset_loss(learned),
            "objectness_loss": learned.objectness_loss,
            "proposal_loss": _OFFSET_WEIGHT * learned.proposal_loss,
        }
        count = self.num_labelled(batch)
        return sum(parts.values()), {name: x.detach() * count for name, x in parts.items()}

    def _class_loss(self, learned: Learned) -> Tensor:
        """Mean over the clips of the means over their boxes."""
        logits, labels = learned.logits.float(), learned.labels
        if self._has_background:
            counts = labels.sum(1, keepdim=True)
            shares = torch.cat([(counts == 0).to(labels), labels / counts.clamp(min=1)], 1)
            losses = F.cross_entropy(with_background(logits), shares, reduction="none")
        else:
            losses = F.binary_cross_entropy_with_logits(logits, labels, reduction="none").sum(1)
        return (learned.weights * losses).sum()


def _offset_loss(learned: Learned) -> Tensor:
    """Smooth L1 of the boxes that show something, over all."""
    is_positive = learned.labels.any(1)
    found, true = learned.offsets[is_positive], learned.true_offsets[is_positive]
    losses = F.smooth_l1_loss(found, true, reduction="none").sum(1)
    return (learned.weights[is_positive] * losses).sum()


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


def build_detector(cfg: ConfigNode) -> Detector:
    """The task of DETECTION.PROPOSALS rpn."""
    has_background = cfg.MODEL.HEAD_ACT == "softmax"
    return Detector(has_background=has_background, mean=cfg.DATA.MEAN, std=cfg.DATA.STD)


def build_found_box_evaluator(cfg: ConfigNode, dataset: ClipDataset) -> FoundBoxEvaluator:
    """The evaluator of a split of key frames whose boxes are found."""
    return FoundBoxEvaluator(
        [record.key.key for record in dataset.records],
        dataset.truth,
        num_classes=cfg.MODEL.NUM_CLASSES,
        ava_metric=cfg.AVA.METRIC,
    )
