"""The optical flow of videos, as image files; what is done is not done again."""

import json
import logging
import os
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from slowfast.curation.prepare import names_below
from slowfast.curation.probe import fingerprint
from slowfast.curation.shards import EVERYTHING, Shard, partial_folder, refuse_unfinished
from slowfast.curation.workers import Failure, run_parallel
from slowfast.datasets.decoding.convert import short_side_size
from slowfast.datasets.decoding.flow import BOUND, DESCRIPTION, FILES, encode_flow, flow_names
from slowfast.datasets.decoding.images import import_opencv
from slowfast.datasets.decoding.open import OpenVideo, open_frames
from slowfast.datasets.decoding.video import UnreadableVideo
from slowfast.datasets.records import Record
from slowfast.utils.io import write_json
from slowfast.utils.video_names import without_suffix

logger = logging.getLogger(__name__)

# Failures of shards, for the merge.
_STATE = "flow.jsonl"
_JPEG_QUALITY = 95


@dataclass(frozen=True)
class FlowSettings:
    """short_side: all videos are scaled to it, up too, so that a pixel means the same in each.

    In pixels; 0 keeps every size.
    """

    short_side: int = 256

    def __post_init__(self):
        if self.short_side and self.short_side < 16:
            raise ValueError(f"--short-side: {self.short_side} is not 0 or at least 16")


class FlowJob(NamedTuple):
    """A video, and the folder of its flow below the output folder."""

    record: Record
    target: str


def compute_flow(frames: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """The way in pixels (H,W,2 float32: x, y) of each pixel to the next of the frames H,W,3 uint8.

    TV-L1 as in OpenCV, with its defaults (Zach et al. 2007; IPOL 2013, "TV-L1 Optical Flow
    Estimation"). One less than there are frames.
    """
    cv2 = import_opencv()
    method = cv2.optflow.DualTVL1OpticalFlow_create()
    before = None
    for frame in frames:
        grey = cv2.cvtColor(np.ascontiguousarray(frame), cv2.COLOR_RGB2GRAY)
        if before is not None:
            yield method.calc(before, grey, None)
        before = grey


def write_flow(flows: Iterable[np.ndarray], folder: Path) -> int:
    """Pairs of JPEG files for flows H,W,2 in pixels; the number of pairs."""
    cv2 = import_opencv()
    quality, count = [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY], 0
    for count, flow in enumerate(flows, start=1):
        channels = np.moveaxis(encode_flow(flow), -1, 0)  # H,W,2 -> 2,H,W
        for name, values in zip(flow_names(count), channels, strict=True):
            _, data = cv2.imencode(".jpg", np.ascontiguousarray(values), quality)
            (folder / name).write_bytes(data)
    return count


def convert(
    job: FlowJob, *, output: Path, partial_folder: Path, settings: FlowSettings
) -> int | Failure:
    """The flow of one video, in a folder with a temporary name until it is whole; its length."""
    made = partial_folder / str(os.getpid())
    shutil.rmtree(made, ignore_errors=True)
    made.mkdir()
    try:
        with open_frames(replace(job.record, part=None)) as video:
            count = write_flow(compute_flow(_scaled_frames(video, settings.short_side)), made)
            about = {"num_frames": count, "fps": video.index.fps, "num_broken": video.num_broken}
    except UnreadableVideo as error:
        return Failure(str(error))
    if not count:
        return Failure("TooShort: the video has one frame, flow needs two")
    key = _key(job.record, settings)
    write_json(made / DESCRIPTION, {**about, "bound": BOUND, "made_from": key})
    return _install(made, output / job.target) or count


def _install(made: Path, target: Path) -> Failure | None:
    """Give a whole folder its name. An older one gets its files, and keeps its folders.

    A folder with files that are not ours is left as it is.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.rename(made, target)
    except OSError:
        if not target.is_dir():
            raise
    else:
        return None
    if not (target / DESCRIPTION).exists() and any(not path.is_dir() for path in target.iterdir()):
        return Failure(f"FileExistsError: {target} was not made by this program")
    _replace_files(made, target)
    return None


def _replace_files(made: Path, target: Path) -> None:
    write_json(target / DESCRIPTION, {})  # ours, but not done until the description is moved
    for pattern in FILES:
        for path in target.glob(pattern):
            path.unlink(missing_ok=True)
    for path in sorted(made.iterdir(), key=lambda path: path.name == DESCRIPTION):
        os.replace(path, target / path.name)


def name_folders(paths: Iterable[str], root: str | Path) -> dict[str, str]:
    """Path -> folder of its flow, at the same place below the output as it has below `root`.

    Named without the video's suffix, where no two videos differ in it alone and no other video
    lies in a folder of that name.
    """
    names = names_below(paths, root)
    stems = {path: without_suffix(name) for path, name in names.items()}
    counts = Counter(stems.values())
    parents = {str(parent) for name in names.values() for parent in Path(name).parents}
    return {
        path: names[path] if counts[stem] > 1 or stem in parents else stem
        for path, stem in stems.items()
    }


def _check_opencv() -> None:
    if not hasattr(import_opencv(), "optflow"):
        raise ValueError(
            "this OpenCV has no optical flow module; in place of other packages of it install "
            "opencv-contrib-python-headless"
        )


def _scaled_frames(video: OpenVideo, short_side: int) -> Iterator[np.ndarray]:
    """All frames; with `short_side` 0 in their own size."""
    if not short_side:
        return video.frames()
    height, width, _ = next(video.frames()).shape
    return video.frames(short_side_size(height, width, short_side))


def _key(record: Record, settings: FlowSettings) -> str | None:
    """Changes with the video and with what is asked for; None where there is no video."""
    changes_with = fingerprint(record)
    if changes_with is None:
        return None
    # The same video from another working folder is the same.
    return f"{changes_with.removeprefix(record.path)}|{settings.short_side}"


def describe(folder: Path) -> dict:
    """Our description of a folder; empty without one."""
    try:
        return dict(json.loads((folder / DESCRIPTION).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return {}


def _made_from(folder: Path) -> str | None:
    return describe(folder).get("made_from")


def _what_is_left(
    jobs: Sequence[FlowJob], output: Path, settings: FlowSettings
) -> tuple[dict[str, FlowJob], dict[str, FlowJob], dict[str, str]]:
    """(what is to do by key, what is done, why the rest cannot be done), the last two by path.

    A folder counts as done if it was made of this video as it is now, with these settings.
    """
    left, done, failed = {}, {}, {}
    for job in tqdm(jobs, "looking for what is done", unit="video", disable=None, delay=2):
        key = _key(job.record, settings)
        if key is None:
            failed[job.record.path] = "missing: no such file"
        elif _made_from(output / job.target) == key:
            done[job.record.path] = job
        else:
            left[f"{job.target}|{key}"] = job
    logger.info("%d videos: %d are done, %d to do", len(jobs), len(done), len(left))
    return left, done, failed


def make_flow(
    records: Sequence[Record],
    root: str | Path,
    output: str | Path,
    settings: FlowSettings,
    *,
    workers: int,
    shard: Shard = EVERYTHING,
) -> tuple[dict[str, FlowJob], dict[str, str]]:
    """Compute what is not there yet: (what is there, reasons of failures), by the video's path.

    Of a shard's own videos alone.
    """
    _check_opencv()
    output = Path(output)
    unique = {record.path: record for record in records}
    jobs = [FlowJob(unique[path], name) for path, name in name_folders(unique, root).items()]
    jobs = [job for job in jobs if shard.has(job.target)]
    left, done, failed = _what_is_left(jobs, output, settings)
    is_alone = not (shard.is_share or shard.is_merge)
    with nullcontext() if is_alone else shard.open_state(output / _STATE) as state:
        if shard.is_merge:
            failures = state.failures
            names = [job.target for key, job in left.items() if key not in failures]
            refuse_unfinished(names, output / _STATE)
            return done, failed | {job.record.path: failures[key] for key, job in left.items()}
        for key, result in _compute_all(left, output, settings, workers=workers):
            path = left[key].record.path
            if not isinstance(result, Failure):
                done[path] = left[key]
                continue
            failed[path] = result.reason
            if state:
                state.add_failure(key, result.reason)
    return done, failed


def _compute_all(
    jobs: dict[str, FlowJob], output: Path, settings: FlowSettings, *, workers: int
) -> Iterator[tuple[str, int | Failure]]:
    keys = {job.target: key for key, job in jobs.items()}
    with partial_folder(output) as folder:
        work = partial(convert, output=output, partial_folder=folder, settings=settings)
        with closing(run_parallel(work, jobs.values(), workers=workers)) as results:
            bar = tqdm(results, "optical flow", total=len(jobs), unit="video", disable=None)
            for job, result in bar:
                yield keys[job.target], result
