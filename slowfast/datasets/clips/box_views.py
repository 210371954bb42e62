"""Views of a video around a key frame whose boxes are classified."""

from collections.abc import Sequence

import numpy as np
import torch

from slowfast.config.node import ConfigNode
from slowfast.datasets.clips.samplers import KeyFrameSampler
from slowfast.datasets.clips.views import CLIP_READERS, ClipReader, read_scaled
from slowfast.datasets.decoding.open import OpenVideo
from slowfast.datasets.records import Record, SampledClips
from slowfast.datasets.transforms import boxes as box_ops
from slowfast.datasets.transforms.augment import ColorJitter, PcaJitter
from slowfast.datasets.transforms.spatial import Transform, jitter_size, uniform_crop_offsets


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
    ):
        self.sampler, self.read = sampler, read
        self.jitter, self.crop_size, self.use_flip = jitter, crop_size, use_flip
        self.colors = tuple(colors)

    def resized(self, num_frames: int, crop_size: int) -> "TrainBoxViews":
        """These views: multigrid training is not for boxes."""
        assert (num_frames, crop_size) == (self.sampler.num_frames, self.crop_size)
        return self

    def __call__(self, video: OpenVideo, record: Record, rng: np.random.Generator) -> SampledClips:
        # The order of the draws, scale, crop, flip, colours, decides on the clip of a seed.
        frame_numbers = self.sampler.at(record.key).random(rng, video.index)
        clip = self.read(video, frame_numbers, jitter_size(rng, *self.jitter))
        boxes = box_ops.to_pixels(record.key.boxes, *clip.shape[-2:])
        clip, boxes = box_ops.random_crop(clip, boxes, self.crop_size, rng)
        numbers = box_ops.is_visible(boxes).nonzero().flatten()
        boxes = boxes[numbers]
        is_flipped = self.use_flip and rng.uniform() < 0.5
        if is_flipped:
            clip, boxes = box_ops.flip(clip, boxes)
        for step in self.colors:
            clip = step(clip, rng)
        return SampledClips([clip], frame_numbers, is_flipped, boxes, numbers)


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
    read = CLIP_READERS[cfg.DATA.RESIZE_BACKEND]
    if split != "train":
        crop = cfg.DATA.TEST_CROP_SIZE if split == "test" else cfg.DATA.TRAIN_CROP_SIZE
        has_crop = split == "test" and cfg.DETECTION.TEST_VIEW == "center"
        size = max(cfg.TEST.SHORT_SIDE, crop) if has_crop else crop
        whole = WholeFrameViews(sampler, size=size, is_flipped=cfg.AVA.TEST_FORCE_FLIP, read=read)
        return CenterCropBoxViews(whole, crop_size=crop) if has_crop else whole
    smallest, largest = cfg.DATA.TRAIN_JITTER_SCALES
    colors = []
    if cfg.AVA.TRAIN_USE_COLOR_AUGMENTATION:
        if not cfg.AVA.TRAIN_PCA_JITTER_ONLY:
            colors.append(ColorJitter(0.4))
        colors.append(PcaJitter(cfg.DATA.TRAIN_PCA_EIGVAL, cfg.DATA.TRAIN_PCA_EIGVEC))
    return TrainBoxViews(
        sampler,
        jitter=(smallest, largest, cfg.DATA.INV_UNIFORM_SAMPLE),
        crop_size=cfg.DATA.TRAIN_CROP_SIZE,
        use_flip=cfg.DATA.RANDOM_FLIP,
        colors=colors,
        read=read,
    )
