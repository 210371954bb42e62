"""Memory that a run uses, and whether memory and disk will be enough for it."""

import logging
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
import torch

from slowfast.checkpoint import files
from slowfast.config.node import ConfigNode
from slowfast.models.build import build_meta_inputs
from slowfast.solver.multigrid import build_schedule

logger = logging.getLogger(__name__)

_GB = 1024**3
_BYTES = 4  # of a float32
_PREFETCHED = 2  # batches that a loader process holds ready, as DataLoader does
# Values that an optimizer keeps for each parameter.
_OPTIMIZER_VALUES = {"sgd": 1, "adam": 2, "adamw": 2}


class PeakMemory:
    """Most memory so far, at the moments when `usage` was called.

    RAM: of this process. RAM_loaders: of all loader processes together; pages that they share count
    in each. gpu_mem: of the GPU, at any moment; gpu_mem_period: since the last call alone.
    """

    def __init__(self):
        self._process = psutil.Process()
        self._peaks: dict[str, int] = {}

    def usage(self) -> dict[str, str]:
        """The peaks in GB, as text; only what there is."""
        found = {"RAM": self._process.memory_info().rss}
        if children := self._process.children(recursive=True):
            found["RAM_loaders"] = sum(map(_resident, children))
        if torch.cuda.is_available() and torch.cuda.is_initialized():
            found["gpu_mem"] = torch.cuda.max_memory_allocated()
            torch.cuda.reset_peak_memory_stats()
        for name, size in found.items():
            self._peaks[name] = max(size, self._peaks.get(name, 0))
        period = {"gpu_mem_period": found["gpu_mem"]} if "gpu_mem" in found else {}
        return {name: f"{size / _GB:.2f}G" for name, size in {**self._peaks, **period}.items()}


def _resident(process: psutil.Process) -> int:
    with suppress(psutil.Error):  # it may have ended
        return process.memory_info().rss
    return 0


@dataclass(frozen=True)
class Needs:
    """Least that a run takes: what its loaders hold ready on this machine, what it saves.

    checkpoint_size, clips_size: in bytes, of one checkpoint and of all clips.
    """

    checkpoint_size: int
    num_checkpoints: int
    clips_size: int
    num_loaders: int


def warn_if_short(needs: Needs, output_dir: str | Path) -> None:
    """Name the numbers where the disk of OUTPUT_DIR or this machine's memory is likely too small.

    What an earlier run has saved there counts as free.
    """
    saved = files.best_path(output_dir).parent.glob("*.pyth")
    free = psutil.disk_usage(str(output_dir)).free + sum(path.stat().st_size for path in saved)
    if free < needs.num_checkpoints * needs.checkpoint_size:
        logger.warning(
            "%s: %.1f GB are free, but %d checkpoints of about %.2f GB will be kept; another "
            "OUTPUT_DIR, or TRAIN.KEEP_CHECKPOINTS",
            *(output_dir, free / _GB, needs.num_checkpoints, needs.checkpoint_size / _GB),
        )
    available = psutil.virtual_memory().available
    if available < needs.clips_size:
        logger.warning(
            "%.1f GB of memory are available, but the clips that %d loader processes hold ready "
            "take up to %.1f GB; lower DATA_LOADER.NUM_WORKERS or the BATCH_SIZE",
            *(available / _GB, needs.num_loaders, needs.clips_size / _GB),
        )


def build_needs(cfg: ConfigNode, num_parameters: int) -> Needs:
    """Needs of the training, or of the test where there is none, with a model of this size."""
    train, num_processes = cfg.TRAIN, max(cfg.NUM_GPUS, 1)
    copies = 1 + _OPTIMIZER_VALUES.get(cfg.SOLVER.OPTIMIZING_METHOD, 0) + bool(train.EMA_DECAY)
    crop, num_clips, num_views, length = cfg.DATA.TRAIN_CROP_SIZE, train.BATCH_SIZE, 1, 0
    if not train.ENABLE:
        crop, num_clips, length = cfg.DATA.TEST_CROP_SIZE, cfg.TEST.BATCH_SIZE, cfg.TEST.WHOLE_VIDEO
        num_views = cfg.TEST.NUM_ENSEMBLE_VIEWS * cfg.TEST.NUM_SPATIAL_CROPS
    batch = max(num_clips // num_processes // num_views, 1) * num_views
    clips, _ = build_meta_inputs(cfg, crop, num_frames=length)
    clip_size = sum(clip.numel() for clip in clips)  # uint8
    num_loaders = cfg.DATA_LOADER.NUM_WORKERS * num_processes
    return Needs(
        checkpoint_size=copies * _BYTES * num_parameters,
        num_checkpoints=_num_kept(len(build_schedule(cfg).saved), train) if train.ENABLE else 0,
        clips_size=num_loaders * _PREFETCHED * batch * clip_size,
        num_loaders=num_loaders,
    )


def _num_kept(num_saved: int, train: ConfigNode) -> int:
    """TRAIN.KEEP_CHECKPOINTS, the next one before the oldest goes, and the best."""
    keep = train.KEEP_CHECKPOINTS
    return (min(num_saved, keep + 1) if keep else num_saved) + 1
