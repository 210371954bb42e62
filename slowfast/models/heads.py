"""Heads: from the last maps to one row of logits or scores per clip."""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import nn

from slowfast.config.node import ConfigNode
from slowfast.config.pathways import pathway_strides
from slowfast.models.blocks import Norm
from slowfast.models.conv import Triple, conv3d

# MODEL.HEAD_ACT: what turns the logits (classes last) into scores in evaluation.
ACTIVATIONS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "softmax": lambda logits: logits.softmax(-1),
    "sigmoid": torch.sigmoid,
    "none": lambda logits: logits,
}


class ClassifierHead(nn.Module):
    """Base of heads that classify every position of a map, then average over positions.

    In training the logits are averaged; in evaluation the activation comes first. Half-precision
    logits become float32. Names fixed by released weights: projection.
    """

    def __init__(self, *, dropout_rate: float, activation: str):
        super().__init__()
        if activation not in ACTIVATIONS:
            raise ValueError(f"MODEL.HEAD_ACT: {activation!r} is not one of {sorted(ACTIVATIONS)}")
        self.dropout_rate = dropout_rate
        self.activation = activation

    def _classify(self, x: torch.Tensor) -> torch.Tensor:
        x = x.permute(0, 2, 3, 4, 1)  # N,C,T,H,W -> N,T,H,W,C
        logits = self.projection(F.dropout(x, self.dropout_rate, self.training))
        logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
        if not self.training:
            logits = ACTIVATIONS[self.activation](logits)
        return logits.mean((1, 2, 3))  # N,T,H,W,classes -> N,classes


class X3DHead(ClassifierHead):
    """The head of X3D and VoV3D: widen, pool, widen again, classify.

    The average pool has stride 1, so that larger or longer clips give several positions; it shrinks
    to the map where clips are smaller or shorter.
    Names fixed by released weights: conv_5, conv_5_bn, lin_5, lin_5_bn, projection.
    """

    def __init__(
        self,
        dim_in: int,
        dim_inner: int,
        *,
        dim_out: int,
        num_classes: int,
        pool_size: Triple,
        norm: Norm,
        has_bn_lin5: bool,
        dropout_rate: float,
        activation: str,
    ):
        super().__init__(dropout_rate=dropout_rate, activation=activation)
        self.pool_size = pool_size
        self.conv_5 = conv3d(dim_in, dim_inner, 1)
        self.conv_5_bn = norm(dim_inner)
        self.lin_5 = conv3d(dim_inner, dim_out, 1)
        self.lin_5_bn = norm(dim_out) if has_bn_lin5 else None
        self.projection = nn.Linear(dim_out, num_classes)

    def forward(self, maps: list[torch.Tensor]) -> torch.Tensor:
        (x,) = maps
        x = F.relu(self.conv_5_bn(self.conv_5(x)), inplace=True)
        x = self.lin_5(_average(x, self.pool_size))
        if self.lin_5_bn is not None:
            x = self.lin_5_bn(x)
        return self._classify(F.relu(x, inplace=True))


class BasicHead(ClassifierHead):
    """The head of ResNets: pool each pathway, concatenate, classify.

    `pools` holds size T,H,W and temporal stride of each pathway's average pool; it moves by single
    pixels, so that larger or longer clips give several positions, and shrinks to smaller maps. None
    averages whole maps.
    Names fixed by released weights: projection.
    """

    def __init__(
        self,
        dims_in: Sequence[int],
        *,
        pools: Sequence[tuple[Triple, int]] | None,
        num_classes: int,
        dropout_rate: float,
        activation: str,
    ):
        super().__init__(dropout_rate=dropout_rate, activation=activation)
        self.pools = pools
        self.projection = nn.Linear(sum(dims_in), num_classes)

    def forward(self, maps: list[torch.Tensor]) -> torch.Tensor:
        pools = self.pools or [(x.shape[2:], 1) for x in maps]
        pooled = [
            _average(x, size, stride_t=stride_t)
            for x, (size, stride_t) in zip(maps, pools, strict=True)
        ]
        return self._classify(torch.cat(pooled, 1))


def _average(x: torch.Tensor, size: Triple, *, stride_t: int = 1) -> torch.Tensor:
    """Means over windows of `size` (T,H,W), no larger than the map, that move by 1 in space."""
    size = tuple(map(min, size, x.shape[2:]))
    if size == x.shape[2:]:  # faster than a pool, forward and backward
        return x.mean((2, 3, 4), keepdim=True)
    return F.avg_pool3d(x, size, stride=(stride_t, 1, 1))


def build_x3d_head(cfg: ConfigNode, dim_in: int, dim_inner: int, *, norm: Norm) -> X3DHead:
    """The head for maps at 1/32 of the training crop."""
    extent = -(-cfg.DATA.TRAIN_CROP_SIZE // 32)
    return X3DHead(
        dim_in,
        dim_inner,
        dim_out=cfg.X3D.DIM_C5,
        num_classes=cfg.MODEL.NUM_CLASSES,
        pool_size=(cfg.DATA.NUM_FRAMES, extent, extent),
        norm=norm,
        has_bn_lin5=cfg.X3D.BN_LIN5,
        dropout_rate=cfg.MODEL.DROPOUT_RATE,
        activation=cfg.MODEL.HEAD_ACT,
    )


def build_basic_head(cfg: ConfigNode, dims_in: Sequence[int], *, pool_t: int) -> BasicHead:
    """The head for maps at 1/32 of the training crop, whose time was divided by `pool_t`.

    A network trained on crops of several sizes (MULTIGRID.SHORT_CYCLE) averages whole maps.
    """
    strides, extent = pathway_strides(cfg), cfg.DATA.TRAIN_CROP_SIZE // 32
    lengths = [max(1, cfg.DATA.NUM_FRAMES // stride // pool_t) for stride in strides]
    pools = [
        ((length, extent, extent), strides[0] // stride)
        for length, stride in zip(lengths, strides, strict=True)
    ]
    return BasicHead(
        dims_in,
        pools=None if cfg.MULTIGRID.SHORT_CYCLE else pools,
        num_classes=cfg.MODEL.NUM_CLASSES,
        dropout_rate=cfg.MODEL.DROPOUT_RATE,
        activation=cfg.MODEL.HEAD_ACT,
    )
