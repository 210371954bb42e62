"""What is learned: the loss of a training step, and the metric of a run."""

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from slowfast.config.node import ConfigNode
from slowfast.datasets.augment import build_mix, smooth_labels
from slowfast.datasets.transforms import normalize
from slowfast.engine.device import clip_layout
from slowfast.evaluation.topk import topk_accuracies, topk_correct

Mix = Callable[
    [list[torch.Tensor], torch.Tensor, np.random.Generator], tuple[list[torch.Tensor], torch.Tensor]
]


class Classification:
    """One label per clip; trained with the loss, judged by top-1 and top-5 accuracy in percent.

    `mix` turns (clips, labels, rng) into mixed clips and soft labels; None leaves batches as they
    are.
    """

    metric = "top1_acc"

    def __init__(
        self,
        loss: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
        eval_loss: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
        *,
        mean: list[float],
        std: list[float],
        mix: Mix | None,
    ):
        self._loss = loss
        self._eval_loss = eval_loss
        self._mean = mean
        self._std = std
        self._mix = mix

    def to_device(self, clips: list[torch.Tensor], device: torch.device) -> list[torch.Tensor]:
        """Normalised float32 clips on the device in its layout, from values 0..255."""
        moved = [clip.to(device, non_blocking=True) for clip in clips]
        return [
            normalize(clip, self._mean, self._std).contiguous(memory_format=clip_layout(device))
            for clip in moved
        ]

    def train_step(
        self,
        network: nn.Module,
        clips: list[torch.Tensor],
        labels: torch.Tensor,
        rng: np.random.Generator,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Loss of a batch, and what the meter adds up: loss * clips, top-1 hits, top-5 hits, clips.

        With mixed batches the hits count the heavier of the two labels.
        """
        targets = labels
        if self._mix is not None:
            clips, targets = self._mix(clips, labels, rng)
            labels = targets.argmax(dim=1)
        logits = network(clips).float()
        loss = self._loss(logits, targets)
        with torch.no_grad():
            hits = [topk_correct(logits, labels, k) for k in (1, 5)]
            count = len(labels)
            sums = torch.stack(
                [
                    loss.detach().double() * count,
                    *(h.double() for h in hits),
                    loss.new_tensor(count).double(),
                ]
            )
        return loss, sums

    def train_metrics(self, sums: np.ndarray) -> dict[str, float]:
        """Means of what `train_step` added up."""
        loss, top1, top5, count = (float(value) for value in sums)
        count = max(count, 1)
        return {
            "loss": loss / count,
            "top1_acc": 100 * top1 / count,
            "top5_acc": 100 * top5 / count,
        }

    def metrics(self, scores: torch.Tensor, labels: torch.Tensor) -> dict[str, float]:
        """Loss of the scores and accuracies over all videos (videos x classes, videos)."""
        return {
            "loss": float(self._eval_loss(scores, labels)),
            **topk_accuracies(scores, labels),
        }


def build_task(cfg: ConfigNode) -> Classification:
    """The task that the config asks for."""
    smoothing = cfg.MODEL.LABEL_SMOOTHING
    classes = cfg.MODEL.NUM_CLASSES
    losses = {
        "cross_entropy": lambda logits, labels: F.cross_entropy(
            logits, labels, label_smoothing=0.0 if labels.ndim == 2 else smoothing
        ),
        "bce_logit": lambda logits, labels: F.binary_cross_entropy_with_logits(
            logits, labels if labels.ndim == 2 else smooth_labels(labels, classes, smoothing)
        ),
    }
    losses["soft_cross_entropy"] = losses["cross_entropy"]
    eval_losses = {
        "softmax": lambda scores, labels: F.nll_loss(scores.clamp_min(1e-12).log(), labels),
        "sigmoid": lambda scores, labels: F.binary_cross_entropy(
            scores.clamp(0, 1), F.one_hot(labels, classes).to(scores.dtype)
        ),
        "none": lambda scores, labels: F.cross_entropy(scores, labels),
    }
    if cfg.MODEL.LOSS_FUNC not in losses:
        raise ValueError(f"MODEL.LOSS_FUNC: {cfg.MODEL.LOSS_FUNC!r} is not one of {sorted(losses)}")
    return Classification(
        losses[cfg.MODEL.LOSS_FUNC],
        eval_losses[cfg.MODEL.HEAD_ACT],
        mean=cfg.DATA.MEAN,
        std=cfg.DATA.STD,
        mix=build_mix(cfg),
    )
