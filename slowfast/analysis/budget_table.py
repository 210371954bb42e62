"""How accurate an adaptive network is at every configuration, beside what each of them costs."""

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader
from tqdm import tqdm

from slowfast.analysis.budget_costs import build_costs, build_latencies
from slowfast.checkpoint.calibration import file_hash
from slowfast.checkpoint.initialize import load_for_test
from slowfast.config.cli import load_cfg
from slowfast.config.node import ConfigNode
from slowfast.datasets.build import build_loader
from slowfast.engine.budget import BudgetTable, Row, build_settings
from slowfast.engine.calibrate import calibrate
from slowfast.engine.device import build_autocast, build_device, device_name, place_model
from slowfast.engine.predict_videos import build_single_process
from slowfast.engine.stop import StopRequest
from slowfast.engine.tasks import build_task
from slowfast.engine.tasks.view_task import ViewTask
from slowfast.engine.unreadable import UnreadableVideos
from slowfast.evaluation.topk import topk_correct
from slowfast.evaluation.views import ViewScores
from slowfast.models import build_model
from slowfast.models.configuration import (
    Configuration,
    Reduce,
    build_configurations,
    build_full_configuration,
    build_reduce,
    configured,
)
from slowfast.models.slimmable import make_slimmable

# Statistics of the batch norms; None are those of the weights.
Statistics = Mapping[str, Tensor] | None


class HitCounts:
    """How many videos each configuration gets right.

    Scores are forgotten once they are counted: those of all configurations would not fit anywhere.
    """

    def __init__(self, configurations: Sequence[Configuration]):
        self.num_videos = 0
        self._hits = {configuration: [0, 0] for configuration in configurations}

    def add(self, values: Mapping[Configuration, Tensor], labels: Tensor) -> None:
        """Count videos with these scores (videos,classes)."""
        self.num_videos += len(labels)
        for configuration, scores in values.items():
            for place, k in enumerate((1, 5)):
                self._hits[configuration][place] += int(topk_correct(scores, labels, k))

    def accuracies(self, configuration: Configuration) -> list[float]:
        """Top-1 and top-5 in percent."""
        return [100 * hits / max(self.num_videos, 1) for hits in self._hits[configuration]]


class ConfigurationScorer:
    """A slimmable network on a device, and how it scores the clips of a task at configurations.

    `statistics` says which configurations there are. At most `max_clips` clips go through the
    network at once.
    """

    def __init__(
        self,
        model: nn.Module,
        task: ViewTask,
        device: torch.device,
        *,
        statistics: Mapping[Configuration, Statistics],
        reduce: Reduce,
        autocast: torch.autocast,
        max_clips: int,
    ):
        self.model, self.task, self.device = model.eval(), task, device
        self.statistics, self.reduce = statistics, reduce
        self.autocast, self.max_clips = autocast, max_clips

    def __call__(
        self, loader: DataLoader, *, stop: StopRequest
    ) -> tuple[HitCounts, UnreadableVideos]:
        """Score the loader's videos, each read once; a stop request leaves some out.

        Every video is whole within a batch of the loader, as those of tests are.
        """
        dataset = loader.dataset
        counts, unreadable = HitCounts(list(self.statistics)), UnreadableVideos(dataset.records)
        labels = self.task.labels(dataset)
        with tqdm(total=len(dataset) * len(self.statistics), desc="table", leave=False) as bar:
            for item in loader:
                unreadable.note(item["failures"])
                if item["clips"]:
                    indices, places = item["indices"].unique(return_inverse=True)
                    scores = self._score({**item, "indices": places}, len(indices), bar)
                    counts.add(scores, labels[indices])
                bar.update(len(item["failures"]) * len(self.statistics))
                if stop.signum:
                    break
        unreadable.merge()
        return counts, unreadable

    @torch.no_grad()
    def _score(self, item: dict, num_videos: int, bar: tqdm) -> dict[Configuration, Tensor]:
        """Joined scores (videos,classes) of a batch, whose clips go to the device once."""
        batches = [
            self.task.to_device(batch, self.device)
            for batch in self.task.eval_batches(item, self.max_clips)
        ]
        num_views, joined = len(item["indices"]) // num_videos, {}
        for configuration, statistics in self.statistics.items():
            with self._at(configuration, statistics), self.autocast:
                outputs = [
                    self.model(self.reduce(batch["clips"], configuration)) for batch in batches
                ]
            scores = ViewScores(num_videos, num_views, outputs[0].shape[1])
            for batch, output in zip(batches, outputs, strict=True):
                self.task.collect(scores, batch, output)
            joined[configuration], _ = self.task.join(scores)
            bar.update(num_videos)
        return joined

    def _at(self, configuration: Configuration, statistics: Statistics):
        if statistics is None:
            return nullcontext()
        return configured(self.model, configuration, statistics)


def measure_table(
    config: str | Path,
    checkpoint: str | Path,
    options: Sequence = (),
    *,
    repeats: int,
    stop: StopRequest,
) -> BudgetTable:
    """The table of all configurations of ADAPTIVE, in one process.

    Statistics that the calibration lacks are measured first. `repeats` clips are timed, 0 leaves
    the latencies out. A stop request gives the table of the videos so far; ValueError if there are
    none.
    """
    cfg = build_single_process(load_cfg(config, options))
    if not cfg.ADAPTIVE.ENABLE:
        raise ValueError("ADAPTIVE.ENABLE: False; the table is for adaptive networks")
    configurations = build_configurations(cfg)
    scorer = build_configuration_scorer(cfg, checkpoint, configurations)
    loader = build_loader(cfg, "test")
    costs = build_costs(cfg, configurations)
    latencies = [float("nan")] * len(configurations)
    if repeats:
        latencies = build_latencies(cfg, scorer.model, configurations, repeats=repeats)
    with stop:
        counts, unreadable = scorer(loader, stop=stop)
    if not counts.num_videos:
        first = dict(list(unreadable.reasons.items())[:10])
        raise ValueError(f"no test video was scored; unreadable: {first}")
    rows = [
        Row(configuration, cost.gmacs, cost.params, latency, *counts.accuracies(configuration))
        for configuration, cost, latency in zip(configurations, costs, latencies, strict=True)
    ]
    about = {
        "config": str(config),
        "checkpoint": str(checkpoint),
        "device": device_name(scorer.device),
        "views": f"{cfg.TEST.NUM_ENSEMBLE_VIEWS} x {cfg.TEST.NUM_SPATIAL_CROPS}",
        "num_videos": counts.num_videos,
        "num_test_videos": len(loader.dataset),
        "unreadable": unreadable.reasons,
    }
    return BudgetTable(file_hash(checkpoint), build_settings(cfg), about, tuple(rows))


def build_configuration_scorer(
    cfg: ConfigNode, checkpoint: str | Path, configurations: Sequence[Configuration]
) -> ConfigurationScorer:
    """Scores at these configurations with the weights of a file, calibrated where they are not."""
    full = build_full_configuration(cfg, cfg.DATA.TEST_CROP_SIZE)
    measured = calibrate(cfg, checkpoint, [one for one in configurations if one != full])
    device = build_device(cfg)
    model = make_slimmable(place_model(build_model(cfg), device))
    load_for_test(model, checkpoint, clear_name_patterns=cfg.TRAIN.CHECKPOINT_CLEAR_NAME_PATTERN)
    return ConfigurationScorer(
        model,
        build_task(cfg),
        device,
        statistics={one: measured.get(one) for one in configurations},
        reduce=build_reduce(cfg),
        autocast=build_autocast(cfg, device),
        max_clips=cfg.TEST.BATCH_SIZE,
    )
