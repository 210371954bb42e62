"""Small layers that several families share."""

import torch
import torch.nn.functional as F
from torch import nn

from slowfast.models.conv import Triple, conv3d, max_pool3d
from slowfast.models.widths import Dims, parts_of


def round_width(width: int, factor: float, *, divisor: int = 8) -> int:
    """Nearest multiple of `divisor` to `width * factor`: at least one, and at least 0.9 of that."""
    exact = width * factor
    rounded = max(divisor, int(exact + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * exact else rounded


class Linear(nn.Linear):
    """nn.Linear of a concatenation of `dim_in` features; a narrow network keeps all outputs."""

    def __init__(self, dim_in: Dims, dim_out: int):
        super().__init__(sum(parts_of(dim_in)), dim_out)
        self.dims_in = parts_of(dim_in)


class SqueezeExcitation(nn.Module):
    """Scales each channel by a gate computed from the means of all channels (arXiv 1709.01507).

    Names fixed by released weights: fc1, fc2.
    """

    def __init__(self, dim: int, ratio: float):
        super().__init__()
        dim_hidden = round_width(dim, ratio)
        self.fc1 = conv3d(dim, dim_hidden, 1, bias=True)
        self.fc2 = conv3d(dim_hidden, dim, 1, bias=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        gate = x.mean((2, 3, 4), keepdim=True)  # N,C,T,H,W -> N,C,1,1,1
        gate = F.relu(self.fc1(gate), inplace=True)
        return x * torch.sigmoid(self.fc2(gate))


class FeatureGate(nn.Module):
    """x * sigmoid(W mean(x) + b), the mean over time and space (arXiv 1712.04851, feature gating).

    Squeeze-excitation without the narrow layer in between.
    """

    def __init__(self, dim: int):
        super().__init__()
        self.fc = conv3d(dim, dim, 1, bias=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        mean = x.mean((2, 3, 4), keepdim=True)  # N,C,T,H,W -> N,C,1,1,1
        return x * torch.sigmoid(self.fc(mean))


class MaxPool3d(nn.Module):
    """Max-pool of windows side by side, no larger than the map.

    What does not fill a window at the end is left out.
    """

    def __init__(self, kernel: Triple):
        super().__init__()
        self.kernel = kernel

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        kernel = tuple(map(min, self.kernel, x.shape[2:]))
        return max_pool3d(x, kernel, stride=kernel, padding=(0, 0, 0))


class OverlappingMaxPool3d(nn.Module):
    """Max-pool of windows that start half a window before the map and go on by `stride`."""

    def __init__(self, kernel: Triple, *, stride: Triple):
        super().__init__()
        self.kernel, self.stride = kernel, stride
        self.padding = tuple(size // 2 for size in kernel)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return max_pool3d(x, self.kernel, stride=self.stride, padding=self.padding)


def drop_connect(x: torch.Tensor, rate: float) -> torch.Tensor:
    """Zero whole samples of `x` with probability `rate`; scale the others to keep the mean.

    Stochastic depth (arXiv 1603.09382), for training only.
    """
    keep = torch.rand(x.shape[0], 1, 1, 1, 1, device=x.device) >= rate
    return x * (keep.to(x.dtype) / (1.0 - rate))
