"""Loading clips: our way, and the plain way that decodes whole videos again for every clip."""

import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import av
import numpy as np
import torch
from tabulate import tabulate

from slowfast.datasets.clip_dataset import ClipDataset
from slowfast.datasets.clips import frame_math
from slowfast.datasets.clips.samplers import SpanSampler
from slowfast.datasets.clips.views import EvalViews, TrainViews
from slowfast.datasets.decoding.convert import short_side_size
from slowfast.datasets.decoding.video import open_video
from slowfast.datasets.labels import ClassLabel
from slowfast.datasets.records import Annotations, Record
from slowfast.datasets.synthetic import write_video
from slowfast.datasets.transforms.spatial import (
    PackPathways,
    RandomCrop,
    TrainTransform,
    crop,
    flip,
    jitter_size,
    random_crop_offsets,
    resize,
    uniform_crop_offsets,
)
from slowfast.runtime.latency import Timing, time_in_turns

KEYFRAME_INTERVALS = (12, 250)
HEIGHT, WIDTH, SECONDS, FPS = 256, 340, 10, 30


def draw_frames() -> Iterator[np.ndarray]:
    """10 seconds of 340 x 256 at 30 fps: a square moves over a drifting soft texture."""
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(3, HEIGHT * 2, WIDTH * 2))
    frequency = np.hypot(np.fft.fftfreq(HEIGHT * 2)[:, None], np.fft.fftfreq(WIDTH * 2))
    texture = np.fft.ifft2(np.fft.fft2(noise) / (frequency + 0.01)).real.transpose(1, 2, 0)
    texture = np.clip(128 + 45 * texture / texture.std(), 0, 255).astype(np.uint8)
    for number in range(SECONDS * FPS):
        drift = (-(number // 2), -number)
        picture = np.roll(texture, drift, axis=(0, 1))[:HEIGHT, :WIDTH].copy()
        x = 20 + (7 * number) % (WIDTH - 100)
        picture[90:150, x : x + 60] = texture[:60, :60]
        yield picture


def make_video(path: str | Path, *, gop: int) -> None:
    """These frames as H.264."""
    write_video(path, draw_frames(), fps=FPS, gop=gop, options={"crf": "28"})


def decode_whole(path: str) -> torch.Tensor:
    """All frames T,H,W,C of a video, converted one by one: what PySlowFast does for each clip."""
    with av.open(path) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    return torch.from_numpy(np.stack(frames))


def _plain_clip(
    frames: torch.Tensor, sampler: SpanSampler, place: float, short_side: int
) -> torch.Tensor:
    """The clip that begins at share `place` (0..1) of the room for it, scaled by torch."""
    span = sampler.span(FPS)
    start = place * max(len(frames) - span, 0)
    indices = frame_math.clip_indices(start, span, sampler.num_frames, len(frames))
    clip = frames[torch.from_numpy(indices)].permute(3, 0, 1, 2)  # T,H,W,C -> C,T,H,W
    return resize(clip.float(), short_side_size(*clip.shape[-2:], short_side))


class PlainViews:
    """Test views loaded the plain way: the video is opened and decoded again for each of them.

    decode_seconds: what the decoding alone took in each call of `load`.
    """

    def __init__(self, sampler: SpanSampler, *, num_clips: int, num_crops: int, size: int):
        self.sampler, self.size = sampler, size
        self.num_clips = num_clips
        self.crops = (1,) if num_crops == 1 else (0, 1, 2)
        self.decode_seconds: list[float] = []

    def load(self, path: str) -> torch.Tensor:
        """All views N,C,T,H,W."""
        views, seconds = [], 0.0
        for number in range(self.num_clips):
            for spatial in self.crops:
                start = time.perf_counter()
                frames = decode_whole(path)
                seconds += time.perf_counter() - start
                clip = _plain_clip(frames, self.sampler, number / self.num_clips, self.size)
                y, x = uniform_crop_offsets(*clip.shape[-2:], self.size, spatial)
                views.append(crop(clip, y, x, self.size))
        self.decode_seconds.append(seconds)
        return torch.stack(views)


def plain_training_clip(
    frames: torch.Tensor,
    sampler: SpanSampler,
    rng: np.random.Generator,
    *,
    scales: tuple[int, int],
    size: int,
) -> torch.Tensor:
    """A clip C,T,H,W at a random place of all frames T,H,W,C, scaled, cropped and flipped."""
    clip = _plain_clip(frames, sampler, rng.uniform(), jitter_size(rng, *scales, False))
    y, x = random_crop_offsets(rng, *clip.shape[-2:], size)
    clip = crop(clip, y, x, size)
    return (flip(clip) if rng.uniform() < 0.5 else clip).contiguous()


def our_training_views(sampler: SpanSampler, *, scales: tuple[int, int], size: int) -> TrainViews:
    """The same our way."""
    transform = TrainTransform(RandomCrop(size), mirror=flip)
    return TrainViews(sampler, jitter=(*scales, False), transform=transform)


def our_dataset(records: list[Record], views: TrainViews | EvalViews) -> ClipDataset:
    """For a model with one pathway."""
    return ClipDataset(
        Annotations(records),
        views,
        label=ClassLabel(),
        pack=PackPathways((1,), reverse_channels=False),
        replace_unreadable=False,
        seed=0,
    )


def _decode_for(views: EvalViews, path: str) -> None:
    with open_video(path) as video:
        rng = np.random.default_rng(0)
        views.decode(video, views.frame_numbers(video.index, rng))


def time_test_views(
    path: str,
    sampler: SpanSampler,
    *,
    num_clips: int,
    num_crops: int,
    size: int,
    repeats: int,
) -> list[Timing]:
    """Decoding alone and whole items: all views of one test video, both ways."""
    plain = PlainViews(sampler, num_clips=num_clips, num_crops=num_crops, size=size)
    ours = EvalViews(
        sampler,
        num_clips=num_clips,
        num_crops=num_crops,
        short_side=size,
        crop_size=size,
    )
    dataset = our_dataset([Record(path, 0)], ours)
    _, decoding, plain_whole, whole = time_in_turns(
        lambda: dataset[0],  # warms up caches and memory
        lambda: _decode_for(ours, path),
        lambda: plain.load(path),
        lambda: dataset[0],
        repeats=repeats,
    )
    return [
        Timing("decoding", plain.decode_seconds, decoding),
        Timing("whole item", plain_whole, whole),
    ]


def time_training_clips(
    path: str, sampler: SpanSampler, *, scales: tuple[int, int], size: int, repeats: int
) -> list[Timing]:
    """One training clip at a random place, scaled, cropped and flipped, both ways."""
    how = {"scales": scales, "size": size}
    dataset = our_dataset([Record(path, 0)], our_training_views(sampler, **how))
    rng = np.random.default_rng(0)
    epochs = iter(range(10**9))
    times = time_in_turns(
        lambda: plain_training_clip(decode_whole(path), sampler, rng, **how),
        lambda: dataset[(next(epochs), 0)],
        repeats=repeats,
    )
    return [Timing("training clip", *times)]


def run_data(
    *, frames: int, rate: int, crop_size: int, short_side: tuple[int, int], repeats: int
) -> str:
    """Measure training clips and return a table."""
    return _run(
        partial(
            time_training_clips,
            sampler=SpanSampler(frames, rate, FPS),
            scales=short_side,
            size=crop_size,
            repeats=repeats,
        )
    )


def run_test(
    *, frames: int, rate: int, crop_size: int, clips: int, crops: int, repeats: int
) -> str:
    """Measure test views and return a table."""
    return _run(
        partial(
            time_test_views,
            sampler=SpanSampler(frames, rate, FPS),
            num_clips=clips,
            num_crops=crops,
            size=crop_size,
            repeats=repeats,
        )
    )


def _run(measure: Callable[[str], list[Timing]]) -> str:
    num_threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as in a loader's worker
    rows = []
    try:
        with tempfile.TemporaryDirectory() as folder:
            for gop in KEYFRAME_INTERVALS:
                path = str(Path(folder) / f"gop{gop}.mp4")
                make_video(path, gop=gop)
                kilobytes = Path(path).stat().st_size / 1000
                name = f"{WIDTH}x{HEIGHT}, {SECONDS} s, keyframe every {gop}, {kilobytes:.0f} kB"
                rows += [[name, *timing.row()] for timing in measure(path)]
    finally:
        torch.set_num_threads(num_threads)
    header = ["video", "work", "plain ms", "ours ms", "ratio"]
    return tabulate(rows, headers=header, disable_numparse=True)
