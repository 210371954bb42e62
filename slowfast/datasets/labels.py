"""Label rules: the classes of a clip, from its record and what was cut from it."""

from collections.abc import Callable, Iterable, Sequence

import torch

from slowfast.datasets.records import Record, SampledClips

# (record, sampled, frames per second) -> a class number, the labels' (classes,) float32 or the
# targets' (targets,) int64
LabelRule = Callable[[Record, SampledClips, float | None], int | torch.Tensor]


def multi_hot(labels: Iterable[int], num_classes: int) -> torch.Tensor:
    """(classes,) float32: 1 for each of the labels."""
    hot = torch.zeros(num_classes)
    hot[list(labels)] = 1
    return hot


class ClassLabel:
    """The class of the video; where the clip is mirrored, what `flip_labels` makes of it."""

    def __init__(self, flip_labels: Sequence[int] | None = None):
        self.flip_labels = flip_labels

    def __call__(self, record: Record, sampled: SampledClips, _fps: float | None) -> int:
        is_other = sampled.is_flipped and self.flip_labels is not None
        return self.flip_labels[record.label] if is_other else record.label


class ClipLabels:
    """Multi-hot: the classes that hold somewhere between the clip's first and last frame.

    Classes without times hold all the time.
    """

    def __init__(self, num_classes: int):
        self.num_classes = num_classes

    def __call__(self, record: Record, sampled: SampledClips, fps: float | None) -> torch.Tensor:
        if record.spans is None:
            return multi_hot(record.classes(), self.num_classes)
        first, last = int(sampled.frames.min()), int(sampled.frames.max())
        return multi_hot(record.spans.within(first, last, fps), self.num_classes)


class VideoLabels:
    """Multi-hot: all classes of the video."""

    def __init__(self, num_classes: int):
        self.num_classes = num_classes

    def __call__(self, record: Record, _cut: SampledClips, _fps: float | None) -> torch.Tensor:
        return multi_hot(record.classes(), self.num_classes)


class TargetLabels:
    """The class of each target, int64."""

    def __call__(self, record: Record, _cut: SampledClips, _fps: float | None) -> torch.Tensor:
        return torch.tensor(record.labels)


class BoxLabels:
    """Multi-hot n,classes: classes of each box that was kept; no label rule, but beside it."""

    def __init__(self, num_classes: int):
        self.num_classes = num_classes

    def __call__(self, record: Record, sampled: SampledClips) -> torch.Tensor:
        labels = [record.key.labels[number] for number in sampled.box_numbers.tolist()]
        rows = [multi_hot(each, self.num_classes) for each in labels]
        return torch.stack(rows) if rows else torch.zeros(0, self.num_classes)


def choose_label_rule(
    kind: str,
    num_classes: int,
    *,
    is_training: bool,
    flip_labels: Sequence[int] | None = None,
) -> LabelRule:
    """The rule for clips with a kind of labels; only training clips have those of their frames."""
    if kind == "multi_label":
        return ClipLabels(num_classes) if is_training else VideoLabels(num_classes)
    return TargetLabels() if kind == "several_targets" else ClassLabel(flip_labels)
