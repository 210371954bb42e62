"""X3D (arXiv 2004.04730): one small 2D network, expanded along six axes."""

import math
from collections.abc import Mapping
from functools import partial

import torch
import torch.nn.functional as F
from torch import nn

from slowfast.config.node import ConfigNode
from slowfast.models.blocks import (
    KERNELS_1PLUS2,
    KERNELS_3D,
    SPACE_THEN_TIME,
    HasFinalConv,
    Kernel,
    MobileBottleneck,
    Norm,
    depthwise_layers,
)
from slowfast.models.conv import conv3d
from slowfast.models.layers import round_width
from slowfast.models.network import BlockSpec, StageSpec, VideoNetwork, build_mobile_network
from slowfast.models.norm import build_norm

# Blocks of res2 ... res5 before the depth factor.
_DEPTHS = (1, 2, 5, 3)

# RESNET.TRANS_FUNC -> kernels of the depthwise convolutions.
_KERNELS = {
    "x3d_transform": KERNELS_3D,
    "x3d_2plus1_transform": SPACE_THEN_TIME,
    "x3d_1plus2_transform": KERNELS_1PLUS2,
}


class X3DBranch(HasFinalConv, MobileBottleneck):
    """Residual branch: `a`, batch norm, ReLU, the middle with Swish, 1x1x1 `c`, batch norm.

    Names fixed by released weights: a, a_bn, b (b1, b2), b_bn, se, c, c_bn.
    """

    def __init__(
        self,
        dim_in: int,
        dim_out: int,
        *,
        dim_inner: int,
        kernel_a: Kernel,
        middle: Mapping[str, nn.Module],
        norm: Norm,
    ):
        super().__init__()
        self.a = conv3d(dim_in, dim_inner, kernel_a)
        self.a_bn = norm(dim_inner)
        self._add_middle(middle)
        self.c = conv3d(dim_inner, dim_out, 1)
        self.c_bn = norm(dim_out)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.a_bn(self.a(x)), inplace=True)
        return self.c_bn(self.c(self._middle(x)))


def x3d_stages(
    dim_c1: int,
    *,
    width_factor: float,
    depth_factor: float,
    bottleneck_factor: float,
    has_wide_res2: bool,
) -> list[StageSpec]:
    """The table of res2 ... res5; widths double from stage to stage, then the width factor acts."""
    if min(width_factor, depth_factor, bottleneck_factor) <= 0:
        raise ValueError(
            f"X3D.WIDTH_FACTOR, DEPTH_FACTOR, BOTTLENECK_FACTOR: {width_factor}, {depth_factor}, "
            f"{bottleneck_factor} must all be above 0"
        )
    stages = []
    dim = round_width(dim_c1, 2) if has_wide_res2 else dim_c1
    for depth in _DEPTHS:
        dim_out = round_width(dim, width_factor)
        stages.append(
            StageSpec(
                depth=math.ceil(depth * depth_factor),
                dim_inner=max(1, int(dim_out * bottleneck_factor)),
                dim_out=dim_out,
            )
        )
        dim = round_width(dim, 2)
    return stages


def _branch_kernels(name: str, *, is_channelwise: bool) -> tuple[Kernel, tuple[Kernel, ...]]:
    """Kernels of `a` and of the middle."""
    if name not in _KERNELS:
        raise ValueError(f"RESNET.TRANS_FUNC: {name!r} is not one of {sorted(_KERNELS)} for X3D")
    if is_channelwise:
        return (1, 1, 1), _KERNELS[name]
    if name != "x3d_transform":
        raise ValueError(
            f"X3D.CHANNELWISE_3x3x3: False allows only RESNET.TRANS_FUNC x3d_transform, not {name}"
        )
    return (3, 1, 1), ((1, 3, 3),)


def build_x3d(cfg: ConfigNode) -> VideoNetwork:
    """X3D of any size; Table A.1's ablations are X3D.SE_RATIO 0 and X3D.CHANNELWISE_3x3x3 False."""
    is_channelwise = cfg.X3D.CHANNELWISE_3x3x3
    kernel_a, kernels_b = _branch_kernels(cfg.RESNET.TRANS_FUNC, is_channelwise=is_channelwise)
    norm = build_norm(cfg)
    make_middle = partial(
        depthwise_layers,
        kernels=kernels_b,
        is_depthwise=is_channelwise,
        norm=norm,
        se_ratio=cfg.X3D.SE_RATIO,
    )

    def make_branch(block: BlockSpec) -> X3DBranch:
        return X3DBranch(
            block.dim_in,
            block.dim_out,
            dim_inner=block.dim_inner,
            kernel_a=kernel_a,
            middle=make_middle(
                block.dim_inner, stride=block.stride, dilation=block.dilation, index=block.index
            ),
            norm=norm,
        )

    dim_stem = round_width(cfg.X3D.DIM_C1, cfg.X3D.WIDTH_FACTOR)
    stages = x3d_stages(
        cfg.X3D.DIM_C1,
        width_factor=cfg.X3D.WIDTH_FACTOR,
        depth_factor=cfg.X3D.DEPTH_FACTOR,
        bottleneck_factor=cfg.X3D.BOTTLENECK_FACTOR,
        has_wide_res2=cfg.X3D.SCALE_RES2,
    )
    return build_mobile_network(cfg, dim_stem, stages, make_branch, norm=norm)
