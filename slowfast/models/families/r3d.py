"""Residual networks with 3D or (2+1)D convolutions: R(2+1)D, R3D, MC3 (arXiv 1711.11248).

VMZ's R(2+1)D-34 on clips of 3 x 32 x 112 x 112 (C x T x H x W); kxkxk stands for 1xkxk, batch norm,
ReLU, kx1x1:

    stage    layers                                                  width  output
    s1       1x7x7, 45, stride 1, 2, 2; 3x1x1, 64                       64  32 x 56 x 56
    s2       [3x3x3, 64; 3x3x3, 64] x 3                                 64  32 x 56 x 56
    s3       [3x3x3, 128; 3x3x3, 128] x 4                              128  16 x 28 x 28
    s4       [3x3x3, 256; 3x3x3, 256] x 6                              256  8 x 14 x 14
    s5       [3x3x3, 512; 3x3x3, 512] x 3                              512  4 x 7 x 7
    head     average 4x7x7; linear                                     512  1 x 1 x 1

Between space and time a convolution is as wide as gives it the parameters of a 3x3x3. The public
codes differ, and their weights fit only their own R(2+1)D (R2PLUS1D.VARIANT):

    variant      width in between  stem           blocks       eps, inner eps  else
    torchvision  of each block     45             basic        1e-5, 1e-5
    vmz          of each layer     45             basic        1e-3, 1e-3
    mmaction2    of each layer     83, max-pool   basic        1e-3, 1e-5      (2+1)D shortcuts
    pytorchvideo the inner width   1x7x7 alone    bottlenecks  1e-5, 1e-5      time, then space

pytorchvideo's also strides otherwise: in space from s2 on, in time from s4 on.

R3D has 3x3x3 convolutions at once and a stem of 3x7x7; MC3 has them in s1 and s2, and 1x3x3 above,
where it strides in space alone.

Names that released weights are given: s{2..5}.pathway0_res{i}, and those that the classes list.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import nn

from slowfast.config.checks.rules import register_rule
from slowfast.config.defaults import DEFAULTS
from slowfast.config.node import ConfigNode
from slowfast.models.blocks import BlockSpec, BottleneckAround, ResBlock
from slowfast.models.conv import Triple, conv3d, max_pool3d
from slowfast.models.families.resnet import stage_depths
from slowfast.models.heads import AveragePool, BasicHead, build_classifier, build_pool
from slowfast.models.network import (
    Stage,
    StageSpec,
    VideoNetwork,
    assemble,
    build_init,
    network_stages,
    refuse_nonlocal,
    residual_blocks,
    single_pathway_channels,
)
from slowfast.models.norm import Norm, build_norm, with_constants
from slowfast.models.widths import Dims

_NAMES = ("R2Plus1D", "R3D", "MC3", "CSN")
_UNREAD = ("TRANS_FUNC", "NUM_GROUPS", "STRIDE_1X1", "NUM_BLOCK_TEMP_KERNEL")
_UNREAD += ("SPATIAL_STRIDES", "SPATIAL_DILATIONS")


@register_rule("MODEL.MODEL_NAME", "RESNET")
def check_resnet_keys(name: str, resnet: ConfigNode) -> Iterator[str]:
    """Check that every key of RESNET that differs from its default has an effect."""
    default = DEFAULTS.RESNET
    for key in _UNREAD:
        if name in _NAMES and resnet[key] != default[key]:
            yield (
                f"RESNET.{key}: {resnet[key]} has no effect on {name}, which reads DEPTH, "
                "WIDTH_PER_GROUP and the initial weights of that section"
            )


@dataclass(frozen=True, slots=True)
class Variant:
    """Numbers of a public code in which networks of (2+1)D basic blocks differ.

    has_shared_middle: both convolutions of a block have the width of its first in between.
    stem_middle: width in the stem, None for that of all other convolutions. has_pool: a max-pool
    after the stem. splits_shortcut: shortcuts are of space, then of time, too. inner_eps: of the
    batch norms in between.
    """

    eps: float
    inner_eps: float
    has_shared_middle: bool = False
    stem_middle: int | None = 45
    has_pool: bool = False
    splits_shortcut: bool = False


_PYTORCHVIDEO = "pytorchvideo"
# R2PLUS1D.VARIANT -> its numbers, where blocks are basic.
_BASIC = {
    "torchvision": Variant(1e-5, 1e-5, has_shared_middle=True),
    "vmz": Variant(1e-3, 1e-3),
    "mmaction2": Variant(1e-3, 1e-5, stem_middle=None, has_pool=True, splits_shortcut=True),
}
_MOMENTUM = 0.1


def middle_width(dim_in: int, dim_out: int, size: int) -> int:
    """Channels between 1xkxk (k = `size`) and 3x1x1, for the parameters of a 3xkxk."""
    return 3 * dim_in * dim_out * size**2 // (dim_in * size**2 + 3 * dim_out)


class Conv2Plus1(nn.Module):
    """1xkxk with the spatial stride, batch norm, ReLU, then kx1x1 with the temporal stride.

    Names that released weights are given: conv, bn, conv_t.
    """

    def __init__(
        self,
        dim_in: int,
        dim_out: int,
        kernel: int | Triple,
        *,
        dim_middle: int = 0,
        stride: Triple = (1, 1, 1),
        norm: Norm,
    ):
        super().__init__()
        num_t, *size = (kernel,) * 3 if isinstance(kernel, int) else kernel
        stride_t, *strides = stride
        dim_middle = dim_middle or middle_width(dim_in, dim_out, size[0])
        self.conv = conv3d(dim_in, dim_middle, (1, *size), stride=(1, *strides))
        self.bn = norm(dim_middle)
        self.conv_t = conv3d(dim_middle, dim_out, (num_t, 1, 1), stride=(stride_t, 1, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv_t(F.relu(self.bn(self.conv(x)), inplace=True))


class Stem(nn.Module):
    """`conv` of stride 2, its batch norm `bn`, ReLU, perhaps a max-pool 1x3x3 of stride 2."""

    def __init__(self, conv: nn.Module, bn: nn.Module, *, has_pool: bool = False):
        super().__init__()
        self.conv, self.bn, self.has_pool = conv, bn, has_pool
        self.stride = 4 if has_pool else 2

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.bn(self.conv(x)), inplace=True)
        if not self.has_pool:
            return x
        return max_pool3d(x, (1, 3, 3), stride=(1, 2, 2), padding=(0, 1, 1))


class PairBranch(nn.Module):
    """Residual branch of two convolutions to `dim` channels, each with batch norm, ReLU between.

    Names that released weights are given: a, a_bn, b, b_bn.
    """

    def __init__(self, a: nn.Module, b: nn.Module, dim: int, *, norm: Norm):
        super().__init__()
        self.a, self.a_bn = a, norm(dim)
        self.b, self.b_bn = b, norm(dim)

    @property
    def final_conv(self) -> nn.Module:
        return getattr(self.b, "conv_t", self.b)

    @property
    def final_norm(self) -> nn.Module:
        return self.b_bn

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.a_bn(self.a(x)), inplace=True)
        return self.b_bn(self.b(x))


def pair_2plus1(block: BlockSpec, *, is_shared: bool, norm: Norm, inner_norm: Norm) -> PairBranch:
    """The branch of two (2+1)D convolutions; `is_shared`: both are as wide in between."""
    dim = block.dim_out
    first = middle_width(block.dim_in, dim, 3)
    second = first if is_shared else middle_width(dim, dim, 3)
    conv = partial(Conv2Plus1, dim_out=dim, kernel=3, norm=inner_norm)
    a = conv(block.dim_in, dim_middle=first, stride=block.strides)
    return PairBranch(a, conv(dim, dim_middle=second), dim, norm=norm)


def pair_3d(block: BlockSpec, *, kernel_t: int, norm: Norm) -> PairBranch:
    """The branch of two convolutions kx3x3 (k = `kernel_t`)."""
    kernel, dim = (kernel_t, 3, 3), block.dim_out
    a = conv3d(block.dim_in, dim, kernel, stride=block.strides)
    return PairBranch(a, conv3d(dim, dim, kernel), dim, norm=norm)


class Conv1Plus2(nn.Module):
    """3x1x1 with the temporal stride, batch norm, ReLU, then 1x3x3 with the spatial stride.

    Names that released weights are given: conv_t, bn, conv.
    """

    def __init__(self, dim: int, *, stride: Triple, norm: Norm):
        super().__init__()
        stride_t, *strides = stride
        self.conv_t = conv3d(dim, dim, (3, 1, 1), stride=(stride_t, 1, 1))
        self.bn = norm(dim)
        self.conv = conv3d(dim, dim, (1, 3, 3), stride=(1, *strides))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv(F.relu(self.bn(self.conv_t(x)), inplace=True))


def bottleneck_1plus2(block: BlockSpec, *, norm: Norm) -> BottleneckAround:
    """The bottleneck around convolutions of time, then of space."""
    middle = Conv1Plus2(block.dim_inner, stride=block.strides, norm=norm)
    return BottleneckAround(block, middle, norm=norm)


def stage_table(
    depth: int,
    dim: int,
    *,
    expansion: int = 1,
    strides: Sequence[int] = (1, 2, 2, 2),
    strides_t: Sequence[int] = (1, 2, 2, 2),
) -> list[StageSpec]:
    """Rows s2 ... s5 of a network of `depth` layers (RESNET.DEPTH); s2 is `dim` wide inside.

    `strides` of each stage in space, `strides_t` in time.
    """
    rows = zip(stage_depths(depth), strides, strides_t, strict=True)
    return [
        StageSpec(blocks, dim * 2**i, expansion * dim * 2**i, stride, stride_t=stride_t)
        for i, (blocks, stride, stride_t) in enumerate(rows)
    ]


def single_pathway_stages(
    stem: nn.Module,
    dim_stem: Dims,
    table: Sequence[StageSpec],
    make_blocks: Callable[..., Mapping[str, nn.Module]],
    *,
    drop_connect_rate: float,
) -> dict[str, nn.Module]:
    """The modules s1 ... s5 of one pathway; see network_stages."""
    return network_stages(
        Stage([{"stem": stem}]),
        [dim_stem],
        [[row] for row in table],
        make_blocks,
        drop_connect_rate=drop_connect_rate,
    )


def basic_2plus1_stages(
    variant: Variant, dim_clip: int, table: Sequence[StageSpec], *, norm: Norm, rate: float
) -> dict[str, nn.Module]:
    """Modules of a network of (2+1)D basic blocks; `rate` is the drop-connect rate."""
    outer = with_constants(norm, eps=variant.eps, momentum=_MOMENTUM)
    inner = with_constants(norm, eps=variant.inner_eps, momentum=_MOMENTUM)
    dim = table[0].dim_inner
    dim_middle = 0 if variant.stem_middle is None else max(1, variant.stem_middle * dim // 64)
    conv = Conv2Plus1(dim_clip, dim, (3, 7, 7), dim_middle=dim_middle, stride=(1, 2, 2), norm=inner)
    branch = partial(pair_2plus1, is_shared=variant.has_shared_middle, norm=outer, inner_norm=inner)
    block = ResBlock
    if variant.splits_shortcut:
        block = partial(ResBlock, make_shortcut=partial(Conv2Plus1, norm=inner))
    blocks = partial(residual_blocks, make_branch=branch, norm=outer, make_block=block)
    stem = Stem(conv, outer(dim), has_pool=variant.has_pool)
    return single_pathway_stages(stem, dim, table, blocks, drop_connect_rate=rate)


def bottleneck_stages(
    dim_clip: int, table: Sequence[StageSpec], *, norm: Norm, rate: float
) -> dict[str, nn.Module]:
    """Modules of pytorchvideo's network; `rate` is the drop-connect rate."""
    dim = table[0].dim_inner
    stem = Stem(conv3d(dim_clip, dim, (1, 7, 7), stride=(1, 2, 2)), norm(dim))
    blocks = partial(residual_blocks, make_branch=partial(bottleneck_1plus2, norm=norm), norm=norm)
    return single_pathway_stages(stem, dim, table, blocks, drop_connect_rate=rate)


def stages_3d(
    dim_clip: int,
    table: Sequence[StageSpec],
    *,
    kernels_t: Sequence[int],
    norm: Norm,
    rate: float,
) -> dict[str, nn.Module]:
    """Modules of a network of basic blocks with kernels of so many frames in each stage."""
    dim = table[0].dim_inner
    stem = Stem(conv3d(dim_clip, dim, (3, 7, 7), stride=(1, 2, 2)), norm(dim))
    kernels = dict(zip(table, kernels_t, strict=True))

    def make_blocks(dim_in: Dims, stage: StageSpec, **rates: Sequence[float]) -> dict:
        branch = partial(pair_3d, kernel_t=kernels[stage], norm=norm)
        return residual_blocks(dim_in, stage, make_branch=branch, norm=norm, **rates)

    return single_pathway_stages(stem, dim, table, make_blocks, drop_connect_rate=rate)


def build_residual(
    cfg: ConfigNode,
    stages: Mapping[str, nn.Module],
    table: Sequence[StageSpec],
    *,
    window_t: int = 0,
) -> VideoNetwork:
    """The network of these stages, with a head that averages whole maps.

    window_t: frames of a training clip per frame of the last map, for averages over windows as
    large as the maps of training clips (not with MULTIGRID.SHORT_CYCLE, which has several sizes).
    """
    refuse_nonlocal(cfg.NONLOCAL.LOCATION, model=cfg.MODEL.MODEL_NAME)
    average = AveragePool(None)
    if window_t and not cfg.MULTIGRID.SHORT_CYCLE:
        extent = max(1, cfg.DATA.TRAIN_CROP_SIZE // 32)
        average = AveragePool((max(1, cfg.DATA.NUM_FRAMES // window_t), extent, extent))
    (stem,) = stages["s1"].children()
    map_stride = stem.stride * math.prod(stage.stride for stage in table)
    pool = build_pool(cfg, average, map_stride=map_stride)
    head = BasicHead([pool], build_classifier(cfg, table[-1].dim_out))
    return assemble(stages, head, build_init(cfg))


def build_r2plus1d(cfg: ConfigNode) -> VideoNetwork:
    """R(2+1)D of the public code that R2PLUS1D.VARIANT names."""
    name, resnet = cfg.MODEL.MODEL_NAME, cfg.RESNET
    dim_clip = single_pathway_channels(cfg.DATA.INPUT_CHANNEL_NUM, model=name)
    make_table = partial(stage_table, resnet.DEPTH, resnet.WIDTH_PER_GROUP)
    options = {"norm": build_norm(cfg), "rate": cfg.MODEL.DROPCONNECT_RATE}
    if cfg.R2PLUS1D.VARIANT == _PYTORCHVIDEO:
        table = make_table(expansion=4, strides=(2, 2, 2, 2), strides_t=(1, 1, 2, 2))
        stages = bottleneck_stages(dim_clip, table, **options)
        return build_residual(cfg, stages, table, window_t=4)
    table = make_table()
    stages = basic_2plus1_stages(_BASIC[cfg.R2PLUS1D.VARIANT], dim_clip, table, **options)
    return build_residual(cfg, stages, table)


def build_r3d(cfg: ConfigNode, *, is_mixed: bool = False) -> VideoNetwork:
    """R3D; `is_mixed`: MC3, whose stages from s3 on are 2D."""
    resnet = cfg.RESNET
    dim_clip = single_pathway_channels(cfg.DATA.INPUT_CHANNEL_NUM, model=cfg.MODEL.MODEL_NAME)
    strides_t, kernels_t = ((1, 2, 2, 2), (3, 3, 3, 3))
    if is_mixed:
        strides_t, kernels_t = ((1, 1, 1, 1), (3, 1, 1, 1))
    table = stage_table(resnet.DEPTH, resnet.WIDTH_PER_GROUP, strides_t=strides_t)
    options = {"norm": build_norm(cfg), "rate": cfg.MODEL.DROPCONNECT_RATE}
    stages = stages_3d(dim_clip, table, kernels_t=kernels_t, **options)
    return build_residual(cfg, stages, table)
