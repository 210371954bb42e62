"""What the tasks have in common that score whole videos, in several views."""

from abc import abstractmethod
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch

from slowfast.config.node import ConfigNode
from slowfast.datasets.clip_dataset import ClipDataset
from slowfast.evaluation.video_scores import VideoScores
from slowfast.tasks.base import Evaluation, Task
from slowfast.utils.io import write_csv


class ViewTask(Task):
    """A task whose network scores clips; the scores of several views of a video are joined.

    `ensemble` is DATA.ENSEMBLE_METHOD; `num_crops` is the number of crops in the views of a test.
    """

    _moved = ("labels",)

    def __init__(
        self,
        *,
        mean: Sequence[float],
        std: Sequence[float],
        num_classes: int,
        ensemble: str,
        num_crops: int,
    ):
        super().__init__(mean=mean, std=std)
        self._num_classes = num_classes
        self._ensemble = ensemble
        self._num_crops = num_crops

    @abstractmethod
    def labels(self, dataset: ClipDataset) -> torch.Tensor:
        """Labels of all videos."""

    @abstractmethod
    def judge(self, values: torch.Tensor, labels: torch.Tensor) -> dict[str, float]:
        """Metrics of scores (videos,classes) in percent."""

    @abstractmethod
    def eval_loss(self, values: torch.Tensor, labels: torch.Tensor) -> float:
        """The loss of scores."""

    @abstractmethod
    def csv_table(
        self, values: torch.Tensor, dataset: ClipDataset
    ) -> tuple[list[str], Iterable[list]]:
        """Header and rows about the scores of all videos, beside the videos' paths."""

    def join(
        self, scores: VideoScores, views: Sequence[int] | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """One row of scores per video (videos,classes), and which videos were seen.

        views: those that count, all when None. A sum is divided by their number, so that
        probabilities stay probabilities.
        """
        values, seen = scores.ensemble(self._ensemble, views)
        num_views = scores.num_views if views is None else len(views)
        return (values / num_views if self._ensemble == "sum" else values), seen

    def make_scores(self, dataset: ClipDataset) -> VideoScores:
        return VideoScores(len(dataset.records), dataset.num_views, self._num_classes)

    def eval_batches(self, item: dict, max_clips: int | None) -> Iterable[dict]:
        count = max(len(item["indices"]), 1)
        for start in range(0, count, max_clips or count):
            part = slice(start, start + (max_clips or count))
            per_clip = {key: item[key][part] for key in ("labels", "indices", "views")}
            yield {**item, **per_clip, "clips": [clip[part] for clip in item["clips"]]}

    def collect(self, scores: VideoScores, batch: dict, output: torch.Tensor) -> None:
        scores.add(batch["indices"], batch["views"], output.float().cpu())

    def evaluate(self, scores: VideoScores, dataset: ClipDataset) -> Evaluation | None:
        values, seen = self.join(scores)
        if not seen.any():
            return None
        values, labels = values[seen], self.labels(dataset)[seen]
        metrics = {"loss": self.eval_loss(values, labels), **self.judge(values, labels)}
        return Evaluation(
            {**metrics, "num_videos": int(seen.sum())}, self.per_class(values, labels)
        )

    def per_class(
        self, _values: torch.Tensor, _labels: torch.Tensor
    ) -> dict[str, dict[int, float]]:
        """The table of classes of an Evaluation."""
        return {}

    def details(self, scores: VideoScores, dataset: ClipDataset) -> dict[str, Any]:
        labels = self.labels(dataset)
        return {
            "views": f"{scores.num_views // self._num_crops} x {self._num_crops}",
            "ensemble": self._ensemble,
            "fewer_views": scores.metrics_by_views(
                lambda values, seen: self.judge(values, labels[seen]),
                self._num_crops,
                method=self._ensemble,
            ),
        }

    def write(
        self, scores: VideoScores, dataset: ClipDataset, output_dir: Path, scores_path: Path
    ) -> list[Path]:
        values, seen = self.join(scores)
        header, rows = self.csv_table(values, dataset)
        results_path = output_dir / "test_results.csv"
        write_csv(
            results_path,
            ["path", *header],
            [
                [record.path, *row]
                for record, row, is_seen in zip(dataset.records, rows, seen.tolist(), strict=True)
                if is_seen
            ],
        )
        paths = [record.path for record in dataset.records]
        scores.save_npz(scores_path, paths, self.labels(dataset).tolist())
        return [results_path, scores_path]


def build_view_options(cfg: ConfigNode) -> dict[str, Any]:
    """The arguments of a ViewTask."""
    return {
        "mean": cfg.DATA.MEAN,
        "std": cfg.DATA.STD,
        "num_classes": cfg.MODEL.NUM_CLASSES,
        "ensemble": cfg.DATA.ENSEMBLE_METHOD,
        "num_crops": cfg.TEST.NUM_SPATIAL_CROPS,
    }
