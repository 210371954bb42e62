"""Clips that are cut from a video: a random one for training, fixed ones for evaluation."""

import copy
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch

from slowfast.config.node import ConfigNode
from slowfast.datasets.clips.samplers import ClipSampler, FrameOrder, backwards, forwards
from slowfast.datasets.decoding.convert import short_side_size
from slowfast.datasets.decoding.open import OpenVideo
from slowfast.datasets.decoding.packets import VideoIndex
from slowfast.datasets.records import Record, SampledClips
from slowfast.datasets.transforms.augment import build_augmentations
from slowfast.datasets.transforms.spatial import (
    MultiScaleCrop,
    RandomCrop,
    RandomResizedCrop,
    TrainTransform,
    crop,
    flip,
    flip_flow,
    jitter_size,
    resize,
    uniform_crop_offsets,
)


class FrameSizes(NamedTuple):
    """Short side of the scaled frames of a video, and side of the crop, in pixels."""

    short_side: int
    crop: int


# (open video, frame numbers, short side or None for the video's own size) -> clip C,T,H,W
ClipReader = Callable[[OpenVideo, np.ndarray, int | None], torch.Tensor]


def read_scaled(video: OpenVideo, numbers: np.ndarray, short_side: int | None) -> torch.Tensor:
    """A clip of uint8 values that is scaled frame by frame while it is read."""
    frames = video.read(numbers, short_side=short_side)
    return torch.from_numpy(frames).permute(3, 0, 1, 2)  # T,H,W,C -> C,T,H,W


def read_then_scale(video: OpenVideo, numbers: np.ndarray, short_side: int | None) -> torch.Tensor:
    """The same read in the video's own size and scaled by torch, as float32 where that changes."""
    clip = read_scaled(video, numbers, None)
    if short_side is None:
        return clip
    return resize(clip, short_side_size(*clip.shape[-2:], short_side))


def read_in_size(
    video: OpenVideo,
    numbers: np.ndarray,
    _side: int | None,
    *,
    size: tuple[int, int] | None,
    by_torch: bool,
) -> torch.Tensor:
    """A clip whose frames have this (height, width), whatever their shape was; None: their own.

    by_torch: float32 where that changes something.
    """
    if by_torch and size is not None:
        return resize(read_scaled(video, numbers, None), size)
    frames = video.read(numbers, size=size)
    return torch.from_numpy(frames).permute(3, 0, 1, 2)  # T,H,W,C -> C,T,H,W


def read_square(video: OpenVideo, numbers: np.ndarray, side: int | None) -> torch.Tensor:
    """A clip of uint8 values whose frames are squeezed to squares while they are read."""
    size = None if side is None else (side, side)
    return read_in_size(video, numbers, side, size=size, by_torch=False)


def read_then_square(video: OpenVideo, numbers: np.ndarray, side: int | None) -> torch.Tensor:
    """The same squeezed by torch, as float32 where that changes something."""
    size = None if side is None else (side, side)
    return read_in_size(video, numbers, side, size=size, by_torch=True)


# by DATA.RESIZE_BACKEND
CLIP_READERS = {"swscale": read_scaled, "torch": read_then_scale}
SQUARE_READERS = {"swscale": read_square, "torch": read_then_square}


def choose_reader(backend: str, *, keeps_aspect: bool) -> ClipReader:
    """The reader of the clips of whole videos."""
    return (CLIP_READERS if keeps_aspect else SQUARE_READERS)[backend]


class TrainViews:
    """One clip at a random place of the video, then `transform`, `num_views` times over.

    jitter: (smallest, largest short side, draw in the inverse); None reads in the video's own size.
    """

    def __init__(
        self,
        sampler: ClipSampler,
        *,
        jitter: tuple[int, int, bool] | None,
        transform: TrainTransform,
        read: ClipReader = read_scaled,
        num_views: int = 1,
    ):
        self.sampler, self.read, self.num_views = sampler, read, num_views
        self.jitter, self.transform = jitter, transform

    def resized(self, num_frames: int, crop_size: int) -> "TrainViews":
        """The same views with clips of another size; the smallest short side shrinks with it."""
        views = copy.copy(self)
        views.sampler = self.sampler.resized(num_frames)
        views.transform = self.transform.with_crop(crop_size)
        if self.jitter is not None:
            smallest, largest, is_inverse = self.jitter
            smallest = round(smallest * crop_size / self.transform.crop_size)
            views.jitter = (smallest, largest, is_inverse)
        return views

    def __call__(self, video: OpenVideo, _record: Record, rng: np.random.Generator) -> SampledClips:
        # Frames, scale, then crop, flip, augmentations: in another order of these draws the same
        # seed would give other clips.
        numbers = self.sampler.random(rng, video.index)
        short_side = None if self.jitter is None else jitter_size(rng, *self.jitter)
        frames = self.read(video, numbers, short_side)
        # Their labels are one, so only a single view may be one of another class when flipped.
        views = [self.transform(frames, rng) for _ in range(self.num_views)]
        return SampledClips([clip for clip, _ in views], numbers, views[0][1])


class EvalViews:
    """`num_clips` clips along the video times 1 (centre) or 3 crops along its longer side.

    View number = clip * num_crops + crop. All come from one pass over the file. Only `order`, in
    which the frames of each clip are shown, may draw something.
    """

    def __init__(
        self,
        sampler: ClipSampler,
        *,
        num_clips: int,
        num_crops: int,
        short_side: int,
        crop_size: int,
        order: FrameOrder = forwards,
        read: ClipReader = read_scaled,
    ):
        self.sampler, self.read = sampler, read
        self.num_clips = num_clips
        self.crops = {1: (1,), 3: (0, 1, 2)}[num_crops]
        self.num_crops, self.num_views = num_crops, num_clips * num_crops
        self.short_side, self.crop_size = short_side, crop_size
        self.order = order

    def sizes(self) -> dict[str, int]:
        """Sizes of frames and crops in pixels, for the results of a test."""
        return {"short_side": self.short_side, "crop_size": self.crop_size}

    def in_order(self, order: FrameOrder) -> "EvalViews":
        """The same clips, their frames shown in another order."""
        views = copy.copy(self)
        views.order = order
        return views

    def stretched(self, factor: float) -> "EvalViews":
        """The same views of clips whose frames lie `factor` times as far apart."""
        views = copy.copy(self)
        views.sampler = self.sampler.stretched(factor)
        return views

    def __call__(self, video: OpenVideo, _record: Record, rng: np.random.Generator) -> SampledClips:
        return self.cut(video, self.frame_numbers(video.index, rng))

    def frame_numbers(self, index: VideoIndex, rng: np.random.Generator) -> list[np.ndarray]:
        """Frame numbers of each clip, in the order in which they are shown."""
        return [
            self.order(self.sampler.uniform(index, clip, self.num_clips), rng)
            for clip in range(self.num_clips)
        ]

    def cut(self, video: OpenVideo, clips: Sequence[np.ndarray]) -> SampledClips:
        """All crops of clips with these frame numbers."""
        frames, places = self.decode(video, clips)
        height, width = frames.shape[-2:]
        views = []
        for place in places:
            # Whole frames are gathered where they lie, T first; the crops are then mere views.
            clip = frames.transpose(0, 1)[place].transpose(0, 1)
            for number in self.crops:
                y, x = uniform_crop_offsets(height, width, self.crop_size, number)
                views.append(crop(clip, y, x, self.crop_size))
        return SampledClips(views, clips[0])

    def decode(
        self, video: OpenVideo, clips: Sequence[np.ndarray]
    ) -> tuple[torch.Tensor, list[np.ndarray]]:
        """All frames that the clips need, C,T,H,W, scaled, and the places of each clip's frames."""
        needed = np.unique(np.concatenate(clips))
        places = [np.searchsorted(needed, numbers) for numbers in clips]
        return self.read(video, needed, self.short_side), places


class JointViews:
    """The views of several EvalViews, one after another, all from one pass over the file.

    `parts` differ in their samplers and orders alone; the first one cuts for all.
    """

    def __init__(self, parts: Sequence[EvalViews]):
        sizes = {(part.crops, part.short_side, part.crop_size) for part in parts}
        assert len(sizes) == 1, f"crops of several kinds: {sizes}"
        self.parts = tuple(parts)
        self.num_crops = self.parts[0].num_crops
        self.num_views = sum(part.num_views for part in parts)

    def __call__(self, video: OpenVideo, _record: Record, rng: np.random.Generator) -> SampledClips:
        clips = [part.frame_numbers(video.index, rng) for part in self.parts]
        return self.parts[0].cut(video, sum(clips, []))

    def numbers(self) -> list[range]:
        """Numbers of the views of each part."""
        ends = np.cumsum([part.num_views for part in self.parts]).tolist()
        return [
            range(end - part.num_views, end) for part, end in zip(self.parts, ends, strict=True)
        ]


def build_train_views(cfg: ConfigNode, sampler: ClipSampler) -> TrainViews:
    """The random clip of training, AUG.NUM_SAMPLE times transformed.

    DATA.TRAIN_JITTER_SCALES: a square of a frame that is scaled while it is read;
    DATA.TRAIN_JITTER_SCALES_RELATIVE and DATA.TRAIN_CROP_SCALES: a box of the whole frame, which is
    scaled after it is cut.
    """
    data, size = cfg.DATA, cfg.DATA.TRAIN_CROP_SIZE
    jitter = (*data.TRAIN_JITTER_SCALES, data.INV_UNIFORM_SAMPLE)
    first = RandomCrop(size)
    if data.TRAIN_JITTER_SCALES_RELATIVE:
        scale, ratio = data.TRAIN_JITTER_SCALES_RELATIVE, data.TRAIN_JITTER_ASPECT_RELATIVE
        jitter, first = None, RandomResizedCrop(size, scale=tuple(scale), ratio=tuple(ratio))
    elif data.TRAIN_CROP_SCALES:
        jitter, first = None, MultiScaleCrop(size, scales=data.TRAIN_CROP_SCALES)
    mirror = flip_flow if data.MODALITY == "flow" else flip
    return TrainViews(
        sampler,
        jitter=jitter,
        transform=TrainTransform(
            first,
            mirror=mirror if data.RANDOM_FLIP else None,
            augment=build_augmentations(cfg),
        ),
        read=choose_reader(data.RESIZE_BACKEND, keeps_aspect=data.KEEP_ASPECT),
        num_views=cfg.AUG.NUM_SAMPLE,
    )


def build_eval_views(
    cfg: ConfigNode, sampler: ClipSampler, split: str, *, sizes: FrameSizes
) -> EvalViews:
    """The centre clip and crop of "val"; NUM_ENSEMBLE_VIEWS x NUM_SPATIAL_CROPS of "test"."""
    is_test = split == "test"
    return EvalViews(
        sampler,
        num_clips=cfg.TEST.NUM_ENSEMBLE_VIEWS if is_test else 1,
        num_crops=cfg.TEST.NUM_SPATIAL_CROPS if is_test else 1,
        short_side=sizes.short_side,
        crop_size=sizes.crop,
        order=backwards if is_test and cfg.TEST.REVERSE_TIME else forwards,
        read=choose_reader(cfg.DATA.RESIZE_BACKEND, keeps_aspect=cfg.DATA.KEEP_ASPECT),
    )
