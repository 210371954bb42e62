"""Temporal convolutions of S3D, at which positions and how, and rules for its section."""

from collections.abc import Iterator
from dataclasses import dataclass

from slowfast.config.checks.rules import register_rule
from slowfast.config.defaults import get_cfg
from slowfast.config.node import ConfigNode

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
    default = get_cfg().S3D
    if not s3d.WIDTH_FACTOR > 0:
        yield f"S3D.WIDTH_FACTOR: {s3d.WIDTH_FACTOR} must be above 0"
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
