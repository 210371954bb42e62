"""Top-k accuracy."""

from collections.abc import Sequence

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


def topk_accuracies(
    scores: torch.Tensor, labels: torch.Tensor, ks: Sequence[int] = (1, 5)
) -> dict[str, float]:
    """{"top1_acc": percent, "top5_acc": percent}; NaN for no samples."""
    if len(labels) == 0:
        return {f"top{k}_acc": float("nan") for k in ks}
    return {f"top{k}_acc": 100.0 * topk_correct(scores, labels, k).item() / len(labels) for k in ks}
