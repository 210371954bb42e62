"""Any number of labels for each box of a key frame, as in AVA."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from slowfast.config.node import ConfigNode
from slowfast.datasets.clip_dataset import ClipDataset
from slowfast.evaluation.ava import (
    ava_average_precisions,
    frame_average_precisions,
    write_detections_csv,
)
from slowfast.evaluation.box_scores import BoxScores
from slowfast.evaluation.mean_ap import mean_over_classes
from slowfast.tasks.base import Evaluation, Task, sums_of
from slowfast.utils.box_table import BoxTable, BoxTruth

# Column of the table of classes -> the metric that is its mean.
_METRICS = {"ap": "map", "ap_voc": "frame_map_voc", "ap_act": "frame_map_act"}


class Detection(Task):
    """Labels of boxes; trained with binary cross-entropy, judged by the mAP of the dataset.

    Ground truth is that of all key frames of the split: one that is unreadable or has no box to
    score is missed. `ava_metric` is AVA.METRIC, `test_boxes` is AVA.TEST_BOXES.
    """

    titles = {
        "map": "mAP",
        "frame_map_voc": "frame-mAP@0.5 (VOC)",
        "frame_map_act": "frame-mAP@0.5 (ACT)",
    }
    _moved = ("boxes", "box_labels")

    def __init__(self, *, num_classes: int, ava_metric: str, test_boxes: str, **normalization):
        super().__init__(**normalization)
        self._num_classes = num_classes
        self._ava_metric, self._test_boxes = ava_metric, test_boxes

    def inputs(self, batch: dict) -> tuple:
        return batch["clips"], batch["boxes"]

    def metric(self, dataset: ClipDataset) -> str:
        return "map" if dataset.truth.metric == "ava" else "frame_map_voc"

    def train_step(
        self, network: nn.Module, batch: dict, _rng: np.random.Generator
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The loss is the mean over the boxes and classes of this process, 0 without boxes.

        Several processes average their gradients, as in the reference: then boxes of a process
        that has few of them count more.
        """
        targets = batch["box_labels"]
        logits = network(*self.inputs(batch)).float()
        total = F.binary_cross_entropy_with_logits(logits, targets, reduction="sum")
        loss = total / max(targets.numel(), 1)  # a sum over nothing still has a graph
        return loss, sums_of(loss, count=len(targets))

    def make_scores(self, dataset: ClipDataset) -> BoxScores:
        return BoxScores(len(dataset.records), self._num_classes)

    def eval_batches(self, item: list[dict], _max_clips: int | None) -> Iterable[dict]:
        """The loader groups clips by size; there are never more of them than it was told."""
        return item

    def collect(self, scores: BoxScores, batch: dict, output: torch.Tensor) -> None:
        scores.add(batch["box_indices"], batch["box_numbers"], output.float().cpu())

    def evaluate(self, scores: BoxScores, dataset: ClipDataset) -> Evaluation | None:
        if not scores.seen.any():
            return None
        detections, truth = _detections(scores, dataset), dataset.truth
        columns = self._average_precisions(detections, truth)
        metrics = {
            _METRICS[name]: mean_over_classes(values.values()) for name, values in columns.items()
        }
        judged = set(truth.table.keys.tolist()) - truth.excluded
        seen = {dataset.records[index].key.key for index in np.flatnonzero(scores.seen)}
        counts = {
            "num_key_frames": len(judged),
            "num_key_frames_scored": len(judged & seen),
            "num_boxes": len(detections) // len(truth.classes),
        }
        return Evaluation({**metrics, **counts}, {"positives": _positives(truth), **columns})

    def details(self, _scores: BoxScores, dataset: ClipDataset) -> dict[str, Any]:
        named = {"metric_definition": self._ava_metric} if dataset.truth.metric == "ava" else {}
        return {**named, "test_boxes": self._test_boxes}

    def write(
        self, scores: BoxScores, dataset: ClipDataset, output_dir: Path, scores_path: Path
    ) -> list[Path]:
        """All detections in AVA's format, with the dataset's own numbers of classes."""
        path = output_dir / "detections.csv"
        write_detections_csv(path, _detections(scores, dataset), dataset.truth.label_offset)
        scores.save_npz(scores_path, *_keys_and_boxes(dataset))
        return [path, scores_path]

    def _average_precisions(
        self, detections: BoxTable, truth: BoxTruth
    ) -> dict[str, dict[int, float]]:
        """Percent for each class, NaN without ground truth; under the name of the definition."""
        if truth.metric == "ava":
            found = {"ap": ava_average_precisions(detections, truth, definition=self._ava_metric)}
        else:
            found = {
                f"ap_{name}": frame_average_precisions(detections, truth, definition=name)
                for name in ("voc", "act")
            }
        return {
            name: {label: 100 * value for label, value in values.items()}
            for name, values in found.items()
        }


def _keys_and_boxes(dataset: ClipDataset) -> tuple[list[str], list[np.ndarray]]:
    keys = [record.key for record in dataset.records]
    return [key.key for key in keys], [key.boxes for key in keys]


def _detections(scores: BoxScores, dataset: ClipDataset) -> BoxTable:
    """Boxes and scores of the classes that count."""
    table = scores.table(*_keys_and_boxes(dataset))
    counts = np.isin(table.labels, list(dataset.truth.classes))
    return BoxTable(
        table.keys[counts], table.boxes[counts], table.labels[counts], table.scores[counts]
    )


def _positives(truth: BoxTruth) -> dict[int, int]:
    """Boxes of each class in the ground truth."""
    is_counted = ~np.isin(truth.table.keys, list(truth.excluded))
    labels = truth.table.labels[is_counted]
    return {label: int((labels == label).sum()) for label in truth.classes}


def build_detection(cfg: ConfigNode) -> Detection:
    """The task of DETECTION.ENABLE."""
    return Detection(
        num_classes=cfg.MODEL.NUM_CLASSES,
        ava_metric=cfg.AVA.METRIC,
        test_boxes=cfg.AVA.TEST_BOXES,
        mean=cfg.DATA.MEAN,
        std=cfg.DATA.STD,
    )
