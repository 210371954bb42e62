"""Training clips per second from tars and a store, against plain files; bytes that it takes."""

import os
import tempfile
import time
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from tabulate import tabulate

from benchmarks.data import our_dataset, our_training_views
from benchmarks.store_server import KEYS, bytes_sent, run_store
from slowfast.curation.pack import plan_tars, write_tar
from slowfast.datasets.clips.samplers import SpanSampler
from slowfast.datasets.decoding.open import open_frames
from slowfast.datasets.decoding.ranges import RangeCache, RangeReader
from slowfast.datasets.loader import ShardedBatchSampler, make_loader
from slowfast.datasets.records import Record
from slowfast.datasets.synthetic import write_video
from slowfast.datasets.windows import add_windows

_NUM_DRAWN = 16  # videos of their own; the others are copies, which nothing here can tell
_TAR_BYTES = 10_000_000
_NUM_RESUMED = 4  # batches at the end that a second loader reads alone


@dataclass(frozen=True)
class Place:
    """A place of the videos. cache: of what comes from a store."""

    name: str
    prefix: str
    cache: RangeCache | None = None


@dataclass(frozen=True)
class Pass:
    """Seconds of a pass over all clips, check sums of its batches, and what the store sent."""

    seconds: float
    sums: list[int]
    bytes_sent: int
    num_answers: int


def write_clips(folder: Path, count: int) -> dict[str, str]:
    """Small videos of 32 frames of 128 x 96, a square over noise; path -> name."""
    rng, drawn, names = np.random.default_rng(0), [], {}
    for number in range(count):
        path = folder / f"class{number % 10}" / f"{number:05d}.mp4"
        path.parent.mkdir(exist_ok=True)
        if number < _NUM_DRAWN:
            write_video(path, _draw(rng), fps=15, gop=12, options={"crf": "30"})
            drawn.append(path.read_bytes())
        else:
            path.write_bytes(drawn[number % _NUM_DRAWN])
        names[str(path)] = str(path.relative_to(folder))
    return names


def _draw(rng: np.random.Generator) -> Iterator[np.ndarray]:
    ground = rng.integers(0, 256, (12, 16, 3), dtype=np.uint8).repeat(8, 0).repeat(8, 1)
    for number in range(32):
        picture = ground.copy()
        picture[40:60, 3 * number : 3 * number + 20] = rng.integers(0, 256, 3)
        yield picture


def measure(
    place: Place, names: list[str], *, workers: int, batch_size: int, address: str, start: int = 0
) -> Pass:
    """Go through the clips of an epoch once, from batch `start` on, in an order of its own."""
    records = add_windows([Record(f"{place.prefix}/{name}", 0) for name in names], seconds=60)
    views = our_training_views(SpanSampler(8, 2, 15), scales=(96, 112), size=80)
    dataset = our_dataset(records, views)
    dataset.open_record = partial(open_frames, ranges=RangeReader(place.cache, 60))
    sampler = ShardedBatchSampler(len(names), batch_size, shuffle=True)
    loader = make_loader(dataset, sampler, num_workers=workers)
    sampler.set_start(start)
    sent, before = bytes_sent(address), time.perf_counter()
    sums = [zlib.crc32(batch["clips"][0].numpy().tobytes()) for batch in loader]
    seconds = time.perf_counter() - before
    num_bytes, num_answers = np.subtract(bytes_sent(address), sent).tolist()
    return Pass(seconds, sums, num_bytes, num_answers)


def run_stores(*, num_clips: int, workers: int, batch_size: int) -> str:
    """Measure each way of storing the clips and return a table."""
    num_clips -= num_clips % batch_size  # each is read once in an epoch
    with tempfile.TemporaryDirectory() as name, run_store() as address:
        os.environ |= {**KEYS, "AWS_ENDPOINT_URL": address}
        folder = Path(name)
        for part in ("videos", "tars"):
            (folder / part).mkdir()
        names = write_clips(folder / "videos", num_clips)
        needed = sum(map(os.path.getsize, names))
        _pack(names, folder)
        run = partial(
            measure,
            names=list(names.values()),
            workers=workers,
            batch_size=batch_size,
            address=address,
        )
        plain, rows = None, []
        for place in _places(folder):
            found = run(place)
            plain = plain or found
            rest = run(place, start=len(found.sums) - _NUM_RESUMED)
            rows.append(_row(place, found, rest, plain=plain, num=num_clips, needed=needed))
    title = f"{num_clips} clips of {needed / num_clips / 1e3:.1f} kB, {workers} workers"
    header = [title, "clips/s", "of plain", "bytes sent / needed", "requests / clip", "resumed"]
    return tabulate(rows, headers=header, disable_numparse=True)


def _pack(names: dict[str, str], folder: Path) -> None:
    """Tars on the disk, and the same in a bucket."""
    import s3fs

    for tar in plan_tars(names, _TAR_BYTES)[0]:
        write_tar(tar, folder=folder, output=folder / "tars")
    system = s3fs.S3FileSystem()
    system.mkdir("bucket")
    for path in (folder / "tars").iterdir():
        system.pipe_file(f"bucket/tars/{path.name}", path.read_bytes())


def _places(folder: Path) -> list[Place]:
    cache = RangeCache(str(folder / "cache"), 10**10)
    return [
        Place("plain files", str(folder / "videos")),
        Place("tars on the disk", f"{folder}/tars/*.tar"),
        Place("tars in S3, new cache", "s3://bucket/tars/*.tar", cache),
        Place("tars in S3, full cache", "s3://bucket/tars/*.tar", cache),
    ]


def _row(place: Place, found: Pass, rest: Pass, *, plain: Pass, num: int, needed: int) -> list[str]:
    is_same = found.sums == plain.sums
    is_resumed = rest.sums == plain.sums[-_NUM_RESUMED:]
    return [
        place.name,
        f"{num / found.seconds:.0f}",
        f"{plain.seconds / found.seconds:.2f} x",
        f"{found.bytes_sent / needed:.3f}",
        f"{found.num_answers / num:.3f}",
        "the same clips" if is_same and is_resumed else "OTHER CLIPS",
    ]
