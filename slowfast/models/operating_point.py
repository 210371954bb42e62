"""Operating points of adaptive networks: width, frames and crop (A3D, arXiv 2011.12384)."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import product

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from slowfast.config.derived import pathway_strides
from slowfast.config.node import ConfigNode
from slowfast.models.conv import resample
from slowfast.models.slimmable import load_norm_statistics, width


@dataclass(frozen=True, order=True)
class OperatingPoint:
    """Share of the full width, frames of the (slow) pathway, crop in pixels.

    As text: 0.63,5,178.
    """

    width: float
    frames: int
    crop: int

    def __str__(self) -> str:
        return f"{self.width:.12g},{self.frames},{self.crop}"

    @classmethod
    def parse(cls, text: str) -> "OperatingPoint":
        """The point that `text` spells; ValueError with the form that is expected."""
        words = text.split(",")
        try:
            width, frames, crop = float(words[0]), *map(int, words[1:])
        except ValueError:  # no numbers, or not three
            width = frames = crop = 0
        if not (0 < width <= 1 and frames > 0 and crop > 0):
            raise ValueError(
                f"configuration {text!r}: must be WIDTH,FRAMES,CROP with a width above 0 and at "
                "most 1, e.g. 0.63,5,178"
            )
        return cls(width, frames, crop)

    def check_within(self, full: "OperatingPoint", *, min_width: float) -> None:
        """ValueError if this is narrower than what is trained, or needs more than whole clips."""
        if self.width < min_width:
            raise ValueError(
                f"configuration {self}: is narrower than ADAPTIVE.MIN_WIDTH {min_width}, the "
                "smallest width that is trained"
            )
        if self.frames > full.frames or self.crop > full.crop:
            raise ValueError(
                f"configuration {self}: has more than the {full.frames} frames or the crop "
                f"{full.crop} of whole clips"
            )


# (whole clips, point) -> the clips that the network sees at this point.
Reduce = Callable[[list[Tensor], OperatingPoint], list[Tensor]]


@contextmanager
def at_point(
    model: nn.Module, point: OperatingPoint, statistics: Mapping[str, Tensor] | None
) -> Iterator[None]:
    """Inside the `with`, the slimmable `model` has this width, and in evaluation these statistics.

    None: those of its weights. It does not reduce clips: see `reduce_clips`.
    """
    with width(model, point.width):
        if statistics is not None:
            load_norm_statistics(model, statistics)
        yield


def reduce_clips(
    clips: list[Tensor], point: OperatingPoint, *, mode: str, fast_crop: int
) -> list[Tensor]:
    """The part of clips N,C,T,H,W that a point sees: fewer frames, evenly spread, and smaller ones.

    mode: "area" or "bilinear". Only the slow pathway is reduced; a fast one keeps its frames and is
    made no smaller than `fast_crop`, the crop of training. Clips are never enlarged, keep their
    memory order, and stay the same tensors where nothing changes.
    """
    slow, *others = clips
    if point.frames > slow.shape[2]:
        raise ValueError(f"configuration {point}: the clip has {slow.shape[2]} frames")
    slow = _resized(_fewer(slow, point.frames), point.crop, mode)
    crop = max(point.crop, fast_crop)
    reduced = [slow, *(_resized(clip, crop, mode) for clip in others)]
    return [
        clip.contiguous(memory_format=_memory_order(whole))
        for clip, whole in zip(reduced, clips, strict=True)
    ]


def _memory_order(clip: Tensor) -> torch.memory_format:
    is_last = clip.is_contiguous(memory_format=torch.channels_last_3d)
    return torch.channels_last_3d if is_last else torch.contiguous_format


def _fewer(clip: Tensor, num_frames: int) -> Tensor:
    if num_frames == clip.shape[2]:
        return clip
    return resample(clip, (num_frames, *clip.shape[3:]))


def _resized(clip: Tensor, crop: int, mode: str) -> Tensor:
    """`crop` pixels along the shorter side, the other one in proportion."""
    height, width = clip.shape[3:]
    short = min(height, width)
    if crop >= short:
        return clip
    size = (round(height * crop / short), round(width * crop / short))
    if mode == "area":
        return resample(clip, (clip.shape[2], *size))
    frames = clip.transpose(1, 2).flatten(0, 1)  # N,C,T,H,W -> N*T,C,H,W
    frames = F.interpolate(frames, size, mode="bilinear", align_corners=False)
    return frames.unflatten(0, (len(clip), -1)).transpose(1, 2)


class ReducedNetwork(nn.Module):
    """A network of one operating point: `network`, on what `reduce` leaves of whole clips."""

    def __init__(self, network: nn.Module, point: OperatingPoint, reduce: Reduce):
        super().__init__()
        self.network, self.point, self.reduce = network, point, reduce

    def forward(self, clips: list[Tensor], boxes: Tensor | None = None) -> Tensor:
        """The output of `network` for the reduced clips."""
        return self.network(self.reduce(clips, self.point), boxes)


def build_reduce(cfg: ConfigNode) -> Reduce:
    """The `reduce_clips` of the config."""
    return partial(reduce_clips, mode=cfg.ADAPTIVE.RESIZE, fast_crop=cfg.DATA.TRAIN_CROP_SIZE)


def build_full_point(cfg: ConfigNode, crop: int) -> OperatingPoint:
    """The whole network on whole clips of this crop."""
    return OperatingPoint(1.0, cfg.DATA.NUM_FRAMES // pathway_strides(cfg)[0], crop)


def build_points(cfg: ConfigNode) -> list[OperatingPoint]:
    """The grid and the points of ADAPTIVE, and the full one at the crop of tests, sorted."""
    sizes = cfg.ADAPTIVE
    grid = {OperatingPoint(*values) for values in product(sizes.WIDTHS, sizes.FRAMES, sizes.CROPS)}
    grid |= {OperatingPoint(*values) for values in sizes.POINTS}
    return sorted(grid | {build_full_point(cfg, cfg.DATA.TEST_CROP_SIZE)})
