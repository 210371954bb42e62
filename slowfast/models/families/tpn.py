"""TPN (arXiv 2004.03548): a pyramid of tempos on the maps of res4 and res5.

TPN on Slow 8x8 R50 of clips of 3 x 8 x 224 x 224 (C x T x H x W); the trunk is that of resnet.py,
or that of tsm.py:

    stage               layers                                          width  output
    s1 ... s4           trunk                                            1024  8 x 14 x 14
    s5                  trunk                                            2048  8 x 7 x 7
    neck, spatial       of res4: 1x3x3, stride 1, 2, 2                   2048  8 x 7 x 7
    neck, temporal      of both: 3x1x1, groups 32; max-pool 8x1x1        1024  1 x 7 x 7
    neck, top_down      res5 added to res4; both fused                   2048  1 x 7 x 7
    neck, bottom_up     3x1x1 of res4 added to res5; both fused          2048  1 x 7 x 7
    neck, join          1x1x1 of the two, concatenated                   2048  1 x 7 x 7
    head                average of all; linear                           2048  1 x 1 x 1
    head, auxiliary     of res4: 1x3x3, stride 1, 2, 2; average; linear  2048  1 x 1 x 1

Two levels are fused by a 1x1x1 of 32 groups each, and a 1x1x1 of their concatenation. All these but
`temporal` and the 3x1x1 of `bottom_up` have batch norm and ReLU.
"""

import math
from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import nn

from slowfast.config.node import ConfigNode
from slowfast.models.conv import Triple, conv3d
from slowfast.models.families.resnet import SLOW
from slowfast.models.families.tsm import build_shift_stages
from slowfast.models.families.tsn import build_frame_stages
from slowfast.models.heads import AuxiliaryLogits, Classifier, build_classifier
from slowfast.models.network import VideoNetwork, build_init
from slowfast.models.norm import Norm, build_norm

_NUM_GROUPS = 32


class Unit(nn.Module):
    """A convolution, batch norm, ReLU."""

    def __init__(self, dim_in: int, dim_out: int, kernel: int | Triple, *, norm: Norm, **options):
        super().__init__()
        self.conv = conv3d(dim_in, dim_out, kernel, **options)
        self.bn = norm(dim_out)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.relu(self.bn(self.conv(x)), inplace=True)


def pool_time(x: torch.Tensor, length: int) -> torch.Tensor:
    """Largest values of each `length` frames; at the end of those that are left."""
    return x if length == 1 else F.max_pool3d(x, (length, 1, 1), ceil_mode=True)


class Tempo(nn.Module):
    """Temporal convolution of a level, then the largest values of each `length` frames."""

    def __init__(self, dim_in: int, dim_out: int, *, length: int):
        super().__init__()
        groups = math.gcd(_NUM_GROUPS, dim_out)
        self.conv = conv3d(dim_in, dim_out, (3, 1, 1), groups=groups)
        self.length = length

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return pool_time(self.conv(x), self.length)


class Fusion(nn.Module):
    """One map of both levels; the lower one has `ratio` frames for each of the upper one."""

    def __init__(self, dim: int, *, ratio: int, norm: Norm):
        super().__init__()
        groups = math.gcd(_NUM_GROUPS, dim)
        self.ratio = ratio
        self.lower = Unit(dim, dim, 1, groups=groups, norm=norm)
        self.upper = Unit(dim, dim, 1, groups=groups, norm=norm)
        self.join = Unit(2 * dim, 2 * dim, 1, norm=norm)

    def forward(self, lower: torch.Tensor, upper: torch.Tensor) -> torch.Tensor:
        lower = self.lower(pool_time(lower, self.ratio))
        return self.join(torch.cat([lower, self.upper(upper)], 1))


class Pyramid(nn.Module):
    """Neck of TPN: maps of res4 and res5 (half as large, twice the channels) -> one as of res5.

    scales: frames that each of them joins to one.
    """

    def __init__(self, dims: Sequence[int], scales: Sequence[int], *, norm: Norm):
        super().__init__()
        dim4, dim5 = dims
        dim, self.ratio = dim5 // 2, scales[1] // scales[0]
        self.spatial = Unit(dim4, dim5, (1, 3, 3), stride=(1, 2, 2), norm=norm)
        self.temporal4 = Tempo(dim5, dim, length=scales[0])
        self.temporal5 = Tempo(dim5, dim, length=scales[1])
        self.top_down = Fusion(dim, ratio=self.ratio, norm=norm)
        self.down = conv3d(dim, dim, (3, 1, 1))
        self.bottom_up = Fusion(dim, ratio=self.ratio, norm=norm)
        self.join = Unit(2 * dim5, dim5, 1, norm=norm)

    def forward(self, res4: torch.Tensor, res5: torch.Tensor) -> torch.Tensor:
        lower, upper = self.temporal4(self.spatial(res4)), self.temporal5(res5)
        lower = lower + upper.repeat_interleave(self.ratio, 2)[:, :, : lower.shape[2]]
        top_down = self.top_down(lower, upper)
        # From the lower level as the way down left it: so do the released weights.
        upper = upper + pool_time(self.down(lower), self.ratio)
        return self.join(torch.cat([top_down, self.bottom_up(lower, upper)], 1))


class AuxiliaryHead(nn.Module):
    """Second classifier, on the maps of res4."""

    def __init__(self, dim_in: int, dim: int, classifier: Classifier, *, norm: Norm):
        super().__init__()
        self.unit = Unit(dim_in, dim, (1, 3, 3), stride=(1, 2, 2), norm=norm)
        self.projection = classifier

    def forward(self, res4: torch.Tensor) -> torch.Tensor:
        pooled = self.unit(res4).mean((2, 3, 4), keepdim=True)
        return self.projection.score_of_mean(pooled, is_training=True)


class PyramidHead(nn.Module):
    """Classifies the mean of the pyramid's map; in training with an auxiliary classifier, if any.

    weight: of the loss of the latter.
    """

    def __init__(self, classifier: Classifier, auxiliary: AuxiliaryHead | None, *, weight: float):
        super().__init__()
        self.projection = classifier
        self.auxiliary = auxiliary
        self.weight = weight

    def forward(self, x: torch.Tensor, res4: torch.Tensor) -> torch.Tensor | AuxiliaryLogits:
        pooled = x.mean((2, 3, 4), keepdim=True)
        scores = self.projection.score_of_mean(pooled, is_training=self.training)
        if not self.training or self.auxiliary is None:
            return scores
        return AuxiliaryLogits(scores, self.auxiliary(res4), self.weight)


class PyramidNetwork(VideoNetwork):
    """A trunk, the neck on its last two stages, and the head."""

    def __init__(self, stages: Mapping[str, nn.Module], neck: Pyramid, head: PyramidHead):
        super().__init__(stages, head)
        self.neck = neck

    def forward_features(self, clips: list[torch.Tensor]) -> list[torch.Tensor]:
        return [self.neck(*self._last_two(clips))]

    def forward(
        self, clips: list[torch.Tensor], boxes: torch.Tensor | None = None
    ) -> torch.Tensor | AuxiliaryLogits:
        assert boxes is None, "this network classifies whole clips and takes no boxes"
        res4, res5 = self._last_two(clips)
        return self.head(self.neck(res4, res5), res4)

    def _last_two(self, clips: list[torch.Tensor]) -> list[torch.Tensor]:
        res4, res5 = [], clips
        for name in self._stage_names:
            res4, res5 = res5, self._run_stage(name, res5)
        return [*res4, *res5]


def _check_scales(scales: Sequence[int]) -> None:
    is_pair = len(scales) == 2 and all(type(scale) is int and scale > 0 for scale in scales)
    if not is_pair or scales[1] % scales[0]:
        raise ValueError(
            f"TPN.TEMPORAL_SCALES: {list(scales)} must be two whole numbers, the second a multiple "
            "of the first, e.g. [4, 8], or []"
        )


def build_tpn(cfg: ConfigNode) -> PyramidNetwork:
    """TPN on TPN.TRUNK of any RESNET.DEPTH; MODEL.ARCH is not read."""
    is_slow, norm = cfg.TPN.TRUNK == "slow", build_norm(cfg)
    stages, dim = build_frame_stages(cfg, kernels=SLOW) if is_slow else build_shift_stages(cfg)
    scales = list(cfg.TPN.TEMPORAL_SCALES) or [cfg.DATA.NUM_FRAMES] * 2
    _check_scales(scales)
    neck = Pyramid([dim // 2, dim], scales, norm=norm)
    auxiliary, weight = None, cfg.TPN.AUX_LOSS_WEIGHT
    if weight:
        auxiliary = AuxiliaryHead(dim // 2, dim, build_classifier(cfg, dim), norm=norm)
    head = PyramidHead(build_classifier(cfg, dim), auxiliary, weight=weight)
    model = PyramidNetwork(stages, neck, head)
    build_init(cfg)(model)
    return model
