"""Scores of videos that are in memory, with the views, the network and the loop of a test."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from slowfast.datasets.clip_dataset import Sample, Views, pack_clips
from slowfast.datasets.decoding.open import OpenVideo
from slowfast.datasets.loader import collate
from slowfast.datasets.records import KeyFrame, Record
from slowfast.evaluation.video_evaluator import ViewEvaluator
from slowfast.models.operating_point import ReducedNetwork
from slowfast.tasks.evaluate import EvaluationLoop, Network
from slowfast.utils.classifier import classifier_name

_MOST_AT_ONCE = 8  # videos whose clips are in memory


@dataclass(frozen=True)
class Scorer:
    """Scores of videos, means or the like (`ensemble`) over their views: videos,classes."""

    views: Views
    pack: Callable[[Tensor], list[Tensor]]
    loop: EvaluationLoop
    model: Network
    num_classes: int
    ensemble: str = "sum"

    @property
    def num_at_once(self) -> int:
        """Videos that fill a batch of the network."""
        fitting = (self.loop.max_clips or 1) // self.views.num_views
        return min(max(fitting, 1), _MOST_AT_ONCE)

    def __call__(self, videos: Sequence[OpenVideo]) -> np.ndarray:
        samples = [self._sample(number, video) for number, video in enumerate(videos)]
        found = ViewEvaluator(
            len(videos), self.views.num_views, self.num_classes, ensemble=self.ensemble
        )
        self.loop.score(collate(samples), [(self.model, found)])
        return found.join()[0].numpy()

    def with_features(self, videos: Sequence[OpenVideo]) -> tuple[np.ndarray, np.ndarray]:
        """The scores, and what the classifier is given, means over positions and views: videos,C.

        ValueError for an exported network, which has no modules.
        """
        loop = replace(self.loop, check=None)  # it would run the network once more
        with _classifier_inputs(self.model) as found:
            scores = replace(self, loop=loop)(videos)
        features = torch.cat(found).unflatten(0, (len(videos), -1)).mean(1)
        return scores, features.float().cpu().numpy()

    def score_boxes(self, video: OpenVideo, key: KeyFrame) -> tuple[np.ndarray, np.ndarray]:
        """Scores n,classes of the boxes of a key frame that are seen, and their numbers."""
        cut = self.views(video, Record("", key=key), np.random.default_rng(0))
        if cut.boxes is None or cut.box_numbers is None or not len(cut.boxes):
            return np.zeros((0, self.num_classes), np.float32), np.zeros(0, np.int64)
        labels = torch.zeros(len(cut.boxes), self.num_classes)
        sample = Sample(pack_clips(cut.clips, self.pack), -1, 0, boxes=cut.boxes)
        sample = replace(sample, box_numbers=cut.box_numbers, box_labels=labels)
        found = _Outputs()
        loop = replace(self.loop, max_clips=None)  # boxes belong to one clip
        loop.score(collate([sample]), [(self.model, found)])
        return found.outputs[0].numpy(), cut.box_numbers.numpy()

    def _sample(self, number: int, video: OpenVideo) -> Sample:
        # Evaluation draws nothing but the order of frames in some analyses.
        clips = self.views(video, Record(""), np.random.default_rng(0)).clips
        return Sample(pack_clips(clips, self.pack), -1, number)


class _Outputs:
    """Keeps outputs as they come."""

    def __init__(self) -> None:
        self.outputs: list[Tensor] = []

    def add(self, _batch: dict, output: Tensor) -> None:
        self.outputs.append(output)


@contextmanager
def _classifier_inputs(model: Network) -> Iterator[list[Tensor]]:
    """A list that fills with the inputs N,C of the classifier while the block runs."""
    inner = model.network if isinstance(model, ReducedNetwork) else model
    if not isinstance(inner, nn.Module):
        raise ValueError("features: an exported network gives scores only; take the checkpoint")
    found: list[Tensor] = []

    def keep(_module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        x = inputs[0].detach()
        found.append(x.flatten(1, -2).mean(1) if x.ndim > 2 else x)  # N,T,H,W,C -> N,C

    hook = inner.get_submodule(classifier_name(inner)).register_forward_pre_hook(keep)
    try:
        yield found
    finally:
        hook.remove()
