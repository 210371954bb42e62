"""TEA (arXiv 2004.01398): a Res2Net of frames whose blocks excite motion and look along time.

TEA on clips of 3 x 16 x 224 x 224 (C x T x H x W), one frame of each of 16 segments:

    stage      layers                                                  width  output
    s1         1x7x7, stride 1, 2, 2; max-pool 1x3x3, stride 1, 2, 2      64  16 x 56 x 56
    s2         [1x1x1, 4 x 26; ME; MTA; 1x1x1, 256] x 3                  256  16 x 56 x 56
    s3         [1x1x1, 4 x 52; ME; MTA; 1x1x1, 512] x 4                  512  16 x 28 x 28
    s4         [1x1x1, 4 x 104; ME; MTA; 1x1x1, 1024] x 6               1024  16 x 14 x 14
    s5         [1x1x1, 4 x 208; ME; MTA; 1x1x1, 2048] x 3               2048  16 x 7 x 7
    head       average 1x7x7; linear; mean over the frames' logits      2048  16 x 1 x 1

ME, motion excitation, scales channels by how their features differ from the next frame's. MTA,
multiple temporal aggregation, splits the channels into four groups, of which each but the last is

    group + output of the group before; depthwise 3x1x1; 1x3x3; batch norm; ReLU

In the first block of a stage nothing is added, and the last group goes through a depthwise 3x1x1
and an average of 1x3x3 with the stride of the block, in all others through the 3x1x1 alone.

Names that released weights are given: those of resnet.py, and in a block those of the classes.
"""

from collections.abc import Iterator, Sequence
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from slowfast.config.checks import register_rule
from slowfast.config.node import ConfigNode
from slowfast.models.blocks import BlockSpec, HasFinalConv
from slowfast.models.conv import avg_pool2d, conv3d
from slowfast.models.families.resnet import C2D, build_pathway, resnet_blocks, resnet_stages
from slowfast.models.families.tsn import build_consensus_head
from slowfast.models.network import (
    VideoNetwork,
    assemble,
    build_init,
    refuse_nonlocal,
    single_pathway_channels,
)
from slowfast.models.norm import Norm, build_norm
from slowfast.models.widths import FixedWidth

_NAME = "TEA"
_SCALE = 4  # groups of MTA
_GROUP_WIDTH, _BOTTLENECK_WIDTH = 26, 64  # channels of a group where a ResNet's bottleneck has 64
_REDUCTION = 16  # of ME


class MotionExcitation(nn.Module):
    """x + x * (sigmoid(motion) - 0.5): the features of the next frame less those of this one.

    Features are of a 1/16 of the channels, the next frame's through a depthwise 1x3x3, and their
    difference is averaged over space; in the last frame it is 0.
    Names that released weights are given: squeeze, squeeze_bn, spatial, expand, expand_bn.
    """

    def __init__(self, dim: int, *, norm: Norm):
        super().__init__()
        dim_motion = FixedWidth(max(dim // _REDUCTION, 1))
        self.squeeze = conv3d(dim, dim_motion, 1)
        self.squeeze_bn = norm(dim_motion)
        self.spatial = conv3d(dim_motion, dim_motion, (1, 3, 3), groups=dim_motion)
        self.expand = conv3d(dim_motion, dim, 1)
        self.expand_bn = norm(dim)

    def forward(self, x: Tensor) -> Tensor:
        features = self.squeeze_bn(self.squeeze(x))
        motion = self.spatial(features)[:, :, 1:] - features[:, :, :-1]
        motion = F.pad(motion.mean((3, 4), keepdim=True), (0, 0, 0, 0, 0, 1))  # N,C,T,1,1
        return x + x * (torch.sigmoid(self.expand_bn(self.expand(motion))) - 0.5)


class TemporalConv(nn.Module):
    """A depthwise 3x1x1, that starts as the identity, or as a shift.

    The shift: the first half of the channels comes from the next frame, the rest from the one
    before.
    Names that released weights are given: conv.
    """

    def __init__(self, dim: int, *, is_shift: bool):
        super().__init__()
        self.is_shift = is_shift
        self.conv = conv3d(dim, dim, (3, 1, 1), groups=dim)

    @torch.no_grad()
    def draw_weights(self) -> None:
        """Start as the class says."""
        weight = self.conv.weight.zero_()
        if not self.is_shift:
            weight[:, :, 1] = 1
            return
        half = len(weight) // 2
        weight[:half, :, 2] = 1
        weight[half:, :, 0] = 1

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)


class TEABranch(HasFinalConv, nn.Module):
    """Residual branch of TEA: 1x1x1, ME, MTA, 1x1x1.

    A narrow network keeps the channels between the two 1x1x1 whole.
    Names that released weights are given: a, a_bn, me, times, convs, bns, c, c_bn.
    """

    def __init__(self, block: BlockSpec, *, kernel_t: int, norm: Norm):
        super().__init__()
        del kernel_t  # 1
        dim = FixedWidth(max(block.dim_inner * _GROUP_WIDTH // _BOTTLENECK_WIDTH, 1))
        whole = FixedWidth(_SCALE * dim)
        self.dim, self.stride, self.is_first = int(dim), block.stride, block.index == 0
        self.a = conv3d(block.dim_in, whole, 1)
        self.a_bn = norm(whole)
        self.me = MotionExcitation(whole, norm=norm)
        self.times = nn.ModuleList(
            TemporalConv(dim, is_shift=group == _SCALE - 1) for group in range(_SCALE)
        )
        stride, dilation = (1, block.stride, block.stride), (1, block.dilation, block.dilation)
        spatial = {"stride": stride, "dilation": dilation}
        self.convs = nn.ModuleList(
            conv3d(dim, dim, (1, 3, 3), **spatial) for _ in range(_SCALE - 1)
        )
        self.bns = nn.ModuleList(norm(dim) for _ in range(_SCALE - 1))
        self.c = conv3d(whole, block.dim_out, 1)
        self.c_bn = norm(block.dim_out)

    def forward(self, x: Tensor) -> Tensor:
        x = self.me(F.relu(self.a_bn(self.a(x)), inplace=True))
        return self.c_bn(self.c(torch.cat(self._aggregate(x.split(self.dim, 1)), 1)))

    def _aggregate(self, groups: Sequence[Tensor]) -> list[Tensor]:
        *inner, last = groups
        outputs: list[Tensor] = []
        for group, time, conv, bn in zip(inner, self.times, self.convs, self.bns, strict=False):
            if outputs and not self.is_first:
                group = group + outputs[-1]
            outputs.append(F.relu(bn(conv(time(group))), inplace=True))
        last = self.times[-1](last)
        return [*outputs, avg_pool2d(last, 3, stride=self.stride) if self.is_first else last]


@register_rule("MODEL.MODEL_NAME", "RESNET")
def check_tea(name: str, resnet: ConfigNode) -> Iterator[str]:
    """Check that blocks are those of Res2Net."""
    fixed = {"TRANS_FUNC": "bottleneck_transform", "NUM_GROUPS": 1, "STRIDE_1X1": False}
    for key, value in fixed.items():
        if name == _NAME and resnet[key] != value:
            yield f"RESNET.{key}: {resnet[key]!r} must be {value!r} for {_NAME}"


def build_tea(cfg: ConfigNode) -> VideoNetwork:
    """TEA of RESNET.DEPTH layers."""
    norm = build_norm(cfg)
    refuse_nonlocal(cfg.NONLOCAL.LOCATION, model=_NAME)
    dim_clip = single_pathway_channels(cfg.DATA.INPUT_CHANNEL_NUM, model=_NAME)
    pathway = build_pathway(cfg, C2D, dim_clip)
    make_branch = partial(TEABranch, norm=norm)
    stages = resnet_stages(
        [pathway],
        partial(resnet_blocks, make_branch=make_branch, make_nonlocal=None, norm=norm),
        norm=norm,
        drop_connect_rate=cfg.MODEL.DROPCONNECT_RATE,
    )
    head = build_consensus_head(cfg, pathway.dim_out, map_stride=pathway.map_stride)
    return assemble(stages, head, build_init(cfg))
