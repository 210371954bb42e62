"""Rules for adaptive networks and their budgets."""

from collections.abc import Iterator

from slowfast.config.checks.clips import MODEL_STRIDE
from slowfast.config.checks.rules import register_exclusion, register_rule
from slowfast.config.derived import parse_budget, slow_stride
from slowfast.config.limits import are_numbers
from slowfast.config.node import ConfigNode


@register_rule("ADAPTIVE", "MODEL")
def check_widths(adaptive: ConfigNode, model: ConfigNode) -> Iterator[str]:
    """Check that widths are shares of the whole network, from the smallest that is trained."""
    if not adaptive.ENABLE:
        return
    if not 0 < adaptive.MIN_WIDTH <= 1:
        yield f"ADAPTIVE.MIN_WIDTH: {adaptive.MIN_WIDTH} must be above 0 and at most 1"
    widths, least = list(adaptive.WIDTHS), adaptive.MIN_WIDTH
    if not (widths and are_numbers(widths) and least <= min(widths) <= max(widths) <= 1):
        yield (
            f"ADAPTIVE.WIDTHS: {widths} must be numbers from ADAPTIVE.MIN_WIDTH {least}, "
            "the smallest that is trained, to 1"
        )
    if model.WIDTH != 1:
        yield f"MODEL.WIDTH: {model.WIDTH} must be 1 with ADAPTIVE.ENABLE True"


@register_rule("ADAPTIVE", "MODEL.LOSS_FUNC")
def check_loss(adaptive: ConfigNode, loss: str) -> Iterator[str]:
    """Check that sub-networks learn from one label or from the scores of the whole network."""
    if not adaptive.ENABLE:
        return
    if not adaptive.DISTILL and adaptive.TEMPERATURE != 1:
        yield (
            f"ADAPTIVE.TEMPERATURE: {adaptive.TEMPERATURE} must be 1 with ADAPTIVE.DISTILL False, "
            "which has no use for it"
        )
    if loss not in ("cross_entropy", "soft_cross_entropy"):
        yield (
            f"MODEL.LOSS_FUNC: {loss!r} must be 'cross_entropy' or "
            "'soft_cross_entropy' with ADAPTIVE.ENABLE True"
        )


@register_rule("ADAPTIVE", "DATA", "SLOWFAST.ALPHA")
def check_reduced_clips(adaptive: ConfigNode, data: ConfigNode, alpha: int) -> Iterator[str]:
    """Check that reduced clips are cut from whole ones."""
    if not adaptive.ENABLE:
        return
    num_frames = data.NUM_FRAMES // slow_stride(len(data.INPUT_CHANNEL_NUM), alpha)
    crop = min(data.TRAIN_CROP_SIZE, data.TEST_CROP_SIZE)
    for name, least, most, unit in (
        ("CROPS", MODEL_STRIDE, crop, "pixels (the smaller of DATA.TRAIN_ and TEST_CROP_SIZE)"),
        ("FRAMES", 1, num_frames, "frames of the (slow) pathway"),
    ):
        values = list(adaptive[name])
        if not (values and all(type(v) is int and least <= v <= most for v in values)):
            yield f"ADAPTIVE.{name}: {values} must be whole numbers from {least} to {most} {unit}"


for _key, _reason in {
    "DATA.MULTI_LABEL": "it is for one label per video",
    "DETECTION.ENABLE": "it is for one label per video",
    "MODEL.FROZEN_BN": "each width has batch-norm statistics of its own",
    "MULTIGRID.LONG_CYCLE": "it chooses frames and crops by itself",
    "MULTIGRID.SHORT_CYCLE": "it chooses frames and crops by itself",
    "TRAIN.COMPILE": "every width would be compiled anew",
    "TRAIN.FREEZE": "frozen batch norms keep the statistics of the full network",
}.items():
    register_exclusion("ADAPTIVE.ENABLE", _key, _reason)


@register_rule("TEST", "DETECTION.ENABLE")
def check_budget(test: ConfigNode, is_detection: bool) -> Iterator[str]:
    """Check that a budget has its unit, its table, and one score per video."""
    if test.BUDGET_TABLE and not test.BUDGET:
        yield f"TEST.BUDGET_TABLE: {test.BUDGET_TABLE!r} needs TEST.BUDGET"
    if not test.BUDGET:
        return
    try:
        parse_budget(test.BUDGET)
    except ValueError as error:
        yield str(error)
    if is_detection:
        yield f"TEST.BUDGET: {test.BUDGET!r} must be empty with DETECTION.ENABLE True"
