"""Non-local block: attention over all positions of a map (arXiv 1711.07971)."""

import torch
from torch import nn

from slowfast.models.blocks import Norm
from slowfast.models.conv import Triple, conv3d
from slowfast.models.layers import MaxPool3d

# NONLOCAL.INSTANTIATION
INSTANTIATIONS = ("dot_product", "softmax")


class NonLocal(nn.Module):
    """x + bn(conv_out(attention(x))), the inner width half of `dim`.

    Keys and values are max-pooled by `pool`. The clip is cut into `num_groups` runs of frames, each
    of which sees only itself. softmax: scaled dot products; dot_product: divided by their number.
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
