"""Balance of rare and frequent classes: weights of the loss, and the order of training samples."""

import logging
from collections.abc import Sequence

import numpy as np
import torch

from slowfast.config.derived import class_counts
from slowfast.config.node import ConfigNode
from slowfast.datasets.clip_dataset import ClipDataset
from slowfast.datasets.packed_records import PackedRecords, labels_of
from slowfast.datasets.records import Record

logger = logging.getLogger(__name__)


class BalancedOrder:
    """Draws an order of samples in which all classes come equally often, but for one sample.

    labels: the class of each sample; classes without any do not count. An order is as long as the
    list of samples. No sample of a class comes again before all of the class have come.
    """

    def __init__(self, labels: Sequence[int]):
        labels = np.asarray(labels)
        order = np.argsort(labels, kind="stable")
        self._classes = np.split(order, np.flatnonzero(np.diff(labels[order])) + 1)

    def __call__(self, rng: np.random.Generator) -> np.ndarray:
        """Numbers of samples, some of them several times."""
        num_samples, num_classes = sum(map(len, self._classes)), len(self._classes)
        share, rest = divmod(num_samples, num_classes)
        counts = share + (rng.permutation(num_classes) < rest)
        pairs = zip(self._classes, counts.tolist(), strict=True)
        return rng.permutation(np.concatenate([_rounds(rng, own, count) for own, count in pairs]))


def _rounds(rng: np.random.Generator, numbers: np.ndarray, count: int) -> np.ndarray:
    """`count` of the numbers, each once in a drawn order, then each once again."""
    num_rounds = -(-count // len(numbers))
    rounds = [rng.permutation(numbers) for _ in range(num_rounds)]
    return np.concatenate([numbers[:0], *rounds])[:count]


def count_labels(records: Sequence[Record], counts: Sequence[int]) -> list[np.ndarray]:
    """Videos of each class, for each of the targets that have `counts` classes.

    With one target a video counts for each of its classes.
    """
    if isinstance(records, PackedRecords) and records.is_plain:
        columns = [records.classes(None if len(counts) == 1 else n) for n in range(len(counts))]
    elif len(counts) == 1:
        labels = [label for record in records for label in record.classes()]
        columns = [np.array(labels, dtype=np.int64)]
    else:
        columns = np.array([record.labels for record in records]).T
    pairs = zip(columns, counts, strict=True)
    return [np.bincount(column, minlength=count) for column, count in pairs]


def balanced_weights(num_videos: np.ndarray) -> np.ndarray:
    """Weights with which all classes count alike, from the number of videos of each.

    Labels over (classes that occur x labels of the class), so that the mean over all labels is 1; a
    class without a video has 1.
    """
    occurs = num_videos > 0
    share = num_videos.sum() / max(occurs.sum(), 1)
    return np.where(occurs, share / np.maximum(num_videos, 1), 1.0)


def build_class_weights(cfg: ConfigNode, dataset: ClipDataset) -> torch.Tensor | None:
    """(classes,) float32: TRAIN.CLASS_WEIGHTS, or found in the training split; None without."""
    weights = cfg.TRAIN.CLASS_WEIGHTS
    if not weights:
        return None
    if weights == "balanced":
        found = count_labels(dataset.records, class_counts(cfg.MODEL.NUM_CLASSES))
        weights = np.concatenate([balanced_weights(num_videos) for num_videos in found])
        logger.info(
            "TRAIN.CLASS_WEIGHTS balanced: weights from %.3g to %.3g; %d classes have no video",
            *(weights.min(), weights.max(), sum(int((num == 0).sum()) for num in found)),
        )
    return torch.tensor(weights, dtype=torch.float32)


def build_order(cfg: ConfigNode, dataset: ClipDataset) -> BalancedOrder | None:
    """The order of DATA.SAMPLER for training; None where every sample comes once."""
    if cfg.DATA.SAMPLER == "shuffled":
        return None
    return BalancedOrder(labels_of(dataset.records))
