"""Rules for detection, several labels at once, adaptive networks and their budgets."""

from collections.abc import Iterator
from typing import Any

from slowfast.config.checks.clips import MODEL_STRIDE
from slowfast.config.checks.rules import register_exclusion, register_rule
from slowfast.config.defaults import DEFAULTS
from slowfast.config.derived import class_counts, finds_boxes, parse_budget, slow_stride
from slowfast.config.limits import are_numbers
from slowfast.config.node import ConfigNode

_CROSS_ENTROPIES = ("cross_entropy", "soft_cross_entropy")
# Keys that only a detector reads.
_OF_DETECTORS = ("RPN_BACKBONE", "RPN_CHECKPOINT", "ANCHOR_SIZES", "ANCHOR_RATIOS")
_OF_DETECTORS += ("NUM_PROPOSALS", "NUM_SAMPLED", "HEAD_DIM", "NMS_IOU", "MAX_DETECTIONS")
# Frames of fewer pixels leave no position of a map.
_SMALLEST_SIDE, _LARGEST_SIDE = 32, 10_000
_MOST_ANCHORS = 100


@register_rule("DETECTION", "DATA", "MODEL", "MIXUP.ENABLE")
def check_labels(
    detection: ConfigNode, data: ConfigNode, model: ConfigNode, is_mixed: bool
) -> Iterator[str]:
    """Check that several labels at once have sigmoids, and nothing made for one label.

    Boxes that are found may have one label, and then a background.
    """
    is_detection = detection.ENABLE
    if not (is_detection or data.MULTI_LABEL):
        return
    if is_detection and data.MULTI_LABEL:
        yield "DATA.MULTI_LABEL: True is for whole videos; with DETECTION.ENABLE it must be False"
        return
    task = "DETECTION.ENABLE" if is_detection else "DATA.MULTI_LABEL"
    if finds_boxes(detection) and model.HEAD_ACT == "softmax":
        if model.LOSS_FUNC != "cross_entropy":
            yield (
                f"MODEL.LOSS_FUNC: {model.LOSS_FUNC!r} must be 'cross_entropy' with MODEL.HEAD_ACT "
                "'softmax' and DETECTION.PROPOSALS 'rpn'"
            )
    else:
        yield from _check_sigmoids(model, task)
    if model.LABEL_SMOOTHING:
        yield f"MODEL.LABEL_SMOOTHING: {model.LABEL_SMOOTHING} must be 0 with {task} True"
    if is_mixed:
        yield f"MIXUP.ENABLE: True must be False with {task} True"
    if data.LABEL_AWARE_FLIP:
        yield f"DATA.LABEL_AWARE_FLIP: True must be False with {task} True"


def _check_sigmoids(model: ConfigNode, task: str) -> Iterator[str]:
    if model.HEAD_ACT != "sigmoid":
        yield f"MODEL.HEAD_ACT: {model.HEAD_ACT!r} must be 'sigmoid' with {task} True"
    if model.LOSS_FUNC not in ("bce", "bce_logit"):
        yield f"MODEL.LOSS_FUNC: {model.LOSS_FUNC!r} must be 'bce' or 'bce_logit' with {task} True"


@register_rule("MODEL", "DATA", "DETECTION.ENABLE", "ADAPTIVE.ENABLE", "TEST.BUDGET")
def check_targets(
    model: ConfigNode, data: ConfigNode, is_detection: bool, is_adaptive: bool, budget: str
) -> Iterator[str]:
    """Check that several targets have one class each, and scores that can be multiplied."""
    if len(class_counts(model.NUM_CLASSES)) == 1:
        return
    targets = f"MODEL.NUM_CLASSES {model.NUM_CLASSES}, several targets"
    others = {
        "DETECTION.ENABLE": (is_detection, "boxes have one"),
        "DATA.MULTI_LABEL": (data.MULTI_LABEL, "any number of labels are of one"),
        "ADAPTIVE.ENABLE": (is_adaptive, "its sub-networks learn the scores of one"),
        "TEST.BUDGET": (budget, "adaptive networks have one"),
        "DATA.LABEL_AWARE_FLIP": (data.LABEL_AWARE_FLIP, "it knows the classes of one"),
    }
    for key, (value, reason) in others.items():
        if value:
            yield f"{key}: {value} must be {type(value)()!r} with {targets}: {reason}"
    if not (is_detection or data.MULTI_LABEL):
        if model.HEAD_ACT != "softmax":
            yield f"MODEL.HEAD_ACT: {model.HEAD_ACT!r} must be 'softmax' with {targets}"
        if model.LOSS_FUNC not in _CROSS_ENTROPIES:
            yield f"MODEL.LOSS_FUNC: {model.LOSS_FUNC!r} must be 'cross_entropy' with {targets}"


@register_rule("TRAIN", "DATA", "DETECTION.ENABLE", "MODEL.NUM_CLASSES")
def check_balance(
    train: ConfigNode, data: ConfigNode, is_detection: bool, num_classes: int | list[int]
) -> Iterator[str]:
    """Check that there is a weight for each class, and one class by which samples are drawn."""
    weights, counts = train.CLASS_WEIGHTS, class_counts(num_classes)
    if weights and is_detection:
        yield f"TRAIN.CLASS_WEIGHTS: {_short(weights)} must be empty with DETECTION.ENABLE True"
    elif isinstance(weights, list) and len(weights) != sum(counts):
        yield (
            f"TRAIN.CLASS_WEIGHTS: {_short(weights)} are {len(weights)} numbers, not "
            f"{sum(counts)}, one for each class of MODEL.NUM_CLASSES {num_classes}"
        )
    elif isinstance(weights, list) and not any(weights):
        yield f"TRAIN.CLASS_WEIGHTS: {_short(weights)} are all 0: nothing would be learnt"
    if data.SAMPLER != "balanced":
        return
    if is_detection or data.MULTI_LABEL or len(counts) > 1:
        instead = "" if is_detection else "; TRAIN.CLASS_WEIGHTS balanced is for several, too"
        yield f"DATA.SAMPLER: 'balanced' needs videos of one class each{instead}"
    elif weights == "balanced":
        yield (
            "TRAIN.CLASS_WEIGHTS: 'balanced' must be empty with DATA.SAMPLER 'balanced': rare "
            "classes would count twice"
        )


def _short(weights: str | list) -> str:
    return repr(weights) if len(weights) <= 8 else f"[{', '.join(map(str, weights[:8]))}, ...]"


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


@register_rule("DATA")
def check_principal_components(data: ConfigNode) -> Iterator[str]:
    """Check that colours have three of them."""
    values, vectors = data.TRAIN_PCA_EIGVAL, data.TRAIN_PCA_EIGVEC
    if not _are_three_numbers(values):
        yield f"DATA.TRAIN_PCA_EIGVAL: {values} must be three numbers, of colours in 0..1"
    if len(vectors) != 3 or not all(map(_are_three_numbers, vectors)):
        yield f"DATA.TRAIN_PCA_EIGVEC: {vectors} must be three rows of three numbers"


def _are_three_numbers(values: Any) -> bool:
    is_triple = isinstance(values, list | tuple) and len(values) == 3 and are_numbers(values)
    return is_triple and max(map(abs, values)) <= 1


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
    if loss not in _CROSS_ENTROPIES:
        yield (
            f"MODEL.LOSS_FUNC: {loss!r} must be 'cross_entropy' or "
            "'soft_cross_entropy' with ADAPTIVE.ENABLE True"
        )


@register_rule("ADAPTIVE", "DATA", "SLOWFAST.ALPHA", "TRAIN.ENABLE")
def check_reduced_clips(
    adaptive: ConfigNode, data: ConfigNode, alpha: int, is_training: bool
) -> Iterator[str]:
    """Check that reduced clips are cut from whole ones.

    A network that is not trained further may be scored at crops that are larger than in training.
    """
    if not adaptive.ENABLE:
        return
    num_frames = data.NUM_FRAMES // slow_stride(len(data.INPUT_CHANNEL_NUM), alpha)
    crop, which = data.TEST_CROP_SIZE, "DATA.TEST_CROP_SIZE"
    if is_training:
        crop = min(crop, data.TRAIN_CROP_SIZE)
        which = "the smaller of DATA.TRAIN_ and TEST_CROP_SIZE"
    for name, least, most, unit in (
        ("CROPS", MODEL_STRIDE, crop, f"pixels ({which})"),
        ("FRAMES", 1, num_frames, "frames of the (slow) pathway"),
    ):
        values = list(adaptive[name])
        if not (values and all(type(v) is int and least <= v <= most for v in values)):
            yield f"ADAPTIVE.{name}: {values} must be whole numbers from {least} to {most} {unit}"


@register_rule("ADAPTIVE", "DATA", "SLOWFAST.ALPHA")
def check_points(adaptive: ConfigNode, data: ConfigNode, alpha: int) -> Iterator[str]:
    """Check that points beside the grid are of trained widths, cut from whole clips of a test."""
    crop = data.TEST_CROP_SIZE
    num_frames = data.NUM_FRAMES // slow_stride(len(data.INPUT_CHANNEL_NUM), alpha)
    for point in adaptive.POINTS if adaptive.ENABLE else ():
        if not _is_point(point, (adaptive.MIN_WIDTH, 1), (1, num_frames), (MODEL_STRIDE, crop)):
            yield (
                f"ADAPTIVE.POINTS: {point} must be [width, frames, crop]: a width from "
                f"ADAPTIVE.MIN_WIDTH {adaptive.MIN_WIDTH} to 1, 1 to {num_frames} frames of the "
                f"(slow) pathway, and {MODEL_STRIDE} to {crop} pixels (DATA.TEST_CROP_SIZE)"
            )


def _is_point(point: Any, *ranges: tuple[float, float]) -> bool:
    """Whether these are a number and two whole ones, each within its range."""
    if not (isinstance(point, list) and len(point) == 3 and are_numbers(point)):
        return False
    if not type(point[1]) is type(point[2]) is int:
        return False
    return all(least <= value <= most for value, (least, most) in zip(point, ranges, strict=True))


@register_rule("ADAPTIVE", "BN.USE_PRECISE_STATS")
def check_full_pass(adaptive: ConfigNode, are_measured: bool) -> Iterator[str]:
    """Check that a network whose whole is never trained has something to learn from."""
    if not adaptive.ENABLE or adaptive.FULL_PASS:
        return
    if adaptive.DISTILL:
        yield (
            "ADAPTIVE.DISTILL: True must be False with ADAPTIVE.FULL_PASS False: no full network "
            "teaches the others"
        )
    if not are_measured:
        yield (
            "BN.USE_PRECISE_STATS: False must be True with ADAPTIVE.FULL_PASS False: nothing else "
            "measures the statistics of the full network"
        )
    if adaptive.MIN_WIDTH < 1 and not adaptive.NUM_RANDOM:
        yield (
            "ADAPTIVE.NUM_RANDOM: 0 must be at least 1 with ADAPTIVE.FULL_PASS False and "
            f"ADAPTIVE.MIN_WIDTH {adaptive.MIN_WIDTH}: wider networks would never be trained"
        )


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


@register_rule("AVA")
def check_lists(ava: ConfigNode) -> Iterator[str]:
    """Check that lists of files hold their names."""
    for name, values in ava.items():
        if isinstance(values, list) and not all(isinstance(value, str) for value in values):
            yield f"AVA.{name}: {values} must be names of files"


@register_rule("AVA")
def check_image_rate(ava: ConfigNode) -> Iterator[str]:
    """Check that the rate of images is not given for video files."""
    default = DEFAULTS.AVA.FPS
    if ava.VIDEO_DIR and ava.FPS != default:
        yield (
            f"AVA.FPS: {ava.FPS:g} must be {default:g} with AVA.VIDEO_DIR {ava.VIDEO_DIR!r}, whose "
            "files say their own rate"
        )


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


@register_rule("DETECTION")
def check_detector(detection: ConfigNode) -> Iterator[str]:
    """Check that keys of detectors have one, and that its anchors are boxes."""
    if detection.PROPOSALS == "rpn" and not detection.ENABLE:
        yield "DETECTION.PROPOSALS: 'rpn' needs DETECTION.ENABLE True"
    default = DEFAULTS.DETECTION
    if not finds_boxes(detection):
        for key in _OF_DETECTORS:
            if detection[key] != default[key]:
                yield f"DETECTION.{key}: {detection[key]!r} needs DETECTION.PROPOSALS 'rpn'"
        return
    for key, most in (("ANCHOR_SIZES", _LARGEST_SIDE), ("ANCHOR_RATIOS", 100)):
        values = list(detection[key])
        is_list = 0 < len(values) <= _MOST_ANCHORS and are_numbers(values)
        if not (is_list and min(values) >= 0.01 and max(values) <= most):
            yield (
                f"DETECTION.{key}: {values} must be a list of 1 to {_MOST_ANCHORS} numbers in "
                f"0.01..{most}"
            )


@register_rule("DETECTION", "AVA", "MODEL.WIDTH", "TRAIN.COMPILE", "DATA.SAMPLED_FRAMES")
def check_found_boxes(
    detection: ConfigNode, ava: ConfigNode, width: float, is_compiled: bool, num_sampled: int
) -> Iterator[str]:
    """Check that nothing is asked for that needs boxes before the network has found them."""
    if not finds_boxes(detection):
        return
    others = {
        "AVA.TEST_BOXES": (ava.TEST_BOXES, "predicted", "no box is given in tests"),
        "AVA.TEST_FORCE_FLIP": (ava.TEST_FORCE_FLIP, False, "boxes are those of plain frames"),
        "DETECTION.TEST_VIEW": (detection.TEST_VIEW, "whole", "boxes are those of whole frames"),
        "MODEL.WIDTH": (width, 1, "proposals have one width"),
        "TRAIN.COMPILE": (is_compiled, False, "the number of boxes changes with each clip"),
        "DATA.SAMPLED_FRAMES": (num_sampled, 0, "the key frame is the middle of the clip"),
    }
    for key, (value, needed, reason) in others.items():
        if value != needed:
            yield f"{key}: {value!r} must be {needed!r} with DETECTION.PROPOSALS 'rpn': {reason}"


@register_rule("DETECTION", "DATA")
def check_frame_size(detection: ConfigNode, data: ConfigNode) -> Iterator[str]:
    """Check that whole frames have a size, and nothing is cut out of them."""
    size = list(detection.FRAME_SIZE)
    if not size:
        return
    are_sides = all(type(n) is int and _SMALLEST_SIDE <= n <= _LARGEST_SIDE for n in size)
    if len(size) != 2 or not are_sides:
        yield (
            f"DETECTION.FRAME_SIZE: {size} must be [height, width] in pixels, whole numbers in "
            f"{_SMALLEST_SIDE}..{_LARGEST_SIDE}, or []"
        )
    if not detection.ENABLE:
        yield f"DETECTION.FRAME_SIZE: {size} needs DETECTION.ENABLE True"
    if detection.TEST_VIEW != "whole":
        yield (
            f"DETECTION.TEST_VIEW: {detection.TEST_VIEW!r} must be 'whole' with "
            f"DETECTION.FRAME_SIZE {size}"
        )
    default = DEFAULTS.DATA
    for key in ("TRAIN_CROP_SIZE", "TEST_CROP_SIZE", "TRAIN_JITTER_SCALES"):
        if data[key] != default[key]:
            yield (
                f"DATA.{key}: {data[key]} has no effect with DETECTION.FRAME_SIZE {size}; leave it "
                f"at {default[key]}"
            )


@register_rule("DATA.MODALITY", "AVA")
def check_colours_of_flow(modality: str, ava: ConfigNode) -> Iterator[str]:
    """Check that nothing changes the colours of flow, which has none."""
    for key in ("TRAIN_USE_COLOR_AUGMENTATION", "BGR"):
        if modality == "flow" and ava[key]:
            yield f"AVA.{key}: True must be False with DATA.MODALITY 'flow', which has no colours"
