"""One label per video."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from slowfast.config.node import ConfigNode
from slowfast.datasets.clip_dataset import ClipDataset
from slowfast.datasets.packed_records import labels_of
from slowfast.datasets.transforms.augment import build_mix, smooth_labels
from slowfast.evaluation.metrics import topk_correct
from slowfast.evaluation.video_evaluator import LabelledVideos, OneLabelEvaluator
from slowfast.tasks.base import Task, logits_and_loss

Mix = Callable[
    [list[torch.Tensor], torch.Tensor, np.random.Generator], tuple[list[torch.Tensor], torch.Tensor]
]


@dataclass
class OneLabelLoss(ABC):
    """Base class for losses of class numbers, which are smoothed, or of mixed labels N,classes.

    mixed_smoothing: smoothing that mixed labels have already. class_weights: (classes,) factors of
    the losses of clips with these labels, of a mixed clip by the shares of its labels; None: all 1.
    The mean is over the clips, not over their weights, so that the loss of several processes, whose
    clips have other classes, is that of one.
    """

    smoothing: float
    mixed_smoothing: float = 0.0
    class_weights: torch.Tensor | None = None

    @abstractmethod
    def __call__(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Mean over the clips."""

    def _weighed(self, labels: torch.Tensor, num_classes: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Smoothed labels N,classes times the weight of their clip, and these weights N,1.

        What is smoothed away from a label goes to all classes alike, whatever their weights.
        """
        if labels.ndim == 1:
            weights = self.class_weights[labels][:, None]
            return weights * smooth_labels(labels, num_classes, self.smoothing), weights
        even, kept = self.mixed_smoothing / num_classes, 1 - self.mixed_smoothing
        if not kept:
            return labels, torch.ones_like(labels[:, :1])
        weighed = (labels - even) * self.class_weights
        weights = weighed.sum(1, keepdim=True) / kept
        return weighed + even * weights, weights


class CrossEntropy(OneLabelLoss):
    """Mean cross entropy."""

    def __call__(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        if self.class_weights is not None:
            labels, _ = self._weighed(labels, logits.shape[1])
        smoothing = 0.0 if labels.ndim == 2 else self.smoothing
        return F.cross_entropy(logits, labels, label_smoothing=smoothing)


class BinaryCrossEntropy(OneLabelLoss):
    """Mean binary cross entropy over the classes."""

    def __call__(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        if self.class_weights is not None:
            labels, weights = self._weighed(labels, logits.shape[1])
            others = (weights - labels) * F.logsigmoid(-logits)
            return -(labels * F.logsigmoid(logits) + others).mean()
        if labels.ndim == 1:
            labels = smooth_labels(labels, logits.shape[1], self.smoothing)
        return F.binary_cross_entropy_with_logits(logits, labels)


class Classification(Task):
    """One label per video, trained with `loss`.

    `mix` turns (clips, labels, rng) into mixed clips and soft labels; None leaves batches as they
    are. The rest is for Task.
    """

    moved = ("labels",)

    def __init__(self, loss: OneLabelLoss, *, mix: Mix | None, **normalization):
        super().__init__(**normalization)
        self._loss = loss
        self._mix = mix

    def weigh_classes(self, weights: torch.Tensor) -> None:
        self._loss.class_weights = weights

    def loss(
        self, network: nn.Module, batch: dict, rng: np.random.Generator
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """With mixed batches the accuracies count the heavier of the two labels."""
        batch, targets = self._mixed(batch, rng)
        logits, loss = logits_and_loss(
            network(*self.inputs(batch)), lambda logits: self._loss(logits, targets)
        )
        return loss, self._accuracies(logits, targets)

    def _mixed(self, batch: dict, rng: np.random.Generator) -> tuple[dict, torch.Tensor]:
        """The batch to learn from, and its labels."""
        if self._mix is None:
            return batch, batch["labels"]
        clips, targets = self._mix(batch["clips"], batch["labels"], rng)
        return {**batch, "clips": clips}, targets

    def _accuracies(self, logits: torch.Tensor, targets: torch.Tensor) -> dict[str, torch.Tensor]:
        """Sums over the clips, each 0 or 100 percent."""
        labels = targets if targets.ndim == 1 else targets.argmax(dim=1)
        return {f"top{k}_acc": 100 * topk_correct(logits.detach(), labels, k) for k in (1, 5)}


def build_classification_options(cfg: ConfigNode) -> dict[str, Any]:
    """The arguments of Classification, with the loss of MODEL.LOSS_FUNC."""
    smoothing = cfg.MODEL.LABEL_SMOOTHING
    losses = {
        "cross_entropy": CrossEntropy,
        "soft_cross_entropy": CrossEntropy,
        "bce_logit": BinaryCrossEntropy,
    }
    if cfg.MODEL.LOSS_FUNC not in losses:
        raise ValueError(f"MODEL.LOSS_FUNC: {cfg.MODEL.LOSS_FUNC!r} is not one of {sorted(losses)}")
    return {
        "loss": losses[cfg.MODEL.LOSS_FUNC](smoothing, cfg.MIXUP.LABEL_SMOOTH_VALUE),
        "mix": build_mix(cfg),
        "mean": cfg.DATA.MEAN,
        "std": cfg.DATA.STD,
    }


def build_classification(cfg: ConfigNode) -> Classification:
    """The task of a plain network."""
    return Classification(**build_classification_options(cfg))


def build_one_label_evaluator(cfg: ConfigNode, dataset: ClipDataset) -> OneLabelEvaluator:
    """The evaluator of a split whose videos have one class each."""
    labels = torch.from_numpy(labels_of(dataset.records))
    paths = [record.name for record in dataset.records]
    return OneLabelEvaluator(
        LabelledVideos(paths, labels, dataset.class_names),
        activation=cfg.MODEL.HEAD_ACT,
        num_views=dataset.num_views,
        num_crops=dataset.views.num_crops,
        num_classes=cfg.MODEL.NUM_CLASSES,
        ensemble=cfg.DATA.ENSEMBLE_METHOD,
    )
