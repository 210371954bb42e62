"""S3D (arXiv 1712.04851): Inception-V1 in which every position sees time in its own way.

S3D-G on clips of 3 x 64 x 224 x 224 (C x T x H x W); kxkxk stands for 1xkxk, then kx1x1:

    stage    layers                                                  width  output
    s1       7x7x7, stride 2                                            64  32 x 112 x 112
    s2       max-pool 1x3x3, stride 1, 2, 2; 1x1x1, 64; 3x3x3          192  32 x 56 x 56
    s3       max-pool 1x3x3, stride 1, 2, 2; Inception 3b, 3c          480  32 x 28 x 28
    s4       max-pool 3x3x3, stride 2; Inception 4b, 4c, 4d, 4e, 4f    832  16 x 14 x 14
    s5       max-pool 2x2x2, stride 2; Inception 5b, 5c               1024  8 x 7 x 7
    head     average 2x7x7; linear; mean over the logits of 7 times   1024  7 x 1 x 1

With DETECTION.SPATIAL_SCALE_FACTOR 16 boxes are classified on the maps of 4e, and s4 ends there.

An Inception block concatenates 1x1x1 | 1x1x1, 3x3x3 | 1x1x1, 3x3x3 | max-pool 3x3x3, 1x1x1.

I3D, I2D, top- and bottom-heavy mixtures, S3D, S3D-G and Fast-S3D are one network: at the positions
0 (stem), 1 (conv2c) and 2 ... 10 (the Inception blocks 3b ... 5c) a convolution is 2D, 3D or
separable. Pools are the same in all of them and span time: I2D has no temporal weights, but is not
a network of single frames.

There are no released weights under our names; checkpoint/torchvision.py gives torchvision's S3D and
GoogLeNet the names s{1..5}.pathway0_{stem,conv2b,conv2c,mixed3b,...} and those that classes list.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass, replace
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from slowfast.config.checks.rules import register_rule
from slowfast.config.defaults import DEFAULTS
from slowfast.config.derived import finds_boxes
from slowfast.config.node import ConfigNode
from slowfast.models.conv import conv3d, max_pool3d
from slowfast.models.detector import build_detector
from slowfast.models.heads import AveragePool, MeanLogitsHead, build_classifier, build_pool
from slowfast.models.layers import FeatureGate, MaxPool3d, OverlappingMaxPool3d, round_width
from slowfast.models.network import (
    Stage,
    VideoNetwork,
    assemble,
    build_init,
    refuse_nonlocal,
    single_pathway_channels,
)
from slowfast.models.norm import Norm, build_norm, with_constants
from slowfast.models.widths import Dims

# Positions of the paper: 0 the stem, 1 conv2c, 2 ... 10 the Inception blocks 3b ... 5c.
NUM_POSITIONS = 11
FIRST_MIXED = 2


@dataclass(frozen=True, slots=True)
class TemporalForm:
    """`positions` have temporal convolutions, the others are 2D."""

    positions: range
    is_separable: bool
    has_gates: bool


_ALL = range(NUM_POSITIONS)
# S3D.VARIANT -> form.
VARIANTS = {
    "i3d": TemporalForm(_ALL, is_separable=False, has_gates=False),
    "i2d": TemporalForm(range(0), is_separable=False, has_gates=False),
    "s3d": TemporalForm(_ALL, is_separable=True, has_gates=False),
    "s3d-g": TemporalForm(_ALL, is_separable=True, has_gates=True),
    "fast-s3d": TemporalForm(range(9, NUM_POSITIONS), is_separable=True, has_gates=False),
}
# What says the same key by key, where S3D.VARIANT is empty.
GENERAL_KEYS = ("TEMPORAL_END", "POSITION", "SEPARABLE", "GATING")


def temporal_form(s3d: ConfigNode) -> TemporalForm:
    """The form that S3D.VARIANT names, else the one of the general keys of that section."""
    if s3d.VARIANT:
        if s3d.VARIANT not in VARIANTS:
            raise ValueError(f"S3D.VARIANT: {s3d.VARIANT!r} is not one of {sorted(VARIANTS)}")
        return VARIANTS[s3d.VARIANT]
    is_top = s3d.TEMPORAL_END == "top"
    positions = range(s3d.POSITION, NUM_POSITIONS) if is_top else range(s3d.POSITION + 1)
    return TemporalForm(positions, is_separable=s3d.SEPARABLE, has_gates=s3d.GATING)


@register_rule("MODEL.MODEL_NAME", "S3D")
def check_s3d(name: str, s3d: ConfigNode) -> Iterator[str]:
    """Check that every key that differs from its default has an effect."""
    if name != "S3D":
        return
    default = DEFAULTS.S3D
    if s3d.POSITION >= NUM_POSITIONS:
        yield f"S3D.POSITION: {s3d.POSITION} must be at most {NUM_POSITIONS - 1}"
    if s3d.VARIANT:
        for key in GENERAL_KEYS:
            if s3d[key] != default[key]:
                yield (
                    f"S3D.{key}: {s3d[key]!r} has no effect beside S3D.VARIANT {s3d.VARIANT!r}; an "
                    "empty VARIANT reads it"
                )
    positions = temporal_form(s3d).positions
    if s3d.ALL_BRANCHES and not any(position >= FIRST_MIXED for position in positions):
        yield "S3D.ALL_BRANCHES: True has no effect where no Inception block sees time"
    if s3d.STEM and list(positions) == [0]:
        yield f"S3D.STEM: {s3d.STEM!r} contradicts S3D.POSITION 0, bottom: only the stem sees time"
    is_2d = s3d.STEM == "2d" or (not s3d.STEM and 0 not in positions)
    if is_2d and s3d.STEM_KERNEL_T != default.STEM_KERNEL_T:
        yield f"S3D.STEM_KERNEL_T: {s3d.STEM_KERNEL_T} has no effect on a 2D stem; see S3D.STEM"


_BN_EPS = 1e-3
_BN_MOMENTUM = 1e-3

_DIM_STEM, _DIM_CONV2C = 64, 192

_TIME_IS_DROPPED = (
    "of its separable convolutions become 2D ones, what they learned of time is dropped"
)


@dataclass(frozen=True, slots=True)
class MixedSpec:
    """Widths of an Inception block; branches 1 and 2 are reduced before their convolution."""

    branch0: int
    branch1_reduced: int
    branch1: int
    branch2_reduced: int
    branch2: int
    branch3: int

    @property
    def dims_out(self) -> tuple[int, ...]:
        """Channels of the parts of the concatenation."""
        return (self.branch0, self.branch1, self.branch2, self.branch3)

    def scaled(self, width: Callable[[int], int]) -> "MixedSpec":
        """All widths through `width`."""
        return MixedSpec(*map(width, astuple(self)))


# Stage -> its blocks. All widths are multiples of 8.
_MIXED = {
    "s3": {
        "mixed3b": MixedSpec(64, 96, 128, 16, 32, 32),
        "mixed3c": MixedSpec(128, 128, 192, 32, 96, 64),
    },
    "s4": {
        "mixed4b": MixedSpec(192, 96, 208, 16, 48, 64),
        "mixed4c": MixedSpec(160, 112, 224, 24, 64, 64),
        "mixed4d": MixedSpec(128, 128, 256, 24, 64, 64),
        "mixed4e": MixedSpec(112, 144, 288, 32, 64, 64),
        "mixed4f": MixedSpec(256, 160, 320, 32, 128, 128),
    },
    "s5": {
        "mixed5b": MixedSpec(256, 160, 320, 32, 128, 128),
        "mixed5c": MixedSpec(384, 192, 384, 48, 128, 128),
    },
}
# Pixels of a clip per position of the last maps -> the blocks up to there. Detection may stop at
# 4e, as in section 6 of the paper.
_UP_TO = {
    32: _MIXED,
    16: {
        "s3": _MIXED["s3"],
        "s4": {key: spec for key, spec in _MIXED["s4"].items() if key != "mixed4f"},
    },
}


@dataclass(frozen=True, slots=True)
class TimeSpec:
    """Temporal side of one position; `kernel_t` 1 makes it 2D.

    on_all_branches: an Inception block's branches 0 and 3 end with a temporal convolution too
    (footnote 5 of the paper).
    """

    kernel_t: int = 1
    is_separable: bool = False
    has_gate: bool = False
    on_all_branches: bool = False


_FRAME = TimeSpec()


class ConvUnit(nn.Module):
    """Convolution of `size` x `size` pixels, batch norm, ReLU: of space, or of space and time.

    Separable: of space with the spatial stride, batch norm, ReLU, then of time with the temporal
    stride, batch norm, ReLU. A gate may follow. `stride` is that of all three directions.
    Names that foreign weights are given: conv, bn, conv_t, bn_t.
    """

    def __init__(
        self, dim_in: Dims, dim_out: int, size: int, *, time: TimeSpec, stride: int = 1, norm: Norm
    ):
        super().__init__()
        kernel_t, stride_t = (1, 1) if time.is_separable else (time.kernel_t, stride)
        kernel = (kernel_t, size, size)
        self.conv = conv3d(dim_in, dim_out, kernel, stride=(stride_t, stride, stride))
        self.bn = norm(dim_out)
        self.conv_t = self.bn_t = None
        if time.is_separable:
            kernel = (time.kernel_t, 1, 1)
            self.conv_t = conv3d(dim_out, dim_out, kernel, stride=(stride, 1, 1))
            self.bn_t = norm(dim_out)
        self.gate = FeatureGate(dim_out) if time.has_gate else None

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.bn(self.conv(x)), inplace=True)
        if self.conv_t is not None:
            x = F.relu(self.bn_t(self.conv_t(x)), inplace=True)
        return x if self.gate is None else self.gate(x)

    def adapt_weights(self, state: Mapping[str, Tensor], prefix: str) -> tuple[dict, str]:
        """Changes to weights of a relative, and a remark (see checkpoint.initialize).

        A separable convolution gets a temporal half where they have none. There is no way from the
        two halves to a 3D kernel: the spatial one, repeated over time, would see time in another
        way than the two together, and is left out.
        """
        spatial, has_time = state.get(f"{prefix}conv.weight"), f"{prefix}conv_t.weight" in state
        if self.conv_t is not None:
            is_half = spatial is not None and spatial.shape == self.conv.weight.shape
            return (self._identity(prefix, spatial.dtype) if is_half and not has_time else {}), ""
        if not has_time:
            return {}, ""
        if self.conv.kernel_size[0] == 1:
            return {}, _TIME_IS_DROPPED
        halves = (f"{prefix}conv.", f"{prefix}bn.")
        return {name: None for name in state if name.startswith(halves)}, ""

    def _identity(self, prefix: str, dtype: torch.dtype) -> dict[str, Tensor]:
        """A temporal half that copies each frame: 1 in the middle of the diagonal.

        Its batch norm changes nothing in evaluation.
        """
        dim, _, kernel_t = self.conv_t.weight.shape[:3]
        kernel = torch.zeros(self.conv_t.weight.shape, dtype=dtype)
        kernel[:, :, kernel_t // 2, 0, 0] = torch.eye(dim, dtype=dtype)
        ones = torch.ones(dim, dtype=dtype)
        return {
            f"{prefix}conv_t.weight": kernel,
            f"{prefix}bn_t.weight": ones,
            f"{prefix}bn_t.bias": torch.zeros_like(ones),
            f"{prefix}bn_t.running_mean": torch.zeros_like(ones),
            f"{prefix}bn_t.running_var": ones - self.bn_t.eps,
        }


class Mixed(nn.Module):
    """Inception block: four branches, side by side in the output.

    Names that foreign weights are given: branch{0..3}, branch1_reduce, branch2_reduce.
    """

    def __init__(self, dim_in: Dims, spec: MixedSpec, *, time: TimeSpec, norm: Norm):
        super().__init__()
        reduce = partial(ConvUnit, size=1, time=_FRAME, norm=norm)
        inner = partial(ConvUnit, size=3, time=time, norm=norm)
        # A separable 3x1x1 is a 1x1x1, then a 3x1x1.
        outer_time = replace(time, is_separable=True) if time.on_all_branches else _FRAME
        outer = partial(ConvUnit, size=1, time=outer_time, norm=norm)
        self.branch0 = outer(dim_in, spec.branch0)
        self.branch1_reduce = reduce(dim_in, spec.branch1_reduced)
        self.branch1 = inner(spec.branch1_reduced, spec.branch1)
        self.branch2_reduce = reduce(dim_in, spec.branch2_reduced)
        self.branch2 = inner(spec.branch2_reduced, spec.branch2)
        self.branch3 = outer(dim_in, spec.branch3)

    def forward(self, x: Tensor) -> Tensor:
        pooled = max_pool3d(x, (3, 3, 3), stride=(1, 1, 1), padding=(1, 1, 1))
        branches = [
            self.branch0(x),
            self.branch1(self.branch1_reduce(x)),
            self.branch2(self.branch2_reduce(x)),
            self.branch3(pooled),
        ]
        return torch.cat(branches, 1)


def s3d_stages(
    dim_clip: int,
    times: Sequence[TimeSpec],
    *,
    width: Callable[[int], int],
    norm: Norm,
    map_stride: int = 32,
) -> tuple[dict[str, nn.Module], Dims]:
    """The stages s1 ... s5, or to Mixed_4e with a `map_stride` of 16; channels of the last maps.

    `times` has an entry per position, `width` scales numbers of channels. Each stage halves height
    and width; s1, s4 and s5 halve time, whether or not they see it.
    """
    stem_time, conv2_time, *mixed_times = times
    dim, dim_conv2c = width(_DIM_STEM), width(_DIM_CONV2C)
    stem = {"stem": ConvUnit(dim_clip, dim, 7, stride=2, time=stem_time, norm=norm)}
    conv2 = {
        "pool": OverlappingMaxPool3d((1, 3, 3), stride=(1, 2, 2)),
        "conv2b": ConvUnit(dim, dim, 1, time=_FRAME, norm=norm),
        "conv2c": ConvUnit(dim, dim_conv2c, 3, time=conv2_time, norm=norm),
    }
    modules = {"s1": Stage([stem]), "s2": Stage([conv2])}
    pools = {
        "s3": OverlappingMaxPool3d((1, 3, 3), stride=(1, 2, 2)),
        "s4": OverlappingMaxPool3d((3, 3, 3), stride=(2, 2, 2)),
        "s5": MaxPool3d((2, 2, 2)),
    }
    dim, remaining = dim_conv2c, iter(mixed_times)
    for name, specs in _UP_TO[map_stride].items():
        stage = {"pool": pools[name]}
        for key, spec in specs.items():
            scaled = spec.scaled(width)
            stage[key] = Mixed(dim, scaled, time=next(remaining), norm=norm)
            dim = scaled.dims_out
        modules[name] = Stage([stage])
    return modules, dim


def time_specs(
    form: TemporalForm, *, stem: str, stem_kernel_t: int, on_all: bool
) -> list[TimeSpec]:
    """The way in which each position sees time.

    `stem` (S3D.STEM): 2d, 3d, separable, or empty for the form of the other positions. `on_all`
    (S3D.ALL_BRANCHES) holds for Inception blocks.
    """
    temporal = TimeSpec(3, is_separable=form.is_separable, has_gate=form.has_gates)
    times = [
        replace(temporal, on_all_branches=on_all and position >= FIRST_MIXED)
        if position in form.positions
        else _FRAME
        for position in range(NUM_POSITIONS)
    ]
    if not stem:
        stem = "separable" if form.is_separable else "3d"
        stem = stem if 0 in form.positions else "2d"
    times[0] = _FRAME
    if stem != "2d":
        is_separable = stem == "separable"
        times[0] = TimeSpec(stem_kernel_t, is_separable=is_separable, has_gate=form.has_gates)
    return times


def _refuse_residual_keys(drop_rate: float, zero_norm: bool, *, model: str) -> None:
    if drop_rate:
        raise ValueError(
            f"MODEL.DROPCONNECT_RATE: {drop_rate} must be 0 for {model}, which has no residual "
            "branches to drop"
        )
    if zero_norm:
        raise ValueError(
            f"RESNET.ZERO_INIT_FINAL_BN: True must be False for {model}, which has no residual "
            "branches to start at zero"
        )


def choose_map_stride(detection: ConfigNode) -> int:
    """Stride of the last maps: 32, in detection what its SPATIAL_SCALE_FACTOR says."""
    stride = detection.SPATIAL_SCALE_FACTOR if detection.ENABLE else 32
    if stride not in _UP_TO:
        raise ValueError(
            f"DETECTION.SPATIAL_SCALE_FACTOR: {stride} must be 16 (Mixed_4e) or 32 (Mixed_5c) with "
            "MODEL.MODEL_NAME S3D"
        )
    return stride


def build_s3d(cfg: ConfigNode) -> VideoNetwork:
    """The network that S3D.VARIANT names, or that the other keys of the section describe."""
    name, s3d = cfg.MODEL.MODEL_NAME, cfg.S3D
    refuse_nonlocal(cfg.NONLOCAL.LOCATION, model=name)
    _refuse_residual_keys(cfg.MODEL.DROPCONNECT_RATE, cfg.RESNET.ZERO_INIT_FINAL_BN, model=name)
    times = time_specs(
        temporal_form(s3d),
        stem=s3d.STEM,
        stem_kernel_t=s3d.STEM_KERNEL_T,
        on_all=s3d.ALL_BRANCHES,
    )
    map_stride = choose_map_stride(cfg.DETECTION)
    stages, dim = s3d_stages(
        single_pathway_channels(cfg.DATA.INPUT_CHANNEL_NUM, model=name),
        times,
        width=partial(round_width, factor=s3d.WIDTH_FACTOR),
        norm=with_constants(build_norm(cfg), eps=_BN_EPS, momentum=_BN_MOMENTUM),
        map_stride=map_stride,
    )
    if finds_boxes(cfg.DETECTION):
        return build_detector(cfg, stages, dim, map_stride=map_stride)
    # The paper's average of 2x7x7, in a crop of 224; of one frame where the top sees no time.
    average = AveragePool((1 if times[-1].kernel_t == 1 else 2, 7, 7))
    pool = build_pool(cfg, average, map_stride=map_stride)
    return assemble(stages, MeanLogitsHead(pool, build_classifier(cfg, dim)), build_init(cfg))
