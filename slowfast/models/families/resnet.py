"""Video ResNets of one pathway: C2D, I3D, Slow, with or without Non-local blocks."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from torch import nn

from slowfast.config.node import ConfigNode
from slowfast.models.blocks import (
    BasicBranch,
    BottleneckBranch,
    Norm,
    ResNetStem,
    single_pathway_channels,
)
from slowfast.models.conv import Triple
from slowfast.models.heads import build_basic_head
from slowfast.models.layers import MaxPool3d
from slowfast.models.network import (
    BlockSpec,
    Stage,
    StageSpec,
    VideoNetwork,
    build_network,
    network_stages,
    per_stage,
    residual_blocks,
)
from slowfast.models.nonlocal_ import NonLocal
from slowfast.models.norm import build_norm
from slowfast.models.widths import Dims

# RESNET.DEPTH -> blocks of res2 ... res5.
_DEPTHS = {
    18: (2, 2, 2, 2),
    34: (3, 4, 6, 3),
    50: (3, 4, 6, 3),
    101: (3, 4, 23, 3),
    152: (3, 8, 36, 3),
}

# RESNET.TRANS_FUNC -> output width of a block over the width of its 1x3x3 (arXiv 1512.03385).
_EXPANSIONS = {"bottleneck_transform": 4, "basic_transform": 1}


@dataclass(frozen=True, slots=True)
class TemporalKernels:
    """Temporal kernels of a pathway: the stem's; those that the blocks of res2 ... res5 repeat."""

    stem: int
    stages: tuple[tuple[int, ...], ...]


SLOW = TemporalKernels(1, ((1,), (1,), (3,), (3,)))
FAST = TemporalKernels(5, ((3,), (3,), (3,), (3,)))
_C2D = TemporalKernels(1, ((1,), (1,), (1,), (1,)))
_I3D = TemporalKernels(5, ((3,), (3, 1), (3, 1), (1, 3)))

# MODEL.ARCH -> kernels, and the temporal max-pool after res2 (1: none).
_ARCHS = {
    "2d": (_C2D, 1),
    "c2d": (_C2D, 2),
    "c2d_nopool": (_C2D, 1),
    "i3d": (_I3D, 2),
    "i3d_nopool": (_I3D, 1),
    "slow": (SLOW, 1),
}


@dataclass(frozen=True, slots=True)
class ResNetStage(StageSpec):
    """A row of a ResNet's table.

    `kernels_t`: temporal kernel of each block. `nonlocal_after`: numbers of the blocks that a
    Non-local block follows. `pool_t`: temporal max-pool at the end, 1 for none.
    """

    kernels_t: tuple[int, ...] = ()
    nonlocal_after: tuple[int, ...] = ()
    nonlocal_groups: int = 1
    nonlocal_pool: Triple = (1, 1, 1)
    pool_t: int = 1


def resnet_blocks(
    dim_in: Dims,
    stage: ResNetStage,
    *,
    make_branch: Callable[..., nn.Module],
    instantiation: str,
    norm: Norm,
    rates: Sequence[float],
) -> dict[str, nn.Module]:
    """Modules of one pathway's stage: residual blocks, Non-local blocks between them, a max-pool.

    Names fixed by released weights: res{i}, nonlocal{i} (after res{i}).
    """

    def make(block: BlockSpec) -> nn.Module:
        return make_branch(block, kernel_t=stage.kernels_t[block.index])

    blocks = residual_blocks(dim_in, stage, make_branch=make, norm=norm, rates=rates)
    modules: dict[str, nn.Module] = {}
    for index, (name, block) in enumerate(blocks.items()):
        modules[name] = block
        if index in stage.nonlocal_after:
            modules[f"nonlocal{index}"] = NonLocal(
                stage.dim_out,
                pool=stage.nonlocal_pool,
                instantiation=instantiation,
                num_groups=stage.nonlocal_groups,
                norm=norm,
            )
    if stage.pool_t > 1:
        modules["pool"] = MaxPool3d((stage.pool_t, 1, 1))
    return modules


def _bottleneck(
    block: BlockSpec, *, kernel_t: int, groups: int, strides_first: bool, norm: Norm
) -> BottleneckBranch:
    if block.dim_inner % groups:
        raise ValueError(
            f"RESNET.NUM_GROUPS: {groups} does not divide the inner width {block.dim_inner} of a "
            "block"
        )
    return BottleneckBranch(
        block.dim_in,
        block.dim_out,
        dim_inner=block.dim_inner,
        kernel_t=kernel_t,
        stride=block.stride,
        dilation=block.dilation,
        groups=groups,
        strides_first=strides_first,
        norm=norm,
    )


def _basic(block: BlockSpec, *, kernel_t: int, norm: Norm) -> BasicBranch:
    return BasicBranch(
        block.dim_in,
        block.dim_out,
        kernel_t=kernel_t,
        stride=block.stride,
        dilation=block.dilation,
        norm=norm,
    )


def stem_width(num_groups: int, width_per_group: int) -> int:
    """Channels after the stem: RESNET.WIDTH_PER_GROUP, in a ResNeXt (several groups) 64."""
    return width_per_group if num_groups == 1 else 64


def map_stride(table: Sequence[StageSpec]) -> int:
    """Pixels of a clip per position of the last map, stem included."""
    return ResNetStem.stride * math.prod(stage.stride for stage in table)


def _temporal_kernels(cycle: Sequence[int], depth: int, num_temporal: int) -> tuple[int, ...]:
    """`cycle` repeated over the first `num_temporal` blocks of a stage, 1 in the others."""
    kernels = [cycle[index % len(cycle)] for index in range(min(num_temporal, depth))]
    return tuple(kernels + [1] * (depth - len(kernels)))


def build_resnet_table(
    cfg: ConfigNode, kernels: TemporalKernels, *, pool_t: int, pathway: int = 0, divisor: int = 1
) -> list[ResNetStage]:
    """The rows res2 ... res5 of one pathway, whose widths are divided by `divisor`."""
    resnet, nonlocal_ = cfg.RESNET, cfg.NONLOCAL
    if resnet.DEPTH not in _DEPTHS:
        raise ValueError(f"RESNET.DEPTH: {resnet.DEPTH} is not one of {sorted(_DEPTHS)}")
    if resnet.TRANS_FUNC not in _EXPANSIONS:
        raise ValueError(
            f"RESNET.TRANS_FUNC: {resnet.TRANS_FUNC!r} is not one of {sorted(_EXPANSIONS)} for "
            f"MODEL.MODEL_NAME {cfg.MODEL.MODEL_NAME}"
        )
    dim_inner = resnet.NUM_GROUPS * resnet.WIDTH_PER_GROUP
    dim_out = stem_width(resnet.NUM_GROUPS, resnet.WIDTH_PER_GROUP) * _EXPANSIONS[resnet.TRANS_FUNC]
    strides = per_stage("RESNET.SPATIAL_STRIDES", resnet.SPATIAL_STRIDES, pathway)
    dilations = per_stage("RESNET.SPATIAL_DILATIONS", resnet.SPATIAL_DILATIONS, pathway)
    temporal = per_stage("RESNET.NUM_BLOCK_TEMP_KERNEL", resnet.NUM_BLOCK_TEMP_KERNEL, pathway)
    locations = per_stage("NONLOCAL.LOCATION", nonlocal_.LOCATION, pathway)
    groups = per_stage("NONLOCAL.GROUP", nonlocal_.GROUP, pathway)
    pools = per_stage("NONLOCAL.POOL", nonlocal_.POOL, pathway)
    rows = []
    for i, depth in enumerate(_DEPTHS[resnet.DEPTH]):
        if any(index >= depth for index in locations[i]):
            raise ValueError(
                f"NONLOCAL.LOCATION: {locations[i]} must be numbers of blocks of res{i + 2}, "
                f"0..{depth - 1}"
            )
        rows.append(
            ResNetStage(
                depth=depth,
                dim_inner=dim_inner * 2**i // divisor,
                dim_out=dim_out * 2**i // divisor,
                stride=strides[i],
                dilation=dilations[i],
                kernels_t=_temporal_kernels(kernels.stages[i], depth, temporal[i]),
                nonlocal_after=tuple(locations[i]),
                nonlocal_groups=groups[i],
                nonlocal_pool=tuple(pools[i]),
                pool_t=pool_t if i == 0 else 1,
            )
        )
    return rows


def build_resnet_blocks(cfg: ConfigNode, norm: Norm) -> Callable[..., Mapping[str, nn.Module]]:
    """`resnet_blocks` as a function (dim_in, stage, rates=...)."""
    resnet = cfg.RESNET
    if resnet.TRANS_FUNC == "bottleneck_transform":
        make_branch = partial(
            _bottleneck, groups=resnet.NUM_GROUPS, strides_first=resnet.STRIDE_1X1, norm=norm
        )
    elif resnet.NUM_GROUPS > 1:
        raise ValueError(
            f"RESNET.NUM_GROUPS: {resnet.NUM_GROUPS} needs RESNET.TRANS_FUNC bottleneck_transform, "
            f"not {resnet.TRANS_FUNC}"
        )
    else:
        make_branch = partial(_basic, norm=norm)
    return partial(
        resnet_blocks,
        make_branch=make_branch,
        instantiation=cfg.NONLOCAL.INSTANTIATION,
        norm=norm,
    )


def build_resnet(cfg: ConfigNode, *, has_pool: bool = True) -> VideoNetwork:
    """The network that MODEL.ARCH names; `has_pool` False leaves out its temporal max-pool."""
    if cfg.MODEL.ARCH not in _ARCHS:
        raise ValueError(
            f"MODEL.ARCH: {cfg.MODEL.ARCH!r} is not one of {sorted(_ARCHS)}, which "
            f"MODEL.MODEL_NAME {cfg.MODEL.MODEL_NAME} builds"
        )
    kernels, pool_t = _ARCHS[cfg.MODEL.ARCH]
    pool_t = pool_t if has_pool else 1
    dim_clip = single_pathway_channels(cfg.DATA.INPUT_CHANNEL_NUM, model=cfg.MODEL.MODEL_NAME)
    norm = build_norm(cfg)
    dim_stem = stem_width(cfg.RESNET.NUM_GROUPS, cfg.RESNET.WIDTH_PER_GROUP)
    stem = ResNetStem(dim_clip, dim_stem, kernel_t=kernels.stem, norm=norm)
    table = build_resnet_table(cfg, kernels, pool_t=pool_t)
    stages = network_stages(
        Stage([{"stem": stem}]),
        [dim_stem],
        [[row] for row in table],
        build_resnet_blocks(cfg, norm),
        drop_connect_rate=cfg.MODEL.DROPCONNECT_RATE,
    )
    return build_network(
        cfg,
        stages,
        build_basic_head(cfg, [table[-1].dim_out], map_strides=[map_stride(table)], pool_t=pool_t),
    )
