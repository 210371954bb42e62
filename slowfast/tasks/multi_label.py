"""Any number of labels per video, as in Charades and in lists with several labels."""

from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from slowfast.config.node import ConfigNode
from slowfast.datasets.clip_dataset import ClipDataset
from slowfast.datasets.labels import multi_hot
from slowfast.evaluation.video_evaluator import LabelledVideos, MultiLabelEvaluator
from slowfast.tasks.base import Task, logits_and_loss


class MultiLabel(Task):
    """Any number of labels per video, trained with binary cross-entropy."""

    moved = ("labels",)

    def __init__(self, **normalization):
        super().__init__(**normalization)
        self._weights: torch.Tensor | None = None

    def weigh_classes(self, weights: torch.Tensor) -> None:
        """The weights multiply the terms of labels that hold."""
        self._weights = weights

    def loss(
        self, network: nn.Module, batch: dict, _rng: np.random.Generator
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        cross_entropy = partial(
            F.binary_cross_entropy_with_logits, target=batch["labels"], pos_weight=self._weights
        )
        _, loss = logits_and_loss(network(*self.inputs(batch)), cross_entropy)
        return loss, {}


def build_multi_label(cfg: ConfigNode) -> MultiLabel:
    """The task of DATA.MULTI_LABEL."""
    return MultiLabel(mean=cfg.DATA.MEAN, std=cfg.DATA.STD)


def build_multi_label_evaluator(cfg: ConfigNode, dataset: ClipDataset) -> MultiLabelEvaluator:
    """The evaluator of a split; a class is right if it happens anywhere in the video."""
    records, num_classes = dataset.records, cfg.MODEL.NUM_CLASSES
    labels = torch.stack([multi_hot(record.classes(), num_classes) for record in records])
    return MultiLabelEvaluator(
        LabelledVideos([record.name for record in records], labels, dataset.class_names),
        num_views=dataset.num_views,
        num_crops=dataset.views.num_crops,
        num_classes=num_classes,
        ensemble=cfg.DATA.ENSEMBLE_METHOD,
    )
