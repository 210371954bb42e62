"""Evaluator of videos with several targets, each with one class, such as a verb and a noun."""

from collections.abc import Iterator, Sequence
from itertools import accumulate
from pathlib import Path

import torch
import torch.nn.functional as F

from slowfast.evaluation.evaluator import Evaluation, write_class_table
from slowfast.evaluation.metrics import topk_accuracies, topk_hits
from slowfast.evaluation.video_evaluator import LabelledVideos, VideoEvaluator, one_label_table

_K = 5


def joint_hits(parts: Sequence[torch.Tensor], labels: torch.Tensor, k: int) -> torch.Tensor:
    """(N,) bool: is a video's combination of classes among the k of the largest products?

    parts: N,classes scores of each target, probabilities or sums of such. labels: N,targets. A
    combination can only be among them if each of its classes is among the k best of its target.
    """
    products, is_own = torch.ones(len(labels), 1), torch.ones(len(labels), 1, dtype=torch.bool)
    is_candidate = torch.ones(len(labels), dtype=torch.bool)
    for scores, own in zip(parts, labels.unbind(1), strict=True):
        is_candidate &= topk_hits(scores, own, k)
        best = scores.argsort(dim=1, descending=True, stable=True)[:, :k]  # N,k
        values = scores.gather(1, best)
        products = (products[:, :, None] * values[:, None]).flatten(1)
        is_own = (is_own[:, :, None] & (best == own[:, None])[:, None]).flatten(1)
    return is_candidate & topk_hits(products, is_own.int().argmax(dim=1), k)


class TargetsEvaluator(VideoEvaluator):
    """Judges each target, and all of them together, by top-1 and top-5 accuracy.

    Together, a video is right if all its targets are; its five best combinations are those of the
    largest products of scores. Metrics of a target end with its number, from 1; class names are
    those of the first target, then of the second, ... The rest is for VideoEvaluator.
    """

    metric = class_metric = "top1_acc"

    def __init__(self, videos: LabelledVideos, counts: Sequence[int], **views):
        super().__init__(videos, num_classes=sum(counts), **views)
        self._counts = tuple(counts)
        numbers = range(1, len(counts) + 1)
        self.titles = {f"top{k}_acc": f"top-{k} of all targets" for k in (1, _K)}
        self.titles |= {
            f"top{k}_acc_{n}": f"top-{k} of target {n}" for n in numbers for k in (1, _K)
        }
        cells = ("label", "prediction", "is_correct", "score", "label_name", "prediction_name")
        self._csv_header = ["is_correct", *(f"{cell}_{n}" for n in numbers for cell in cells)]

    def _judge(self, values: torch.Tensor, labels: torch.Tensor) -> dict[str, float]:
        parts = values.split(self._counts, 1)
        joint = {
            f"top{k}_acc": 100.0 * joint_hits(parts, labels, k).double().mean().item()
            for k in (1, _K)
        }
        for number, (scores, own) in enumerate(zip(parts, labels.unbind(1), strict=True), start=1):
            found = topk_accuracies(scores, own)
            joint |= {f"{name}_{number}": value for name, value in found.items()}
        return joint

    def _loss(self, values: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        pairs = zip(values.split(self._counts, 1), labels.unbind(1), strict=True)
        losses = [F.nll_loss(scores.clamp_min(1e-12).log(), own) for scores, own in pairs]
        return torch.stack(losses).mean()

    def _per_class(self, values: torch.Tensor, labels: torch.Tensor) -> dict[str, dict[int, float]]:
        """The classes of all targets are numbered through."""
        pairs = zip(values.split(self._counts, 1), labels.unbind(1), strict=True)
        tables = [one_label_table(scores, own) for scores, own in pairs]
        return {
            name: dict(enumerate(value for table in tables for value in table[name].values()))
            for name in tables[0]
        }

    def _write_classes(self, folder: Path, evaluation: Evaluation) -> list[Path]:
        """Write the worth of each class into a file for each target."""
        written = []
        for number, part in enumerate(self._parts(), start=1):
            columns = {
                name: dict(enumerate(list(column.values())[part]))
                for name, column in evaluation.per_class.items()
            }
            written.append(folder / f"test_results_per_class_{number}.csv")
            write_class_table(written[-1], columns, self._names(part))
        return written

    def _parts(self) -> list[slice]:
        """Place of each target among the classes that are numbered through."""
        ends = accumulate(self._counts)
        return [slice(end - count, end) for end, count in zip(ends, self._counts, strict=True)]

    def _names(self, part: slice) -> Sequence[str] | None:
        names = self.videos.class_names
        return names[part] if names else None

    def _csv_rows(self, values: torch.Tensor) -> Iterator[list]:
        all_names = [self._names(part) for part in self._parts()]
        for labels, row in zip(self.videos.labels.tolist(), values, strict=True):
            best = [int(scores.argmax()) for scores in row.split(self._counts)]
            cells = []
            for label, own, scores, names in zip(
                labels, best, row.split(self._counts), all_names, strict=True
            ):
                named = [names[label], names[own]] if names else ["", ""]
                cells += [label, own, int(own == label), float(scores[own]), *named]
            yield [int(best == labels), *cells]
