"""Views of a video around a key frame whose boxes are classified."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch

from slowfast.config.node import ConfigNode
from slowfast.datasets.clips.samplers import KeyFrameSampler
from slowfast.datasets.clips.views import CLIP_READERS, ClipReader, read_in_size, read_scaled
from slowfast.datasets.decoding.open import OpenVideo
from slowfast.datasets.records import Record, SampledClips
from slowfast.datasets.transforms import boxes as box_ops
from slowfast.datasets.transforms.augment import ColorJitter, PcaJitter
from slowfast.datasets.transforms.spatial import (
    Transform,
    flip,
    flip_flow,
    jitter_size,
    uniform_crop_offsets,
)


class TrainBoxViews:
    """One clip, scaled, cropped around some box, perhaps mirrored, recoloured.

    jitter: (smallest, largest short side, draw in the inverse). Boxes of which less than a pixel
    is left in either direction are dropped; that can be all of them.
    """

    num_views = 1

    def __init__(
        self,
        sampler: KeyFrameSampler,
        *,
        jitter: tuple[int, int, bool],
        crop_size: int,
        use_flip: bool,
        colors: Sequence[Transform],
        read: ClipReader = read_scaled,
        mirror: Callable[[torch.Tensor], torch.Tensor] = flip,
    ):
        self.sampler, self.read = sampler, read
        self.jitter, self.crop_size, self.use_flip = jitter, crop_size, use_flip
        self.colors, self.mirror = tuple(colors), mirror

    def resized(self, num_frames: int, crop_size: int) -> "TrainBoxViews":
        """These views: multigrid training is not for boxes."""
        assert (num_frames, crop_size) == (self.sampler.num_frames, self.crop_size)
        return self

    def __call__(self, video: OpenVideo, record: Record, rng: np.random.Generator) -> SampledClips:
        # The order of the draws, scale, crop, flip, colours, decides on the clip of a seed.
        frame_numbers = self.sampler.at(record.key).random(rng, video.index)
        clip, boxes = self._cut(video, record, frame_numbers, rng)
        numbers = box_ops.is_visible(boxes).nonzero().flatten()
        boxes = boxes[numbers]
        is_flipped = self.use_flip and rng.uniform() < 0.5
        if is_flipped:
            clip, boxes = box_ops.flip(clip, boxes, self.mirror)
        for step in self.colors:
            clip = step(clip, rng)
        return SampledClips([clip], frame_numbers, is_flipped, boxes, numbers)

    def _cut(
        self, video: OpenVideo, record: Record, frame_numbers: np.ndarray, rng: np.random.Generator
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """A part of the clip, and all boxes in its pixels."""
        clip = self.read(video, frame_numbers, jitter_size(rng, *self.jitter))
        boxes = box_ops.to_pixels(record.key.boxes, *clip.shape[-2:])
        return box_ops.random_crop(clip, boxes, self.crop_size, rng)


class TrainFrameViews(TrainBoxViews):
    """One clip of whole frames, as `read` scales them, perhaps mirrored, recoloured."""

    def _cut(
        self, video: OpenVideo, record: Record, frame_numbers: np.ndarray, _rng: np.random.Generator
    ) -> tuple[torch.Tensor, torch.Tensor]:
        clip = self.read(video, frame_numbers, None)
        return clip, box_ops.to_pixels(record.key.boxes, *clip.shape[-2:])


class WholeFrameViews:
    """One clip of whole frames with their short side scaled to `size`, and all boxes.

    Draws nothing. is_flipped: mirror clip and boxes.
    """

    num_views = 1

    def __init__(
        self,
        sampler: KeyFrameSampler,
        *,
        size: int,
        is_flipped: bool,
        read: ClipReader = read_scaled,
    ):
        self.sampler, self.read = sampler, read
        self.size, self.is_flipped = size, is_flipped

    def sizes(self) -> dict[str, int]:
        """Size of the frames in pixels, for the results of a test."""
        return {"short_side": self.size}

    def __call__(self, video: OpenVideo, record: Record, _rng: np.random.Generator) -> SampledClips:
        frame_numbers = self.sampler.at(record.key).uniform(video.index, 0, 1)
        clip = self.read(video, frame_numbers, self.size)
        boxes = box_ops.to_pixels(record.key.boxes, *clip.shape[-2:])
        if self.is_flipped:
            clip, boxes = box_ops.flip(clip, boxes)
        numbers = torch.arange(len(boxes))
        return SampledClips([clip], frame_numbers, self.is_flipped, boxes, numbers)


class FixedFrameViews(WholeFrameViews):
    """One clip of whole frames of the height `size` and some width, as `read` makes them."""

    def __init__(self, sampler: KeyFrameSampler, *, width: int, **settings: Any):
        super().__init__(sampler, **settings)
        self.width = width

    def sizes(self) -> dict[str, int]:
        """Sizes of the frames in pixels, for the results of a test."""
        return {"height": self.size, "width": self.width}


class CenterCropBoxViews:
    """One clip of the centre of frames (X3D, section 5), and the boxes of which something is left.

    Boxes are cut off at the crop; those with less than a pixel in either direction are left out.
    """

    num_views = 1

    def __init__(self, whole: WholeFrameViews, *, crop_size: int):
        self.whole, self.crop_size = whole, crop_size

    def sizes(self) -> dict[str, int]:
        """Sizes of frames and crops in pixels, for the results of a test."""
        return {**self.whole.sizes(), "crop_size": self.crop_size}

    def __call__(self, video: OpenVideo, record: Record, rng: np.random.Generator) -> SampledClips:
        cut = self.whole(video, record, rng)
        (clip,), size = cut.clips, self.crop_size
        y, x = uniform_crop_offsets(*clip.shape[-2:], size, 1)
        clip, boxes = box_ops.crop(clip, cut.boxes, y, x, size)
        numbers = box_ops.is_visible(boxes).nonzero().flatten()
        return SampledClips([clip], cut.frames, cut.is_flipped, boxes[numbers], numbers)


def build_box_views(
    cfg: ConfigNode, sampler: KeyFrameSampler, split: str
) -> TrainBoxViews | WholeFrameViews | CenterCropBoxViews:
    """The clip of training, with the colour augmentation of the AVA recipes, or of evaluation."""
    read, frame_size = CLIP_READERS[cfg.DATA.RESIZE_BACKEND], tuple(cfg.DETECTION.FRAME_SIZE)
    if frame_size:
        by_torch = cfg.DATA.RESIZE_BACKEND == "torch"
        read = partial(read_in_size, size=frame_size, by_torch=by_torch)
    if split != "train":
        crop = cfg.DATA.TEST_CROP_SIZE if split == "test" else cfg.DATA.TRAIN_CROP_SIZE
        has_crop = split == "test" and cfg.DETECTION.TEST_VIEW == "center"
        size = max(cfg.TEST.SHORT_SIDE, crop) if has_crop else crop
        settings = {"is_flipped": cfg.AVA.TEST_FORCE_FLIP, "read": read}
        if frame_size:
            height, width = frame_size
            return FixedFrameViews(sampler, width=width, size=height, **settings)
        whole = WholeFrameViews(sampler, size=size, **settings)
        return CenterCropBoxViews(whole, crop_size=crop) if has_crop else whole
    smallest, largest = cfg.DATA.TRAIN_JITTER_SCALES
    colors: list[ColorJitter | PcaJitter] = []
    if cfg.AVA.TRAIN_USE_COLOR_AUGMENTATION:
        if not cfg.AVA.TRAIN_PCA_JITTER_ONLY:
            colors.append(ColorJitter(0.4))
        colors.append(PcaJitter(cfg.DATA.TRAIN_PCA_EIGVAL, cfg.DATA.TRAIN_PCA_EIGVEC))
    make = TrainFrameViews if frame_size else TrainBoxViews
    return make(
        sampler,
        jitter=(smallest, largest, cfg.DATA.INV_UNIFORM_SAMPLE),
        crop_size=cfg.DATA.TRAIN_CROP_SIZE,
        use_flip=cfg.DATA.RANDOM_FLIP,
        colors=colors,
        read=read,
        mirror=flip_flow if cfg.DATA.MODALITY == "flow" else flip,
    )
