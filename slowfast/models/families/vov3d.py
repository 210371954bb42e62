"""VoV3D (arXiv 2012.00317): temporal one-shot aggregation (T-OSA) of factorised bottlenecks."""

from collections.abc import Mapping, Sequence
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
    Middle,
    MobileBottleneck,
    Norm,
    depthwise_layers,
)
from slowfast.models.conv import conv3d
from slowfast.models.network import BlockSpec, StageSpec, VideoNetwork, build_mobile_network
from slowfast.models.norm import build_norm

# VOV3D.DEPTH -> T-OSA modules of each stage.
_NUM_MODULES = {31: (1, 2, 3, 2), 70: (1, 2, 5, 3)}

# VOV3D.TRANS_FUNC (Table 4 of the paper, a to e) -> kernels of the middle, and are they depthwise?
_MIDDLES: dict[str, tuple[tuple[Kernel, ...], bool]] = {
    "t_osa_3d_transform": (KERNELS_3D, False),
    "t_osa_r2plus1_transform": (SPACE_THEN_TIME, False),
    "t_osa_dw3d_transform": (KERNELS_3D, True),
    "t_osa_1plus2_transform": (KERNELS_1PLUS2, True),
    "t_osa_2plus1_transform": (SPACE_THEN_TIME, True),
}


class OSALayer(MobileBottleneck):
    """A sub-block of T-OSA: widen, ReLU, the middle with Swish, narrow, add the input, ReLU.

    The input is added where `has_shortcut` says so and the widths agree.
    Names fixed by released weights: a.0, a.1, b1, b2 (or b), b_bn, se, c.0, c.1.
    """

    def __init__(
        self,
        dim_in: int,
        dim_out: int,
        *,
        dim_inner: int,
        has_shortcut: bool,
        middle: Mapping[str, nn.Module],
        norm: Norm,
    ):
        super().__init__()
        self.has_shortcut = has_shortcut and dim_in == dim_out
        self.a = nn.Sequential(conv3d(dim_in, dim_inner, 1), norm(dim_inner))
        self._add_middle(middle)
        self.c = nn.Sequential(conv3d(dim_inner, dim_out, 1), norm(dim_out))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out = F.relu(self.a(x), inplace=True)
        out = self.c(self._middle(out))
        return F.relu(x + out if self.has_shortcut else out, inplace=True)


class TOSABranch(HasFinalConv, nn.Module):
    """Residual branch: sub-blocks in series; all their outputs are concatenated, then reduced once.

    The input joins the concatenation, but not in the first block of a stage (`is_first`).
    Names fixed by released weights: layers.{i}, c, c_bn.
    """

    def __init__(
        self,
        dim_in: int,
        dim_out: int,
        *,
        dim_inner: int,
        num_layers: int,
        stride: int,
        is_first: bool,
        make_middle: Middle,
        norm: Norm,
    ):
        super().__init__()
        self.keeps_input = not is_first
        dim_layer = dim_inner // 2
        layers = []
        for index in range(num_layers):
            layer_stride = stride if index == 0 else 1
            layers.append(
                OSALayer(
                    dim_in if index == 0 else dim_layer,
                    dim_layer,
                    dim_inner=dim_inner,
                    has_shortcut=not is_first or index > 0,
                    middle=make_middle(dim_inner, stride=layer_stride, index=index),
                    norm=norm,
                )
            )
        self.layers = nn.ModuleList(layers)
        dims = [dim_in] if self.keeps_input else []
        self.c = conv3d(dims + [dim_layer] * num_layers, dim_out, 1)
        self.c_bn = norm(dim_out)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        outputs = [x] if self.keeps_input else []
        for layer in self.layers:
            x = layer(x)
            outputs.append(x)
        return self.c_bn(self.c(torch.cat(outputs, 1)))


def num_modules(depth: int, override: Sequence[int]) -> tuple[int, ...]:
    """T-OSA modules of each stage: `override` (VOV3D.NUM_MODULES), else what VOV3D.DEPTH names."""
    if override:
        return tuple(override)
    if depth not in _NUM_MODULES:
        raise ValueError(
            f"VOV3D.DEPTH: {depth} is not one of {sorted(_NUM_MODULES)}; VOV3D.NUM_MODULES, e.g. "
            f"[1, 1, 1, 1], gives any other depth"
        )
    return _NUM_MODULES[depth]


def vov3d_stages(
    inner_ch: int,
    *,
    depths: Sequence[int],
    inner_multiplier: Sequence[float],
    out_multiplier: Sequence[float],
) -> list[StageSpec]:
    """The table of stages; ValueError unless four positive entries each give positive widths."""
    lists = {
        "VOV3D.NUM_MODULES": depths,
        "VOV3D.INNER_MULTIPLIER": inner_multiplier,
        "VOV3D.OUT_MULTIPLIER": out_multiplier,
    }
    for key, values in lists.items():
        if len(values) != 4 or min(values) <= 0:
            raise ValueError(f"{key}: {list(values)} must be four numbers above 0, one per stage")
    stages = [
        StageSpec(depth=depth, dim_inner=int(inner_ch * inner), dim_out=int(inner_ch * out))
        for depth, inner, out in zip(depths, inner_multiplier, out_multiplier, strict=True)
    ]
    if inner_ch < 2 or any(stage.dim_inner < 2 or stage.dim_out < 1 for stage in stages):
        raise ValueError(
            f"VOV3D.INNER_CH: {inner_ch} must be at least 2, and with INNER_MULTIPLIER and "
            f"OUT_MULTIPLIER give inner widths of at least 2 and output widths of at least 1"
        )
    return stages


def build_vov3d(cfg: ConfigNode) -> VideoNetwork:
    """VoV3D of any depth and width; X3D.SE_RATIO, X3D.DIM_C5 and X3D.BN_LIN5 hold here too."""
    name = cfg.VOV3D.TRANS_FUNC
    if name not in _MIDDLES:
        raise ValueError(f"VOV3D.TRANS_FUNC: {name!r} is not one of {sorted(_MIDDLES)}")
    kernels, is_depthwise = _MIDDLES[name]
    norm = build_norm(cfg)
    num_layers = cfg.VOV3D.NUM_CONV
    if num_layers < 1:
        raise ValueError(f"VOV3D.NUM_CONV: {num_layers} must be at least 1")
    make_middle = partial(
        depthwise_layers,
        kernels=kernels,
        is_depthwise=is_depthwise,
        norm=norm,
        se_ratio=cfg.X3D.SE_RATIO,
    )

    def make_branch(block: BlockSpec) -> TOSABranch:
        return TOSABranch(
            block.dim_in,
            block.dim_out,
            dim_inner=block.dim_inner,
            num_layers=num_layers,
            stride=block.stride,
            is_first=block.index == 0,
            make_middle=partial(make_middle, dilation=block.dilation),
            norm=norm,
        )

    stages = vov3d_stages(
        cfg.VOV3D.INNER_CH,
        depths=num_modules(cfg.VOV3D.DEPTH, cfg.VOV3D.NUM_MODULES),
        inner_multiplier=cfg.VOV3D.INNER_MULTIPLIER,
        out_multiplier=cfg.VOV3D.OUT_MULTIPLIER,
    )
    return build_mobile_network(cfg, cfg.VOV3D.INNER_CH // 2, stages, make_branch, norm=norm)
