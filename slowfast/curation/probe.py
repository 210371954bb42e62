"""Facts about a video, from reading all of it."""

import hashlib
import os
from collections import Counter
from collections.abc import Iterable
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import BinaryIO

import av
from tqdm import tqdm

from slowfast.curation.workers import Failure, StateFile, run_parallel
from slowfast.datasets.decoding.flow import flow_paths
from slowfast.datasets.decoding.open import open_frames
from slowfast.datasets.decoding.ranges import UNCACHED
from slowfast.datasets.decoding.stores import NoSuchObject, StoreError
from slowfast.datasets.decoding.video import (
    MAX_PIXELS,
    SeekableFile,
    UnreadableVideo,
    VideoFile,
    open_container,
)
from slowfast.datasets.records import Record
from slowfast.utils.io import check_is_file

# Containers whose header tells how long they are; of others FFmpeg guesses it from their size.
_TIMED_CONTAINERS = {"mov", "matroska", "avi"}


@dataclass(frozen=True, slots=True)
class Facts:
    """num_frames: 0 where none can be decoded, `error` ("Type: reason") then says why.

    fps: None for image files without a rate. damage: what of it is lost, "" if nothing. digest:
    sha256 of the file, or of the image files one after another.
    """

    num_frames: int = 0
    fps: float | None = None
    error: str = ""
    damage: str = ""
    digest: str = ""


def files_of(record: Record) -> list[str]:
    """The paths that a record is stored in."""
    if record.is_flow:
        return flow_paths(record.path)
    if record.frames is None:
        return [record.path]
    return [record.frames.path(number) for number in range(record.frames.count)]


def fingerprint(record: Record) -> str | None:
    """Changes with the path, size and time of change of its files; None where none exists."""
    try:
        if (window := UNCACHED.find(record)) is not None:
            return f"{record.path}|1|{window.size}|{window.crc}|{window.version}"
    except NoSuchObject:
        return None
    except StoreError as error:  # as it will be when it is read
        return f"{record.path}|{error}"
    sizes, times = [], []
    for path in files_of(record):
        try:
            status = os.stat(path)
        except OSError:
            continue
        sizes.append(status.st_size)
        times.append(status.st_mtime_ns)
    if not sizes:
        return None
    return f"{record.path}|{len(sizes)}|{sum(sizes)}|{max(times)}"


def examine(record: Record, *, max_pixels: int = MAX_PIXELS) -> Facts:
    """Decode every frame of its file; errors are part of the facts."""
    try:
        window = UNCACHED.find(record)
        file = record.path if window is None else UNCACHED.open(window, record.path)
        digest, num_missing = _digest(files_of(record) if window is None else [file])
        with open_frames(replace(record, part=None), max_pixels=max_pixels) as source:
            for _ in source.frames((16, 16)):
                pass
            index, num_broken = source.index, source.num_broken
        is_file = record.frames is None and not record.is_flow
        missing_end = _missing_end(file) if is_file else ""
    except UnreadableVideo as error:
        return Facts(error=str(error))
    except OSError as error:
        return Facts(error=f"{type(error).__name__}: {error.strerror}")
    lost = _lost_parts(index.num_frames, num_missing=num_missing, num_broken=num_broken)
    lost += [missing_end] if missing_end else []
    return Facts(index.num_frames, index.fps, damage="; ".join(lost), digest=digest)


def measure(record: Record) -> Facts:
    """Length and rate by its packets, which is quick; an error if its first frame is unreadable."""
    try:
        with open_frames(replace(record, part=None)) as source:
            source.read([0], short_side=16)
            return Facts(source.index.num_frames, source.index.fps)
    except UnreadableVideo as error:
        return Facts(error=str(error))
    except OSError as error:
        return Facts(error=f"{type(error).__name__}: {error.strerror}")


def _lost_parts(num_frames: int, *, num_missing: int, num_broken: int) -> list[str]:
    """Remarks on what is lost; image files that are missing count as broken, too."""
    lost = []
    if num_missing:
        lost.append(f"{num_missing} of {num_frames} image files are missing")
    if num_broken > num_missing:
        lost.append(f"{num_broken - num_missing} of {num_frames} frames are damaged or lost")
    return lost


def examine_all(
    records: Iterable[Record], state: StateFile, *, workers: int, max_pixels: int = MAX_PIXELS
) -> dict[str, Facts | None]:
    """Facts by path; None for what does not exist. Known ones come from `state`.

    Errors are looked at again: they cost little time, and permissions or memory may change.
    """
    facts: dict[str, Facts | None] = {}
    keys: dict[str, str] = {}
    unknown = []
    for record in {record.path: record for record in records}.values():
        key = fingerprint(record)
        if key is None:
            facts[record.path] = None
        elif key in state.values:
            facts[record.path] = Facts(**state.values[key])
        else:
            keys[record.path] = key
            unknown.append(record)
    work = partial(examine, max_pixels=max_pixels)
    with closing(run_parallel(work, unknown, workers=workers)) as results:
        bar = tqdm(results, "reading", total=len(unknown), unit="video", disable=None)
        for record, result in bar:
            if isinstance(result, Failure):
                result = Facts(error=result.reason)
            facts[record.path] = result
            if result.error:
                state.add_failure(keys[record.path], result.error)
            else:
                state.add(keys[record.path], asdict(result))
    return facts


def known_facts(records: Iterable[Record], state: StateFile) -> tuple[dict, list[str]]:
    """Facts by path as of `examine_all`, all from `state`, and the paths that it does not know."""
    facts: dict[str, Facts | None] = {}
    unknown = []
    for record in {record.path: record for record in records}.values():
        key = fingerprint(record)
        if key is None:
            facts[record.path] = None
        elif key in state.values:
            facts[record.path] = Facts(**state.values[key])
        elif key in state.failures:
            facts[record.path] = Facts(error=state.failures[key])
        else:
            unknown.append(record.path)
    return facts, unknown


def _digest(files: Iterable[VideoFile]) -> tuple[str, int]:
    """sha256 of the contents, and how many of the files are missing."""
    total, num_missing = hashlib.sha256(), 0
    for file in files:
        try:
            if not isinstance(file, str):
                _add_all(total, file)
                continue
            check_is_file(file)
            with open(file, "rb") as opened:
                _add_all(total, opened)
        except FileNotFoundError:
            num_missing += 1
    return total.hexdigest(), num_missing


def _add_all(total, file: SeekableFile | BinaryIO) -> None:
    file.seek(0)
    while chunk := file.read(1 << 20):
        total.update(chunk)


def _missing_end(file: VideoFile) -> str:
    """Say if a file is cut short: if no stream comes near the length in its header.

    A stream that has all the packets its header counts is whole: an edit list shifts the end.
    """
    ends, counts = [0.0], Counter()
    if not isinstance(file, str):
        file.seek(0)
    with open_container(file) as container:
        if not container.duration or container.format.name.split(",")[0] not in _TIMED_CONTAINERS:
            return ""
        try:
            for packet in container.demux():
                time = packet.dts if packet.pts is None else packet.pts
                counts[packet.stream.index] += packet.size > 0
                if time is not None:
                    ends.append(float((time + (packet.duration or 0)) * packet.time_base))
        except av.FFmpegError:
            pass  # the end of what there is
        start = (container.start_time or 0) / av.time_base
        length = container.duration / av.time_base
        is_whole = all(counts[s.index] >= s.frames > 0 for s in container.streams.video)
    end = max(ends) - start
    if is_whole or end > 0.98 * length - 0.1:
        return ""
    return f"the file ends after {end:.1f} of {length:.1f} s"
