"""The index file of a folder of videos, also by several machines at once."""

import os
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path

from slowfast.curation.prepare import find_videos
from slowfast.curation.probe import fingerprint
from slowfast.curation.shards import EVERYTHING, Shard, files_of_shards, refuse_unfinished
from slowfast.curation.workers import Failure, run_parallel
from slowfast.datasets.decoding.index_file import write_index
from slowfast.datasets.decoding.video import MAX_PIXELS
from slowfast.datasets.records import Record


def index_folder(
    path: str | Path,
    folder: str,
    *,
    workers: int,
    max_pixels: int = MAX_PIXELS,
    shard: Shard = EVERYTHING,
) -> tuple[int, dict[str, str]]:
    """Write or complete the index file `path` of all videos below a folder; also of a shard's own.

    A shard writes an index of its own beside it. Returns the number of videos, and reasons by path.
    """
    videos = [video for video in find_videos(folder) if shard.has(os.path.relpath(video, folder))]
    run = partial(run_parallel, workers=workers)
    settings = {"max_pixels": max_pixels, "also": [path, *files_of_shards(path)]}
    if not (shard.is_share or shard.is_merge):
        return len(videos), write_index(path, videos, run=run, **settings)
    with shard.open_state(Path(path).with_suffix(".failed.jsonl")) as state:
        if shard.is_merge:
            run = partial(_look_up, failures=state.failures, path=path, folder=folder)
        failures = write_index(shard.file(path), videos, run=run, **settings)
        for video, reason in failures.items():
            state.add_failure(_key(video), reason)
    return len(videos), failures


def _key(video: str) -> str:
    return str(fingerprint(Record(os.path.abspath(video))))


def _look_up(
    _scan: Callable, videos: Iterable[str], *, failures: dict[str, str], path: Path, folder: str
) -> Iterator[tuple[str, Failure]]:
    """Videos that have no index, and why; ValueError for those that no shard has come to."""
    keys = {video: _key(video) for video in videos}
    left = [os.path.relpath(video, folder) for video, key in keys.items() if key not in failures]
    refuse_unfinished(left, path)
    for video, key in keys.items():
        yield video, Failure(failures[key])
