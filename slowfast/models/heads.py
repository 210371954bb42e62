"""Heads: from the last maps to one row of logits or scores per clip, or per box."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from slowfast.config.node import ConfigNode
from slowfast.config.pathways import pathway_strides
from slowfast.models.blocks import Norm
from slowfast.models.conv import Triple, conv3d
from slowfast.models.layers import Linear

# MODEL.HEAD_ACT: what turns the logits (classes last) into scores in evaluation.
ACTIVATIONS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "softmax": lambda logits: logits.softmax(-1),
    "sigmoid": torch.sigmoid,
    "none": lambda logits: logits,
}


class ClassifierHead(nn.Module):
    """Base of heads that classify every position of a map, then average over positions.

    Half-precision logits become float32. Names fixed by released weights: projection.
    """

    def __init__(self, *, dropout_rate: float, activation: str):
        super().__init__()
        if activation not in ACTIVATIONS:
            raise ValueError(f"MODEL.HEAD_ACT: {activation!r} is not one of {sorted(ACTIVATIONS)}")
        self.dropout_rate = dropout_rate
        self.activation = activation

    def _logits(self, x: torch.Tensor) -> torch.Tensor:
        """N,C,T,H,W -> N,T,H,W,classes."""
        x = x.permute(0, 2, 3, 4, 1)  # N,C,T,H,W -> N,T,H,W,C
        logits = self.projection(F.dropout(x, self.dropout_rate, self.training))
        return logits.to(torch.promote_types(logits.dtype, torch.float32))

    def _classify(self, x: torch.Tensor) -> torch.Tensor:
        """Mean of the logits; in evaluation the activation comes before the mean."""
        return self._scores(self._logits(x)).mean((1, 2, 3))  # N,T,H,W,classes -> N,classes

    def _scores(self, logits: torch.Tensor) -> torch.Tensor:
        """The logits, in evaluation what the activation makes of them."""
        return logits if self.training else ACTIVATIONS[self.activation](logits)


Pool = Callable[[torch.Tensor, torch.Tensor | None], torch.Tensor]


@dataclass(frozen=True, slots=True)
class AveragePool:
    """Means over windows of `size` (T,H,W), which move by `stride_t` in time, by 1 in space.

    Larger or longer clips so give several positions; the windows shrink to the map where clips are
    smaller or shorter. Size None is that of the map.
    """

    size: Triple | None
    stride_t: int = 1

    def __call__(self, x: torch.Tensor, boxes: torch.Tensor | None) -> torch.Tensor:
        assert boxes is None, "this network classifies whole clips and takes no boxes"
        size = tuple(map(min, self.size or x.shape[2:], x.shape[2:]))
        if size == x.shape[2:]:  # faster than a pool, forward and backward
            return x.mean((2, 3, 4), keepdim=True)
        return F.avg_pool3d(x, size, stride=(self.stride_t, 1, 1))


@dataclass(frozen=True, slots=True)
class RegionPool:
    """One position per box: mean over time, RoIAlign (arXiv 1703.06870), then the largest values.

    Boxes M,5: number of the clip, x1, y1, x2, y2 in pixels of the clip, of which a position of the
    map spans `map_stride`. Samples `resolution` x `resolution` positions, at least in float32.
    """

    map_stride: int
    resolution: int
    is_aligned: bool

    def __call__(self, x: torch.Tensor, boxes: torch.Tensor | None) -> torch.Tensor:
        from torchvision.ops import roi_align

        assert boxes is not None, "this network classifies boxes: pass them beside the clips"
        x = x.mean(2)  # N,C,T,H,W -> N,C,H,W
        x = x.to(torch.promote_types(x.dtype, torch.float32))
        x = roi_align(
            x,
            boxes.to(x.dtype),
            self.resolution,
            spatial_scale=1 / self.map_stride,
            sampling_ratio=0,
            aligned=self.is_aligned,
        )
        return F.max_pool2d(x, self.resolution).unsqueeze(2)  # M,C,R,R -> M,C,1,1,1


class X3DHead(ClassifierHead):
    """The head of X3D and VoV3D: widen, pool, widen again, classify.

    Names fixed by released weights: conv_5, conv_5_bn, lin_5, lin_5_bn, projection.
    """

    def __init__(
        self,
        dim_in: int,
        dim_inner: int,
        *,
        dim_out: int,
        num_classes: int,
        pool: Pool,
        norm: Norm,
        has_bn_lin5: bool,
        dropout_rate: float,
        activation: str,
    ):
        super().__init__(dropout_rate=dropout_rate, activation=activation)
        self.pool = pool
        self.conv_5 = conv3d(dim_in, dim_inner, 1)
        self.conv_5_bn = norm(dim_inner)
        self.lin_5 = conv3d(dim_inner, dim_out, 1)
        self.lin_5_bn = norm(dim_out) if has_bn_lin5 else None
        self.projection = Linear(dim_out, num_classes)

    def forward(self, maps: list[torch.Tensor], boxes: torch.Tensor | None = None) -> torch.Tensor:
        (x,) = maps
        x = F.relu(self.conv_5_bn(self.conv_5(x)), inplace=True)
        x = self.lin_5(self.pool(x, boxes))
        if self.lin_5_bn is not None:
            x = self.lin_5_bn(x)
        return self._classify(F.relu(x, inplace=True))


class BasicHead(ClassifierHead):
    """The head of ResNets: pool each pathway, concatenate, classify.

    Names fixed by released weights: projection.
    """

    def __init__(
        self,
        dims_in: Sequence[int],
        *,
        pools: Sequence[Pool],
        num_classes: int,
        dropout_rate: float,
        activation: str,
    ):
        super().__init__(dropout_rate=dropout_rate, activation=activation)
        self.pools = pools
        self.projection = Linear(dims_in, num_classes)

    def forward(self, maps: list[torch.Tensor], boxes: torch.Tensor | None = None) -> torch.Tensor:
        pooled = [pool(x, boxes) for pool, x in zip(self.pools, maps, strict=True)]
        return self._classify(torch.cat(pooled, 1))


class S3DHead(ClassifierHead):
    """The head of S3D: pool, classify every position; the activation follows the mean of logits."""

    def __init__(
        self,
        dim_in: int,
        *,
        pool: Pool,
        num_classes: int,
        dropout_rate: float,
        activation: str,
    ):
        super().__init__(dropout_rate=dropout_rate, activation=activation)
        self.pool = pool
        self.projection = Linear(dim_in, num_classes)

    def forward(self, maps: list[torch.Tensor], boxes: torch.Tensor | None = None) -> torch.Tensor:
        (x,) = maps
        logits = self._logits(self.pool(x, boxes))
        return self._scores(logits.mean((1, 2, 3)))  # N,T,H,W,classes -> N,classes


def build_region_pool(cfg: ConfigNode, map_stride: int) -> RegionPool:
    """The pool of detection; ValueError unless the config knows the network's `map_stride`."""
    detection = cfg.DETECTION
    if detection.SPATIAL_SCALE_FACTOR != map_stride:
        raise ValueError(
            f"DETECTION.SPATIAL_SCALE_FACTOR: {detection.SPATIAL_SCALE_FACTOR} must be "
            f"{map_stride}, the stride of MODEL.MODEL_NAME {cfg.MODEL.MODEL_NAME} with "
            f"RESNET.SPATIAL_STRIDES {cfg.RESNET.SPATIAL_STRIDES}"
        )
    return RegionPool(map_stride, detection.ROI_XFORM_RESOLUTION, detection.ALIGNED)


def build_x3d_head(
    cfg: ConfigNode, dim_in: int, dim_inner: int, *, map_stride: int, norm: Norm
) -> X3DHead:
    """The head for maps at 1/`map_stride` of the clip: of all the training crop, or of boxes."""
    extent = -(-cfg.DATA.TRAIN_CROP_SIZE // map_stride)
    pool: Pool = AveragePool((cfg.DATA.NUM_FRAMES, extent, extent))
    if cfg.DETECTION.ENABLE:
        if cfg.X3D.BN_LIN5:
            raise ValueError(
                "X3D.BN_LIN5: True must be False with DETECTION.ENABLE True: the number of boxes "
                "in a batch may be 0 or 1"
            )
        pool = build_region_pool(cfg, map_stride)
    return X3DHead(
        dim_in,
        dim_inner,
        dim_out=cfg.X3D.DIM_C5,
        num_classes=cfg.MODEL.NUM_CLASSES,
        pool=pool,
        norm=norm,
        has_bn_lin5=cfg.X3D.BN_LIN5,
        dropout_rate=cfg.MODEL.DROPOUT_RATE,
        activation=cfg.MODEL.HEAD_ACT,
    )


def build_basic_head(
    cfg: ConfigNode, dims_in: Sequence[int], *, map_strides: Sequence[int], pool_t: int
) -> BasicHead:
    """The head for maps at 1/32 of the training crop, whose time was divided by `pool_t`, or boxes.

    A network trained on crops of several sizes (MULTIGRID.SHORT_CYCLE) averages whole maps.
    """
    strides, extent = pathway_strides(cfg), cfg.DATA.TRAIN_CROP_SIZE // 32
    lengths = [max(1, cfg.DATA.NUM_FRAMES // stride // pool_t) for stride in strides]
    pools: list[Pool] = [
        AveragePool((length, extent, extent), strides[0] // stride)
        for length, stride in zip(lengths, strides, strict=True)
    ]
    if cfg.MULTIGRID.SHORT_CYCLE:
        pools = [AveragePool(None) for _ in strides]
    if cfg.DETECTION.ENABLE:
        pools = [build_region_pool(cfg, map_stride) for map_stride in map_strides]
    return BasicHead(
        dims_in,
        pools=pools,
        num_classes=cfg.MODEL.NUM_CLASSES,
        dropout_rate=cfg.MODEL.DROPOUT_RATE,
        activation=cfg.MODEL.HEAD_ACT,
    )


def build_s3d_head(cfg: ConfigNode, dim_in: int, *, pool_t: int) -> S3DHead:
    """The head that averages `pool_t` frames and the 7x7 pixels of a crop of 224, or boxes."""
    pool: Pool = AveragePool((pool_t, 7, 7))
    return S3DHead(
        dim_in,
        pool=build_region_pool(cfg, 32) if cfg.DETECTION.ENABLE else pool,
        num_classes=cfg.MODEL.NUM_CLASSES,
        dropout_rate=cfg.MODEL.DROPOUT_RATE,
        activation=cfg.MODEL.HEAD_ACT,
    )
