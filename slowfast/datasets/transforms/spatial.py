"""Spatial transforms of one clip, C,T,H,W with values 0..255: sizes, crops, flip, pathways.

Sizes and offsets are functions of numbers alone, so that a reader can scale while it decodes.
"""

import copy
import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
import torch.nn.functional as F

Transform = Callable[[torch.Tensor, np.random.Generator], torch.Tensor]


def jitter_size(rng: np.random.Generator, min_size: int, max_size: int, inverse: bool) -> int:
    """A short side between `min_size` and `max_size`, drawn uniformly in it or in its inverse."""
    if inverse:
        return round(1 / rng.uniform(1 / max_size, 1 / min_size))
    return round(rng.uniform(min_size, max_size))


def _check_fits(height: int, width: int, size: int) -> None:
    assert min(height, width) >= size, f"crop {size} does not fit into {height} x {width}"


def random_crop_offsets(
    rng: np.random.Generator, height: int, width: int, size: int
) -> tuple[int, int]:
    """(y, x) of a random square; every offset can be drawn, nothing is drawn for a fitting side."""
    _check_fits(height, width, size)
    y = int(rng.integers(0, height - size + 1)) if height > size else 0
    x = int(rng.integers(0, width - size + 1)) if width > size else 0
    return y, x


def uniform_crop_offsets(height: int, width: int, size: int, spatial_idx: int) -> tuple[int, int]:
    """(y, x) of crop 0, 1 (centre) or 2 along the longer side; the other side is centred."""
    assert spatial_idx in (0, 1, 2), f"crop {spatial_idx} is not 0, 1 or 2"
    _check_fits(height, width, size)
    y, x = math.ceil((height - size) / 2), math.ceil((width - size) / 2)
    if height > width:
        return (0, y, height - size)[spatial_idx], x
    return y, (0, x, width - size)[spatial_idx]


def random_resized_crop_box(
    rng: np.random.Generator,
    height: int,
    width: int,
    scale: tuple[float, float],
    ratio: tuple[float, float],
) -> tuple[int, int, int, int]:
    """(y, x, height, width) of a random box: area share in `scale`, width/height in `ratio`.

    After ten attempts without a fitting box it is the largest centred one whose aspect ratio is
    allowed (Inception, arXiv 1409.4842).
    """
    for _ in range(10):
        area = height * width * rng.uniform(*scale)
        aspect = math.exp(rng.uniform(math.log(ratio[0]), math.log(ratio[1])))
        box_h, box_w = round(math.sqrt(area / aspect)), round(math.sqrt(area * aspect))
        if 0 < box_h <= height and 0 < box_w <= width:
            y = int(rng.integers(0, height - box_h + 1))
            x = int(rng.integers(0, width - box_w + 1))
            return y, x, box_h, box_w
    aspect = min(max(width / height, ratio[0]), ratio[1])
    box_h = min(height, max(1, round(width / aspect)))
    box_w = min(width, max(1, round(height * aspect)))
    return (height - box_h) // 2, (width - box_w) // 2, box_h, box_w


# Places of a multi-scale crop, y and x, in quarters of the room that it has.
_CORNERS_AND_CENTRE = [(0, 0), (0, 4), (4, 0), (4, 4), (2, 2)]
_EDGES = [(2, 0), (2, 4), (4, 2), (0, 2)]
_INNER = [(1, 1), (1, 3), (3, 1), (3, 3)]
_PLACES = _CORNERS_AND_CENTRE + _EDGES + _INNER


def multi_scale_crop_box(
    rng: np.random.Generator, height: int, width: int, scales: Sequence[float]
) -> tuple[int, int, int, int]:
    """(y, x, height, width) of a box: sides of the short side times `scales`, one of 13 places.

    Height and width take the same or neighbouring `scales` (TSN, arXiv 1608.00859, section 3.2).
    """
    num = len(scales)
    pairs = [(i, j) for i in range(num) for j in range(num) if abs(i - j) <= 1]
    of_height, of_width = pairs[int(rng.integers(len(pairs)))]
    sides = [int(min(height, width) * scale) for scale in scales]
    box_h, box_w = sides[of_height], sides[of_width]
    y, x = _PLACES[int(rng.integers(len(_PLACES)))]
    return y * ((height - box_h) // 4), x * ((width - box_w) // 4), box_h, box_w


def crop(clip: torch.Tensor, y: int, x: int, size: int) -> torch.Tensor:
    """The square of side `size` at (y, x), as a view."""
    return clip[..., y : y + size, x : x + size]


def flip(clip: torch.Tensor) -> torch.Tensor:
    """The clip mirrored left to right."""
    return clip.flip(-1)


def flip_flow(clip: torch.Tensor) -> torch.Tensor:
    """A clip of optical flow (channels x, y) mirrored left to right: what moved left moves right.

    Exact, because 255 - value is the opposite motion (see `encode_flow`).
    """
    clip = clip.flip(-1)
    clip[0] = 255 - clip[0]
    return clip


def resize(clip: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Bilinear scaling to (height, width); float32, or the clip itself when it has that size."""
    if tuple(clip.shape[-2:]) == tuple(size):
        return clip
    frames = clip.to(torch.float32).transpose(0, 1)  # C,T,H,W -> T,C,H,W
    frames = F.interpolate(frames, size=size, mode="bilinear", align_corners=False)
    return frames.transpose(0, 1)  # T,C,H,W -> C,T,H,W


def pack_pathways(clip: torch.Tensor, strides: Sequence[int]) -> list[torch.Tensor]:
    """One clip per pathway: T // stride frames, evenly spaced from the first to the last."""
    num_frames = clip.shape[1]
    packed = []
    for stride in strides:
        if stride == 1:
            packed.append(clip)
            continue
        index = torch.linspace(0, num_frames - 1, num_frames // stride).long()
        packed.append(clip.index_select(1, index.to(clip.device)))
    return packed


def normalize(
    clips: torch.Tensor,
    mean: Sequence[float] | torch.Tensor,
    std: Sequence[float] | torch.Tensor,
) -> torch.Tensor:
    """(clips / 255 - mean) / std in float32; `clips` is (N,)C,T,H,W with values 0..255.

    mean, std: of each channel. A GPU waits for lists, not for tensors that it has.
    """
    shape = (-1, 1, 1, 1)
    mean = torch.as_tensor(mean, dtype=torch.float32, device=clips.device).view(shape)
    std = torch.as_tensor(std, dtype=torch.float32, device=clips.device).view(shape)
    return (clips.to(torch.float32) / 255).sub_(mean).div_(std)


class RandomCrop:
    """A random square of side `size`."""

    def __init__(self, size: int):
        self.size = size

    def __call__(self, clip: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
        y, x = random_crop_offsets(rng, *clip.shape[-2:], self.size)
        return crop(clip, y, x, self.size)


class RandomResizedCrop:
    """A random box (see `random_resized_crop_box`) scaled to a square of side `size`."""

    def __init__(self, size: int, *, scale: tuple[float, float], ratio: tuple[float, float]):
        self.size = size
        self.scale = scale
        self.ratio = ratio

    def __call__(self, clip: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
        y, x, h, w = random_resized_crop_box(rng, *clip.shape[-2:], self.scale, self.ratio)
        return resize(clip[..., y : y + h, x : x + w], (self.size, self.size))


class MultiScaleCrop:
    """A random box (see `multi_scale_crop_box`) scaled to a square of side `size`."""

    def __init__(self, size: int, *, scales: Sequence[float]):
        self.size = size
        self.scales = tuple(scales)

    def __call__(self, clip: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
        y, x, h, w = multi_scale_crop_box(rng, *clip.shape[-2:], self.scales)
        return resize(clip[..., y : y + h, x : x + w], (self.size, self.size))


class TrainTransform:
    """Crop, flip and augmentations of a decoded training clip; depends only on the `rng` passed.

    crop: a RandomCrop, RandomResizedCrop or MultiScaleCrop. mirror: what mirrors half of the clips,
    None for no mirroring. augment: what follows.
    """

    def __init__(
        self,
        crop: RandomCrop | RandomResizedCrop | MultiScaleCrop,
        *,
        mirror: Callable[[torch.Tensor], torch.Tensor] | None = None,
        augment: Sequence[Transform] = (),
    ):
        self.crop, self.mirror, self.augment = crop, mirror, tuple(augment)

    @property
    def crop_size(self) -> int:
        """Side of the clips that come out."""
        return self.crop.size

    def with_crop(self, size: int) -> "TrainTransform":
        """The same for crops of side `size`."""
        resized = copy.copy(self)
        resized.crop = copy.copy(self.crop)
        resized.crop.size = size
        return resized

    def __call__(self, clip: torch.Tensor, rng: np.random.Generator) -> tuple[torch.Tensor, bool]:
        """The clip that comes out, and whether it is mirrored."""
        clip = self.crop(clip, rng)
        is_flipped = self.mirror is not None and rng.uniform() < 0.5
        if is_flipped:
            clip = self.mirror(clip)
        for step in self.augment:
            clip = step(clip, rng)
        return clip, is_flipped


class PackPathways:
    """The last transform of every clip: channel order, then one tensor per pathway."""

    def __init__(self, strides: Sequence[int], *, reverse_channels: bool):
        self.strides = tuple(strides)
        self.reverse_channels = reverse_channels

    def __call__(self, clip: torch.Tensor) -> list[torch.Tensor]:
        if self.reverse_channels:
            clip = clip.flip(0)
        return pack_pathways(clip, self.strides)
