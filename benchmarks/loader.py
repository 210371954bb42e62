"""Training clips per second from a loader with workers, for each way of storing videos."""

import statistics
import tempfile
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from tabulate import tabulate
from torch.utils.data import DataLoader, Dataset

from benchmarks.data import (
    FPS,
    HEIGHT,
    KEYFRAME_INTERVALS,
    SECONDS,
    WIDTH,
    decode_whole,
    draw_frames,
    make_video,
    our_dataset,
    our_training_views,
    plain_training_clip,
)
from slowfast.datasets.clips.samplers import SpanSampler
from slowfast.datasets.decoding.images import import_opencv
from slowfast.datasets.loader import ShardedBatchSampler, make_loader
from slowfast.datasets.records import FrameFiles, Record
from slowfast.datasets.synthetic import write_video
from slowfast.runtime.latency import time_in_turns

_JPEG_QUALITY = 95


class PlainImages:
    """Indexed like a tensor T,H,W,C of all frames, but reads only those that are asked for."""

    def __init__(self, files: FrameFiles):
        self.files = files

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, numbers: torch.Tensor) -> torch.Tensor:
        cv2 = import_opencv()
        images = [cv2.imread(self.files.path(number)) for number in numbers.tolist()]
        return torch.from_numpy(np.stack(images))


def open_plain(record: Record) -> torch.Tensor | PlainImages:
    """All frames T,H,W,C."""
    return decode_whole(record.path) if record.frames is None else PlainImages(record.frames)


class PlainClips(Dataset):
    """Training clips of videos loaded the plain way; `load` cuts one from all frames."""

    def __init__(self, records: Sequence[Record], load: Callable[..., torch.Tensor]):
        self.records, self.load = records, load

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, index: int) -> torch.Tensor:
        return self.load(open_plain(self.records[index]), rng=np.random.default_rng(index))


def write_stores(folder: Path) -> dict[str, Record]:
    """The same 10 seconds stored in each way."""
    cv2, stores = import_opencv(), {}
    write_video(
        folder / "video.webm",
        draw_frames(),
        fps=FPS,
        codec="libvpx-vp9",
        gop=128,
        options={"deadline": "realtime", "cpu-used": "8", "crf": "32", "b": "0"},
    )
    stores["webm, VP9, keyframe every 128"] = Record(str(folder / "video.webm"), 0)
    files = FrameFiles(f"{folder}/{{:06d}}.jpg", 1, SECONDS * FPS)
    for number, picture in enumerate(draw_frames()):
        quality = [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY]
        cv2.imwrite(files.path(number), picture[..., ::-1], quality)
    stores[f"frame folder, JPEG quality {_JPEG_QUALITY}"] = Record(str(folder), 0, files)
    for gop in KEYFRAME_INTERVALS:
        path = str(folder / f"gop{gop}.mp4")
        make_video(path, gop=gop)
        stores[f"mp4, H.264, keyframe every {gop}"] = Record(path, 0)
    return stores


def make_loaders(
    records: Sequence[Record],
    sampler: SpanSampler,
    *,
    scales: tuple[int, int],
    size: int,
    batch_size: int,
    workers: int,
) -> tuple[DataLoader, DataLoader]:
    """The plain one and ours, of one training clip from each record."""
    how = {"scales": scales, "size": size}
    load = partial(plain_training_clip, sampler=sampler, **how)
    plain = DataLoader(
        PlainClips(records, load),
        batch_size,
        num_workers=workers,
        persistent_workers=workers > 0,
    )
    ours = make_loader(
        our_dataset(records, our_training_views(sampler, **how)),
        ShardedBatchSampler(len(records), batch_size, shuffle=True),
        num_workers=workers,
    )
    return plain, ours


def time_loaders(loaders: Iterable[DataLoader], *, repeats: int) -> list[list[float]]:
    """Seconds of rounds through all batches of each."""
    works = [partial(_exhaust, loader) for loader in loaders]
    time_in_turns(*works, repeats=1)  # starts the workers
    return time_in_turns(*works, repeats=repeats)


def _exhaust(batches: Iterable) -> None:
    for _ in batches:
        pass


def run_loader(
    *,
    frames: int,
    rate: int,
    crop_size: int,
    short_side: tuple[int, int],
    workers: int,
    batch_size: int,
    num_clips: int,
    repeats: int,
) -> str:
    """Measure loaders and return a table."""
    make = partial(
        make_loaders,
        sampler=SpanSampler(frames, rate, FPS),
        scales=short_side,
        size=crop_size,
        batch_size=batch_size,
        workers=workers,
    )
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name, record in write_stores(Path(folder)).items():
            times = time_loaders(make([record] * num_clips), repeats=repeats)
            plain, ours = map(statistics.median, times)
            speeds = [f"{num_clips / seconds:.1f}" for seconds in (plain, ours)]
            rows.append([name, *speeds, f"{plain / ours:.2f} x"])
    title = f"{WIDTH}x{HEIGHT}, {SECONDS} s, {workers} workers"
    header = [title, "plain clips/s", "ours clips/s", "ratio"]
    return tabulate(rows, headers=header, disable_numparse=True)
