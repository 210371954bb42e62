"""The clips that are cut from a video: a random one for training, fixed ones for evaluation."""

import copy
from collections.abc import Sequence

import numpy as np
import torch

from slowfast.config.node import ConfigNode
from slowfast.datasets.clips.samplers import ClipSampler, FrameOrder, backwards, forwards
from slowfast.datasets.decoding.packets import VideoIndex
from slowfast.datasets.decoding.video import SizeRule, VideoReader
from slowfast.datasets.records import Record, SampledClips
from slowfast.datasets.transforms.spatial import (
    TrainTransform,
    build_train_transform,
    crop,
    jitter_size,
    resize,
    short_side_size,
    uniform_crop_offsets,
)


class FrameLoader:
    """Reads frames as a C,T,H,W tensor, scaled by swscale while decoding, or else by torch."""

    def __init__(self, *, scale_while_decoding: bool):
        self.scale_while_decoding = scale_while_decoding

    def __call__(
        self, video: VideoReader, indices: np.ndarray, size: SizeRule | None
    ) -> torch.Tensor:
        frames = video.read(indices, size if self.scale_while_decoding else None)
        clip = torch.from_numpy(frames).permute(3, 0, 1, 2)  # T,H,W,C -> C,T,H,W
        if size is None or self.scale_while_decoding:
            return clip
        return resize(clip, size(*clip.shape[-2:]))


class TrainViews:
    """One clip at a random place of the video, then `transform`.

    jitter: (smallest, largest short side, draw in the inverse); None decodes at the video's own
    size.
    """

    num_views = 1

    def __init__(
        self,
        sampler: ClipSampler,
        load: FrameLoader,
        *,
        jitter: tuple[int, int, bool] | None,
        transform: TrainTransform,
    ):
        self.sampler, self.load = sampler, load
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

    def __call__(
        self, video: VideoReader, record: Record, rng: np.random.Generator
    ) -> SampledClips:
        indices = self.sampler.random(rng, video.index, record)
        size = None if self.jitter is None else short_side_rule(jitter_size(rng, *self.jitter))
        clip, is_flipped = self.transform(self.load(video, indices, size), rng)
        return SampledClips([clip], indices, is_flipped)


class EvalViews:
    """`num_clips` clips along the video times 1 (centre) or 3 crops along its longer side.

    View number = clip * num_crops + crop. All come from one pass over the file. Only `order`, in
    which the frames of each clip are shown, may draw something.
    """

    def __init__(
        self,
        sampler: ClipSampler,
        load: FrameLoader,
        *,
        num_clips: int,
        num_crops: int,
        short_side: int,
        crop_size: int,
        order: FrameOrder = forwards,
    ):
        self.sampler, self.load = sampler, load
        self.num_clips = num_clips
        self.crops = {1: (1,), 3: (0, 1, 2)}[num_crops]
        self.num_views = num_clips * num_crops
        self.short_side, self.crop_size = short_side, crop_size
        self.order = order

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

    def __call__(
        self, video: VideoReader, record: Record, rng: np.random.Generator
    ) -> SampledClips:
        return self.cut(video, self.frame_numbers(video.index, record, rng))

    def frame_numbers(
        self, index: VideoIndex, record: Record, rng: np.random.Generator
    ) -> list[np.ndarray]:
        """Those of each clip, in the order in which they are shown."""
        clips = (
            self.sampler.uniform(index, record, clip, self.num_clips)
            for clip in range(self.num_clips)
        )
        return [self.order(frames, rng) for frames in clips]

    def cut(self, video: VideoReader, clips: Sequence[np.ndarray]) -> SampledClips:
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
        self, video: VideoReader, clips: Sequence[np.ndarray]
    ) -> tuple[torch.Tensor, list[np.ndarray]]:
        """The frames that some clip needs, C,T,H,W, scaled; where those of each clip are in it."""
        needed = np.unique(np.concatenate(clips))
        places = [np.searchsorted(needed, frames) for frames in clips]
        return self.load(video, needed, short_side_rule(self.short_side)), places


class JointViews:
    """The views of several EvalViews, one after another, all from one pass over the file.

    `parts` differ in their samplers and orders alone; crops are those of the first.
    """

    def __init__(self, parts: Sequence[EvalViews]):
        sizes = {(part.crops, part.short_side, part.crop_size) for part in parts}
        assert len(sizes) == 1, f"crops of several kinds: {sizes}"
        self.parts = tuple(parts)
        self.num_views = sum(part.num_views for part in parts)

    def __call__(
        self, video: VideoReader, record: Record, rng: np.random.Generator
    ) -> SampledClips:
        clips = [part.frame_numbers(video.index, record, rng) for part in self.parts]
        return self.parts[0].cut(video, sum(clips, []))

    def numbers(self) -> list[range]:
        """Numbers of the views of each part."""
        ends = np.cumsum([part.num_views for part in self.parts]).tolist()
        return [
            range(end - part.num_views, end) for part, end in zip(self.parts, ends, strict=True)
        ]


def short_side_rule(size: int) -> SizeRule:
    """Scales frames to this short side."""
    return lambda height, width: short_side_size(height, width, size)


def build_frame_loader(cfg: ConfigNode) -> FrameLoader:
    """Reads frames, scaled by what DATA.RESIZE_BACKEND names."""
    return FrameLoader(
        scale_while_decoding={"swscale": True, "torch": False}[cfg.DATA.RESIZE_BACKEND]
    )


def build_train_views(cfg: ConfigNode, sampler: ClipSampler) -> TrainViews:
    """The random clip of training."""
    scales = cfg.DATA.TRAIN_JITTER_SCALES
    return TrainViews(
        sampler,
        build_frame_loader(cfg),
        jitter=None
        if cfg.DATA.TRAIN_JITTER_SCALES_RELATIVE
        else (scales[0], scales[1], cfg.DATA.INV_UNIFORM_SAMPLE),
        transform=build_train_transform(cfg),
    )


def build_val_views(cfg: ConfigNode, sampler: ClipSampler) -> EvalViews:
    """The centre clip and centre crop of validation."""
    return EvalViews(
        sampler,
        build_frame_loader(cfg),
        num_clips=1,
        num_crops=1,
        short_side=cfg.DATA.TRAIN_JITTER_SCALES[0],
        crop_size=cfg.DATA.TRAIN_CROP_SIZE,
    )


def build_test_views(cfg: ConfigNode, sampler: ClipSampler) -> EvalViews:
    """TEST.NUM_ENSEMBLE_VIEWS clips times TEST.NUM_SPATIAL_CROPS crops."""
    return EvalViews(
        sampler,
        build_frame_loader(cfg),
        num_clips=cfg.TEST.NUM_ENSEMBLE_VIEWS,
        num_crops=cfg.TEST.NUM_SPATIAL_CROPS,
        short_side=cfg.DATA.TEST_CROP_SIZE,
        crop_size=cfg.DATA.TEST_CROP_SIZE,
        order=backwards if cfg.TEST.REVERSE_TIME else forwards,
    )
