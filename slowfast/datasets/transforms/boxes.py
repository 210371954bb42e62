"""Spatial transforms of a clip C,T,H,W together with the boxes in it.

Boxes are n,4 float32 x1,y1,x2,y2 in pixels, measured at the edges: a box around the pixels 3 and 4
goes from 3 to 5, one around the whole frame from 0 to its width.
"""

from collections.abc import Callable

import numpy as np
import torch

from slowfast.datasets.transforms import spatial as transforms

_MAX_DRAWS = 10


def to_pixels(boxes: np.ndarray, height: int, width: int) -> torch.Tensor:
    """Boxes in shares of the frame -> pixels of a frame of that size, clipped to it."""
    scale = torch.tensor([width, height, width, height], dtype=torch.float32)
    pixels = torch.as_tensor(boxes, dtype=torch.float32).reshape(-1, 4) * scale
    return clip_to_frame(pixels, height, width)


def clip_to_frame(boxes: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """Boxes cut off at the frame; of a box outside of it nothing is left but its place."""
    limit = torch.tensor([width, height, width, height], dtype=boxes.dtype)
    return boxes.clamp(min=0).minimum(limit)


def is_visible(boxes: torch.Tensor, min_size: float = 1.0) -> torch.Tensor:
    """For each box, whether it has at least `min_size` pixels in both directions."""
    return (boxes[:, 2:] - boxes[:, :2] >= min_size).all(1)


def crop(
    clip: torch.Tensor, boxes: torch.Tensor, y: int, x: int, size: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """The square of side `size` at (y, x), and all boxes clipped to it."""
    moved = boxes - torch.tensor([x, y, x, y], dtype=boxes.dtype)
    return transforms.crop(clip, y, x, size), clip_to_frame(moved, size, size)


def random_crop(
    clip: torch.Tensor, boxes: torch.Tensor, size: int, rng: np.random.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """A random square and all boxes clipped to it; up to ten are drawn until one shows a box."""
    for _ in range(_MAX_DRAWS):
        y, x = transforms.random_crop_offsets(rng, *clip.shape[-2:], size)
        cut, inside = crop(clip, boxes, y, x, size)
        if is_visible(inside).any():
            break
    return cut, inside


def flip(
    clip: torch.Tensor,
    boxes: torch.Tensor,
    mirror: Callable[[torch.Tensor], torch.Tensor] = transforms.flip,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Clip and boxes mirrored left to right; `mirror` does it to clips of their kind."""
    x1, y1, x2, y2 = boxes.unbind(1)
    width = clip.shape[-1]
    return mirror(clip), torch.stack([width - x2, y1, width - x1, y2], 1)
