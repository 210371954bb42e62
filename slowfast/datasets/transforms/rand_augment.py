"""RandAugment in timm's notation, on all frames of a clip alike."""

import math
import re
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F

# Magnitudes run from 0 to this.
MAX_LEVEL = 10
# (frames T,C,H,W uint8, strength 0..1, direction -1 or 1) -> frames
Operation = Callable[[torch.Tensor, float, int], torch.Tensor]


def clip_to_frames(clip: torch.Tensor) -> torch.Tensor:
    """C,T,H,W with values 0..255 -> T,C,H,W uint8."""
    if clip.is_floating_point():
        clip = clip.round().clamp(0, 255).to(torch.uint8)
    return clip.transpose(0, 1)


def frames_to_clip(frames: torch.Tensor) -> torch.Tensor:
    """T,C,H,W -> C,T,H,W."""
    return frames.transpose(0, 1)


def _solarize(frames: torch.Tensor, threshold: int) -> torch.Tensor:
    """Invert the values at or above `threshold` (256: none)."""
    # Compared as int16: uint8 would take 256 for 0.
    return torch.where(frames.to(torch.int16) >= threshold, 255 - frames, frames)


def _solarize_add(frames: torch.Tensor, amount: int) -> torch.Tensor:
    """Brighten the values below 128 by `amount`, at most 127."""
    return torch.where(frames < 128, frames + amount, frames)


def _colour_operations(increasing: bool) -> dict[str, Operation]:
    """Operations on values by name."""
    from torchvision.transforms.v2 import functional as tv

    def enhance(adjust):
        if increasing:
            return lambda x, v, sign: adjust(x, max(0.1, 1 + 0.9 * v * sign))
        return lambda x, v, sign: adjust(x, 0.1 + 1.8 * v)

    def posterize(x, v, sign):
        bits = int(4 * v)
        return tv.posterize(x, 4 - bits if increasing else bits)

    def solarize(x, v, sign):
        threshold = int(256 * v)
        return _solarize(x, 256 - threshold if increasing else threshold)

    return {
        "AutoContrast": lambda x, v, sign: tv.autocontrast(x),
        "Equalize": lambda x, v, sign: tv.equalize(x),
        "Invert": lambda x, v, sign: tv.invert(x),
        "Posterize": posterize,
        "Solarize": solarize,
        "SolarizeAdd": lambda x, v, sign: _solarize_add(x, int(110 * v)),
        "Color": enhance(tv.adjust_saturation),
        "Contrast": enhance(tv.adjust_contrast),
        "Brightness": enhance(tv.adjust_brightness),
        "Sharpness": enhance(tv.adjust_sharpness),
    }


def _affine(
    frames: torch.Tensor,
    matrix: Sequence[Sequence[float]],
    *,
    interpolation: str,
    fill: Sequence[float],
) -> torch.Tensor:
    """Frames T,C,H,W (uint8) whose pixel (x, y) comes from `matrix @ (x, y, 1)` of the input.

    Coordinates are pixels from the centre of the frame; what lies outside takes the colour `fill`.
    """
    height, width = frames.shape[-2:]
    (a, b, dx), (c, d, dy) = matrix
    # affine_grid works with coordinates -1..1 along both sides.
    theta = torch.tensor(
        [[[a, b * height / width, 2 * dx / width], [c * width / height, d, 2 * dy / height]]]
    )
    grid = F.affine_grid(theta, [1, 1, height, width], align_corners=False)
    background = torch.tensor(fill, dtype=torch.float32).view(-1, 1, 1)
    centred = (frames - background).flatten(0, 1)[None]  # T,C,H,W -> 1,T*C,H,W
    moved = F.grid_sample(centred, grid, mode=interpolation, align_corners=False)
    moved = moved.view(frames.shape) + background
    return moved.round_().clamp_(0, 255).to(torch.uint8)


def _rotation(angle: float) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    return (math.cos(angle), -math.sin(angle), 0), (math.sin(angle), math.cos(angle), 0)


def _geometric_operations(affine: Callable) -> dict[str, Operation]:
    """Operations on places by name; affine: (frames, matrix) -> frames, see `_affine`."""
    return {
        "Rotate": lambda x, v, sign: affine(x, _rotation(math.radians(30 * v * sign))),
        "ShearX": lambda x, v, sign: affine(x, ((1, 0.3 * v * sign, 0), (0, 1, 0))),
        "ShearY": lambda x, v, sign: affine(x, ((1, 0, 0), (0.3 * v * sign, 1, 0))),
        "TranslateX": lambda x, v, sign: affine(
            x, ((1, 0, 0.45 * v * sign * x.shape[-1]), (0, 1, 0))
        ),
        "TranslateY": lambda x, v, sign: affine(
            x, ((1, 0, 0), (0, 1, 0.45 * v * sign * x.shape[-2]))
        ),
    }


def parse_rand_augment(text: str) -> dict:
    """{magnitude, num_ops, magnitude_std, increasing} of e.g. rand-m9-n2-mstd0.5-inc1.

    m: magnitude (10), n: number of operations (2), mstd: standard deviation of the magnitude
    (0; above 100 is infinity), inc: larger magnitudes always change more (0).
    """
    values = {"m": 10.0, "n": 2.0, "mstd": 0.0, "inc": 0.0}
    head, *parts = text.split("-")
    found = [re.fullmatch(r"([a-z]+)(\d+(?:\.\d+)?|inf)", part) for part in parts]
    if head != "rand" or not all(found) or any(match[1] not in values for match in found):
        raise ValueError(
            f"AUG.AA_TYPE: {text!r} is not 'rand' followed by any of -m, -n, -mstd, -inc and their "
            "numbers, e.g. rand-m9-n2-mstd0.5-inc1 (empty is off)"
        )
    values.update((match[1], float(match[2])) for match in found)
    if not values["m"] <= MAX_LEVEL or not 1 <= values["n"] < math.inf or values["n"] % 1:
        raise ValueError(
            f"AUG.AA_TYPE: {text!r} needs m within 0..{MAX_LEVEL} and a whole n of at least 1"
        )
    return {
        "magnitude": values["m"],
        "num_ops": int(values["n"]),
        "magnitude_std": values["mstd"] if values["mstd"] <= 100 else math.inf,
        "increasing": bool(values["inc"]),
    }


def _draw_sign(rng: np.random.Generator) -> int:
    return 1 if rng.uniform() < 0.5 else -1


class RandAugment:
    """Operations drawn from 15 with a common magnitude, each done with probability 0.5.

    Notation, operations and levels follow timm (github.com/huggingface/pytorch-image-models) and
    RandAugment (arXiv 1909.13719).

    Args:
        magnitude: mean magnitude, 0..10.
        num_ops: operations per clip.
        magnitude_std: its standard deviation; infinity draws uniformly in 0..magnitude.
        increasing: a larger magnitude is a stronger change for every operation.
        interpolation: of the geometric operations.
        fill: colour (0..255) of what they uncover.
    """

    def __init__(
        self,
        magnitude: float,
        num_ops: int,
        *,
        magnitude_std: float,
        increasing: bool,
        interpolation: str,
        fill: Sequence[float],
    ):
        self.magnitude = magnitude
        self.num_ops = num_ops
        self.magnitude_std = magnitude_std
        self.increasing = increasing
        self.affine = partial(_affine, interpolation=interpolation, fill=tuple(fill))

    def __call__(self, clip: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
        names = sorted(self.operations())
        frames = clip_to_frames(clip)
        for index in rng.integers(0, len(names), self.num_ops):
            if rng.uniform() < 0.5:
                frames = self.apply(names[index], frames, self._draw_level(rng), _draw_sign(rng))
        return frames_to_clip(frames)

    def apply(self, name: str, frames: torch.Tensor, level: float, sign: int) -> torch.Tensor:
        """Frames T,C,H,W after operation `name` at `level` 0..10 in direction `sign` (-1 or 1)."""
        return self.operations()[name](frames, level / MAX_LEVEL, sign)

    def operations(self) -> dict[str, Operation]:
        """All operations by name."""
        return {**_colour_operations(self.increasing), **_geometric_operations(self.affine)}

    def _draw_level(self, rng: np.random.Generator) -> float:
        if math.isinf(self.magnitude_std):
            return rng.uniform(0, self.magnitude)
        level = rng.normal(self.magnitude, self.magnitude_std)
        return min(max(level, 0.0), float(MAX_LEVEL))
