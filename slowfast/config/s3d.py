"""What the config says about time in S3D: at which positions of the trunk, and how."""

from dataclasses import dataclass

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


def temporal_form(cfg: ConfigNode) -> TemporalForm:
    """The form that S3D.VARIANT names, else the one of the general keys."""
    s3d = cfg.S3D
    if s3d.VARIANT:
        if s3d.VARIANT not in VARIANTS:
            raise ValueError(f"S3D.VARIANT: {s3d.VARIANT!r} is not one of {sorted(VARIANTS)}")
        return VARIANTS[s3d.VARIANT]
    is_top = s3d.TEMPORAL_END == "top"
    positions = range(s3d.POSITION, NUM_POSITIONS) if is_top else range(s3d.POSITION + 1)
    return TemporalForm(positions, is_separable=s3d.SEPARABLE, has_gates=s3d.GATING)
