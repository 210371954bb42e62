"""Any number of labels per video, as in Charades."""

from collections.abc import Iterator

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from slowfast.config.node import ConfigNode
from slowfast.datasets.clip_dataset import ClipDataset
from slowfast.datasets.labels import multi_hot
from slowfast.evaluation.mean_ap import average_precisions, charades_map, mean_ap
from slowfast.tasks.base import sums_of
from slowfast.tasks.video_task import ViewTask, build_view_options

_LISTED = 10  # classes of a video in test_results.csv


class MultiLabel(ViewTask):
    """Any number of labels per video; trained with binary cross-entropy, judged by mAP."""

    titles = {"map": "mAP", "charades_map": "Charades mAP"}

    def metric(self, _dataset: ClipDataset) -> str:
        return "map"

    def train_step(
        self, network: nn.Module, batch: dict, _rng: np.random.Generator
    ) -> tuple[torch.Tensor, torch.Tensor]:
        loss = F.binary_cross_entropy_with_logits(
            network(*self.inputs(batch)).float(), batch["labels"]
        )
        return loss, sums_of(loss, count=len(batch["labels"]))

    def labels(self, dataset: ClipDataset) -> torch.Tensor:
        """Videos,classes: 1 for what happens anywhere in the video."""
        return torch.stack(
            [multi_hot(record.spans.all(), self._num_classes) for record in dataset.records]
        )

    def judge(self, values: torch.Tensor, labels: torch.Tensor) -> dict[str, float]:
        values, labels = values.numpy(), labels.numpy()
        return {
            "map": 100 * mean_ap(values, labels),
            "charades_map": 100 * charades_map(values, labels),
        }

    def eval_loss(self, values: torch.Tensor, labels: torch.Tensor) -> float:
        return float(F.binary_cross_entropy(values.clamp(0, 1), labels.to(values.dtype)))

    def per_class(self, values: torch.Tensor, labels: torch.Tensor) -> dict[str, dict[int, float]]:
        percent = 100 * average_precisions(values.numpy(), labels.numpy())
        return {
            "positives": dict(enumerate(labels.sum(dim=0).int().tolist())),
            "ap": dict(enumerate(percent.tolist())),
        }

    def csv_table(
        self, values: torch.Tensor, dataset: ClipDataset
    ) -> tuple[list[str], Iterator[list]]:
        """Lists within a cell are separated by spaces, of names by semicolons; "" without names."""
        header = ["labels", "predictions", "scores", "label_names", "prediction_names"]
        return header, self._csv_rows(values, dataset)

    def _csv_rows(self, values: torch.Tensor, dataset: ClipDataset) -> Iterator[list]:
        names = dataset.class_names
        for record, row in zip(dataset.records, values, strict=True):
            scores, best = row.topk(min(_LISTED, len(row)))
            labels, best = sorted(record.spans.all()), best.tolist()
            yield [
                " ".join(map(str, labels)),
                " ".join(map(str, best)),
                " ".join(f"{score:.6f}" for score in scores.tolist()),
                *("; ".join(names[i] for i in which) if names else "" for which in (labels, best)),
            ]


def build_multi_label(cfg: ConfigNode) -> MultiLabel:
    """The task of DATA.MULTI_LABEL."""
    return MultiLabel(**build_view_options(cfg))
