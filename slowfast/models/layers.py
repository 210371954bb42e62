"""Layers that any family may use between its convolutions."""

import torch
import torch.nn.functional as F
from torch import nn

from slowfast.models.conv import Triple, conv3d, max_pool3d
from slowfast.models.norm import Norm
from slowfast.models.widths import Dims, parts_of

# NONLOCAL.INSTANTIATION
INSTANTIATIONS = ("dot_product", "softmax")


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


class NonLocal(nn.Module):
    """Attention over all positions of a map (arXiv 1711.07971): x + bn(conv_out(attention(x))).

    The inner width is half of `dim`; keys and values are max-pooled by `pool`. The clip is cut into
    `num_groups` runs of frames, each of which sees only itself. `instantiation` softmax: scaled dot
    products; dot_product: divided by their number.
    Names fixed by released weights: conv_theta, conv_phi, conv_g, conv_out, bn.
    """

    def __init__(self, dim: int, *, pool: Triple, instantiation: str, num_groups: int, norm: Norm):
        super().__init__()
        if instantiation not in INSTANTIATIONS:
            raise ValueError(
                f"NONLOCAL.INSTANTIATION: {instantiation!r} is not one of {list(INSTANTIATIONS)}"
            )
        dim_inner = dim // 2
        self.instantiation = instantiation
        self.num_groups = num_groups
        self.conv_theta = conv3d(dim, dim_inner, 1, bias=True)
        self.conv_phi = conv3d(dim, dim_inner, 1, bias=True)
        self.conv_g = conv3d(dim, dim_inner, 1, bias=True)
        self.conv_out = conv3d(dim_inner, dim, 1, bias=True)
        self.bn = norm(dim)
        self.pool = MaxPool3d(pool)

    @property
    def final_norm(self) -> nn.Module:
        return self.bn

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        num_clips, _, num_t = x.shape[:3]
        if self.num_groups == 1:
            return x + self._attend(x)
        if num_t % self.num_groups:
            raise ValueError(
                f"NONLOCAL.GROUP: {self.num_groups} does not divide the {num_t} frames of a map"
            )
        runs = x.transpose(1, 2).unflatten(1, (self.num_groups, -1))  # N,runs,T/runs,C,H,W
        runs = self._attend(runs.flatten(0, 1).transpose(1, 2)).transpose(1, 2)
        return x + runs.unflatten(0, (num_clips, -1)).flatten(1, 2).transpose(1, 2)

    def _attend(self, x: torch.Tensor) -> torch.Tensor:
        pooled = self.pool(x)
        queries = _rows(self.conv_theta(x))
        keys, values = _rows(self.conv_phi(pooled)), _rows(self.conv_g(pooled))
        weights = torch.bmm(queries, keys.transpose(1, 2))  # N,positions,pooled positions
        if self.instantiation == "softmax":
            weights = (weights * queries.shape[-1] ** -0.5).softmax(-1)
        else:
            weights = weights / weights.shape[-1]
        out = torch.bmm(weights, values)
        out = out.unflatten(1, x.shape[2:]).permute(0, 4, 1, 2, 3)  # N,T,H,W,C -> N,C,T,H,W
        return self.bn(self.conv_out(out))


def _rows(x: torch.Tensor) -> torch.Tensor:
    return x.permute(0, 2, 3, 4, 1).flatten(1, 3)  # N,C,T,H,W -> N,T*H*W,C


def drop_connect(x: torch.Tensor, rate: float) -> torch.Tensor:
    """Zero whole samples of `x` with probability `rate`; scale the others to keep the mean.

    Stochastic depth (arXiv 1603.09382), for training only.
    """
    keep = torch.rand(x.shape[0], *[1] * (x.ndim - 1), device=x.device) >= rate
    return x * (keep.to(x.dtype) / (1.0 - rate))
