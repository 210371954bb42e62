"""Batch-norm statistics of the operating points of adaptive networks, measured after training."""

import logging
import time
from collections.abc import Callable, Iterable, Sequence
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
from slowfast.datasets.build import build_loader, build_whole_batches
from slowfast.models import build_model
from slowfast.models.operating_point import OperatingPoint, Reduce, build_reduce
from slowfast.models.slimmable import make_slimmable, width
from slowfast.runtime.device import build_autocast, build_device, place_model
from slowfast.runtime.stop import Interrupted, StopRequest, agreed
from slowfast.runtime.unreadable import UnreadableVideos
from slowfast.solver.precise_bn import Moments, add_moments, mean_and_variance, measured_inputs
from slowfast.tasks import build_task
from slowfast.utils import distributed

logger = logging.getLogger(__name__)

_CPU = torch.device("cpu")
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
    BN.NUM_BATCHES_PRECISE batches of training clips, of which each process takes its part; the
    numbers are those of one process. What a stop request or a crash leaves unfinished goes on with
    the next call.
    """
    calibration = None
    if distributed.is_main_process():
        calibration = load_calibration(checkpoint, build_settings(cfg, CALIBRATION_KEYS))
    calibration = distributed.from_main(calibration)
    missing = [point for point in points if str(point) not in calibration.statistics]
    if missing:
        if distributed.is_main_process():
            _tell_of_others(checkpoint, calibration.settings)
        measure = build_measurement(cfg, checkpoint)
        with StopRequest() as stop:
            measure(calibration, missing, stop=stop)
            is_stopped = agreed(stop, _CPU)
        if is_stopped:
            logger.warning("calibration interrupted: the same command goes on with it")
            raise Interrupted(stop.exit_code)
        calibration = distributed.from_main(calibration)
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

    `batches(start)` gives for every round the clips of this process's batch, or None: a round has
    one batch for each process, in order, from that number on, of `num_batches` in all.
    Batch norms normalise by the batch, as in training; all else is in evaluation mode. The
    statistics are mean and variance of all values that a batch norm receives.
    """

    def __init__(
        self,
        model: nn.Module,
        batches: Callable[[int], Iterable[list[Tensor] | None]],
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
            for number, clips in enumerate(self._batches(min(seen))):
                first = min(seen) + number * distributed.world_size()
                for point, part in zip(points, parts, strict=True):
                    bar.update(self._add_round(part, point, clips, first))
                    if agreed(stop, _CPU):
                        return
                    if time.monotonic() - saved > _SAVE_SECONDS:
                        self._save(calibration)
                        saved = time.monotonic()

    def _add_round(
        self, part: dict, point: OperatingPoint, clips: list[Tensor] | None, first: int
    ) -> int:
        """Add the batches of all processes from `first` on, unless seen; how many that were."""
        size = distributed.world_size()
        before, after = part["num_batches"], min(first + size, self._num_batches)
        if before >= after:
            return 0
        is_new = clips is not None and first + distributed.rank() >= before
        found = distributed.gather_to_main(self._moments(clips, point) if is_new else None)
        for moments in filter(None, found):  # in the order of the batches
            add_moments(part["moments"], moments)
        part["num_batches"] = after
        return after - before

    @torch.no_grad()
    def _moments(self, clips: list[Tensor], point: OperatingPoint) -> Moments:
        with (
            width(self._model, point.width),
            measured_inputs(self._model) as moments,
            self._autocast,
        ):
            self._model(self._reduce(clips, point))
        if not moments:
            return {}
        widths = [values.shape[1] for values in moments.values()]
        parts = torch.cat(list(moments.values()), dim=1).cpu().split(widths, dim=1)
        return {name: part.clone() for name, part in zip(moments, parts, strict=True)}


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
    model = make_slimmable(place_model(build_model(cfg), device, cfg.MEMORY_FORMAT))
    load_for_test(model, checkpoint, clear_name_patterns=cfg.TRAIN.CHECKPOINT_CLEAR_NAME_PATTERN)
    loader = build_loader(cfg, "train", build_batches=build_whole_batches)
    loader.batch_sampler.set_epoch(0)
    num_batches = min(cfg.BN.NUM_BATCHES_PRECISE, len(loader))
    unreadable = UnreadableVideos(loader.dataset.records, max_share=cfg.DATA.MAX_UNREADABLE_SHARE)

    def batches(start: int) -> Iterable[list[Tensor] | None]:
        loader.batch_sampler.set_start(start)
        own = iter(loader)
        for first in range(start, num_batches, distributed.world_size()):
            batch = next(own) if first + distributed.rank() < num_batches else None
            if batch is not None:
                unreadable.add(batch["failures"], batch["damaged"])
            unreadable.sync()
            yield None if batch is None else task.prepare(batch, device)["clips"]

    def save(calibration: Calibration) -> None:
        if distributed.is_main_process():
            save_calibration(checkpoint, calibration)

    return Measurement(
        model,
        batches,
        num_batches=num_batches,
        reduce=build_reduce(cfg),
        autocast=build_autocast(cfg, device),
        save=save,
    )
