"""First layers of the networks."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import nn

from slowfast.models.blocks import Norm
from slowfast.models.conv import conv3d, max_pool3d
from slowfast.models.widths import FixedWidth


class X3DStem(nn.Module):
    """A 1x3x3 convolution of stride 2, a depthwise 5x1x1 one right after it, batch norm, ReLU.

    The tables of X3D's paper (arXiv 2004.04730) print 3x1x1; 5x1x1 gives its published counts.
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


class ResNetStem(nn.Module):
    """A kx7x7 convolution (k = `kernel_t`) of stride 2, batch norm, ReLU, 1x3x3 max-pool, stride 2.

    Names fixed by released weights: conv, bn.
    """

    stride = 4

    def __init__(self, dim_in: int, dim_out: int, *, kernel_t: int, norm: Norm):
        super().__init__()
        self.conv = conv3d(dim_in, dim_out, (kernel_t, 7, 7), stride=(1, 2, 2))
        self.bn = norm(dim_out)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.bn(self.conv(x)), inplace=True)
        return max_pool3d(x, (1, 3, 3), stride=(1, 2, 2), padding=(0, 1, 1))


def single_pathway_channels(input_channels: Sequence[int], *, model: str) -> int:
    """Input channels of a model with one pathway, from DATA.INPUT_CHANNEL_NUM."""
    if len(input_channels) != 1:
        raise ValueError(
            f"DATA.INPUT_CHANNEL_NUM: {list(input_channels)} has {len(input_channels)} entries; "
            f"MODEL.MODEL_NAME {model} has one pathway and takes one entry, e.g. [3]"
        )
    return FixedWidth(input_channels[0])
