"""Channel-separated networks, CSN (arXiv 1904.02811): bottlenecks with a depthwise 3x3x3.

ip-CSN-152 on clips of 3 x 32 x 224 x 224 (C x T x H x W); dw stands for depthwise:

    stage    layers                                                  width  output
    s1       3x7x7, stride 1, 2, 2; max-pool 1x3x3, stride 1, 2, 2      64  32 x 56 x 56
    s2       [1x1x1, 64; 1x1x1; 3x3x3 dw; 1x1x1, 256] x 3              256  32 x 56 x 56
    s3       [1x1x1, 128; 1x1x1; 3x3x3 dw; 1x1x1, 512] x 8             512  16 x 28 x 28
    s4       [1x1x1, 256; 1x1x1; 3x3x3 dw; 1x1x1, 1024] x 36          1024  8 x 14 x 14
    s5       [1x1x1, 512; 1x1x1; 3x3x3 dw; 1x1x1, 2048] x 3           2048  4 x 7 x 7
    head     average 4x7x7; linear                                    2048  1 x 1 x 1

The interaction-reduced networks, ir-CSN, have no 1x1x1 of their own before the depthwise
convolution. Batch norms have eps 1e-3 in VMZ and mmaction2, 1e-5 in pytorchvideo, whose head also
averages scores of windows as large as the maps of training clips.

Names that released weights are given: s{2..5}.pathway0_res{i}, and those that the classes list.
"""

from functools import partial

import torch
from torch import nn

from slowfast.config.node import ConfigNode
from slowfast.models.blocks import BlockSpec, BottleneckAround, ResNetStem
from slowfast.models.conv import Triple, conv3d
from slowfast.models.families.r3d import build_residual, single_pathway_stages, stage_table
from slowfast.models.network import VideoNetwork, residual_blocks, single_pathway_channels
from slowfast.models.norm import Norm, build_norm, with_constants

# CSN.VARIANT -> eps of batch norms, and frames of a clip per frame of a window of the head, 0 for
# an average of the whole map.
_VARIANTS = {"vmz": (1e-3, 0), "pytorchvideo": (1e-5, 8)}
_MOMENTUM = 0.1


class SeparatedConv(nn.Module):
    """Depthwise 3x3x3; interaction-preserved: a 1x1x1 and its batch norm before, without ReLU.

    Names that released weights are given: point, point_bn, depthwise.
    """

    def __init__(self, dim: int, *, stride: Triple, is_preserved: bool, norm: Norm):
        super().__init__()
        self.point = self.point_bn = None
        if is_preserved:
            self.point = conv3d(dim, dim, 1)
            self.point_bn = norm(dim)
        self.depthwise = conv3d(dim, dim, 3, stride=stride, groups=dim)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.point is not None:
            x = self.point_bn(self.point(x))
        return self.depthwise(x)


def csn_branch(block: BlockSpec, *, is_preserved: bool, norm: Norm) -> BottleneckAround:
    """The bottleneck around a channel-separated convolution."""
    middle = SeparatedConv(
        block.dim_inner, stride=block.strides, is_preserved=is_preserved, norm=norm
    )
    return BottleneckAround(block, middle, norm=norm)


def build_csn(cfg: ConfigNode) -> VideoNetwork:
    """The network of CSN.KIND, ip or ir, and RESNET.DEPTH."""
    resnet, csn = cfg.RESNET, cfg.CSN
    dim_clip = single_pathway_channels(cfg.DATA.INPUT_CHANNEL_NUM, model=cfg.MODEL.MODEL_NAME)
    eps, window_t = _VARIANTS[csn.VARIANT]
    norm = with_constants(build_norm(cfg), eps=eps, momentum=_MOMENTUM)
    dim = resnet.WIDTH_PER_GROUP
    table = stage_table(resnet.DEPTH, dim, expansion=4)
    branch = partial(csn_branch, is_preserved=csn.KIND == "ip", norm=norm)
    stages = single_pathway_stages(
        ResNetStem(dim_clip, dim, kernel_t=3, norm=norm),
        dim,
        table,
        partial(residual_blocks, make_branch=branch, norm=norm),
        drop_connect_rate=cfg.MODEL.DROPCONNECT_RATE,
    )
    return build_residual(cfg, stages, table, window_t=window_t)
