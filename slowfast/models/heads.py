"""Heads: from the last maps to one row of logits or scores per clip, or per box.

A head pools the maps to a few positions, one for each box in detection, and classifies them. Its
linear layer is a `Classifier` called `projection`, the name fixed by released weights.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import nn

from slowfast.config.derived import class_counts
from slowfast.config.node import ConfigNode
from slowfast.models.conv import Triple
from slowfast.models.layers import Linear
from slowfast.models.widths import Dims

# MODEL.HEAD_ACT: turns the logits (classes last) into scores in evaluation.
ACTIVATIONS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "softmax": lambda logits: logits.softmax(-1),
    "sigmoid": torch.sigmoid,
    "none": lambda logits: logits,
}


def scores_of(logits: torch.Tensor, class_counts: Sequence[int], name: str) -> torch.Tensor:
    """Scores, classes last, by the activation `name`, for each target (see Classifier) alone."""
    activation = ACTIVATIONS[name]
    if len(class_counts) == 1:
        return activation(logits)
    return torch.cat([activation(part) for part in logits.split(list(class_counts), -1)], -1)


class Classifier(Linear):
    """Linear layer from features (in the last dimension) to logits, and the way to scores.

    class_counts: classes of each target, mostly one; logits of several stand side by side, and each
    target has an activation of its own. Half-precision logits become float32. The mode of the head,
    `is_training`, decides on dropout and activation, not the classifier's: TRAIN.FREEZE may keep it
    alone in evaluation mode.
    """

    def __init__(
        self, dim_in: Dims, class_counts: Sequence[int], *, dropout_rate: float, activation: str
    ):
        if activation not in ACTIVATIONS:
            raise ValueError(f"MODEL.HEAD_ACT: {activation!r} is not one of {sorted(ACTIVATIONS)}")
        super().__init__(dim_in, sum(class_counts))
        self.class_counts = tuple(class_counts)
        self.dropout_rate = dropout_rate
        self.activation = activation

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits = super().forward(x)
        return logits.to(torch.promote_types(logits.dtype, torch.float32))

    def mean_score(self, x: torch.Tensor, *, is_training: bool) -> torch.Tensor:
        """Mean over the scores of positions, N,C,T,H,W -> N,classes; in training, over logits."""
        return self.scores(self._logits(x, is_training), is_training=is_training).mean((1, 2, 3))

    def score_of_mean(self, x: torch.Tensor, *, is_training: bool) -> torch.Tensor:
        """Score of the mean over logits, N,C,T,H,W -> N,classes; in training, the mean itself."""
        logits = self._logits(x, is_training).mean((1, 2, 3))
        return self.scores(logits, is_training=is_training)

    def _logits(self, x: torch.Tensor, is_training: bool) -> torch.Tensor:
        x = x.permute(0, 2, 3, 4, 1)  # N,C,T,H,W -> N,T,H,W,C
        return self(F.dropout(x, self.dropout_rate, is_training))

    def scores(self, logits: torch.Tensor, *, is_training: bool) -> torch.Tensor:
        """Scores of logits with the classes last; in training, the logits."""
        return logits if is_training else scores_of(logits, self.class_counts, self.activation)


class AuxiliaryLogits(NamedTuple):
    """Output in training of a network with a second classifier: logits N,classes of both.

    weight: of the loss of the auxiliary ones, which is added to that of the others.
    """

    logits: torch.Tensor
    auxiliary: torch.Tensor
    weight: float


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
class FramePool:
    """Mean over each frame, of any size: N,C,T,H,W -> N,C,T,1,1."""

    def __call__(self, x: torch.Tensor, boxes: torch.Tensor | None) -> torch.Tensor:
        assert boxes is None, "this network classifies whole clips and takes no boxes"
        return x.mean((3, 4), keepdim=True)


@dataclass(frozen=True, slots=True)
class RegionMaps:
    """`resolution` x `resolution` positions per box: RoIAlign (arXiv 1703.06870), mean over time.

    Boxes M,5: number of the clip, x1, y1, x2, y2 in pixels of the clip, of which a position of the
    map spans `map_stride`. At least in float32.
    """

    map_stride: int
    resolution: int
    is_aligned: bool

    def __call__(self, x: torch.Tensor, boxes: torch.Tensor | None) -> torch.Tensor:
        from torchvision.ops import roi_align

        assert boxes is not None, "this network classifies boxes: pass them beside the clips"
        # RoIAlign is linear: the mean over time of its positions is what the mean map gives.
        x = x.mean(2)  # N,C,T,H,W -> N,C,H,W
        x = x.to(torch.promote_types(x.dtype, torch.float32))
        return roi_align(
            x,
            boxes.to(x.dtype),
            self.resolution,
            spatial_scale=1 / self.map_stride,
            sampling_ratio=0,
            aligned=self.is_aligned,
        )


@dataclass(frozen=True, slots=True)
class RegionPool(RegionMaps):
    """One position per box: the largest of the values that RegionMaps samples."""

    def __call__(self, x: torch.Tensor, boxes: torch.Tensor | None) -> torch.Tensor:
        x = RegionMaps.__call__(self, x, boxes)
        return F.max_pool2d(x, self.resolution).unsqueeze(2)  # M,C,R,R -> M,C,1,1,1


class BasicHead(nn.Module):
    """The head of ResNets: pool each pathway, concatenate, average the scores of positions."""

    def __init__(self, pools: Sequence[Pool], classifier: Classifier):
        super().__init__()
        self.pools = pools
        self.projection = classifier

    def forward(self, maps: list[torch.Tensor], boxes: torch.Tensor | None = None) -> torch.Tensor:
        pooled = [pool(x, boxes) for pool, x in zip(self.pools, maps, strict=True)]
        return self.projection.mean_score(torch.cat(pooled, 1), is_training=self.training)


class MeanLogitsHead(nn.Module):
    """Head that pools one pathway and averages the logits of positions before the activation.

    That of S3D, and with a FramePool that of networks on segments: the consensus of TSN.
    """

    def __init__(self, pool: Pool, classifier: Classifier):
        super().__init__()
        self.pool = pool
        self.projection = classifier

    def forward(self, maps: list[torch.Tensor], boxes: torch.Tensor | None = None) -> torch.Tensor:
        (x,) = maps
        return self.projection.score_of_mean(self.pool(x, boxes), is_training=self.training)


def build_classifier(cfg: ConfigNode, dim_in: Dims) -> Classifier:
    """The classifier of features of `dim_in` channels, or of a concatenation of such."""
    model = cfg.MODEL
    return Classifier(
        dim_in,
        class_counts(model.NUM_CLASSES),
        dropout_rate=model.DROPOUT_RATE,
        activation=model.HEAD_ACT,
    )


def build_pool(cfg: ConfigNode, average: Pool, *, map_stride: int) -> Pool:
    """`average`, in detection the pool of boxes on maps at 1/`map_stride` of the clip.

    ValueError unless the config knows this stride, or for a detector that finds boxes by itself.
    """
    detection = cfg.DETECTION
    if not detection.ENABLE:
        return average
    if detection.PROPOSALS != "given":
        raise ValueError(
            f"DETECTION.PROPOSALS: {detection.PROPOSALS!r} must be 'given' with MODEL.MODEL_NAME "
            f"{cfg.MODEL.MODEL_NAME}; S3D has a detector"
        )
    if detection.SPATIAL_SCALE_FACTOR != map_stride:
        raise ValueError(
            f"DETECTION.SPATIAL_SCALE_FACTOR: {detection.SPATIAL_SCALE_FACTOR} must be "
            f"{map_stride}, the stride of MODEL.MODEL_NAME {cfg.MODEL.MODEL_NAME} with "
            f"RESNET.SPATIAL_STRIDES {cfg.RESNET.SPATIAL_STRIDES}"
        )
    return RegionPool(map_stride, detection.ROI_XFORM_RESOLUTION, detection.ALIGNED)
