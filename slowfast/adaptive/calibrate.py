"""Batch-norm statistics of the operating points of adaptive networks, measured after training."""

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from tqdm import tqdm

from slowfast.adaptive.calibration_file import (
    Calibration,
    build_settings,
    calibration_path,
    load_calibration,
    load_calibrations,
    save_calibration,
)
from slowfast.checkpoint.initialize import load_for_test
from slowfast.config.node import ConfigNode
from slowfast.datasets.build import build_loader
from slowfast.models import build_model
from slowfast.models.operating_point import OperatingPoint, Reduce, build_reduce
from slowfast.models.slimmable import make_slimmable, width
from slowfast.runtime.device import build_autocast, build_device, place_model
from slowfast.runtime.stop import Interrupted, StopRequest
from slowfast.runtime.unreadable import UnreadableVideos
from slowfast.solver.precise_bn import Moments, add_moments, mean_and_variance, measured_inputs
from slowfast.tasks import build_task

logger = logging.getLogger(__name__)

_SAVE_SECONDS = 60.0  # between two saves of what is measured so far
# Keys that decide on the statistics; beside them it is the weights and the videos.
CALIBRATION_KEYS = (
    *("ADAPTIVE.RESIZE", "AUG.ENABLE", "AUG.AA_TYPE", "BN.NUM_BATCHES_PRECISE"),
    *("DATA.KEEP_ASPECT", "DATA.NUM_FRAMES", "DATA.RANDOM_FLIP", "DATA.SAMPLING"),
    *("DATA.SAMPLING_RATE", "DATA.TRAIN_CROP_SIZE"),
    *("DATA.TRAIN_JITTER_SCALES", "RNG_SEED", "TRAIN.BATCH_SIZE", "TRAIN.MIXED_PRECISION"),
)

Statistics = dict[str, Tensor]


def calibrate(
    cfg: ConfigNode, checkpoint: str | Path, points: Sequence[OperatingPoint]
) -> dict[OperatingPoint, Statistics]:
    """The statistics of these points, for `models.operating_point.at_point`.

    Those that the file beside the checkpoint lacks are measured, all in one pass over
    BN.NUM_BATCHES_PRECISE batches of training clips, by this process alone. What a stop request or
    a crash leaves unfinished goes on with the next call.
    """
    calibration = load_calibration(checkpoint, build_settings(cfg, CALIBRATION_KEYS))
    missing = [point for point in points if str(point) not in calibration.statistics]
    if missing:
        _tell_of_others(checkpoint, calibration.settings)
        measure = build_measurement(cfg, checkpoint)
        with StopRequest() as stop:
            measure(calibration, missing, stop=stop)
        if stop.signum:
            logger.warning("calibration interrupted: the same command goes on with it")
            raise Interrupted(stop.exit_code)
    return {point: calibration.statistics[str(point)] for point in points}


def _tell_of_others(checkpoint: str | Path, settings: dict) -> None:
    """Name what differs from the settings of statistics that are there."""
    for found in load_calibrations(checkpoint):
        others = {
            key: found.settings.get(key)
            for key, value in settings.items()
            if found.settings.get(key) != value
        }
        if others and found.statistics:
            logger.warning(
                "%s has statistics of %d configurations, but measured with %s in place of %s; they "
                "stay, and others are measured beside them",
                calibration_path(checkpoint),
                len(found.statistics),
                others,
                {key: settings[key] for key in others},
            )


class Measurement:
    """Measures statistics, batch after batch, and saves on the way: `save(calibration)`.

    `batches(start)` gives the clips of the batches from that number on, of `num_batches` in all.
    Batch norms normalise by the batch, as in training; all else is in evaluation mode. The
    statistics are mean and variance of all values that a batch norm receives.
    """

    def __init__(
        self,
        model: nn.Module,
        batches: Callable[[int], Iterable[list[Tensor]]],
        *,
        num_batches: int,
        reduce: Reduce,
        autocast: torch.autocast,
        save: Callable[[Calibration], object],
    ):
        self._model = model
        self._batches = batches
        self._num_batches = num_batches
        self._reduce = reduce
        self._autocast = autocast
        self._save = save

    def __call__(
        self,
        calibration: Calibration,
        points: Sequence[OperatingPoint],
        *,
        stop: StopRequest,
    ) -> None:
        """Add the statistics of `points`; if asked to stop, the progress so far."""
        progress = calibration.progress
        for name in map(str, points):
            if progress.get(name, {}).get("of") != self._num_batches:
                progress[name] = {"num_batches": 0, "of": self._num_batches, "moments": {}}
        self._add_batches(calibration, points, stop)
        for name in map(str, points):
            if progress[name]["num_batches"] == self._num_batches:
                calibration.statistics[name] = _statistics_of(progress.pop(name)["moments"])
        self._save(calibration)

    def _add_batches(
        self, calibration: Calibration, points: Sequence[OperatingPoint], stop: StopRequest
    ) -> None:
        """Each point goes on from the batches that it has seen."""
        parts = [calibration.progress[str(point)] for point in points]
        seen, saved = [part["num_batches"] for part in parts], time.monotonic()
        total = self._num_batches * len(parts)
        if any(seen):
            logger.info("calibration goes on after %d of %d passes", sum(seen), total)
        set_norms_training(self._model)
        with tqdm(
            total=total, initial=sum(seen), desc="calibrate", unit="pass", leave=False
        ) as bar:
            for number, clips in enumerate(self._batches(min(seen)), min(seen)):
                for point, part in zip(points, parts, strict=True):
                    if part["num_batches"] > number:
                        continue
                    add_moments(part["moments"], self._moments(clips, point))
                    part["num_batches"] += 1
                    bar.update()
                    if stop.signum:
                        return
                    if time.monotonic() - saved > _SAVE_SECONDS:
                        self._save(calibration)
                        saved = time.monotonic()

    @torch.no_grad()
    def _moments(self, clips: list[Tensor], point: OperatingPoint) -> Moments:
        with (
            width(self._model, point.width),
            measured_inputs(self._model) as moments,
            self._autocast,
        ):
            self._model(self._reduce(clips, point))
        return {name: values.cpu() for name, values in moments.items()}


def set_norms_training(model: nn.Module) -> None:
    """Batch norms in training mode, all else in evaluation mode."""
    model.eval()
    for module in model.modules():
        if isinstance(module, _NormBase):
            module.train()


def _statistics_of(moments: Moments) -> Statistics:
    statistics = {}
    for name, values in moments.items():
        mean, var = mean_and_variance(values)
        statistics[f"{name}.running_mean"] = mean.float()
        statistics[f"{name}.running_var"] = var.float()
    return statistics


def build_measurement(cfg: ConfigNode, checkpoint: str | Path) -> Measurement:
    """A measurement with the weights of `checkpoint`, on the first batches of an epoch."""
    device, task = build_device(cfg), build_task(cfg)
    model = make_slimmable(place_model(build_model(cfg), device))
    load_for_test(model, checkpoint, clear_name_patterns=cfg.TRAIN.CHECKPOINT_CLEAR_NAME_PATTERN)
    loader = build_loader(cfg, "train")
    loader.batch_sampler.set_epoch(0)
    num_batches = min(cfg.BN.NUM_BATCHES_PRECISE, len(loader))
    unreadable = UnreadableVideos(loader.dataset.records, max_share=cfg.DATA.MAX_UNREADABLE_SHARE)

    def batches(start: int) -> Iterable[list[Tensor]]:
        loader.batch_sampler.set_start(start)
        for batch in islice(loader, num_batches - start):
            unreadable.add(batch["failures"], batch["damaged"])
            unreadable.sync()
            yield task.prepare(batch, device)["clips"]

    return Measurement(
        model,
        batches,
        num_batches=num_batches,
        reduce=build_reduce(cfg),
        autocast=build_autocast(cfg, device),
        save=lambda calibration: save_calibration(checkpoint, calibration),
    )
