"""SlowFast (arXiv 1812.03982): a slow pathway, and a thin fast one that feeds it.

SlowFast 8x8 R50 on clips of 3 x 8 x 224 x 224 and 3 x 32 x 224 x 224 (C x T x H x W). Slow:

    stage    layers                                                  width  output
    s1       1x7x7, stride 1, 2, 2; max-pool 1x3x3, stride 1, 2, 2      64  8 x 56 x 56
    s1_fuse  append 7x1x1, stride 4, 1, 1 of the fast maps, 16          80  8 x 56 x 56
    s2       [1x1x1, 64; 1x3x3, 64; 1x1x1, 256] x 3                    256  8 x 56 x 56
    s2_fuse  append 7x1x1, stride 4, 1, 1 of the fast maps, 64         320  8 x 56 x 56
    s3       [1x1x1, 128; 1x3x3, 128; 1x1x1, 512] x 4                  512  8 x 28 x 28
    s3_fuse  append 7x1x1, stride 4, 1, 1 of the fast maps, 128        640  8 x 28 x 28
    s4       [3x1x1, 256; 1x3x3, 256; 1x1x1, 1024] x 6                1024  8 x 14 x 14
    s4_fuse  append 7x1x1, stride 4, 1, 1 of the fast maps, 256       1280  8 x 14 x 14
    s5       [3x1x1, 512; 1x3x3, 512; 1x1x1, 2048] x 3                2048  8 x 7 x 7
    head     average 8x7x7 and 32x7x7; concatenate; linear            2304  1 x 1 x 1

Fast, an eighth as wide:

    s1       5x7x7, stride 1, 2, 2; max-pool 1x3x3, stride 1, 2, 2       8  32 x 56 x 56
    s2       [3x1x1, 8; 1x3x3, 8; 1x1x1, 32] x 3                        32  32 x 56 x 56
    s3       [3x1x1, 16; 1x3x3, 16; 1x1x1, 64] x 4                      64  32 x 28 x 28
    s4       [3x1x1, 32; 1x3x3, 32; 1x1x1, 128] x 6                    128  32 x 14 x 14
    s5       [3x1x1, 64; 1x3x3, 64; 1x1x1, 256] x 3                    256  32 x 7 x 7

Names fixed by released weights: s{2..5}.pathway{0,1}_res{i} (0 slow, 1 fast), s{1..4}_fuse and,
inside, those that the classes list.
"""

from collections.abc import Sequence
from functools import partial

import torch
import torch.nn.functional as F
from torch import nn

from slowfast.config.node import ConfigNode
from slowfast.models.conv import conv3d, resample
from slowfast.models.families.resnet import (
    FAST,
    SLOW,
    build_from_pathways,
    build_pathway,
    stem_width,
)
from slowfast.models.network import VideoNetwork
from slowfast.models.norm import Norm, build_norm
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


def _check_settings(
    channels: Sequence[int], kernel_t: int, beta_inv: int, *, narrowest: int
) -> None:
    if len(channels) != 2:
        raise ValueError(
            f"DATA.INPUT_CHANNEL_NUM: {channels} has {len(channels)} entries; MODEL.MODEL_NAME "
            "SlowFast has two pathways and takes two, e.g. [3, 3] (one pathway: ResNet, X3D, VoV3D)"
        )
    if kernel_t % 2 == 0:
        raise ValueError(f"SLOWFAST.FUSION_KERNEL_SZ: {kernel_t} must be odd")
    if beta_inv > narrowest:
        raise ValueError(
            f"SLOWFAST.BETA_INV: {beta_inv} must be at most {narrowest}, the smallest "
            "width of the slow pathway"
        )


def build_slowfast(cfg: ConfigNode) -> VideoNetwork:
    """SlowFast of any depth; the slow pathway is the network Slow, MODEL.ARCH is not read."""
    slowfast, resnet = cfg.SLOWFAST, cfg.RESNET
    dim_stem = stem_width(resnet.NUM_GROUPS, resnet.WIDTH_PER_GROUP)
    _check_settings(
        cfg.DATA.INPUT_CHANNEL_NUM,
        slowfast.FUSION_KERNEL_SZ,
        slowfast.BETA_INV,
        narrowest=min(dim_stem, resnet.NUM_GROUPS * resnet.WIDTH_PER_GROUP),
    )

    def thin(dim: int) -> int:
        return FixedWidth(dim // slowfast.BETA_INV)

    slow_clip, fast_clip = map(FixedWidth, cfg.DATA.INPUT_CHANNEL_NUM)
    slow = build_pathway(cfg, SLOW, slow_clip)
    fast = build_pathway(cfg, FAST, fast_clip, number=1, width=thin)
    norm = build_norm(cfg)
    make_lateral = partial(
        FastToSlow,
        ratio=slowfast.FUSION_CONV_CHANNEL_RATIO,
        kernel_t=slowfast.FUSION_KERNEL_SZ,
        stride=slowfast.ALPHA,
        norm=norm,
    )
    return build_from_pathways(cfg, [slow, fast], norm=norm, make_lateral=make_lateral)
