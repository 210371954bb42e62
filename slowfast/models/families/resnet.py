"""Video ResNets of one pathway: C2D, I3D, Slow, with or without Non-local blocks.

Slow 8x8 R50 (arXiv 1812.03982) on clips of 3 x 8 x 224 x 224 (C x T x H x W):

    stage    layers                                                  width  output
    s1       1x7x7, stride 1, 2, 2; max-pool 1x3x3, stride 1, 2, 2      64  8 x 56 x 56
    s2       [1x1x1, 64; 1x3x3, 64; 1x1x1, 256] x 3                    256  8 x 56 x 56
    s3       [1x1x1, 128; 1x3x3, 128; 1x1x1, 512] x 4                  512  8 x 28 x 28
    s4       [3x1x1, 256; 1x3x3, 256; 1x1x1, 1024] x 6                1024  8 x 14 x 14
    s5       [3x1x1, 512; 1x3x3, 512; 1x1x1, 2048] x 3                2048  8 x 7 x 7
    head     average 8x7x7; linear                                    2048  1 x 1 x 1

Other networks have other temporal kernels k, kx7x7 in the stem and kx1x1 first in a block:

    MODEL.ARCH    stem  s2    s3    s4    s5    max-pool 2x1x1 after s2
    c2d, 2d       1     1     1     1     1     c2d
    i3d           5     3     3, 1  3, 1  1, 3  yes
    slow          1     1     1     3     3     no

Names fixed by released weights: s{2..5}.pathway0_res{i} and _nonlocal{i}, the Non-local block after
block i, and inside, those that the classes list.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from torch import nn

from slowfast.config.derived import pathway_strides
from slowfast.config.node import ConfigNode
from slowfast.models.blocks import BasicBranch, BlockSpec, BottleneckBranch, ResBlock, ResNetStem
from slowfast.models.conv import Triple
from slowfast.models.heads import AveragePool, BasicHead, build_classifier, build_pool
from slowfast.models.layers import MaxPool3d, NonLocal
from slowfast.models.network import (
    Stage,
    StageSpec,
    VideoNetwork,
    assemble,
    build_init,
    network_stages,
    per_stage,
    residual_blocks,
    single_pathway_channels,
)
from slowfast.models.norm import Norm, build_norm
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
    """Temporal kernels of a pathway: the stem's, and the cycles of the blocks of res2 ... res5.

    `pool_t`: temporal max-pool after res2, 1 for none.
    """

    stem: int
    stages: tuple[tuple[int, ...], ...]
    pool_t: int = 1


C2D = TemporalKernels(1, ((1,), (1,), (1,), (1,)))
SLOW = TemporalKernels(1, ((1,), (1,), (3,), (3,)))
FAST = TemporalKernels(5, ((3,), (3,), (3,), (3,)))
_I3D = TemporalKernels(5, ((3,), (3, 1), (3, 1), (1, 3)))

# MODEL.ARCH -> kernels.
_ARCHS = {
    "2d": C2D,
    "c2d": replace(C2D, pool_t=2),
    "c2d_nopool": C2D,
    "i3d": replace(_I3D, pool_t=2),
    "i3d_nopool": _I3D,
    "slow": SLOW,
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


@dataclass(frozen=True, slots=True)
class Pathway:
    """Channels of the clip and of the stem, the stem's temporal kernel, the rows res2 ... res5."""

    dim_clip: int
    dim_stem: int
    kernel_t: int
    table: Sequence[ResNetStage]

    @property
    def dim_out(self) -> int:
        """Channels of the last map."""
        return self.table[-1].dim_out

    @property
    def map_stride(self) -> int:
        """Pixels of a clip per position of the last map."""
        return ResNetStem.stride * math.prod(stage.stride for stage in self.table)

    @property
    def pool_t(self) -> int:
        """Frames of a clip per frame of the last map."""
        return math.prod(stage.pool_t for stage in self.table)

    def stem(self, norm: Norm) -> ResNetStem:
        """Its first layers."""
        return ResNetStem(self.dim_clip, self.dim_stem, kernel_t=self.kernel_t, norm=norm)


def resnet_blocks(
    dim_in: Dims,
    stage: ResNetStage,
    *,
    make_branch: Callable[..., nn.Module],
    make_nonlocal: Callable[..., nn.Module],
    norm: Norm,
    rates: Sequence[float],
    make_block: Callable[..., ResBlock] = ResBlock,
) -> dict[str, nn.Module]:
    """Modules of one pathway's stage: residual blocks, Non-local blocks between them, a max-pool.

    Names fixed by released weights: res{i}, nonlocal{i} (after res{i}).
    """

    def make(block: BlockSpec) -> nn.Module:
        return make_branch(block, kernel_t=stage.kernels_t[block.index])

    modules: dict[str, nn.Module] = {}
    blocks = residual_blocks(
        dim_in, stage, make_branch=make, norm=norm, rates=rates, make_block=make_block
    )
    sizes = {"pool": stage.nonlocal_pool, "num_groups": stage.nonlocal_groups}
    for index, (name, block) in enumerate(blocks.items()):
        modules[name] = block
        if index in stage.nonlocal_after:
            modules[f"nonlocal{index}"] = make_nonlocal(stage.dim_out, **sizes)
    if stage.pool_t > 1:
        modules["pool"] = MaxPool3d((stage.pool_t, 1, 1))
    return modules


def resnet_stages(
    pathways: Sequence[Pathway],
    make_blocks: Callable[..., dict[str, nn.Module]],
    *,
    norm: Norm,
    drop_connect_rate: float,
    make_lateral: Callable[[Sequence[int]], nn.Module] | None = None,
) -> dict[str, nn.Module]:
    """The modules s1 ... s5 by name; the last three arguments are those of network_stages."""
    return network_stages(
        Stage([{"stem": path.stem(norm)} for path in pathways]),
        [path.dim_stem for path in pathways],
        list(zip(*(path.table for path in pathways), strict=True)),
        make_blocks,
        drop_connect_rate=drop_connect_rate,
        make_lateral=make_lateral,
    )


def branch_maker(
    name: str, *, num_groups: int, strides_first: bool, norm: Norm
) -> Callable[..., nn.Module]:
    """The branch that RESNET.TRANS_FUNC names, as a function (block, kernel_t=...)."""
    if name == "bottleneck_transform":
        return partial(BottleneckBranch, groups=num_groups, strides_first=strides_first, norm=norm)
    if num_groups > 1:
        raise ValueError(
            f"RESNET.NUM_GROUPS: {num_groups} needs RESNET.TRANS_FUNC bottleneck_transform, "
            f"not {name}"
        )
    return partial(BasicBranch, norm=norm)


def stem_width(num_groups: int, width_per_group: int) -> int:
    """Channels after the stem: RESNET.WIDTH_PER_GROUP, in a ResNeXt (several groups) 64."""
    return width_per_group if num_groups == 1 else 64


def average_pools(
    pathways: Sequence[Pathway], strides: Sequence[int], *, num_frames: int, extent: int
) -> list[AveragePool]:
    """For each pathway, the average of last maps `extent` positions square.

    Clips of `num_frames`, of which each pathway sees every `strides`-th. In longer clips the pools
    of all pathways give as many positions.
    """
    pools = []
    for path, stride in zip(pathways, strides, strict=True):
        length = max(1, num_frames // stride // path.pool_t)
        pools.append(AveragePool((length, extent, extent), strides[0] // stride))
    return pools


def _temporal_kernels(cycle: Sequence[int], depth: int, num_temporal: int) -> tuple[int, ...]:
    """`cycle` repeated over the first `num_temporal` blocks of a stage, 1 in the others."""
    kernels = [cycle[index % len(cycle)] for index in range(min(num_temporal, depth))]
    return tuple(kernels + [1] * (depth - len(kernels)))


def _check_locations(locations: Sequence[int], depth: int, *, stage: str) -> None:
    if any(index >= depth for index in locations):
        raise ValueError(
            f"NONLOCAL.LOCATION: {locations} must be numbers of blocks of {stage}, 0..{depth - 1}"
        )


def stage_depths(depth: int) -> tuple[int, ...]:
    """Blocks of res2 ... res5 in a network of RESNET.DEPTH layers."""
    if depth not in _DEPTHS:
        raise ValueError(f"RESNET.DEPTH: {depth} is not one of {sorted(_DEPTHS)}")
    return _DEPTHS[depth]


def _check_branch(branch: str, *, model: str) -> None:
    if branch not in _EXPANSIONS:
        raise ValueError(
            f"RESNET.TRANS_FUNC: {branch!r} is not one of {sorted(_EXPANSIONS)} for "
            f"MODEL.MODEL_NAME {model}"
        )


def build_pathway(
    cfg: ConfigNode,
    kernels: TemporalKernels,
    dim_clip: int,
    *,
    number: int = 0,
    width: Callable[[int], int] = int,
) -> Pathway:
    """Pathway `number`; `width` makes its numbers of channels from those of pathway 0."""
    resnet, nonlocal_ = cfg.RESNET, cfg.NONLOCAL
    depths = stage_depths(resnet.DEPTH)
    _check_branch(resnet.TRANS_FUNC, model=cfg.MODEL.MODEL_NAME)
    dim_stem = stem_width(resnet.NUM_GROUPS, resnet.WIDTH_PER_GROUP)
    dim_inner = resnet.NUM_GROUPS * resnet.WIDTH_PER_GROUP
    dim_out = dim_stem * _EXPANSIONS[resnet.TRANS_FUNC]
    strides = per_stage("RESNET.SPATIAL_STRIDES", resnet.SPATIAL_STRIDES, number)
    dilations = per_stage("RESNET.SPATIAL_DILATIONS", resnet.SPATIAL_DILATIONS, number)
    temporal = per_stage("RESNET.NUM_BLOCK_TEMP_KERNEL", resnet.NUM_BLOCK_TEMP_KERNEL, number)
    locations = per_stage("NONLOCAL.LOCATION", nonlocal_.LOCATION, number)
    groups = per_stage("NONLOCAL.GROUP", nonlocal_.GROUP, number)
    pools = per_stage("NONLOCAL.POOL", nonlocal_.POOL, number)
    table = []
    for i, depth in enumerate(depths):
        _check_locations(locations[i], depth, stage=f"res{i + 2}")
        row = ResNetStage(
            depth=depth,
            dim_inner=width(dim_inner * 2**i),
            dim_out=width(dim_out * 2**i),
            stride=strides[i],
            dilation=dilations[i],
            kernels_t=_temporal_kernels(kernels.stages[i], depth, temporal[i]),
            nonlocal_after=tuple(locations[i]),
            nonlocal_groups=groups[i],
            nonlocal_pool=tuple(pools[i]),
            pool_t=kernels.pool_t if i == 0 else 1,
        )
        table.append(row)
    return Pathway(dim_clip, width(dim_stem), kernels.stem, table)


def build_stages(
    cfg: ConfigNode,
    pathways: Sequence[Pathway],
    *,
    norm: Norm,
    make_lateral: Callable[[Sequence[int]], nn.Module] | None = None,
    make_block: Callable[..., ResBlock] = ResBlock,
    make_branch: Callable[..., nn.Module] | None = None,
) -> dict[str, nn.Module]:
    """The modules s1 ... s5 of these pathways, by name.

    `make_block` is that of residual_blocks; `make_branch(block, kernel_t=...)` gives a residual
    branch, None the one of RESNET.TRANS_FUNC.
    """
    resnet = cfg.RESNET
    make_branch = make_branch or branch_maker(
        resnet.TRANS_FUNC, num_groups=resnet.NUM_GROUPS, strides_first=resnet.STRIDE_1X1, norm=norm
    )
    make_nonlocal = partial(NonLocal, instantiation=cfg.NONLOCAL.INSTANTIATION, norm=norm)
    make_blocks = partial(
        resnet_blocks,
        make_branch=make_branch,
        make_nonlocal=make_nonlocal,
        norm=norm,
        make_block=make_block,
    )
    return resnet_stages(
        pathways,
        make_blocks,
        norm=norm,
        drop_connect_rate=cfg.MODEL.DROPCONNECT_RATE,
        make_lateral=make_lateral,
    )


def build_from_pathways(
    cfg: ConfigNode,
    pathways: Sequence[Pathway],
    *,
    norm: Norm,
    make_lateral: Callable[[Sequence[int]], nn.Module] | None = None,
) -> VideoNetwork:
    """The ResNet of these pathways, which `make_lateral` may join (see network_stages).

    Trained on crops of several sizes (MULTIGRID.SHORT_CYCLE), or with RESNET.GLOBAL_POOL, it
    averages whole maps.
    """
    data = cfg.DATA
    stages = build_stages(cfg, pathways, norm=norm, make_lateral=make_lateral)
    averages = [AveragePool(None) for _ in pathways]
    if not (cfg.MULTIGRID.SHORT_CYCLE or cfg.RESNET.GLOBAL_POOL):
        sizes = {"num_frames": data.NUM_FRAMES, "extent": data.TRAIN_CROP_SIZE // 32}
        averages = average_pools(pathways, pathway_strides(cfg), **sizes)
    pools = [
        build_pool(cfg, average, map_stride=path.map_stride)
        for average, path in zip(averages, pathways, strict=True)
    ]
    classifier = build_classifier(cfg, [path.dim_out for path in pathways])
    return assemble(stages, BasicHead(pools, classifier), build_init(cfg))


def build_resnet(cfg: ConfigNode, *, has_pool: bool = True) -> VideoNetwork:
    """The network that MODEL.ARCH names; `has_pool` False leaves out its temporal max-pool."""
    model = cfg.MODEL
    if model.ARCH not in _ARCHS:
        raise ValueError(
            f"MODEL.ARCH: {model.ARCH!r} is not one of {sorted(_ARCHS)}, which "
            f"MODEL.MODEL_NAME {model.MODEL_NAME} builds"
        )
    kernels = _ARCHS[model.ARCH] if has_pool else replace(_ARCHS[model.ARCH], pool_t=1)
    dim_clip = single_pathway_channels(cfg.DATA.INPUT_CHANNEL_NUM, model=model.MODEL_NAME)
    pathway = build_pathway(cfg, kernels, dim_clip)
    return build_from_pathways(cfg, [pathway], norm=build_norm(cfg))
