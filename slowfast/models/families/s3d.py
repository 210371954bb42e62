"""S3D (arXiv 1712.04851): Inception-V1 in which every position sees time in its own way.

I3D, I2D, top- and bottom-heavy mixtures, S3D, S3D-G and Fast-S3D are one network: at the positions
0 (stem), 1 (conv2c) and 2 ... 10 (the Inception blocks 3b ... 5c) a convolution is 2D, 3D or
separable. Pools are the same in all of them and span time: I2D has no temporal weights, but is not
a network of single frames.
"""

from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass, replace
from functools import partial

import torch
import torch.nn.functional as F
from torch import nn

from slowfast.config.checks.s3d import FIRST_MIXED, NUM_POSITIONS, temporal_form
from slowfast.config.node import ConfigNode
from slowfast.models.blocks import Norm, single_pathway_channels
from slowfast.models.conv import Triple, conv3d, max_pool3d
from slowfast.models.heads import build_s3d_head
from slowfast.models.layers import FeatureGate, MaxPool3d, OverlappingMaxPool3d, round_width
from slowfast.models.network import Stage, VideoNetwork, build_network
from slowfast.models.norm import build_norm

_BN_EPS = 1e-3
_BN_MOMENTUM = 1e-3

_DIM_STEM, _DIM_CONV2C = 64, 192


@dataclass(frozen=True, slots=True)
class MixedSpec:
    """Widths of an Inception block; branches 1 and 2 are reduced before their convolution."""

    branch0: int
    branch1_reduced: int
    branch1: int
    branch2_reduced: int
    branch2: int
    branch3: int

    @property
    def dims_out(self) -> tuple[int, ...]:
        """Channels of the parts of the concatenation."""
        return (self.branch0, self.branch1, self.branch2, self.branch3)

    def scaled(self, width: Callable[[int], int]) -> "MixedSpec":
        """All widths through `width`."""
        return MixedSpec(*map(width, astuple(self)))


# Stage -> its blocks. All widths are multiples of 8.
_MIXED = {
    "s3": {
        "mixed3b": MixedSpec(64, 96, 128, 16, 32, 32),
        "mixed3c": MixedSpec(128, 128, 192, 32, 96, 64),
    },
    "s4": {
        "mixed4b": MixedSpec(192, 96, 208, 16, 48, 64),
        "mixed4c": MixedSpec(160, 112, 224, 24, 64, 64),
        "mixed4d": MixedSpec(128, 128, 256, 24, 64, 64),
        "mixed4e": MixedSpec(112, 144, 288, 32, 64, 64),
        "mixed4f": MixedSpec(256, 160, 320, 32, 128, 128),
    },
    "s5": {
        "mixed5b": MixedSpec(256, 160, 320, 32, 128, 128),
        "mixed5c": MixedSpec(384, 192, 384, 48, 128, 128),
    },
}


@dataclass(frozen=True, slots=True)
class TimeSpec:
    """How one position sees time; `kernel_t` 1 makes it 2D.

    on_all_branches: an Inception block's branches 0 and 3 end with a temporal convolution too
    (footnote 5 of the paper).
    """

    kernel_t: int = 1
    is_separable: bool = False
    has_gate: bool = False
    on_all_branches: bool = False


class ConvUnit(nn.Module):
    """Convolution, batch norm, ReLU: of space, or of space and time at once.

    Separable: of space with the spatial stride, batch norm, ReLU, then of time with the temporal
    stride, batch norm, ReLU. A gate may follow.
    Names that foreign weights are given: conv, bn, conv_t, bn_t.
    """

    def __init__(
        self,
        dim_in: int,
        dim_out: int,
        kernel: Triple,
        *,
        stride: Triple = (1, 1, 1),
        is_separable: bool = False,
        has_gate: bool = False,
        norm: Norm,
    ):
        super().__init__()
        kernel_t, stride_t = kernel[0], stride[0]
        if is_separable:
            kernel, stride = (1, *kernel[1:]), (1, *stride[1:])
        self.conv = conv3d(dim_in, dim_out, kernel, stride=stride)
        self.bn = norm(dim_out)
        self.conv_t = self.bn_t = None
        if is_separable:
            self.conv_t = conv3d(dim_out, dim_out, (kernel_t, 1, 1), stride=(stride_t, 1, 1))
            self.bn_t = norm(dim_out)
        self.gate = FeatureGate(dim_out) if has_gate else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.bn(self.conv(x)), inplace=True)
        if self.conv_t is not None:
            x = F.relu(self.bn_t(self.conv_t(x)), inplace=True)
        return x if self.gate is None else self.gate(x)


class Mixed(nn.Module):
    """Inception block: four branches, side by side in the output.

    Names that foreign weights are given: branch{0..3}, branch1_reduce, branch2_reduce.
    """

    def __init__(self, dim_in: int, spec: MixedSpec, *, time: TimeSpec, norm: Norm):
        super().__init__()
        unit = partial(ConvUnit, norm=norm)
        if time.on_all_branches:  # a separable 3x1x1 is a 1x1x1, then a 3x1x1
            outer = partial(
                unit, kernel=(time.kernel_t, 1, 1), is_separable=True, has_gate=time.has_gate
            )
        else:
            outer = partial(unit, kernel=(1, 1, 1))
        inner = partial(
            unit,
            kernel=(time.kernel_t, 3, 3),
            is_separable=time.is_separable,
            has_gate=time.has_gate,
        )
        self.branch0 = outer(dim_in, spec.branch0)
        self.branch1_reduce = unit(dim_in, spec.branch1_reduced, (1, 1, 1))
        self.branch1 = inner(spec.branch1_reduced, spec.branch1)
        self.branch2_reduce = unit(dim_in, spec.branch2_reduced, (1, 1, 1))
        self.branch2 = inner(spec.branch2_reduced, spec.branch2)
        self.branch3 = outer(dim_in, spec.branch3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        pooled = max_pool3d(x, (3, 3, 3), stride=(1, 1, 1), padding=(1, 1, 1))
        branches = [
            self.branch0(x),
            self.branch1(self.branch1_reduce(x)),
            self.branch2(self.branch2_reduce(x)),
            self.branch3(pooled),
        ]
        return torch.cat(branches, 1)


def s3d_stages(
    dim_clip: int, times: Sequence[TimeSpec], *, width: Callable[[int], int], norm: Norm
) -> dict[str, nn.Module]:
    """The stages s1 ... s5; `times` has an entry per position, `width` scales numbers of channels.

    Each stage halves height and width; s1, s4 and s5 halve time, whether or not they see it.
    """
    times = iter(times)
    dim, dim_conv2c = width(_DIM_STEM), width(_DIM_CONV2C)
    stem = _conv_unit(dim_clip, dim, 7, stride=2, time=next(times), norm=norm)
    modules = {"s1": Stage([{"stem": stem}])}
    conv2 = {
        "pool": OverlappingMaxPool3d((1, 3, 3), stride=(1, 2, 2)),
        "conv2b": ConvUnit(dim, dim, (1, 1, 1), norm=norm),
        "conv2c": _conv_unit(dim, dim_conv2c, 3, stride=1, time=next(times), norm=norm),
    }
    modules["s2"] = Stage([conv2])
    pools = {
        "s3": OverlappingMaxPool3d((1, 3, 3), stride=(1, 2, 2)),
        "s4": OverlappingMaxPool3d((3, 3, 3), stride=(2, 2, 2)),
        "s5": MaxPool3d((2, 2, 2)),
    }
    dim = dim_conv2c
    for name, blocks in _MIXED.items():
        stage = {"pool": pools[name]}
        for key, spec in blocks.items():
            scaled = spec.scaled(width)
            stage[key] = Mixed(dim, scaled, time=next(times), norm=norm)
            dim = scaled.dims_out
        modules[name] = Stage([stage])
    return modules


def _conv_unit(
    dim_in: int, dim_out: int, size: int, *, stride: int, time: TimeSpec, norm: Norm
) -> ConvUnit:
    """A unit of `size` pixels square, `stride` in all three directions."""
    return ConvUnit(
        dim_in,
        dim_out,
        (time.kernel_t, size, size),
        stride=(stride, stride, stride),
        is_separable=time.is_separable,
        has_gate=time.has_gate,
        norm=norm,
    )


def build_times(cfg: ConfigNode) -> list[TimeSpec]:
    """How each position sees time."""
    form, s3d = temporal_form(cfg.S3D), cfg.S3D
    temporal = TimeSpec(3, is_separable=form.is_separable, has_gate=form.has_gates)
    times = [
        replace(temporal, on_all_branches=s3d.ALL_BRANCHES and position >= FIRST_MIXED)
        if position in form.positions
        else TimeSpec()
        for position in range(NUM_POSITIONS)
    ]
    stem = s3d.STEM
    if not stem:
        stem = "separable" if form.is_separable else "3d"
        stem = stem if 0 in form.positions else "2d"
    if stem == "2d":
        times[0] = TimeSpec()
    else:
        times[0] = TimeSpec(
            s3d.STEM_KERNEL_T, is_separable=stem == "separable", has_gate=form.has_gates
        )
    return times


def build_inception_norm(cfg: ConfigNode) -> Norm:
    """The batch norm of BN.NORM_TYPE with the constants of the paper's code."""
    norm = build_norm(cfg)

    def make(dim: int) -> nn.BatchNorm3d:
        layer = norm(dim)
        layer.eps, layer.momentum = _BN_EPS, _BN_MOMENTUM
        return layer

    return make


def build_s3d(cfg: ConfigNode) -> VideoNetwork:
    """The network that S3D.VARIANT names, or that the other keys of the section describe."""
    name = cfg.MODEL.MODEL_NAME
    if any(path for stage in cfg.NONLOCAL.LOCATION for path in stage):
        raise ValueError(
            f"NONLOCAL.LOCATION: {cfg.NONLOCAL.LOCATION} asks for Non-local blocks, which {name} "
            "does not have"
        )
    if cfg.MODEL.DROPCONNECT_RATE:
        raise ValueError(
            f"MODEL.DROPCONNECT_RATE: {cfg.MODEL.DROPCONNECT_RATE} must be 0 for {name}, which has "
            "no residual branches to drop"
        )
    if cfg.RESNET.ZERO_INIT_FINAL_BN:
        raise ValueError(
            f"RESNET.ZERO_INIT_FINAL_BN: True must be False for {name}, which has no residual "
            "branches to start at zero"
        )
    width = partial(round_width, factor=cfg.S3D.WIDTH_FACTOR)
    dim_clip = single_pathway_channels(cfg.DATA.INPUT_CHANNEL_NUM, model=name)
    times = build_times(cfg)
    stages = s3d_stages(dim_clip, times, width=width, norm=build_inception_norm(cfg))
    dim_out = _MIXED["s5"]["mixed5c"].scaled(width).dims_out
    head = build_s3d_head(cfg, dim_out, pool_t=1 if times[-1].kernel_t == 1 else 2)
    return build_network(cfg, stages, head)
