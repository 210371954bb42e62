"""Lengths of a user's videos, those that cannot be read, and what this machine has."""

import logging
import random
import statistics
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace

import psutil
from tqdm import tqdm

from slowfast.curation.probe import measure
from slowfast.curation.workers import Failure, run_parallel
from slowfast.datasets.records import Record
from slowfast.own.videos import OwnVideos
from slowfast.utils.seeding import derive_seed
from slowfast.utils.system import num_usable_cores

logger = logging.getLogger(__name__)

MOST_MEASURED = 2000
_NUM_NAMED = 5
_FPS = 30.0  # of images without a rate, as DATA.TARGET_FPS


@dataclass(frozen=True)
class Lengths:
    """Seconds of the videos that were measured: their median, and of the shorter ones (a tenth)."""

    median: float
    short: float
    num_measured: int


@dataclass(frozen=True)
class Machine:
    """CPU cores that this process may use, free memory in bytes, and names of the GPUs.

    gpu_memory: free on the first of them. gpu_dtype: in which it computes fast.
    """

    num_cores: int
    memory: int
    gpus: tuple[str, ...] = ()
    gpu_memory: int = 0
    gpu_dtype: str = "bfloat16"


def measure_videos(
    videos: OwnVideos, *, workers: int
) -> tuple[OwnVideos, Lengths, list[tuple[str, str]]]:
    """The videos that can be read, their lengths, and (path, reason) of the others.

    Of thousands some are measured, which are drawn; then all are kept that are not known to be
    unreadable. ValueError when none can be read.
    """
    records = list({record.path: record for record in videos.records}.values())
    chosen = records
    if len(records) > MOST_MEASURED:
        chosen = random.Random(derive_seed("own sample")).sample(records, MOST_MEASURED)
        logger.info("lengths are measured of %d of %d videos", MOST_MEASURED, len(records))
    seconds, reasons = _measure(chosen, workers)
    if not seconds:
        path, reason = next(iter(reasons.items()))
        raise ValueError(f"none of {len(chosen)} videos can be read, for example {path}: {reason}")
    ordered = sorted(seconds)
    lengths = Lengths(statistics.median(ordered), ordered[len(ordered) // 10], len(ordered))
    named = [(videos.name(r), reasons[r.path]) for r in chosen if r.path in reasons]
    for name, reason in named[:_NUM_NAMED]:
        logger.warning("left out: %s: %s", name, reason)
    if named:
        logger.warning("%d of %d videos cannot be read and are left out", len(named), len(chosen))
    return _without(videos, reasons), lengths, named


def _measure(records: Sequence[Record], workers: int) -> tuple[list[float], dict[str, str]]:
    """Seconds of the readable ones, and reasons of the others by path."""
    seconds, reasons = [], {}
    with closing(run_parallel(measure, records, workers=workers)) as results:
        for record, found in tqdm(results, "measuring", len(records), unit="video", disable=None):
            error = found.reason if isinstance(found, Failure) else found.error
            if error:
                reasons[record.path] = error
            else:
                seconds.append(found.num_frames / (found.fps or _FPS))
    return seconds, reasons


def _without(videos: OwnVideos, reasons: Mapping[str, str]) -> OwnVideos:
    parts = {
        name: [record for record in part if record.path not in reasons]
        for name, part in videos.parts.items()
    }
    empty = [name for name, part in parts.items() if not part]
    if empty:
        raise ValueError(f"no video of the part {empty[0]!r} can be read")
    return replace(videos, parts=parts)


def look_at_machine() -> Machine:
    """Cores, memory, GPUs; imports torch."""
    import torch

    gpus = [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())]
    machine = Machine(num_usable_cores(), psutil.virtual_memory().available, tuple(gpus))
    if not gpus:
        return machine
    dtype = "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float16"
    return replace(machine, gpu_memory=torch.cuda.mem_get_info(0)[0], gpu_dtype=dtype)
