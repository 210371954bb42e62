"""One label per video."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from slowfast.config.node import ConfigNode
from slowfast.datasets.clip_dataset import ClipDataset
from slowfast.datasets.transforms.augment import build_mix, smooth_labels
from slowfast.evaluation.topk import topk_accuracies, topk_correct
from slowfast.tasks.base import sums_of
from slowfast.tasks.video_task import ViewTask, build_view_options

Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
Mix = Callable[
    [list[torch.Tensor], torch.Tensor, np.random.Generator], tuple[list[torch.Tensor], torch.Tensor]
]


class Classification(ViewTask):
    """One label per video; trained with `loss`, judged by top-1 and top-5 accuracy.

    `mix` turns (clips, labels, rng) into mixed clips and soft labels; None leaves batches as they
    are. The rest is for ViewTask.
    """

    titles = {"top1_acc": "top-1", "top5_acc": "top-5"}

    def __init__(self, loss: Loss, eval_loss: Loss, *, mix: Mix | None, **view_options):
        super().__init__(**view_options)
        self._loss = loss
        self._eval_loss = eval_loss
        self._mix = mix

    def metric(self, _dataset: ClipDataset) -> str:
        return "top1_acc"

    def train_step(
        self, network: nn.Module, batch: dict, rng: np.random.Generator
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The sums are loss * clips, top-1 hits, top-5 hits, clips.

        With mixed batches the hits count the heavier of the two labels.
        """
        batch, targets = self._mixed(batch, rng)
        logits = network(*self.inputs(batch)).float()
        loss = self._loss(logits, targets)
        return loss, sums_of(loss, *self._hits(logits, targets), count=len(targets))

    def _mixed(self, batch: dict, rng: np.random.Generator) -> tuple[dict, torch.Tensor]:
        """The batch to learn from, and its labels."""
        if self._mix is None:
            return batch, batch["labels"]
        clips, targets = self._mix(batch["clips"], batch["labels"], rng)
        return {**batch, "clips": clips}, targets

    def _hits(self, logits: torch.Tensor, targets: torch.Tensor) -> list[torch.Tensor]:
        labels = targets if targets.ndim == 1 else targets.argmax(dim=1)
        return [topk_correct(logits.detach(), labels, k) for k in (1, 5)]

    def train_metrics(self, sums: np.ndarray) -> dict[str, float]:
        _, top1, top5, count = (float(value) for value in sums)
        accuracies = {"top1_acc": top1, "top5_acc": top5}
        return {
            **super().train_metrics(sums),
            **{name: 100 * hits / max(count, 1) for name, hits in accuracies.items()},
        }

    def labels(self, dataset: ClipDataset) -> torch.Tensor:
        return torch.tensor([record.label for record in dataset.records])

    def judge(self, values: torch.Tensor, labels: torch.Tensor) -> dict[str, float]:
        return topk_accuracies(values, labels)

    def eval_loss(self, values: torch.Tensor, labels: torch.Tensor) -> float:
        return float(self._eval_loss(values, labels))

    def csv_table(
        self, values: torch.Tensor, dataset: ClipDataset
    ) -> tuple[list[str], Iterator[list]]:
        header = ["label", "prediction", "is_correct", "score", "label_name", "prediction_name"]
        return header, self._csv_rows(values, dataset)

    def _csv_rows(self, values: torch.Tensor, dataset: ClipDataset) -> Iterator[list]:
        names = dataset.class_names
        for record, row in zip(dataset.records, values, strict=True):
            label, best = record.label, int(row.argmax())
            named = [names[label], names[best]] if names else ["", ""]
            yield [label, best, int(best == label), float(row[best]), *named]


def build_classification_options(cfg: ConfigNode) -> dict[str, Any]:
    """The arguments of Classification, with the loss of MODEL.LOSS_FUNC."""
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
    return {
        "loss": losses[cfg.MODEL.LOSS_FUNC],
        "eval_loss": eval_losses[cfg.MODEL.HEAD_ACT],
        "mix": build_mix(cfg),
        **build_view_options(cfg),
    }


def build_classification(cfg: ConfigNode) -> Classification:
    """The task of a plain network."""
    return Classification(**build_classification_options(cfg))
