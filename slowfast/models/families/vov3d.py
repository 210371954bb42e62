"""VoV3D (arXiv 2012.00317): temporal one-shot aggregation (T-OSA) of factorised bottlenecks.

VoV3D-M on clips of 3 x 16 x 224 x 224 (C x T x H x W). A block is a residual T-OSA module of five
sub-blocks [1x1x1; depthwise 1x3x3; depthwise 3x1x1; 1x1x1], whose outputs are concatenated:

    stage    layers                                                  width  output
    s1       1x3x3, depthwise 5x1x1                                     20  16 x 112 x 112
    s2       [5 sub-blocks 40 wide, 20 out; concatenate; 1x1x1] x 1     20  16 x 56 x 56
    s3       [5 sub-blocks 80 wide, 40 out; concatenate; 1x1x1] x 2     40  16 x 28 x 28
    s4       [5 sub-blocks 160 wide, 80 out; concatenate; 1x1x1] x 3    80  16 x 14 x 14
    s5       [5 sub-blocks 320 wide, 160 out; concatenate; 1x1x1] x 2  160  16 x 7 x 7
    head     1x1x1, 320; average 16x7x7; 1x1x1, 2048; linear          2048  1 x 1 x 1

Stem, head and strides are X3D's. Sub-blocks 0, 2 and 4 have squeeze-excitation before their Swish.

Names fixed by released weights: s{2..5}.pathway0_res{i}.branch2.layers.{j} and, inside, those that
the classes list.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import torch
import torch.nn.functional as F
from torch import nn

from slowfast.config.limits import are_numbers
from slowfast.config.node import ConfigNode
from slowfast.models.blocks import BlockSpec, HasFinalConv
from slowfast.models.conv import Triple, conv3d
from slowfast.models.families.x3d import (
    KERNELS_3D,
    SPACE_THEN_TIME,
    TIME_THEN_SPACE,
    Middle,
    MobileBottleneck,
    build_x3d_frame,
)
from slowfast.models.network import StageSpec, VideoNetwork
from slowfast.models.norm import Norm, build_norm

# VOV3D.DEPTH -> T-OSA modules of each stage.
_NUM_MODULES = {31: (1, 2, 3, 2), 70: (1, 2, 5, 3)}

# VOV3D.TRANS_FUNC (Table 4 of the paper, a to e) -> kernels of the middle, and are they depthwise?
_MIDDLES: dict[str, tuple[tuple[Triple, ...], bool]] = {
    "t_osa_3d_transform": (KERNELS_3D, False),
    "t_osa_r2plus1_transform": (SPACE_THEN_TIME, False),
    "t_osa_dw3d_transform": (KERNELS_3D, True),
    "t_osa_1plus2_transform": (TIME_THEN_SPACE, True),
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
        activation: Callable[..., torch.Tensor],
        norm: Norm,
    ):
        super().__init__()
        self.has_shortcut = has_shortcut and dim_in == dim_out
        self.a = nn.Sequential(conv3d(dim_in, dim_inner, 1), norm(dim_inner))
        self._add_middle(middle, activation)
        self.c = nn.Sequential(conv3d(dim_inner, dim_out, 1), norm(dim_out))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out = F.relu(self.a(x), inplace=True)
        out = self.c(self._middle(out))
        return F.relu(x + out if self.has_shortcut else out, inplace=True)


class TOSABranch(HasFinalConv, nn.Module):
    """Residual branch: sub-blocks in series; all their outputs are concatenated, then reduced once.

    The input joins the concatenation, but not in the first block of a stage.
    Names fixed by released weights: layers.{i}, c, c_bn.
    """

    def __init__(self, block: BlockSpec, *, num_layers: int, middle: Middle, norm: Norm):
        super().__init__()
        self.keeps_input = block.index > 0
        dim_in, dim_inner, dim_layer = block.dim_in, block.dim_inner, block.dim_inner // 2
        dims = [dim_in] if self.keeps_input else []
        self.layers = nn.ModuleList()
        for index in range(num_layers):
            stride = block.stride if index == 0 else 1
            layers = middle.layers(dim_inner, stride=stride, dilation=block.dilation, index=index)
            has_shortcut = self.keeps_input or index > 0
            self.layers.append(
                OSALayer(
                    dim_in,
                    dim_layer,
                    dim_inner=dim_inner,
                    has_shortcut=has_shortcut,
                    middle=layers,
                    activation=middle.activation,
                    norm=norm,
                )
            )
            dim_in = dim_layer
        self.c = conv3d(dims + [dim_layer] * num_layers, block.dim_out, 1)
        self.c_bn = norm(block.dim_out)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        outputs = [x] if self.keeps_input else []
        for layer in self.layers:
            x = layer(x)
            outputs.append(x)
        return self.c_bn(self.c(torch.cat(outputs, 1)))


def num_modules(depth: int, override: Sequence[int]) -> tuple[int, ...]:
    """T-OSA modules of each stage: `override` (VOV3D.NUM_MODULES), else those of VOV3D.DEPTH."""
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
    _check_lists(
        depths,
        {
            "VOV3D.INNER_MULTIPLIER": inner_multiplier,
            "VOV3D.OUT_MULTIPLIER": out_multiplier,
        },
    )
    stages = [
        StageSpec(depth, dim_inner=int(inner_ch * inner), dim_out=int(inner_ch * out))
        for depth, inner, out in zip(depths, inner_multiplier, out_multiplier, strict=True)
    ]
    if inner_ch < 2 or any(stage.dim_inner < 2 or stage.dim_out < 1 for stage in stages):
        raise ValueError(
            f"VOV3D.INNER_CH: {inner_ch} must be at least 2, and with INNER_MULTIPLIER and "
            f"OUT_MULTIPLIER give inner widths of at least 2 and output widths of at least 1"
        )
    return stages


def _check_lists(depths: Sequence[int], multipliers: Mapping[str, Sequence[float]]) -> None:
    lists = {"VOV3D.NUM_MODULES": depths, **multipliers}
    for key, values in lists.items():
        is_table = len(values) == 4 and are_numbers(values)
        if not is_table or not 0 < min(values) <= max(values) <= 1000:
            raise ValueError(
                f"{key}: {list(values)} must be four numbers above 0, one per stage, at most 1000"
            )
    if any(type(depth) is not int for depth in depths):
        raise ValueError(f"VOV3D.NUM_MODULES: {list(depths)} must be whole numbers")


def build_vov3d(cfg: ConfigNode) -> VideoNetwork:
    """VoV3D of any depth and width; X3D.SE_RATIO, X3D.DIM_C5 and X3D.BN_LIN5 hold here too."""
    vov3d, norm = cfg.VOV3D, build_norm(cfg)
    if vov3d.TRANS_FUNC not in _MIDDLES:
        raise ValueError(f"VOV3D.TRANS_FUNC: {vov3d.TRANS_FUNC!r} is not one of {sorted(_MIDDLES)}")
    if not cfg.X3D.SWISH_INNER:
        raise ValueError("X3D.SWISH_INNER: False has no effect on VoV3D; VOV3D.SWISH_INNER has")
    middle = Middle(
        *_MIDDLES[vov3d.TRANS_FUNC],
        se_ratio=cfg.X3D.SE_RATIO,
        has_swish=vov3d.SWISH_INNER,
        norm=norm,
    )
    if vov3d.NUM_CONV < 1:
        raise ValueError(f"VOV3D.NUM_CONV: {vov3d.NUM_CONV} must be at least 1")
    stages = vov3d_stages(
        vov3d.INNER_CH,
        depths=num_modules(vov3d.DEPTH, vov3d.NUM_MODULES),
        inner_multiplier=vov3d.INNER_MULTIPLIER,
        out_multiplier=vov3d.OUT_MULTIPLIER,
    )
    make_branch = partial(TOSABranch, num_layers=vov3d.NUM_CONV, middle=middle, norm=norm)
    return build_x3d_frame(cfg, vov3d.INNER_CH // 2, stages, make_branch, norm=norm)
