"""ECO-Lite (arXiv 1804.09066): the first third of BNInception on each frame, then a 3D ResNet-18.

On clips of 3 x 16 x 224 x 224 (C x T x H x W):

    stage    layers                                                      width  output
    s1       1x7x7, stride 2                                                64  16 x 112 x 112
    s2       max-pool 3x3, stride 2; 1x1, 64; 3x3, 192                     192  16 x 56 x 56
    s3       max-pool 3x3, stride 2; Inception 3a, 3b; 1x1, 64; 3x3, 96;   128  16 x 28 x 28
             3x3x3, 128; [3x3x3, 128; 3x3x3, 128]
    s4       [3x3x3, 256; 3x3x3, 256] x 2, stride 2 in time, too           256  8 x 14 x 14
    s5       [3x3x3, 512; 3x3x3, 512] x 2, stride 2 in time, too           512  4 x 7 x 7
    head     average; linear                                               512  1 x 1 x 1

Residuals are added before batch norm and ReLU, and what the next block adds to is the sum itself;
convolutions have biases. The stages of frames are those of bninception.py.

Names that released weights are given by checkpoint/frame_networks.py: s3.pathway0_{mixed3a,mixed3b,
reduce3c,conv3c}, s{3,4,5}.pathway0_blocks, and those that the class lists.
"""

from collections.abc import Iterator

import torch.nn.functional as F
from torch import Tensor, nn

from slowfast.config.checks import register_rule
from slowfast.config.node import ConfigNode
from slowfast.models.conv import conv3d
from slowfast.models.families.bninception import MIXED, CeilMaxPool, ConvUnit, Mixed, first_stages
from slowfast.models.heads import AveragePool, MeanLogitsHead, build_classifier, build_pool
from slowfast.models.network import (
    Stage,
    VideoNetwork,
    assemble,
    build_init,
    refuse_nonlocal,
    single_pathway_channels,
)
from slowfast.models.norm import Norm, build_norm

_NAME = "ECO"
_DIM_REDUCED, _DIM_FRAME = 64, 96  # of the two convolutions of 3c that are left
_DIMS = {"s3": 128, "s4": 256, "s5": 512}


class ResidualPair(nn.Module):
    """Two residual blocks of 3x3x3 convolutions, the first of which has the stride.

    `has_branch` False: of the first, only the convolution of its shortcut.
    Names that released weights are given: down, a1, a1_bn, a2, a_bn, b1, b1_bn, b2, b_bn.
    """

    def __init__(self, dim_in: int, dim: int, *, stride: int, has_branch: bool, norm: Norm):
        super().__init__()
        self.has_branch = has_branch
        self.down = conv3d(dim_in, dim, 3, stride=stride, bias=True)
        if has_branch:
            self.a1 = conv3d(dim_in, dim, 3, stride=stride, bias=True)
            self.a1_bn = norm(dim)
            self.a2 = conv3d(dim, dim, 3, bias=True)
        self.a_bn = norm(dim)
        self.b1 = conv3d(dim, dim, 3, bias=True)
        self.b1_bn = norm(dim)
        self.b2 = conv3d(dim, dim, 3, bias=True)
        self.b_bn = norm(dim)

    def forward(self, x: Tensor) -> Tensor:
        total = self.down(x)
        if self.has_branch:
            total = total + self.a2(F.relu(self.a1_bn(self.a1(x)), inplace=True))
        x = F.relu(self.a_bn(total), inplace=True)
        total = total + self.b2(F.relu(self.b1_bn(self.b1(x)), inplace=True))
        return F.relu(self.b_bn(total), inplace=True)


def eco_stages(dim_clip: int, *, norm: Norm) -> dict[str, nn.Module]:
    """The stages s1 ... s5 by name."""
    modules, dim = first_stages(dim_clip, norm=norm)
    frames: dict[str, nn.Module] = {"pool": CeilMaxPool()}
    for key in ("mixed3a", "mixed3b"):
        frames[key] = Mixed(dim, MIXED["s3"][key], norm=norm)
        dim = MIXED["s3"][key].dims_out(dim)
    frames["reduce3c"] = ConvUnit(dim, _DIM_REDUCED, 1, norm=norm)
    frames["conv3c"] = ConvUnit(_DIM_REDUCED, _DIM_FRAME, 3, norm=norm)
    dim = _DIM_FRAME
    for name, width in _DIMS.items():
        is_first = name == "s3"
        stride = 1 if is_first else 2
        pair = ResidualPair(dim, width, stride=stride, has_branch=not is_first, norm=norm)
        modules[name] = Stage([{**(frames if is_first else {}), "blocks": pair}])
        dim = width
    return modules


@register_rule("MODEL.MODEL_NAME", "MODEL.DROPCONNECT_RATE", "RESNET")
def check_eco(name: str, drop_rate: float, resnet: ConfigNode) -> Iterator[str]:
    """Check that nothing is asked for that blocks without a last batch norm do not have."""
    if name != _NAME:
        return
    if drop_rate:
        yield f"MODEL.DROPCONNECT_RATE: {drop_rate} must be 0 for {_NAME}"
    for key in ("ZERO_INIT_FINAL_BN", "ZERO_INIT_FINAL_CONV"):
        if resnet[key]:
            yield f"RESNET.{key}: True must be False for {_NAME}, whose residuals end otherwise"


def build_eco(cfg: ConfigNode) -> VideoNetwork:
    """ECO-Lite."""
    refuse_nonlocal(cfg.NONLOCAL.LOCATION, model=_NAME)
    dim_clip = single_pathway_channels(cfg.DATA.INPUT_CHANNEL_NUM, model=_NAME)
    stages = eco_stages(dim_clip, norm=build_norm(cfg))
    pool = build_pool(cfg, AveragePool(None), map_stride=32)
    head = MeanLogitsHead(pool, build_classifier(cfg, [_DIMS["s5"]]))
    return assemble(stages, head, build_init(cfg))
