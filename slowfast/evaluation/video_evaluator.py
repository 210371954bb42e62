"""Evaluators of whole videos, which are scored in several views."""

from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
import torch.nn.functional as F

from slowfast.evaluation.evaluator import Evaluation, Evaluator, write_class_table
from slowfast.evaluation.metrics import (
    average_precisions,
    charades_map,
    class_accuracies,
    class_precisions,
    mean_ap,
    mean_over_classes,
    most_confused,
    topk_accuracies,
)
from slowfast.evaluation.video_scores import VideoScores
from slowfast.utils.io import write_csv

_LISTED = 10  # classes of a video with several labels in test_results.csv

# The loss of scores (videos,classes) that a head with this activation gives.
_LOSSES: dict[str, Callable[[torch.Tensor, torch.Tensor], torch.Tensor]] = {
    "softmax": lambda scores, labels: F.nll_loss(scores.clamp_min(1e-12).log(), labels),
    "sigmoid": lambda scores, labels: F.binary_cross_entropy(
        scores.clamp(0, 1), F.one_hot(labels, scores.shape[1]).to(scores.dtype)
    ),
    "none": F.cross_entropy,
}


class ViewEvaluator(Evaluator):
    """Joins the scores of the views of each video; by itself it judges nothing.

    ensemble: DATA.ENSEMBLE_METHOD.
    """

    row_keys = ("indices", "views")

    def __init__(self, num_videos: int, num_views: int, num_classes: int, *, ensemble: str):
        self._shape = num_videos, num_views, num_classes
        self._ensemble = ensemble
        super().__init__()

    def reset(self) -> None:
        self.scores = VideoScores(*self._shape)

    def add(self, batch: dict, output: torch.Tensor) -> None:
        self.scores.add(batch["indices"], batch["views"], output)
        self.scores.num_broken |= {index: lost for index, lost, _ in batch.get("damaged", ())}

    def join(self, views: Sequence[int] | None = None) -> tuple[torch.Tensor, torch.Tensor]:
        """One row of scores per video (videos,classes), and which videos were seen in `views`."""
        return self.scores.join(self._ensemble, views)

    def evaluate(self) -> Evaluation | None:
        return None


@dataclass(frozen=True)
class LabelledVideos:
    """Videos to be judged.

    labels: the class of each (-1: unknown), or classes of 0 and 1 for each, or videos,targets the
    class of each target. class_names: None where unknown.
    """

    paths: Sequence[str]
    labels: torch.Tensor
    class_names: Sequence[str] | None

    @property
    def is_known(self) -> torch.Tensor:
        """For each video whether its label is known (bool)."""
        if self.labels.ndim == 2:
            return torch.ones(len(self.labels), dtype=torch.bool)
        return self.labels >= 0


class VideoEvaluator(ViewEvaluator):
    """Base class for evaluators of whole videos with labels.

    num_crops: of each clip among the views. class_metric: column of `Evaluation.per_class` with the
    worth of each class in percent, NaN for a class without videos.
    """

    class_metric: ClassVar[str]
    _csv_header: ClassVar[list[str]]

    def __init__(
        self,
        videos: LabelledVideos,
        *,
        num_views: int,
        num_crops: int,
        num_classes: int,
        ensemble: str,
    ):
        super().__init__(len(videos.paths), num_views, num_classes, ensemble=ensemble)
        self.videos = videos
        self._num_crops = num_crops

    @abstractmethod
    def _judge(self, values: torch.Tensor, labels: torch.Tensor) -> dict[str, float]:
        """Metrics of scores (videos,classes) in percent."""

    @abstractmethod
    def _loss(self, values: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """The loss of scores."""

    @abstractmethod
    def _per_class(self, values: torch.Tensor, labels: torch.Tensor) -> dict[str, dict[int, float]]:
        """The table of classes of an Evaluation."""

    @abstractmethod
    def _csv_rows(self, values: torch.Tensor) -> Iterator[list]:
        """Cells about the scores of each video, beside its path."""

    def evaluate(self, views: Sequence[int] | None = None) -> Evaluation | None:
        """Judge the videos of known label in these views, all when None."""
        values, seen = self.join(views)
        seen &= self.videos.is_known
        if not seen.any():
            return None
        values, labels = values[seen], self.videos.labels[seen]
        metrics = self._judge(values, labels)
        loss = float(self._loss(values, labels))
        return Evaluation(
            {"loss": loss, **metrics, "num_videos": int(seen.sum())},
            self._per_class(values, labels),
        )

    def details(self) -> dict[str, Any]:
        labels = self.videos.labels
        return {
            "views": f"{self.scores.num_views // self._num_crops} x {self._num_crops}",
            "ensemble": self._ensemble,
            "fewer_views": self.scores.metrics_by_views(
                lambda values, seen: self._judge(values, labels[seen]),
                self._num_crops,
                method=self._ensemble,
            ),
        }

    def write(self, folder: Path, evaluation: Evaluation, *, scores_path: Path) -> list[Path]:
        values, seen = self.join()
        path, videos = folder / "test_results.csv", self.videos
        num_broken = [self.scores.num_broken.get(index, 0) for index in range(len(seen))]
        rows = zip(videos.paths, self._csv_rows(values), num_broken, seen.tolist(), strict=True)
        write_csv(
            path,
            ["path", *self._csv_header, "num_broken"],
            [[video, *cells, broken] for video, cells, broken, is_seen in rows if is_seen],
        )
        self.scores.save_npz(scores_path, videos.paths, videos.labels.tolist())
        return [path, scores_path, *self._write_classes(folder, evaluation)]

    def _write_classes(self, folder: Path, evaluation: Evaluation) -> list[Path]:
        """Write the worth of each class."""
        path = folder / "test_results_per_class.csv"
        write_class_table(path, evaluation.per_class, self.videos.class_names)
        return [path]


def one_label_table(
    values: torch.Tensor, labels: torch.Tensor
) -> dict[str, dict[int, float | None]]:
    """The table of classes of an Evaluation, for one label per video.

    values: scores (videos,classes). labels: (videos), none unknown. confused_with: the class that
    the class is most often taken for.
    """
    percent, counts = class_accuracies(values, labels)
    columns = {
        "videos": counts.tolist(),
        "top1_acc": percent.tolist(),
        "precision": class_precisions(values, labels).tolist(),
        "confused_with": most_confused(values, labels),
    }
    return {name: dict(enumerate(column)) for name, column in columns.items()}


class OneLabelEvaluator(VideoEvaluator):
    """Judges videos with one label each by top-1 and top-5 accuracy, also that of each class.

    activation: MODEL.HEAD_ACT, of the scores whose loss is given. The rest is for VideoEvaluator.
    """

    titles = {"top1_acc": "top-1", "top5_acc": "top-5", "mean_class_acc": "mean over classes"}
    metric = class_metric = "top1_acc"
    _csv_header = ["label", "prediction", "is_correct", "score", "label_name", "prediction_name"]

    def __init__(self, videos: LabelledVideos, *, activation: str, **views):
        super().__init__(videos, **views)
        self._loss_of_scores = _LOSSES[activation]

    def _judge(self, values: torch.Tensor, labels: torch.Tensor) -> dict[str, float]:
        percent, _ = class_accuracies(values, labels)
        mean = mean_over_classes(percent.tolist())
        return {**topk_accuracies(values, labels), "mean_class_acc": mean}

    def _loss(self, values: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return self._loss_of_scores(values, labels)

    def _per_class(self, values: torch.Tensor, labels: torch.Tensor) -> dict[str, dict[int, float]]:
        return one_label_table(values, labels)

    def _csv_rows(self, values: torch.Tensor) -> Iterator[list]:
        names = self.videos.class_names
        for label, row in zip(self.videos.labels.tolist(), values, strict=True):
            best = int(row.argmax())
            named = [names[label] if label >= 0 else "", names[best]] if names else ["", ""]
            yield [label, best, int(best == label), float(row[best]), *named]


class MultiLabelEvaluator(VideoEvaluator):
    """Judges videos with any number of labels each by mAP. The arguments are VideoEvaluator's."""

    titles = {"map": "mAP", "charades_map": "Charades mAP"}
    metric, class_metric = "map", "ap"
    _csv_header = ["labels", "predictions", "scores", "label_names", "prediction_names"]

    def _judge(self, values: torch.Tensor, labels: torch.Tensor) -> dict[str, float]:
        values, labels = values.numpy(), labels.numpy()
        return {
            "map": 100 * mean_ap(values, labels),
            "charades_map": 100 * charades_map(values, labels),
        }

    def _loss(self, values: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return F.binary_cross_entropy(values.clamp(0, 1), labels.to(values.dtype))

    def _per_class(self, values: torch.Tensor, labels: torch.Tensor) -> dict[str, dict[int, float]]:
        percent = 100 * average_precisions(values.numpy(), labels.numpy())
        return {
            "positives": dict(enumerate(labels.sum(dim=0).int().tolist())),
            "ap": dict(enumerate(percent.tolist())),
        }

    def _csv_rows(self, values: torch.Tensor) -> Iterator[list]:
        """Lists within a cell are separated by spaces, of names by semicolons; "" without names."""
        names = self.videos.class_names
        for hot, row in zip(self.videos.labels, values, strict=True):
            scores, best = row.topk(min(_LISTED, len(row)))
            labels, best = hot.nonzero().flatten().tolist(), best.tolist()
            yield [
                " ".join(map(str, labels)),
                " ".join(map(str, best)),
                " ".join(f"{score:.6f}" for score in scores.tolist()),
                *("; ".join(names[i] for i in each) if names else "" for each in (labels, best)),
            ]
