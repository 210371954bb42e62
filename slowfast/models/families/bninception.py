"""BNInception (arXiv 1502.03167): Inception with batch norm, on every frame of a clip by itself.

On clips of 3 x 8 x 224 x 224 (C x T x H x W); kernels are 1xkxk:

    stage    layers                                                      width  output
    s1       7x7, stride 2                                                  64  8 x 112 x 112
    s2       max-pool 3x3, stride 2; 1x1, 64; 3x3, 192                     192  8 x 56 x 56
    s3       max-pool 3x3, stride 2; Inception 3a, 3b; 3c, stride 2        576  8 x 14 x 14
    s4       Inception 4a, 4b, 4c, 4d; 4e, stride 2                       1056  8 x 7 x 7
    s5       Inception 5a, 5b                                             1024  8 x 7 x 7

An Inception block concatenates 1x1 | 1x1, 3x3 | 1x1, 3x3, 3x3 | average 3x3 (in 5b the largest of
3x3), 1x1. One with a stride has no first branch, and its last is a max-pool alone. Max-pools of
stride 2 begin at the first pixel and keep a window that the border cuts.

Convolutions have a bias before their batch norm, as in the released weights, whose names
checkpoint/frame_networks.py turns into s{1..5}.pathway0_{stem,reduce,conv2,mixed3a,...} and those
that classes list.
"""

from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from slowfast.models.conv import avg_pool2d, conv3d, max_pool3d
from slowfast.models.network import Stage
from slowfast.models.norm import Norm
from slowfast.models.widths import Dims, parts_of


class ConvUnit(nn.Module):
    """Convolution of `size` x `size` pixels with a bias, batch norm, ReLU.

    Names that released weights are given: conv, bn.
    """

    def __init__(self, dim_in: Dims, dim_out: int, size: int, *, stride: int = 1, norm: Norm):
        super().__init__()
        kernel, steps = (1, size, size), (1, stride, stride)
        self.conv = conv3d(dim_in, dim_out, kernel, stride=steps, bias=True)
        self.bn = norm(dim_out)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn(self.conv(x)), inplace=True)


class CeilMaxPool(nn.Module):
    """Largest of 3x3 pixels, stride 2, from the first pixel to windows that the border cuts."""

    def forward(self, x: Tensor) -> Tensor:
        sizes = {"stride": (1, 2, 2), "padding": (0, 0, 0)}
        return max_pool3d(x, (1, 3, 3), **sizes, ceil_mode=True)


@dataclass(frozen=True, slots=True)
class MixedSpec:
    """Widths of an Inception block; branches 1 and 2 are reduced before their convolutions.

    branch0 and branch3 are 0 in a block with a stride. `takes_largest`: its pool is a max-pool.
    """

    branch0: int
    branch1_reduced: int
    branch1: int
    branch2_reduced: int
    branch2: int
    branch3: int
    takes_largest: bool = False

    @property
    def stride(self) -> int:
        """2 in a block without the first branch."""
        return 1 if self.branch0 else 2

    def dims_out(self, dim_in: Dims) -> tuple[int, ...]:
        """Channels of the parts of the concatenation."""
        if self.branch0:
            return (self.branch0, self.branch1, self.branch2, self.branch3)
        return (self.branch1, self.branch2, *parts_of(dim_in))


# Stage -> its blocks.
MIXED = {
    "s3": {
        "mixed3a": MixedSpec(64, 64, 64, 64, 96, 32),
        "mixed3b": MixedSpec(64, 64, 96, 64, 96, 64),
        "mixed3c": MixedSpec(0, 128, 160, 64, 96, 0),
    },
    "s4": {
        "mixed4a": MixedSpec(224, 64, 96, 96, 128, 128),
        "mixed4b": MixedSpec(192, 96, 128, 96, 128, 128),
        "mixed4c": MixedSpec(160, 128, 160, 128, 160, 128),
        "mixed4d": MixedSpec(96, 128, 192, 160, 192, 128),
        "mixed4e": MixedSpec(0, 128, 192, 192, 256, 0),
    },
    "s5": {
        "mixed5a": MixedSpec(352, 192, 320, 160, 224, 128),
        "mixed5b": MixedSpec(352, 192, 320, 192, 224, 128, takes_largest=True),
    },
}
_DIM_STEM, _DIM_CONV2 = 64, 192


class Mixed(nn.Module):
    """Inception block: its branches side by side in the output.

    Names that released weights are given: branch{0..3}, branch1_reduce, branch2_reduce and
    branch2_first, the first of the two 3x3.
    """

    def __init__(self, dim_in: Dims, spec: MixedSpec, *, norm: Norm):
        super().__init__()
        reduce = partial(ConvUnit, dim_in, size=1, norm=norm)
        self.has_stride, self.takes_largest = spec.stride == 2, spec.takes_largest
        self.branch1_reduce = reduce(spec.branch1_reduced)
        last = {"stride": spec.stride, "norm": norm}
        self.branch1 = ConvUnit(spec.branch1_reduced, spec.branch1, 3, **last)
        self.branch2_reduce = reduce(spec.branch2_reduced)
        self.branch2_first = ConvUnit(spec.branch2_reduced, spec.branch2, 3, norm=norm)
        self.branch2 = ConvUnit(spec.branch2, spec.branch2, 3, **last)
        if self.has_stride:
            self.pool = CeilMaxPool()
        else:
            self.branch0, self.branch3 = reduce(spec.branch0), reduce(spec.branch3)

    def forward(self, x: Tensor) -> Tensor:
        branches = [
            self.branch1(self.branch1_reduce(x)),
            self.branch2(self.branch2_first(self.branch2_reduce(x))),
        ]
        if self.has_stride:
            return torch.cat([*branches, self.pool(x)], 1)
        if self.takes_largest:
            pooled = max_pool3d(x, (1, 3, 3), stride=(1, 1, 1), padding=(0, 1, 1))
        else:
            pooled = avg_pool2d(x, 3, stride=1)
        return torch.cat([self.branch0(x), *branches, self.branch3(pooled)], 1)


def first_stages(dim_clip: int, *, norm: Norm) -> tuple[dict[str, nn.Module], int]:
    """The stages s1 and s2 by name, and the channels that they give."""
    stem = {"stem": ConvUnit(dim_clip, _DIM_STEM, 7, stride=2, norm=norm)}
    conv2 = {
        "pool": CeilMaxPool(),
        "reduce": ConvUnit(_DIM_STEM, _DIM_STEM, 1, norm=norm),
        "conv2": ConvUnit(_DIM_STEM, _DIM_CONV2, 3, norm=norm),
    }
    return {"s1": Stage([stem]), "s2": Stage([conv2])}, _DIM_CONV2


def bninception_stages(dim_clip: int, *, norm: Norm) -> tuple[dict[str, nn.Module], Dims]:
    """The stages s1 ... s5 by name, and the channels of the parts of the last map."""
    modules, dim = first_stages(dim_clip, norm=norm)
    for name, specs in MIXED.items():
        blocks: dict[str, nn.Module] = {"pool": CeilMaxPool()} if name == "s3" else {}
        for key, spec in specs.items():
            blocks[key] = Mixed(dim, spec, norm=norm)
            dim = spec.dims_out(dim)
        modules[name] = Stage([blocks])
    return modules, dim
