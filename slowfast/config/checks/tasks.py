"""Rules for detection and for several labels at once."""

from collections.abc import Iterator
from typing import Any

from slowfast.config.checks.rules import register_exclusion, register_rule
from slowfast.config.limits import are_numbers
from slowfast.config.node import ConfigNode


@register_rule("DETECTION.ENABLE", "DATA", "MODEL", "MIXUP.ENABLE")
def check_labels(
    is_detection: bool, data: ConfigNode, model: ConfigNode, is_mixed: bool
) -> Iterator[str]:
    """Check that several labels at once have sigmoids, and nothing made for one label."""
    if not (is_detection or data.MULTI_LABEL):
        return
    if is_detection and data.MULTI_LABEL:
        yield "DATA.MULTI_LABEL: True is for whole videos; with DETECTION.ENABLE it must be False"
        return
    task = "DETECTION.ENABLE" if is_detection else "DATA.MULTI_LABEL"
    if model.HEAD_ACT != "sigmoid":
        yield f"MODEL.HEAD_ACT: {model.HEAD_ACT!r} must be 'sigmoid' with {task} True"
    if model.LOSS_FUNC not in ("bce", "bce_logit"):
        yield f"MODEL.LOSS_FUNC: {model.LOSS_FUNC!r} must be 'bce' or 'bce_logit' with {task} True"
    if model.LABEL_SMOOTHING:
        yield f"MODEL.LABEL_SMOOTHING: {model.LABEL_SMOOTHING} must be 0 with {task} True"
    if is_mixed:
        yield f"MIXUP.ENABLE: True must be False with {task} True"
    if data.LABEL_AWARE_FLIP:
        yield f"DATA.LABEL_AWARE_FLIP: True must be False with {task} True"


for _key in ("AUG.ENABLE", "MULTIGRID.LONG_CYCLE", "MULTIGRID.SHORT_CYCLE", "TEST.REVERSE_TIME"):
    register_exclusion("DETECTION.ENABLE", _key)


@register_rule("DETECTION.ENABLE", "DATA")
def check_detection(is_detection: bool, data: ConfigNode) -> Iterator[str]:
    """Check that boxes are jittered and coloured as whole frames are."""
    if not is_detection:
        return
    if data.TRAIN_JITTER_SCALES_RELATIVE:
        yield (
            f"DATA.TRAIN_JITTER_SCALES_RELATIVE: {list(data.TRAIN_JITTER_SCALES_RELATIVE)} "
            "must be [] with DETECTION.ENABLE True"
        )
    values, vectors = data.TRAIN_PCA_EIGVAL, data.TRAIN_PCA_EIGVEC
    if not _are_three_numbers(values):
        yield f"DATA.TRAIN_PCA_EIGVAL: {values} must be three numbers"
    if len(vectors) != 3 or not all(map(_are_three_numbers, vectors)):
        yield f"DATA.TRAIN_PCA_EIGVEC: {vectors} must be three rows of three numbers"


def _are_three_numbers(values: Any) -> bool:
    return isinstance(values, list | tuple) and len(values) == 3 and are_numbers(values)
