"""Accuracies of many networks of one architecture, each video read once for all of them."""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from slowfast.adaptive.calibrate import calibrate
from slowfast.checkpoint.classes import build_class_list
from slowfast.checkpoint.initialize import load_for_test
from slowfast.config.node import ConfigNode
from slowfast.datasets.packed_records import labels_of
from slowfast.datasets.reading import WatchedLoader
from slowfast.evaluation.evaluator import Evaluation, Evaluator
from slowfast.evaluation.metrics import topk_correct
from slowfast.evaluation.video_scores import VideoScores
from slowfast.models import build_model
from slowfast.models.operating_point import (
    OperatingPoint,
    Reduce,
    at_point,
    build_full_point,
    build_reduce,
)
from slowfast.models.slimmable import make_slimmable
from slowfast.runtime.device import build_device, place_model
from slowfast.runtime.stop import StopRequest, agreed
from slowfast.tasks.evaluate import EvaluationLoop
from slowfast.utils import distributed

# Overrides of configs of networks that are scored, not trained: crops may be those of tests.
NO_TRAINING = ("TRAIN.ENABLE", False)


@dataclass(frozen=True)
class SubNetwork:
    """A slimmable model at an operating point; it is given whole clips.

    statistics: of its batch norms; None are the model's own.
    """

    model: nn.Module
    point: OperatingPoint
    statistics: Mapping[str, Tensor] | None
    reduce: Reduce

    def __call__(self, clips: list[Tensor]) -> Tensor:
        with at_point(self.model, self.point, self.statistics):
            return self.model(self.reduce(clips, self.point))


class HitCounter(Evaluator):
    """Counts the videos that a network gets right.

    Scores are forgotten once they are counted: those of all networks would not fit anywhere. Every
    video is whole within a batch. ensemble: DATA.ENSEMBLE_METHOD.
    """

    titles = {"top1_acc": "top-1", "top5_acc": "top-5"}
    metric = "top1_acc"

    def __init__(self, labels: Tensor, *, num_views: int, ensemble: str):
        self._labels, self._num_views, self._ensemble = labels, num_views, ensemble
        super().__init__()

    def reset(self) -> None:
        self.scores = np.zeros(3, dtype=np.int64)  # top-1 hits, top-5 hits, videos

    def add(self, batch: dict, output: Tensor) -> None:
        indices, places = batch["indices"].unique(return_inverse=True)
        scores = VideoScores(len(indices), self._num_views, output.shape[1])
        scores.add(places, batch["views"], output)
        values, _ = scores.join(self._ensemble)
        self.count(values, self._labels[indices])

    def count(self, values: Tensor, labels: Tensor) -> None:
        """Add videos with these scores (videos,classes)."""
        hits = [int(topk_correct(values, labels, k)) for k in (1, 5)]
        self.scores += [*hits, len(labels)]

    def merge(self, others: Iterable[np.ndarray]) -> None:
        self.scores = sum(others, self.scores)

    def evaluate(self) -> Evaluation | None:
        top1, top5, num_videos = self.scores.tolist()
        if not num_videos:
            return None
        accuracies = {"top1_acc": 100 * top1 / num_videos, "top5_acc": 100 * top5 / num_videos}
        return Evaluation({**accuracies, "num_videos": num_videos}, {})


def score_sub_networks(
    networks: Mapping[Hashable, SubNetwork],
    loader: WatchedLoader,
    loop: EvaluationLoop,
    *,
    ensemble: str,
    stop: StopRequest,
) -> tuple[dict[Hashable, tuple[float, float]], dict[str, Any]]:
    """Top-1 and top-5 (percent) of each network by its key, and for a JSON on which videos.

    A stop request leaves videos out. ValueError if none was scored.
    """
    labels = torch.from_numpy(labels_of(loader.dataset.records))
    options = {"num_views": loader.dataset.num_views, "ensemble": ensemble}
    judged = [(network, HitCounter(labels, **options)) for network in networks.values()]
    with stop:
        unreadable = loop.run(loader, judged, title="test", stop=stop)
        agreed(stop, loop.device)
    found = distributed.from_main([counter.evaluate() for _, counter in judged])
    if None in found:
        first = dict(list(unreadable.reasons.items())[:10])
        raise ValueError(f"no test video was scored; unreadable: {first}")
    accuracies = [(one.metrics["top1_acc"], one.metrics["top5_acc"]) for one in found]
    about = {
        "num_videos": found[0].metrics["num_videos"],
        "num_test_videos": len(labels),
        **unreadable.counts(),
        **unreadable.named(),
    }
    return dict(zip(networks, accuracies, strict=True)), about


def build_sub_networks(
    cfg: ConfigNode,
    checkpoint: str | Path,
    points: Sequence[OperatingPoint],
    *,
    class_names: Sequence[str] | None,
) -> dict[OperatingPoint, SubNetwork]:
    """The weights of a file at these points, all in one model on the device.

    Its classes are in the order of `class_names`, the data's; None: of the file.
    Statistics that their calibration lacks are measured; the whole network has those of its
    weights.
    """
    full = build_full_point(cfg, cfg.DATA.TEST_CROP_SIZE)
    measured = calibrate(cfg, checkpoint, [one for one in points if one != full])
    model = make_slimmable(place_model(build_model(cfg), build_device(cfg), cfg.MEMORY_FORMAT))
    load_for_test(
        model,
        checkpoint,
        clear_name_patterns=cfg.TRAIN.CHECKPOINT_CLEAR_NAME_PATTERN,
        classes=build_class_list(cfg, class_names),
    )
    model.eval()
    reduce = build_reduce(cfg)
    return {one: SubNetwork(model, one, measured.get(one), reduce) for one in points}
