"""The accuracy of networks at many configurations, each video read once for all of them."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader
from tqdm import tqdm

from slowfast.adaptive.calibrate import calibrate
from slowfast.checkpoint.initialize import load_for_test
from slowfast.config.node import ConfigNode
from slowfast.evaluation.topk import topk_correct
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
from slowfast.runtime.device import build_autocast, build_device, place_model
from slowfast.runtime.stop import StopRequest
from slowfast.runtime.unreadable import UnreadableVideos
from slowfast.tasks import build_task
from slowfast.tasks.video_task import ViewTask


@dataclass(frozen=True)
class SubNetwork:
    """A slimmable model at a configuration; `statistics` of its batch norms: None are its own."""

    model: nn.Module
    configuration: OperatingPoint
    statistics: Mapping[str, Tensor] | None


class HitCounts:
    """How many videos each network gets right, by any key.

    Scores are forgotten once they are counted: those of all networks would not fit anywhere.
    """

    def __init__(self, keys: Sequence[Hashable]):
        self.num_videos = 0
        self._hits = {key: [0, 0] for key in keys}

    def add(self, values: Mapping[Hashable, Tensor], labels: Tensor) -> None:
        """Count videos with these scores (videos,classes)."""
        self.num_videos += len(labels)
        for key, scores in values.items():
            for place, k in enumerate((1, 5)):
                self._hits[key][place] += int(topk_correct(scores, labels, k))

    def accuracies(self, key: Hashable) -> list[float]:
        """Top-1 and top-5 in percent."""
        return [100 * hits / max(self.num_videos, 1) for hits in self._hits[key]]


class SubNetworkScorer:
    """How networks of one architecture, each with a key, score the clips of a task.

    At most `max_clips` clips go through a network at once.
    """

    def __init__(
        self,
        networks: Mapping[Hashable, SubNetwork],
        task: ViewTask,
        device: torch.device,
        *,
        reduce: Reduce,
        autocast: torch.autocast,
        max_clips: int,
    ):
        self._networks, self._task, self._device = networks, task, device
        self._reduce, self._autocast, self._max_clips = reduce, autocast, max_clips

    def __call__(
        self, loader: DataLoader, *, stop: StopRequest
    ) -> tuple[HitCounts, UnreadableVideos]:
        """Score the loader's videos, each read once; a stop request leaves some out.

        Every video is whole within a batch of the loader, as those of tests are. ValueError if no
        video was scored.
        """
        dataset = loader.dataset
        counts, unreadable = HitCounts(list(self._networks)), UnreadableVideos(dataset.records)
        labels = self._task.labels(dataset)
        with (
            stop,
            tqdm(total=len(dataset) * len(self._networks), desc="test", leave=False) as bar,
        ):
            for item in loader:
                unreadable.add(item["failures"])
                if item["clips"]:
                    indices, places = item["indices"].unique(return_inverse=True)
                    scores = self._score({**item, "indices": places}, len(indices), bar)
                    counts.add(scores, labels[indices])
                bar.update(len(item["failures"]) * len(self._networks))
                if stop.signum:
                    break
        unreadable.sync()
        if not counts.num_videos:
            first = dict(list(unreadable.reasons.items())[:10])
            raise ValueError(f"no test video was scored; unreadable: {first}")
        return counts, unreadable

    @torch.no_grad()
    def _score(self, item: dict, num_videos: int, bar: tqdm) -> dict[Hashable, Tensor]:
        """Joined scores (videos,classes) of a batch, whose clips go to the device once."""
        batches = [
            self._task.to_device(batch, self._device)
            for batch in self._task.eval_batches(item, self._max_clips)
        ]
        num_views, joined = len(item["indices"]) // num_videos, {}
        for key, network in self._networks.items():
            at, statistics = network.configuration, network.statistics
            with at_point(network.model, at, statistics), self._autocast:
                outputs = [network.model(self._reduce(batch["clips"], at)) for batch in batches]
            scores = VideoScores(num_videos, num_views, outputs[0].shape[1])
            for batch, output in zip(batches, outputs, strict=True):
                self._task.collect(scores, batch, output)
            joined[key], _ = self._task.join(scores)
            bar.update(num_videos)
        return joined


def build_sub_network_scorer(
    cfg: ConfigNode, networks: Mapping[Hashable, SubNetwork]
) -> SubNetworkScorer:
    """For networks on the config's device."""
    device = build_device(cfg)
    return SubNetworkScorer(
        networks,
        build_task(cfg),
        device,
        reduce=build_reduce(cfg),
        autocast=build_autocast(cfg, device),
        max_clips=cfg.TEST.BATCH_SIZE,
    )


def build_sub_networks(
    cfg: ConfigNode, checkpoint: str | Path, configurations: Sequence[OperatingPoint]
) -> dict[OperatingPoint, SubNetwork]:
    """What the weights of a file are at these configurations, all in one model on the device.

    Statistics that their calibration lacks are measured; the whole network has those of its
    weights.
    """
    full = build_full_point(cfg, cfg.DATA.TEST_CROP_SIZE)
    measured = calibrate(cfg, checkpoint, [one for one in configurations if one != full])
    model = make_slimmable(place_model(build_model(cfg), build_device(cfg)))
    load_for_test(model, checkpoint, clear_name_patterns=cfg.TRAIN.CHECKPOINT_CLEAR_NAME_PATTERN)
    model.eval()
    return {one: SubNetwork(model, one, measured.get(one)) for one in configurations}
