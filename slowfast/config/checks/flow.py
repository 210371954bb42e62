"""Rules for optical flow as input."""

from collections.abc import Iterator

from slowfast.config.checks.rules import register_rule
from slowfast.config.defaults import get_cfg
from slowfast.config.node import ConfigNode


@register_rule("DATA", "TEST.REVERSE_TIME")
def check_flow(data: ConfigNode, is_reversed: bool) -> Iterator[str]:
    """Flow is read from folders, forwards."""
    if data.MODALITY != "flow":
        return
    if is_reversed:
        # The way back does not start at the pixel where the way there did.
        yield (
            "TEST.REVERSE_TIME: True must be False with DATA.MODALITY 'flow': played backwards, a "
            "video has another flow; compute that of reversed videos"
        )
    default = get_cfg().DATA
    for name in ("SOURCE", "INDEX_FILE"):
        if data[name] != default[name]:
            yield (
                f"DATA.{name}: {data[name]!r} has no effect with DATA.MODALITY 'flow', which is "
                f"read from folders of its own; leave it at {default[name]!r}"
            )
    if data.REVERSE_INPUT_CHANNEL:
        yield "DATA.REVERSE_INPUT_CHANNEL: True must be False with DATA.MODALITY 'flow'"


@register_rule("DATA.MODALITY", "AUG")
def check_colours(modality: str, aug: ConfigNode) -> Iterator[str]:
    """Flow has no colours to change."""
    if modality != "flow" or not aug.ENABLE:
        return
    if aug.AA_TYPE:
        yield (
            f"AUG.AA_TYPE: {aug.AA_TYPE!r} must be '' with DATA.MODALITY 'flow', which has no "
            "colours and would have to turn with the picture"
        )
    elif aug.COLOR_JITTER:
        yield f"AUG.COLOR_JITTER: {aug.COLOR_JITTER} must be 0 with DATA.MODALITY 'flow'"
