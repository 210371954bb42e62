"""X3D (arXiv 2004.04730): one small 2D network, expanded along six axes.

X3D-M on clips of 3 x 16 x 224 x 224 (C x T x H x W):

    stage    layers                                                  width  output
    s1       1x3x3, depthwise 5x1x1                                     24  16 x 112 x 112
    s2       [1x1x1, 54; depthwise 3x3x3, 54; 1x1x1, 24] x 3            24  16 x 56 x 56
    s3       [1x1x1, 108; depthwise 3x3x3, 108; 1x1x1, 48] x 5          48  16 x 28 x 28
    s4       [1x1x1, 216; depthwise 3x3x3, 216; 1x1x1, 96] x 11         96  16 x 14 x 14
    s5       [1x1x1, 432; depthwise 3x3x3, 432; 1x1x1, 192] x 7        192  16 x 7 x 7
    head     1x1x1, 432; average 16x7x7; 1x1x1, 2048; linear          2048  1 x 1 x 1

Each stage strides space by 2, in the kernel over space of its first block; time is never strided.
Blocks 0, 2, 4, ... of a stage have squeeze-excitation before their Swish. The paper's tables print
3x1x1 in the stem; 5x1x1 gives its published counts.

Names fixed by released weights: s{2..5}.pathway0_res{i} and, inside, those that the classes list.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch
import torch.nn.functional as F
from torch import nn

from slowfast.config.checks import register_rule
from slowfast.config.derived import clips_of_statistics
from slowfast.config.node import ConfigNode
from slowfast.models.blocks import BlockSpec, HasFinalConv
from slowfast.models.conv import Triple, conv3d
from slowfast.models.heads import AveragePool, Classifier, Pool, build_classifier, build_pool
from slowfast.models.layers import SqueezeExcitation, round_width
from slowfast.models.network import (
    Stage,
    StageSpec,
    VideoNetwork,
    assemble,
    build_init,
    network_stages,
    per_stage,
    refuse_nonlocal,
    residual_blocks,
    single_pathway_channels,
)
from slowfast.models.norm import Norm, build_norm

# Kernels in the middle of a bottleneck: space and time at once, space first, time first.
KERNELS_3D: tuple[Triple, ...] = ((3, 3, 3),)
SPACE_THEN_TIME: tuple[Triple, ...] = ((1, 3, 3), (3, 1, 1))
TIME_THEN_SPACE: tuple[Triple, ...] = ((3, 1, 1), (1, 3, 3))

# RESNET.TRANS_FUNC -> kernels of the depthwise convolutions.
_KERNELS = {
    "x3d_transform": KERNELS_3D,
    "x3d_2plus1_transform": SPACE_THEN_TIME,
    "x3d_1plus2_transform": TIME_THEN_SPACE,
}

# Blocks of res2 ... res5 before the depth factor.
_DEPTHS = (1, 2, 5, 3)


@register_rule("MODEL", "X3D.BN_LIN5", "TRAIN", "BN", "NUM_GPUS", "NUM_SHARDS")
def check_bn_lin5(
    model: ConfigNode,
    has_bn_lin5: bool,
    train: ConfigNode,
    norm: ConfigNode,
    num_gpus: int,
    num_shards: int,
) -> Iterator[str]:
    """Check that the batch norm of pooled features has several of them."""
    is_trained = train.ENABLE and model.MODEL_NAME in ("X3D", "VoV3D") and not model.FROZEN_BN
    if has_bn_lin5 and is_trained and clips_of_statistics(train, norm, num_gpus, num_shards) < 2:
        yield (
            "X3D.BN_LIN5: True is a batch norm of one position per clip, and one clip has no "
            f"variance: it needs TRAIN.BATCH_SIZE {train.BATCH_SIZE} of 2 or more for each process "
            "(and for each of BN.NUM_SPLITS), or False"
        )


class X3DStem(nn.Module):
    """A 1x3x3 convolution of stride 2, a depthwise 5x1x1 one right after it, batch norm, ReLU.

    Names fixed by released weights: conv_xy, conv, bn.
    """

    stride = 2

    def __init__(self, dim_in: int, dim_out: int, *, norm: Norm):
        super().__init__()
        self.conv_xy = conv3d(dim_in, dim_out, (1, 3, 3), stride=(1, 2, 2))
        self.conv = conv3d(dim_out, dim_out, (5, 1, 1), groups=dim_out)
        self.bn = norm(dim_out)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.relu(self.bn(self.conv(self.conv_xy(x))), inplace=True)


@dataclass(frozen=True, slots=True)
class Middle:
    """The layers between the 1x1x1 convolutions of a bottleneck, in the same way for all blocks.

    Convolutions with `kernels` and nothing between them, depthwise or dense, batch norm, and in
    blocks of even number squeeze-excitation (`se_ratio` 0: nowhere). Swish follows, or ReLU.
    """

    kernels: tuple[Triple, ...]
    is_depthwise: bool
    se_ratio: float
    has_swish: bool
    norm: Norm

    @property
    def activation(self) -> Callable[..., torch.Tensor]:
        """The function after the layers."""
        return F.silu if self.has_swish else F.relu

    def layers(self, dim: int, *, stride: int, dilation: int, index: int) -> dict[str, nn.Module]:
        """The layers of block `index` by name, in order; the kernel over space has the stride.

        Names fixed by released weights: b (b1 and b2 for two kernels), b_bn, se.
        """
        groups = dim if self.is_depthwise else 1
        names = ["b"] if len(self.kernels) == 1 else ["b1", "b2"]
        layers = {}
        for name, kernel in zip(names, self.kernels, strict=True):
            steps = {}
            if kernel[1] > 1:
                steps = {"stride": (1, stride, stride), "dilation": (1, dilation, dilation)}
            layers[name] = conv3d(dim, dim, kernel, groups=groups, **steps)
        layers["b_bn"] = self.norm(dim)
        if self.se_ratio > 0.0 and index % 2 == 0:
            layers["se"] = SqueezeExcitation(dim, self.se_ratio)
        return layers


class MobileBottleneck(nn.Module):
    """Base class for bottlenecks that hold the layers of a `Middle` as their own attributes.

    Released weights name them so. `activation` follows the last of them.
    """

    def _add_middle(
        self, layers: Mapping[str, nn.Module], activation: Callable[..., torch.Tensor]
    ) -> None:
        self._middle_names, self._activation = tuple(layers), activation
        for name, layer in layers.items():
            self.add_module(name, layer)

    def _middle(self, x: torch.Tensor) -> torch.Tensor:
        for name in self._middle_names:
            x = getattr(self, name)(x)
        return self._activation(x, inplace=True)


class X3DBranch(HasFinalConv, MobileBottleneck):
    """Residual branch: `a`, batch norm, ReLU, the middle with Swish, 1x1x1 `c`, batch norm.

    Names fixed by released weights: a, a_bn, b (b1, b2), b_bn, se, c, c_bn.
    """

    def __init__(self, block: BlockSpec, *, kernel_a: Triple, middle: Middle, norm: Norm):
        super().__init__()
        dim, steps = block.dim_inner, {"stride": block.stride, "dilation": block.dilation}
        self.a = conv3d(block.dim_in, dim, kernel_a)
        self.a_bn = norm(dim)
        layers = middle.layers(dim, **steps, index=block.index)
        self._add_middle(layers, middle.activation)
        self.c = conv3d(dim, block.dim_out, 1)
        self.c_bn = norm(block.dim_out)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.a_bn(self.a(x)), inplace=True)
        return self.c_bn(self.c(self._middle(x)))


class X3DHead(nn.Module):
    """Widen the maps of the stage `last`, pool, widen again, average the scores of positions.

    Names fixed by released weights: conv_5, conv_5_bn, lin_5, lin_5_bn, projection.
    """

    def __init__(
        self, last: StageSpec, *, pool: Pool, classifier: Classifier, norm: Norm, has_bn_lin5: bool
    ):
        super().__init__()
        dim_inner, dim_out = last.dim_inner, classifier.in_features
        self.pool = pool
        self.conv_5 = conv3d(last.dim_out, dim_inner, 1)
        self.conv_5_bn = norm(dim_inner)
        self.lin_5 = conv3d(dim_inner, dim_out, 1)
        self.lin_5_bn = norm(dim_out) if has_bn_lin5 else None
        self.projection = classifier

    def forward(self, maps: list[torch.Tensor], boxes: torch.Tensor | None = None) -> torch.Tensor:
        (x,) = maps
        x = F.relu(self.conv_5_bn(self.conv_5(x)), inplace=True)
        x = self.lin_5(self.pool(x, boxes))
        if self.lin_5_bn is not None:
            x = self.lin_5_bn(x)
        return self.projection.mean_score(F.relu(x, inplace=True), is_training=self.training)


def x3d_stages(
    dim_c1: int,
    *,
    width_factor: float,
    depth_factor: float,
    bottleneck_factor: float,
    has_wide_res2: bool,
) -> list[StageSpec]:
    """The table of res2 ... res5; widths double from stage to stage, then the width factor acts."""
    factors = (width_factor, depth_factor, bottleneck_factor)
    if min(factors) <= 0:
        raise ValueError(
            f"X3D.WIDTH_FACTOR, DEPTH_FACTOR, BOTTLENECK_FACTOR: {', '.join(map(str, factors))} "
            "must all be above 0"
        )
    stages = []
    dim = round_width(dim_c1, 2) if has_wide_res2 else dim_c1
    for depth in _DEPTHS:
        dim_out = round_width(dim, width_factor)
        dim_inner = max(1, int(dim_out * bottleneck_factor))
        stages.append(StageSpec(math.ceil(depth * depth_factor), dim_inner, dim_out))
        dim = round_width(dim, 2)
    return stages


def _branch_kernels(name: str, *, is_channelwise: bool) -> tuple[Triple, tuple[Triple, ...]]:
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


def _with_steps(
    stages: Sequence[StageSpec], strides: Sequence[int], dilations: Sequence[int]
) -> list[StageSpec]:
    """`stages` with these strides and dilations, but res2 keeps its stride.

    It takes the place of a ResNet's max-pool.
    """
    strides = [stages[0].stride, *strides[1:]]
    return [
        replace(stage, stride=stride, dilation=dilation)
        for stage, stride, dilation in zip(stages, strides, dilations, strict=True)
    ]


def _refuse_bn_lin5(has_bn_lin5: bool) -> None:
    if has_bn_lin5:
        raise ValueError(
            "X3D.BN_LIN5: True must be False with DETECTION.ENABLE True: the number of boxes "
            "in a batch may be 0 or 1"
        )


def build_x3d_frame(
    cfg: ConfigNode,
    dim_stem: int,
    stages: Sequence[StageSpec],
    make_branch: Callable[[BlockSpec], nn.Module],
    *,
    norm: Norm,
) -> VideoNetwork:
    """X3D's stem and head, with residual blocks of any branch between them.

    `stages` get the strides and dilations of the config.
    """
    name, resnet, x3d = cfg.MODEL.MODEL_NAME, cfg.RESNET, cfg.X3D
    refuse_nonlocal(cfg.NONLOCAL.LOCATION, model=name)
    dim_clip = single_pathway_channels(cfg.DATA.INPUT_CHANNEL_NUM, model=name)
    stages = _with_steps(
        stages,
        per_stage("RESNET.SPATIAL_STRIDES", resnet.SPATIAL_STRIDES, 0),
        per_stage("RESNET.SPATIAL_DILATIONS", resnet.SPATIAL_DILATIONS, 0),
    )
    modules = network_stages(
        Stage([{"stem": X3DStem(dim_clip, dim_stem, norm=norm)}]),
        [dim_stem],
        [[stage] for stage in stages],
        partial(residual_blocks, make_branch=make_branch, norm=norm),
        drop_connect_rate=cfg.MODEL.DROPCONNECT_RATE,
    )
    if cfg.DETECTION.ENABLE:
        _refuse_bn_lin5(x3d.BN_LIN5)
    map_stride = X3DStem.stride * math.prod(stage.stride for stage in stages)
    extent = -(-cfg.DATA.TRAIN_CROP_SIZE // map_stride)  # the last map of a whole training crop
    average = AveragePool((cfg.DATA.NUM_FRAMES, extent, extent))
    head = X3DHead(
        stages[-1],
        pool=build_pool(cfg, average, map_stride=map_stride),
        classifier=build_classifier(cfg, x3d.DIM_C5),
        norm=norm,
        has_bn_lin5=x3d.BN_LIN5,
    )
    return assemble(modules, head, build_init(cfg))


def build_x3d(cfg: ConfigNode) -> VideoNetwork:
    """X3D of any size.

    The ablations of Table A.1 are X3D.CHANNELWISE_3x3x3 False, SWISH_INNER False and SE_RATIO 0.
    """
    x3d, norm = cfg.X3D, build_norm(cfg)
    if not cfg.VOV3D.SWISH_INNER:
        raise ValueError("VOV3D.SWISH_INNER: False has no effect on X3D; X3D.SWISH_INNER has")
    is_channelwise = x3d.CHANNELWISE_3x3x3
    kernel_a, kernels_b = _branch_kernels(cfg.RESNET.TRANS_FUNC, is_channelwise=is_channelwise)
    middle = Middle(
        kernels_b,
        is_depthwise=is_channelwise,
        se_ratio=x3d.SE_RATIO,
        has_swish=x3d.SWISH_INNER,
        norm=norm,
    )
    stages = x3d_stages(
        x3d.DIM_C1,
        width_factor=x3d.WIDTH_FACTOR,
        depth_factor=x3d.DEPTH_FACTOR,
        bottleneck_factor=x3d.BOTTLENECK_FACTOR,
        has_wide_res2=x3d.SCALE_RES2,
    )
    return build_x3d_frame(
        cfg,
        round_width(x3d.DIM_C1, x3d.WIDTH_FACTOR),
        stages,
        partial(X3DBranch, kernel_a=kernel_a, middle=middle, norm=norm),
        norm=norm,
    )
