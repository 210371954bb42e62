"""Residual blocks that several families share: the stem of ResNets, the block, two branches."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from slowfast.models.conv import Triple, conv3d, max_pool3d
from slowfast.models.layers import drop_connect
from slowfast.models.norm import Norm
from slowfast.models.widths import Dims, parts_of


@dataclass(frozen=True, slots=True)
class BlockSpec:
    """Block number `index` of a stage: its channels, spatial stride and dilation, temporal stride.

    Most branches leave the frames as many as they are.
    """

    index: int
    dim_in: Dims
    dim_inner: int
    dim_out: int
    stride: int
    dilation: int
    stride_t: int = 1

    @property
    def strides(self) -> Triple:
        """In T, H and W."""
        return (self.stride_t, self.stride, self.stride)


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


class ResBlock(nn.Module):
    """relu(shortcut(x) + branch(x)); the shortcut is a convolution where the shape changes.

    `make_shortcut` makes it, called like conv3d.
    Names fixed by released weights: branch1, branch1_bn (the shortcut), branch2 (the branch).
    """

    def __init__(
        self,
        block: BlockSpec,
        branch: nn.Module,
        *,
        norm: Norm,
        drop_connect_rate: float,
        make_shortcut: Callable[..., nn.Module] = conv3d,
    ):
        super().__init__()
        dim_in, dim_out, strides = block.dim_in, block.dim_out, block.strides
        self.has_projection = sum(parts_of(dim_in)) != dim_out or strides != (1, 1, 1)
        if self.has_projection:
            self.branch1 = make_shortcut(dim_in, dim_out, 1, stride=strides)
            self.branch1_bn = norm(dim_out)
        self.branch2 = branch
        self.drop_connect_rate = drop_connect_rate

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self._add(self.shortcut(x), self.branch2(x))

    def shortcut(self, x: torch.Tensor) -> torch.Tensor:
        """The input in the shape of the output."""
        return self.branch1_bn(self.branch1(x)) if self.has_projection else x

    def _add(self, shortcut: torch.Tensor, branch: torch.Tensor) -> torch.Tensor:
        if self.training and self.drop_connect_rate > 0.0:
            branch = drop_connect(branch, self.drop_connect_rate)
        return F.relu(shortcut + branch, inplace=True)


class HasFinalConv:
    """A residual branch whose last layers are the convolution `c` and its batch norm `c_bn`.

    Under `final_conv` and `final_norm` the initial weights find them (see network.init_weights).
    """

    @property
    def final_conv(self) -> nn.Module:
        return self.c

    @property
    def final_norm(self) -> nn.Module:
        return self.c_bn


class BottleneckBranch(HasFinalConv, nn.Module):
    """Residual branch: kx1x1 (k = `kernel_t`), 1x3x3, 1x1x1, each with batch norm, ReLU between.

    The spatial stride is that of the 1x3x3, or with `strides_first` of the kx1x1 before it.
    Names fixed by released weights: a, a_bn, b, b_bn, c, c_bn.
    """

    def __init__(
        self, block: BlockSpec, *, kernel_t: int, groups: int, strides_first: bool, norm: Norm
    ):
        super().__init__()
        dim_inner = block.dim_inner
        if dim_inner % groups:
            raise ValueError(
                f"RESNET.NUM_GROUPS: {groups} does not divide the inner width {dim_inner} of a "
                "block"
            )
        stride_a, stride_b = (block.stride, 1) if strides_first else (1, block.stride)
        self.a = conv3d(block.dim_in, dim_inner, (kernel_t, 1, 1), stride=(1, stride_a, stride_a))
        self.a_bn = norm(dim_inner)
        self.b = conv3d(
            dim_inner,
            dim_inner,
            (1, 3, 3),
            stride=(1, stride_b, stride_b),
            dilation=(1, block.dilation, block.dilation),
            groups=groups,
        )
        self.b_bn = norm(dim_inner)
        self.c = conv3d(dim_inner, block.dim_out, 1)
        self.c_bn = norm(block.dim_out)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.a_bn(self.a(x)), inplace=True)
        x = F.relu(self.b_bn(self.b(x)), inplace=True)
        return self.c_bn(self.c(x))


class BottleneckAround(HasFinalConv, nn.Module):
    """Residual branch: 1x1x1, `middle`, 1x1x1, each with batch norm, ReLU between.

    `middle` has the strides and keeps the inner width.
    Names fixed by released weights: a, a_bn, b (the middle), b_bn, c, c_bn.
    """

    def __init__(self, block: BlockSpec, middle: nn.Module, *, norm: Norm):
        super().__init__()
        self.a = conv3d(block.dim_in, block.dim_inner, 1)
        self.a_bn = norm(block.dim_inner)
        self.b = middle
        self.b_bn = norm(block.dim_inner)
        self.c = conv3d(block.dim_inner, block.dim_out, 1)
        self.c_bn = norm(block.dim_out)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.a_bn(self.a(x)), inplace=True)
        x = F.relu(self.b_bn(self.b(x)), inplace=True)
        return self.c_bn(self.c(x))


class BasicBranch(nn.Module):
    """Residual branch: kx3x3 (k = `kernel_t`) with the stride, 1x3x3, each with batch norm.

    Names fixed by released weights: a, a_bn, b, b_bn.
    """

    def __init__(self, block: BlockSpec, *, kernel_t: int, norm: Norm):
        super().__init__()
        dim, stride = block.dim_out, (1, block.stride, block.stride)
        dilation = (1, block.dilation, block.dilation)
        self.a = conv3d(block.dim_in, dim, (kernel_t, 3, 3), stride=stride, dilation=dilation)
        self.a_bn = norm(dim)
        self.b = conv3d(dim, dim, (1, 3, 3), dilation=dilation)
        self.b_bn = norm(dim)

    @property
    def final_conv(self) -> nn.Module:
        return self.b

    @property
    def final_norm(self) -> nn.Module:
        return self.b_bn

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.a_bn(self.a(x)), inplace=True)
        return self.b_bn(self.b(x))
