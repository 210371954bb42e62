"""Training clips per second from a loader with workers, for each way of storing videos."""

import argparse
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
    add_common_arguments,
    add_short_side_argument,
    decode_whole,
    draw_frames,
    make_video,
    our_dataset,
    our_training_views,
    plain_training_clip,
)
from slowfast.datasets.clips.samplers import SpanSampler
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
        import cv2

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
    import cv2

    stores = {}
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


def time_loaders(record: Record, args: argparse.Namespace) -> tuple[Sequence[float], ...]:
    """Seconds of rounds of `args.num_clips` clips of a video: the plain way, ours."""
    records = [record] * args.num_clips
    sampler = SpanSampler(args.frames, args.rate, FPS)
    how = {"scales": args.short_side, "size": args.crop_size}
    ours = make_loader(
        our_dataset(records, our_training_views(sampler, **how)),
        ShardedBatchSampler(args.num_clips, args.batch_size, shuffle=True),
        num_workers=args.workers,
    )
    load = partial(plain_training_clip, sampler=sampler, **how)
    plain = DataLoader(
        PlainClips(records, load),
        args.batch_size,
        num_workers=args.workers,
        persistent_workers=args.workers > 0,
    )
    works = [partial(_exhaust, plain), partial(_exhaust, ours)]
    time_in_turns(*works, repeats=1)  # starts the workers
    return tuple(time_in_turns(*works, repeats=args.repeats))


def _exhaust(batches: Iterable) -> None:
    for _ in batches:
        pass


def add_loader_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the benchmark of loaders."""
    add_common_arguments(parser, crop_size=224, repeats=5)
    add_short_side_argument(parser)
    parser.add_argument("--workers", type=int, default=2, help="processes of each loader")
    parser.add_argument("--batch-size", type=int, default=4, help="clips per batch")
    parser.add_argument("--num-clips", type=int, default=48, help="clips per round")


def run_loader(args: argparse.Namespace) -> str:
    """Measure loaders and return a table."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name, record in write_stores(Path(folder)).items():
            plain, ours = map(statistics.median, time_loaders(record, args))
            speeds = [f"{args.num_clips / seconds:.1f}" for seconds in (plain, ours)]
            rows.append([name, *speeds, f"{plain / ours:.2f} x"])
    title = f"{WIDTH}x{HEIGHT}, {SECONDS} s, {args.workers} workers"
    header = [title, "plain clips/s", "ours clips/s", "ratio"]
    return tabulate(rows, headers=header, disable_numparse=True)
