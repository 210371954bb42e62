"""Rules for MViT, and for several clips of one video in a batch."""

from collections.abc import Iterator, Sequence
from typing import Any

from slowfast.config.checks.rules import register_rule
from slowfast.config.limits import are_numbers
from slowfast.config.node import ConfigNode

_LARGEST = 1000


@register_rule("MVIT")
def check_sizes(mvit: ConfigNode) -> Iterator[str]:
    """Check that kernels, strides and paddings have T, H and W."""
    for name, least, may_be_empty in (
        ("PATCH_KERNEL", 1, False),
        ("PATCH_STRIDE", 1, False),
        ("PATCH_PADDING", 0, False),
        ("POOL_KVQ_KERNEL", 1, True),
        ("POOL_KV_STRIDE_ADAPTIVE", 1, True),
    ):
        values = list(mvit[name])
        if not (_are_sizes(values, least) and len(values) == 3 or may_be_empty and not values):
            or_none = ", or []" if may_be_empty else ""
            yield f"MVIT.{name}: {values} must be three whole numbers from {least} up{or_none}"


@register_rule("MVIT")
def check_blocks(mvit: ConfigNode) -> Iterator[str]:
    """Check that the entries of blocks name blocks that there are."""
    for name in ("POOL_Q_STRIDE", "POOL_KV_STRIDE"):
        for entry in mvit[name]:
            if not (_is_entry(entry, 4, mvit.DEPTH - 1) and _are_sizes(entry[1:], 1)):
                yield (
                    f"MVIT.{name}: {entry!r} must be [block, t, h, w], whole numbers, the block "
                    f"below MVIT.DEPTH {mvit.DEPTH}, strides from 1"
                )
    for name in ("DIM_MUL", "HEAD_MUL"):
        for entry in mvit[name]:
            if not (_is_entry(entry, 2, mvit.DEPTH) and 0 < entry[1] <= _LARGEST):
                yield (
                    f"MVIT.{name}: {entry!r} must be [block, factor], the block at most "
                    f"MVIT.DEPTH {mvit.DEPTH}, the factor above 0"
                )


@register_rule("MVIT")
def check_kinds(mvit: ConfigNode) -> Iterator[str]:
    """Check that the parts of MViT fit each other."""
    if mvit.MODE == "conv_unshared" and not mvit.POOL_FIRST:
        yield "MVIT.MODE: 'conv_unshared' needs MVIT.POOL_FIRST True"
    if mvit.USE_FIXED_SINCOS_POS and not (mvit.USE_ABS_POS and not mvit.SEP_POS_EMBED):
        yield (
            "MVIT.USE_FIXED_SINCOS_POS: True needs MVIT.USE_ABS_POS True and MVIT.SEP_POS_EMBED "
            "False"
        )
    if mvit.PATCH_2D:
        yield "MVIT.PATCH_2D: True must be False: it is for images, and clips have a time axis"
    if mvit.REV.ENABLE:
        yield (
            "MVIT.REV.ENABLE: True must be False: reversible MViT is not part of this project; "
            "MODEL.ACT_CHECKPOINT True saves memory, too"
        )


def _is_entry(entry: Any, length: int, last: int) -> bool:
    is_list = isinstance(entry, list | tuple) and len(entry) == length and are_numbers(entry)
    return is_list and type(entry[0]) is int and 0 <= entry[0] <= last


def _are_sizes(values: Sequence, least: int) -> bool:
    return all(type(value) is int and least <= value <= _LARGEST for value in values)


@register_rule("AUG.NUM_SAMPLE", "DETECTION.ENABLE", "DATA.LABEL_AWARE_FLIP")
def check_samples(num: int, is_detection: bool, is_label_flipped: bool) -> Iterator[str]:
    """Check that the clips of a video have its label, and no boxes."""
    others = {"DETECTION.ENABLE": is_detection, "DATA.LABEL_AWARE_FLIP": is_label_flipped}
    for key, is_on in others.items():
        if num > 1 and is_on:
            yield f"AUG.NUM_SAMPLE: {num} must be 1 with {key} True"
