"""SlowFast (arXiv 1812.03982): a slow pathway, and a thin fast one that feeds it."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import torch
import torch.nn.functional as F
from torch import nn

from slowfast.config.node import ConfigNode
from slowfast.models.blocks import Norm, ResNetStem
from slowfast.models.conv import conv3d, resample
from slowfast.models.families.resnet import (
    FAST,
    SLOW,
    build_resnet_blocks,
    build_resnet_table,
    map_stride,
    stem_width,
)
from slowfast.models.heads import build_basic_head
from slowfast.models.network import Stage, VideoNetwork, build_network, network_stages
from slowfast.models.norm import build_norm
from slowfast.models.widths import FixedWidth


class FastToSlow(nn.Module):
    """Appends to the slow maps a convolution of the fast maps, strided in time to their length.

    Where the slow maps are still shorter or of another size, e.g. in an adaptive network, evenly
    spread frames of the convolution are resized to theirs (A3D, arXiv 2011.12384).
    `dims_out` are the channels (slow, fast) afterwards; what is appended stays whole in a narrow
    network.
    Names fixed by released weights: conv_f2s, bn.
    """

    def __init__(self, dims: Sequence[int], *, ratio: int, kernel_t: int, stride: int, norm: Norm):
        super().__init__()
        dim_slow, dim_fast = dims
        dim_lateral = FixedWidth(dim_fast * ratio)
        self.conv_f2s = conv3d(dim_fast, dim_lateral, (kernel_t, 1, 1), stride=(stride, 1, 1))
        self.bn = norm(dim_lateral)
        self.dims_out = ((dim_slow, dim_lateral), dim_fast)

    def forward(self, maps: list[torch.Tensor]) -> list[torch.Tensor]:
        slow, fast = maps
        lateral = F.relu(self.bn(self.conv_f2s(fast)), inplace=True)
        if lateral.shape[2:] != slow.shape[2:]:
            lateral = resample(lateral, slow.shape[2:])
        return [torch.cat([slow, lateral], 1), fast]


def build_slowfast(cfg: ConfigNode) -> VideoNetwork:
    """SlowFast of any depth; the slow pathway is the network Slow, MODEL.ARCH is not read."""
    channels, slowfast = [FixedWidth(num) for num in cfg.DATA.INPUT_CHANNEL_NUM], cfg.SLOWFAST
    if len(channels) != 2:
        raise ValueError(
            f"DATA.INPUT_CHANNEL_NUM: {channels} has {len(channels)} entries; MODEL.MODEL_NAME "
            "SlowFast has two pathways and takes two, e.g. [3, 3] (one pathway: ResNet, X3D, VoV3D)"
        )
    if slowfast.FUSION_KERNEL_SZ % 2 == 0:
        raise ValueError(f"SLOWFAST.FUSION_KERNEL_SZ: {slowfast.FUSION_KERNEL_SZ} must be odd")
    dim_slow = stem_width(cfg.RESNET.NUM_GROUPS, cfg.RESNET.WIDTH_PER_GROUP)
    narrowest = min(dim_slow, cfg.RESNET.NUM_GROUPS * cfg.RESNET.WIDTH_PER_GROUP)
    if slowfast.BETA_INV > narrowest:
        raise ValueError(
            f"SLOWFAST.BETA_INV: {slowfast.BETA_INV} must be at most {narrowest}, the smallest "
            "width of the slow pathway"
        )
    dims = [dim_slow, FixedWidth(dim_slow // slowfast.BETA_INV)]
    norm = build_norm(cfg)
    stem = Stage(
        [
            {"stem": ResNetStem(dim_clip, dim, kernel_t=kernels.stem, norm=norm)}
            for dim_clip, dim, kernels in zip(channels, dims, (SLOW, FAST), strict=True)
        ]
    )
    slow = build_resnet_table(cfg, SLOW, pool_t=1)
    fast = [
        replace(row, dim_inner=FixedWidth(row.dim_inner), dim_out=FixedWidth(row.dim_out))
        for row in build_resnet_table(cfg, FAST, pathway=1, divisor=slowfast.BETA_INV, pool_t=1)
    ]
    stages = network_stages(
        stem,
        dims,
        list(zip(slow, fast, strict=True)),
        build_resnet_blocks(cfg, norm),
        drop_connect_rate=cfg.MODEL.DROPCONNECT_RATE,
        make_lateral=partial(
            FastToSlow,
            ratio=slowfast.FUSION_CONV_CHANNEL_RATIO,
            kernel_t=slowfast.FUSION_KERNEL_SZ,
            stride=slowfast.ALPHA,
            norm=norm,
        ),
    )
    dims_out = [slow[-1].dim_out, fast[-1].dim_out]
    strides = [map_stride(slow), map_stride(fast)]
    head = build_basic_head(cfg, dims_out, map_strides=strides, pool_t=1)
    return build_network(cfg, stages, head)
