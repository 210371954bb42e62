"""Several targets per video, each with classes of its own, such as a verb and a noun."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from slowfast.config.derived import class_counts
from slowfast.config.node import ConfigNode
from slowfast.datasets.clip_dataset import ClipDataset
from slowfast.datasets.transforms.augment import build_mix
from slowfast.evaluation.metrics import topk_hits
from slowfast.evaluation.targets_evaluator import TargetsEvaluator
from slowfast.evaluation.video_evaluator import LabelledVideos
from slowfast.tasks.base import Task, logits_and_loss
from slowfast.tasks.classification import CrossEntropy, Mix, OneLabelLoss


class SeveralTargets(Task):
    """One class for each of several targets, trained with the mean of their cross entropies.

    counts: classes of each target, whose logits stand side by side; losses: of each. The labels of
    a batch are N,targets class numbers, mixed ones soft labels of all classes.
    """

    moved = ("labels",)

    def __init__(
        self,
        counts: Sequence[int],
        losses: Sequence[OneLabelLoss],
        *,
        mix: Mix | None,
        **normalization,
    ):
        super().__init__(**normalization)
        self._counts = tuple(counts)
        self._losses = losses
        self._mix = mix

    def weigh_classes(self, weights: torch.Tensor) -> None:
        for loss, part in zip(self._losses, weights.split(self._counts), strict=True):
            loss.class_weights = part

    def loss(
        self, network: nn.Module, batch: dict, rng: np.random.Generator
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """With mixed batches the accuracies count the heavier of the two labels of a target."""
        targets = batch["labels"].unbind(1)
        if self._mix is not None:
            clips, labels = self._mix(batch["clips"], batch["labels"], rng)
            batch, targets = {**batch, "clips": clips}, labels.split(self._counts, 1)

        def mean_loss(logits: torch.Tensor) -> torch.Tensor:
            triples = zip(self._losses, logits.split(self._counts, 1), targets, strict=True)
            return torch.stack([loss(own, labels) for loss, own, labels in triples]).mean()

        logits, loss = logits_and_loss(network(*self.inputs(batch)), mean_loss)
        return loss, _accuracies(logits.split(self._counts, 1), targets)


def _accuracies(
    logits: Sequence[torch.Tensor], targets: Sequence[torch.Tensor]
) -> dict[str, torch.Tensor]:
    """Sums over the clips, each 0 or 100 percent: of all targets at once, then of each."""
    labels = [each if each.ndim == 1 else each.argmax(dim=1) for each in targets]
    pairs = zip(logits, labels, strict=True)
    hits = torch.stack([topk_hits(own.detach(), labels, 1) for own, labels in pairs])
    each = {f"top1_acc_{number}": 100 * own.sum() for number, own in enumerate(hits, start=1)}
    return {"top1_acc": 100 * hits.all(dim=0).sum(), **each}


def build_several_targets(cfg: ConfigNode) -> SeveralTargets:
    """The task of a list in MODEL.NUM_CLASSES."""
    smoothing, counts = cfg.MODEL.LABEL_SMOOTHING, class_counts(cfg.MODEL.NUM_CLASSES)
    return SeveralTargets(
        counts,
        [CrossEntropy(smoothing, cfg.MIXUP.LABEL_SMOOTH_VALUE) for _ in counts],
        mix=build_mix(cfg),
        mean=cfg.DATA.MEAN,
        std=cfg.DATA.STD,
    )


def build_targets_evaluator(cfg: ConfigNode, dataset: ClipDataset) -> TargetsEvaluator:
    """The evaluator of a split whose videos have a class for each target."""
    labels = torch.tensor([record.labels for record in dataset.records])
    paths = [record.name for record in dataset.records]
    return TargetsEvaluator(
        LabelledVideos(paths, labels, dataset.class_names),
        class_counts(cfg.MODEL.NUM_CLASSES),
        num_views=dataset.num_views,
        num_crops=dataset.views.num_crops,
        ensemble=cfg.DATA.ENSEMBLE_METHOD,
    )
