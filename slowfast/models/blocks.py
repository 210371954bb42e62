"""Stems, the residual block and its branches, and what bottlenecks of X3D and VoV3D share."""

from collections.abc import Callable, Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import nn

from slowfast.models.conv import conv3d, max_pool3d
from slowfast.models.layers import SqueezeExcitation, drop_connect
from slowfast.models.widths import Dims, FixedWidth, parts_of

Norm = Callable[[int], nn.Module]


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


Middle = Callable[..., dict[str, nn.Module]]
Kernel = tuple[int, int, int]

# Kernels in the middle of a bottleneck: space and time at once, space first, time first.
KERNELS_3D: tuple[Kernel, ...] = ((3, 3, 3),)
SPACE_THEN_TIME: tuple[Kernel, ...] = ((1, 3, 3), (3, 1, 1))
KERNELS_1PLUS2: tuple[Kernel, ...] = ((3, 1, 1), (1, 3, 3))


def depthwise_layers(
    dim: int,
    *,
    stride: int,
    dilation: int,
    index: int,
    kernels: Sequence[Kernel],
    is_depthwise: bool,
    norm: Norm,
    se_ratio: float,
) -> dict[str, nn.Module]:
    """What lies between the 1x1x1 convolutions of X3D's and VoV3D's bottlenecks, by name, in order.

    Convolutions of `dim` channels with nothing between them (spatial `stride` and `dilation` are
    those of the kernel that spans space), batch norm, squeeze-excitation where `index` is even
    (`se_ratio` 0: nowhere). Names fixed by released weights: b (b1 and b2 for two kernels), b_bn,
    se.
    """
    groups = dim if is_depthwise else 1
    names = ["b"] if len(kernels) == 1 else ["b1", "b2"]
    modules = {}
    for name, kernel in zip(names, kernels, strict=True):
        steps = {}
        if kernel[1] > 1:
            steps = {"stride": (1, stride, stride), "dilation": (1, dilation, dilation)}
        modules[name] = conv3d(dim, dim, kernel, groups=groups, **steps)
    modules["b_bn"] = norm(dim)
    if se_ratio > 0.0 and index % 2 == 0:
        modules["se"] = SqueezeExcitation(dim, se_ratio)
    return modules


class MobileBottleneck(nn.Module):
    """Base of bottlenecks with a `depthwise_layers`, whose modules lie beside their own."""

    def _add_middle(self, middle: Mapping[str, nn.Module]) -> None:
        self._middle_names = tuple(middle)
        for name, module in middle.items():
            self.add_module(name, module)

    def _middle(self, x: torch.Tensor) -> torch.Tensor:
        for name in self._middle_names:
            x = getattr(self, name)(x)
        return F.silu(x, inplace=True)


class ResBlock(nn.Module):
    """relu(shortcut(x) + branch(x)); the shortcut is a convolution where the shape changes.

    The branch has properties `final_conv` and `final_norm`, its last layers, for zero
    initialisation.
    Names fixed by released weights: branch1, branch1_bn (the shortcut), branch2 (the branch).
    """

    def __init__(
        self,
        dim_in: Dims,
        dim_out: int,
        *,
        stride: int,
        branch: nn.Module,
        norm: Norm,
        drop_connect_rate: float,
    ):
        super().__init__()
        self.has_projection = sum(parts_of(dim_in)) != dim_out or stride != 1
        if self.has_projection:
            self.branch1 = conv3d(dim_in, dim_out, 1, stride=(1, stride, stride))
            self.branch1_bn = norm(dim_out)
        self.branch2 = branch
        self.drop_connect_rate = drop_connect_rate

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        branch = self.branch2(x)
        if self.training and self.drop_connect_rate > 0.0:
            branch = drop_connect(branch, self.drop_connect_rate)
        shortcut = self.branch1_bn(self.branch1(x)) if self.has_projection else x
        return F.relu(shortcut + branch, inplace=True)


class HasFinalConv:
    """A residual branch whose last layers are the convolution `c` and its batch norm `c_bn`."""

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
        self,
        dim_in: Dims,
        dim_out: int,
        *,
        dim_inner: int,
        kernel_t: int,
        stride: int,
        dilation: int,
        groups: int,
        strides_first: bool,
        norm: Norm,
    ):
        super().__init__()
        stride_a, stride_b = (stride, 1) if strides_first else (1, stride)
        self.a = conv3d(dim_in, dim_inner, (kernel_t, 1, 1), stride=(1, stride_a, stride_a))
        self.a_bn = norm(dim_inner)
        self.b = conv3d(
            dim_inner,
            dim_inner,
            (1, 3, 3),
            stride=(1, stride_b, stride_b),
            dilation=(1, dilation, dilation),
            groups=groups,
        )
        self.b_bn = norm(dim_inner)
        self.c = conv3d(dim_inner, dim_out, 1)
        self.c_bn = norm(dim_out)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.a_bn(self.a(x)), inplace=True)
        x = F.relu(self.b_bn(self.b(x)), inplace=True)
        return self.c_bn(self.c(x))


class BasicBranch(nn.Module):
    """Residual branch: kx3x3 (k = `kernel_t`) with the stride, 1x3x3, each with batch norm.

    Names fixed by released weights: a, a_bn, b, b_bn.
    """

    def __init__(
        self, dim_in: Dims, dim_out: int, *, kernel_t: int, stride: int, dilation: int, norm: Norm
    ):
        super().__init__()
        dilation_hw = (1, dilation, dilation)
        self.a = conv3d(
            dim_in, dim_out, (kernel_t, 3, 3), stride=(1, stride, stride), dilation=dilation_hw
        )
        self.a_bn = norm(dim_out)
        self.b = conv3d(dim_out, dim_out, (1, 3, 3), dilation=dilation_hw)
        self.b_bn = norm(dim_out)

    @property
    def final_conv(self) -> nn.Module:
        return self.b

    @property
    def final_norm(self) -> nn.Module:
        return self.b_bn

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.a_bn(self.a(x)), inplace=True)
        return self.b_bn(self.b(x))
