"""Multi-fiber networks, MF-Net (arXiv 1807.11195): units of convolutions in 16 groups.

MF-Net on clips of 3 x 16 x 224 x 224 (C x T x H x W), every unit batch norm, ReLU and convolution;
/16 stands for 16 groups:

    stage    layers                                                  width  output
    s1       3x5x5, 16, stride 1, 2, 2; max-pool 1x3x3, stride 1, 2, 2  16  16 x 56 x 56
    s2       [1x1x1, 24; 1x1x1; 3x3x3 /16, 96; 1x3x3 /16, 96] x 3       96  8 x 56 x 56
    s3       [1x1x1, 48; 1x1x1; 3x3x3 /16, 192; 1x3x3 /16, 192] x 4    192  8 x 28 x 28
    s4       [1x1x1, 96; 1x1x1; 3x3x3 /16, 384; 1x3x3 /16, 384] x 6    384  8 x 14 x 14
    s5       [1x1x1, 192; 1x1x1; 3x3x3 /16, 768; 1x3x3 /16, 768] x 3   768  8 x 7 x 7
    head     average 8x7x7; linear                                     768  1 x 1 x 1

The first two convolutions of a unit mix the groups (the multiplexer) and add to its input. In the
first unit of a stage the 1x3x3 is a 1x1x1 without groups, and a 1x1x1 is the shortcut. A batch norm
and a ReLU end s5.

Names that released weights are given: s{2..5}.pathway0_res{i}, and those that the classes list.
"""

from collections.abc import Iterator
from functools import partial

import torch
import torch.nn.functional as F
from torch import nn

from slowfast.config.checks.rules import register_rule
from slowfast.config.node import ConfigNode
from slowfast.models.conv import Triple, conv3d
from slowfast.models.families.r3d import Stem
from slowfast.models.heads import AveragePool, BasicHead, build_classifier, build_pool
from slowfast.models.network import (
    Stage,
    VideoNetwork,
    assemble,
    build_init,
    refuse_nonlocal,
    single_pathway_channels,
)
from slowfast.models.norm import Norm, build_norm

_DIM_STEM = 16
# Units of s2 ... s5, and the strides of the first of them.
_DEPTHS = (3, 4, 6, 3)
_STRIDES = ((2, 1, 1), (1, 2, 2), (1, 2, 2), (1, 2, 2))
_MAP_STRIDE = 32


@register_rule("MODEL", "MFNET", "RESNET.ZERO_INIT_FINAL_BN")
def check_mfnet(model: ConfigNode, mfnet: ConfigNode, zero_norm: bool) -> Iterator[str]:
    """Check that groups divide the widths, and that nothing is asked for that MF-Net lacks."""
    if model.MODEL_NAME != "MFNet":
        return
    groups = mfnet.NUM_GROUPS
    if _DIM_STEM % groups or mfnet.WIDTH % groups:
        yield (
            f"MFNET.NUM_GROUPS: {groups} must divide the stem's width {_DIM_STEM} and MFNET.WIDTH "
            f"{mfnet.WIDTH}"
        )
    if mfnet.WIDTH % 4:
        yield f"MFNET.WIDTH: {mfnet.WIDTH} must be a multiple of 4, the multiplexer's reduction"
    if model.DROPCONNECT_RATE:
        yield f"MODEL.DROPCONNECT_RATE: {model.DROPCONNECT_RATE} must be 0 for MFNet"
    if zero_norm:
        yield (
            "RESNET.ZERO_INIT_FINAL_BN: True must be False for MFNet, whose branches end with a "
            "convolution; see RESNET.ZERO_INIT_FINAL_CONV"
        )


class PreConv(nn.Module):
    """Batch norm, ReLU, convolution. Names that released weights are given: bn, conv."""

    def __init__(
        self,
        dim_in: int,
        dim_out: int,
        kernel: int | Triple,
        *,
        stride: Triple = (1, 1, 1),
        groups: int = 1,
        norm: Norm,
    ):
        super().__init__()
        self.bn = norm(dim_in)
        self.conv = conv3d(dim_in, dim_out, kernel, stride=stride, groups=groups)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv(F.relu(self.bn(x), inplace=True))


class MultiFiberUnit(nn.Module):
    """shortcut(x) + m2(m1(x + i2(i1(x)))).

    `stride` None: neither the first unit of a stage, nor a shortcut.
    Names that released weights are given: i1, i2 (the multiplexer), m1, m2, w1 (the shortcut).
    """

    def __init__(
        self, dim_in: int, dim_out: int, *, groups: int, stride: Triple | None, norm: Norm
    ):
        super().__init__()
        conv = partial(PreConv, norm=norm)
        self.i1 = conv(dim_in, dim_out // 4, 1)
        self.i2 = conv(dim_out // 4, dim_in, 1)
        self.m1 = conv(dim_in, dim_out, 3, stride=stride or (1, 1, 1), groups=groups)
        if stride is None:
            self.m2 = conv(dim_out, dim_out, (1, 3, 3), groups=groups)
            self.w1 = None
        else:
            self.m2 = conv(dim_out, dim_out, 1)
            self.w1 = conv(dim_in, dim_out, 1, stride=stride)

    @property
    def final_conv(self) -> nn.Module:
        return self.m2.conv

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        mixed = x + self.i2(self.i1(x))
        shortcut = x if self.w1 is None else self.w1(x)
        return shortcut + self.m2(self.m1(mixed))


class Tail(nn.Module):
    """Batch norm, ReLU. Name that released weights are given: bn."""

    def __init__(self, bn: nn.Module):
        super().__init__()
        self.bn = bn

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.relu(self.bn(x), inplace=True)


def mfnet_stages(
    dim_clip: int, width: int, *, groups: int, norm: Norm
) -> tuple[dict[str, nn.Module], int]:
    """The modules s1 ... s5, and channels of the last; `width` is that of s2."""
    conv = conv3d(dim_clip, _DIM_STEM, (3, 5, 5), stride=(1, 2, 2))
    modules = {"s1": Stage([{"stem": Stem(conv, norm(_DIM_STEM), has_pool=True)}])}
    dim_in = _DIM_STEM
    make_unit = partial(MultiFiberUnit, groups=groups, norm=norm)
    for number, (depth, stride) in enumerate(zip(_DEPTHS, _STRIDES, strict=True), start=2):
        dim = width * 2 ** (number - 2)
        units = {"res0": make_unit(dim_in, dim, stride=stride)}
        units |= {f"res{i}": make_unit(dim, dim, stride=None) for i in range(1, depth)}
        if number == 5:
            units["tail"] = Tail(norm(dim))
        modules[f"s{number}"] = Stage([units])
        dim_in = dim
    return modules, dim_in


def build_mfnet(cfg: ConfigNode) -> VideoNetwork:
    """MF-Net, of MFNET.WIDTH and MFNET.NUM_GROUPS."""
    name, mfnet = cfg.MODEL.MODEL_NAME, cfg.MFNET
    refuse_nonlocal(cfg.NONLOCAL.LOCATION, model=name)
    dim_clip = single_pathway_channels(cfg.DATA.INPUT_CHANNEL_NUM, model=name)
    stages, dim = mfnet_stages(dim_clip, mfnet.WIDTH, groups=mfnet.NUM_GROUPS, norm=build_norm(cfg))
    pool = build_pool(cfg, AveragePool(None), map_stride=_MAP_STRIDE)
    return assemble(stages, BasicHead([pool], build_classifier(cfg, dim)), build_init(cfg))
