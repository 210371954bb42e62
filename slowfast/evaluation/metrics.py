"""Metrics of scores: top-k accuracy for one label, average precision for several."""

from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np
import torch


def topk_hits(scores: torch.Tensor, labels: torch.Tensor, k: int) -> torch.Tensor:
    """(N,) bool: is the label of a sample among its min(k, classes) highest scores?

    scores: N,classes. labels: N, -1 is unknown. Among equal scores the lower class comes first;
    an unknown label or a score that is NaN is never correct.
    """
    labels = labels[:, None]
    classes = torch.arange(scores.shape[1], device=scores.device)
    own = scores.gather(1, labels.clamp(min=0))  # N,1
    is_before = (scores > own) | ((scores == own) & (classes < labels))
    is_valid = (labels >= 0) & ~scores.isnan().any(dim=1, keepdim=True)
    return ((is_before.sum(dim=1, keepdim=True) < k) & is_valid).flatten()


def topk_correct(scores: torch.Tensor, labels: torch.Tensor, k: int) -> torch.Tensor:
    """Number (0-d) of `topk_hits`."""
    return topk_hits(scores, labels, k).sum()


def class_accuracies(
    scores: torch.Tensor, labels: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """(top-1 percent, number of samples) of each class; NaN percent for a class without samples.

    scores: N,classes. labels: N, none unknown.
    """
    num_classes = scores.shape[1]
    counts = torch.bincount(labels, minlength=num_classes)
    hits = torch.bincount(labels[topk_hits(scores, labels, 1)], minlength=num_classes)
    return 100.0 * hits / counts, counts


def class_precisions(scores: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Percent of right answers among those that name a class, of each; NaN where none does.

    scores: N,classes. labels: N, none unknown.
    """
    num_classes = scores.shape[1]
    said = torch.bincount(scores.argmax(dim=1), minlength=num_classes)
    hits = torch.bincount(labels[topk_hits(scores, labels, 1)], minlength=num_classes)
    return 100.0 * hits / said


def most_confused(scores: torch.Tensor, labels: torch.Tensor) -> list[int | None]:
    """The other class that the samples of each class are most often taken for; None: for none.

    scores: N,classes. labels: N, none unknown.
    """
    is_wrong = ~topk_hits(scores, labels, 1)
    pairs = zip(labels[is_wrong].tolist(), scores[is_wrong].argmax(dim=1).tolist(), strict=True)
    best: list[int | None] = [None] * scores.shape[1]
    counts = Counter(pairs)
    for label, other in sorted(counts, key=lambda pair: (counts[pair], -pair[1])):
        best[label] = other
    return best


def topk_accuracies(
    scores: torch.Tensor, labels: torch.Tensor, ks: Sequence[int] = (1, 5)
) -> dict[str, float]:
    """{"top1_acc": percent, "top5_acc": percent}; NaN for no samples."""
    if len(labels) == 0:
        return {f"top{k}_acc": float("nan") for k in ks}
    return {f"top{k}_acc": 100.0 * topk_correct(scores, labels, k).item() / len(labels) for k in ks}


def mean_over_classes(average_precisions: Iterable[float]) -> float:
    """Mean over the classes that occur (not NaN); NaN where none does."""
    values = np.array(list(average_precisions), dtype=np.float64)
    occurs = ~np.isnan(values)
    return float(values[occurs].mean()) if occurs.any() else float("nan")


def average_precisions(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Average precision 0..1 of each class as sklearn defines it; NaN for a class without positive.

    scores: N,classes; a NaN raises ValueError. labels: N,classes of 0 and 1. Precision at each
    distinct score, weighted by the recall it adds, so equal scores count as one step.
    """
    from sklearn.metrics import average_precision_score

    scores, labels = _checked(scores, labels)
    return np.array(
        [
            average_precision_score(truth, column) if truth.any() else np.nan
            for truth, column in zip(labels.T, scores.T, strict=True)
        ]
    )


def mean_ap(scores: np.ndarray, labels: np.ndarray) -> float:
    """Mean of `average_precisions`: what PySlowFast reports for Charades (its `get_map`).

    Where no class has a positive, NaN (PySlowFast: 0).
    """
    return mean_over_classes(average_precisions(scores, labels))


def charades_map(scores: np.ndarray, labels: np.ndarray) -> float:
    """Mean AP as the Charades authors' evaluation defines it (`charades_map` in many repositories).

    Videos without any label come last in every class. A class's AP is the mean over its positives
    of the precision at their rank; equal scores are ranked in the order of the rows. Classes
    without positive are left out; a NaN score raises ValueError.
    """
    scores, labels = _checked(scores, labels)
    scores = np.where(labels.any(axis=1, keepdims=True), scores, -np.inf)
    order = np.argsort(-scores, axis=0, kind="stable")
    is_hit = np.take_along_axis(labels, order, axis=0)  # ranks,classes
    precisions = is_hit.cumsum(axis=0) / np.arange(1, len(labels) + 1)[:, None]
    num_positives = is_hit.sum(axis=0)
    sums = (precisions * is_hit).sum(axis=0)
    return mean_over_classes(sums[num_positives > 0] / num_positives[num_positives > 0])


def _checked(scores: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(scores, labels as bool)."""
    scores, labels = np.asarray(scores), np.asarray(labels) > 0
    assert scores.shape == labels.shape, f"scores {scores.shape}, labels {labels.shape}"
    check_scores(scores)
    return scores, labels


def check_scores(scores: np.ndarray) -> None:
    """Raise ValueError where a score is NaN: a model that diverged has no mAP."""
    if num_nan := int(np.isnan(scores).sum()):
        raise ValueError(f"mAP: {num_nan} of {scores.size} scores are NaN")
