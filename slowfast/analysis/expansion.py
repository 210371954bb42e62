"""Networks along six axes, each about twice as costly as the one before (X3D, arXiv 2004.04730).

    axis  grows         in one step (sections 3.3 and A.3)                       published factor
    tau   frame rate    frames x 2, stride x 0.5: as long, twice as dense        2
    t     frames        frames x 2, stride x 0.75: longer, and denser            2
    s     crop          to the multiple of 8 that doubles the cost best          1.43, 1.4, 1.39
    w     width         of all stages, to the step of 0.1 that does so           1.45
    b     bottleneck    width inside the blocks, to the step of 0.05             2.25
    d     depth         blocks of all stages, to the step of 0.1                 2.2, 2.27, 2.02

A clip of one frame has no frame rate: both temporal axes then give the same two frames. Here is the
arithmetic only; slowfast.analysis.search trains the candidates.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from slowfast.config.node import ConfigNode
from slowfast.models import build_model
from slowfast.models.build import build_meta_inputs
from slowfast.models.complexity import count_macs, count_parameters
from slowfast.models.families.vov3d import num_modules

AXES = ("tau", "t", "s", "w", "b", "d")
FACTOR = 2.0
# A cost this near to the target needs no contraction.
TOLERANCE = 1.05
# Fields of a shape that grow until the cost is right, and the factor to begin the search with.
_SOLVED = {"s": ("crop", 2**0.5), "w": ("width", 1.4), "b": ("bottleneck", 2.2), "d": ("depth", 2)}
# Axes of the published steps. The text leaves 5 to 7 open ("multiple temporal expansions"); only
# one tau among steps 5 to 7 with t gives the published 4 x 12 and 16 x 5 (frames x stride).
PUBLISHED_ORDER = ("b", "tau", "s", "d", "t", "tau", "t", "s", "s", "d", "w", "tau", "d")
# Frames that the one frame of X2D stands for: halved and three quarters of it, so often, are the
# published strides. The paper gives none.
PUBLISHED_STRIDE = 32
# Steps of the published networks; S is contracted to about 2 G.
PUBLISHED_NAMES = {0: "X2D", 5: "XS", 7: "S", 8: "M", 10: "L", 11: "XL", 13: "XXL"}
_NAMES = ("X2D", "XS", "S", "M", "L", "XL", "XXL")
_GMACS = (0.02067, 0.60, 1.96, 4.73, 18.37, 35.84, 143.5)
PUBLISHED_GMACS = dict(zip(_NAMES, _GMACS, strict=True))
CONTRACTED_GMACS = {"S": 2.0}


@dataclass(frozen=True)
class Shape:
    """Place of a network on the six axes.

    width, bottleneck and depth are X3D's factors; for VoV3D the base of the inner widths, and
    factors of INNER_MULTIPLIER and NUM_MODULES.
    """

    frames: int
    stride: float
    crop: int
    width: float
    bottleneck: float
    depth: float


Cost = Callable[[Shape], float]


@dataclass(frozen=True)
class Space:
    """Networks around a start. quanta: smallest change along an axis.

    jitter: short sides of training over the crop. model_keys: keys of the network for a shape.
    """

    start: Shape
    quanta: dict[str, float]
    jitter: tuple[float, float]
    model_keys: Callable[[Shape], dict[str, Any]]

    def keys(self, shape: Shape) -> dict[str, Any]:
        """Keys of the config for a shape; one centre crop of the size of training is tested."""
        sides = [max(shape.crop, 2 * round(shape.crop * scale / 2)) for scale in self.jitter]
        stride = int(shape.stride) if shape.stride == int(shape.stride) else shape.stride
        return {
            "DATA.NUM_FRAMES": shape.frames,
            "DATA.SAMPLING_RATE": stride,
            "DATA.TRAIN_CROP_SIZE": shape.crop,
            "DATA.TEST_CROP_SIZE": shape.crop,
            "DATA.TRAIN_JITTER_SCALES": sides,
            "TEST.NUM_SPATIAL_CROPS": 1,
            **self.model_keys(shape),
        }

    def expand(self, shape: Shape, axis: str, cost: Cost) -> Shape | None:
        """The shape of about twice the cost; None where the axis has come to its end."""
        if axis in ("tau", "t"):
            return _more_frames(shape, axis)
        target, (_, factor) = FACTOR * cost(shape), _SOLVED[axis]
        now = self._index(shape, axis)
        found = nearest_cost(
            lambda index: cost(self._at(shape, axis, index)),
            target,
            least=now + 1,
            guess=round(now * factor),
        )
        return self._at(shape, axis, found)

    def contract(self, before: Shape, shape: Shape, axis: str, cost: Cost, target: float) -> Shape:
        """Take back so much of the last expansion that the cost comes nearest to the target.

        Frames go, the time that the clip spans stays.
        """
        if axis in ("tau", "t"):
            least, most, span = before.frames, shape.frames, shape.frames * shape.stride

            def at(count: int) -> Shape:
                return replace(shape, frames=count, stride=round_stride(span / count))
        else:
            least, most = self._index(before, axis), self._index(shape, axis)

            def at(count: int) -> Shape:
                return self._at(shape, axis, count)

        found = nearest_cost(
            lambda count: cost(at(count)), target, least=least, guess=most, most=most
        )
        return before if found == least else at(found)

    def _index(self, shape: Shape, axis: str) -> int:
        return math.floor(getattr(shape, _SOLVED[axis][0]) / self.quanta[axis] + 1e-6)

    def _at(self, shape: Shape, axis: str, index: int) -> Shape:
        quantum = self.quanta[axis]
        value = index * quantum if isinstance(quantum, int) else round(index * quantum, 6)
        return replace(shape, **{_SOLVED[axis][0]: value})


def _more_frames(shape: Shape, axis: str) -> Shape | None:
    factor = 0.5 if axis == "tau" or shape.frames == 1 else 0.75
    if axis == "tau" and shape.stride * factor < 1:
        return None  # there are no frames between the frames
    stride = max(1.0, round_stride(shape.stride * factor))
    return replace(shape, frames=2 * shape.frames, stride=stride)


def round_stride(stride: float) -> float:
    """A stride that people write: a whole number from 4 on, below a multiple of a half."""
    return math.floor(stride + 0.5) if stride >= 4 else math.floor(2 * stride + 0.5) / 2


def nearest_cost(
    cost_at: Callable[[int], float],
    target: float,
    *,
    least: int,
    guess: int,
    most: int | None = None,
) -> int:
    """The number from `least` on whose cost is the nearest to the target by ratio.

    Costs never fall with the number; of numbers of one cost the largest counts. `most`: the largest
    number.
    """
    above = _first_reaching(cost_at, target, least=least, guess=max(guess, least), most=most)
    below = max(above - 1, least)
    if _distance(cost_at(below), target) < _distance(cost_at(above), target):
        return below
    while above != most and cost_at(above + 1) == cost_at(above):
        above += 1
    return above


def _distance(cost: float, target: float) -> float:
    return abs(math.log(cost / target))


def _first_reaching(
    cost_at: Callable[[int], float], target: float, *, least: int, guess: int, most: int | None
) -> int:
    """The smallest number whose cost is the target or more, or `most`; looks around the guess."""
    low, high, step = least - 1, guess, 1
    while high != most and cost_at(high) < target:
        low, high, step = high, high + step, 2 * step
        high = high if most is None else min(high, most)
    while high - step > low and cost_at(high - step) >= target:
        high, step = high - step, 2 * step
    low = max(low, high - step)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if cost_at(middle) >= target else (middle, high)
    return high


@dataclass(frozen=True)
class Rules:
    """Training of the candidates of a step (section A.3).

    The first networks take twice the batch, and half the epochs; the later ones, which are larger,
    the batch and the epochs of the config, and drop-connect.
    """

    batch: float
    epochs: float
    drop_connect: float

    @classmethod
    def of_step(cls, step: int) -> "Rules":
        """Rules of the paper; step 0 is the start."""
        is_early = step < 8
        drop_connect = 0.2 if step >= 13 else 0.1 if step >= 11 else 0.0
        return cls(2 if is_early else 1, 0.5 if is_early else 1, drop_connect)


def x3d_keys(shape: Shape) -> dict[str, Any]:
    """Keys of an X3D."""
    return {
        "X3D.WIDTH_FACTOR": shape.width,
        "X3D.BOTTLENECK_FACTOR": shape.bottleneck,
        "X3D.DEPTH_FACTOR": shape.depth,
    }


def vov3d_keys(
    shape: Shape, *, depths: Sequence[int], inner_multiplier: Sequence[float]
) -> dict[str, Any]:
    """Keys of a VoV3D that grows from these modules and multipliers."""
    return {
        "VOV3D.INNER_CH": int(shape.width),
        "VOV3D.INNER_MULTIPLIER": [round(x * shape.bottleneck, 6) for x in inner_multiplier],
        "VOV3D.NUM_MODULES": [math.ceil(depth * shape.depth - 1e-6) for depth in depths],
    }


def build_space(cfg: ConfigNode) -> Space:
    """The networks around that of the config; ValueError for families without the six axes."""
    data, quanta = cfg.DATA, {"s": 8, "b": 0.05, "d": 0.1}
    if cfg.MODEL.MODEL_NAME == "X3D":
        x3d, quanta["w"] = cfg.X3D, 0.1
        factors, keys = (x3d.WIDTH_FACTOR, x3d.BOTTLENECK_FACTOR, x3d.DEPTH_FACTOR), x3d_keys
    elif cfg.MODEL.MODEL_NAME == "VoV3D":
        vov3d, quanta["w"] = cfg.VOV3D, 2
        depths, inner = num_modules(vov3d.DEPTH, vov3d.NUM_MODULES), vov3d.INNER_MULTIPLIER
        factors = (vov3d.INNER_CH, 1.0, 1.0)

        def keys(shape: Shape) -> dict[str, Any]:
            return vov3d_keys(shape, depths=depths, inner_multiplier=inner)
    else:
        raise ValueError(
            f"MODEL.MODEL_NAME: {cfg.MODEL.MODEL_NAME!r} has no width, bottleneck and depth to "
            "expand; X3D and VoV3D have"
        )
    start = Shape(data.NUM_FRAMES, data.SAMPLING_RATE, data.TRAIN_CROP_SIZE, *factors)
    jitter = tuple(side / start.crop for side in data.TRAIN_JITTER_SCALES)
    return Space(start, quanta, jitter, keys)


def build_gmacs(cfg: ConfigNode) -> tuple[float, float]:
    """(GMACs of a clip at the training crop, millions of parameters), from shapes alone."""
    with torch.device("meta"):
        model = build_model(cfg)
    macs = count_macs(model, *build_meta_inputs(cfg, cfg.DATA.TRAIN_CROP_SIZE))
    return sum(macs.values()) / 1e9, sum(count_parameters(model).values()) / 1e6


def build_training_keys(cfg: ConfigNode, rules: Rules) -> dict[str, Any]:
    """Keys of the config under these rules; the learning rate follows the batch."""
    train, solver = cfg.TRAIN, cfg.SOLVER
    rates = ("BASE_LR", "WARMUP_START_LR", "COSINE_END_LR")
    keys = {
        "TRAIN.BATCH_SIZE": int(train.BATCH_SIZE * rules.batch),
        "SOLVER.MAX_EPOCH": max(1, round(solver.MAX_EPOCH * rules.epochs)),
        "SOLVER.WARMUP_EPOCHS": solver.WARMUP_EPOCHS * rules.epochs,
        "MODEL.DROPCONNECT_RATE": max(cfg.MODEL.DROPCONNECT_RATE, rules.drop_connect),
    }
    if train.GLOBAL_BATCH_SIZE:
        keys["TRAIN.GLOBAL_BATCH_SIZE"] = int(train.GLOBAL_BATCH_SIZE * rules.batch)
    keys |= {f"SOLVER.{name}": solver.get_value(name) * rules.batch for name in rates}
    if solver.STEPS:
        keys["SOLVER.STEPS"] = [epoch * rules.epochs for epoch in solver.STEPS]
    return keys
