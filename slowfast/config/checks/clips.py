"""Rules for the clips that a network sees: pathways, frames, crops, flips, optical flow."""

from collections.abc import Iterator

from slowfast.config.checks.rules import register_exclusion, register_rule
from slowfast.config.defaults import DEFAULTS
from slowfast.config.derived import slow_stride
from slowfast.config.limits import are_numbers
from slowfast.config.node import ConfigNode

# All models halve height and width five times.
MODEL_STRIDE = 32
# Pixels of a short side: beyond them is a misprint.
_LARGEST_SIDE = 10_000
# DATA.MODALITY -> channels
_CHANNELS = {"rgb": 3, "flow": 2}


@register_rule("DATA", "SLOWFAST.ALPHA")
def check_pathways(data: ConfigNode, alpha: int) -> Iterator[str]:
    """Check that channels and frames fit the pathways."""
    channels = list(data.INPUT_CHANNEL_NUM)
    num = _CHANNELS[data.MODALITY]
    if channels not in ([num], [num, num]):
        yield (
            f"DATA.INPUT_CHANNEL_NUM: {channels} must be [{num}] (one pathway) or [{num}, {num}] "
            f"(two) with DATA.MODALITY {data.MODALITY!r}"
        )
        return
    stride = slow_stride(len(channels), alpha)
    if data.NUM_FRAMES % stride:
        yield (
            f"DATA.NUM_FRAMES: {data.NUM_FRAMES} must be a multiple of SLOWFAST.ALPHA {stride} "
            f"with the two pathways of DATA.INPUT_CHANNEL_NUM {channels}"
        )
    yield from _check_normalization(data, num_channels=num)


def _check_normalization(data: ConfigNode, *, num_channels: int) -> Iterator[str]:
    for key, values in (("DATA.MEAN", data.MEAN), ("DATA.STD", data.STD)):
        if not are_numbers(values) or len(values) != num_channels:
            yield f"{key}: {values} must hold {num_channels} numbers, one per channel"
        elif min(values) < 0 or max(values) > 1:
            yield f"{key}: {values} must be of values in 0..1; divide those of 0..255 by 255"
    if are_numbers(data.STD) and min(data.STD, default=1) <= 0:
        yield f"DATA.STD: {data.STD} must be above 0"


@register_rule("DATA")
def check_sizes(data: ConfigNode) -> Iterator[str]:
    """Check that the jitter suits the crops."""
    scales = list(data.TRAIN_JITTER_SCALES)
    if not _is_range(scales) or scales[0] < data.TRAIN_CROP_SIZE or scales[1] > _LARGEST_SIDE:
        yield (
            f"DATA.TRAIN_JITTER_SCALES: {scales} must be [smallest, largest] short side, from "
            f"DATA.TRAIN_CROP_SIZE {data.TRAIN_CROP_SIZE} up to {_LARGEST_SIDE}"
        )
    yield from _check_relative_jitter(data)


def _check_relative_jitter(data: ConfigNode) -> Iterator[str]:
    areas = list(data.TRAIN_JITTER_SCALES_RELATIVE)
    ratios = list(data.TRAIN_JITTER_ASPECT_RELATIVE)
    if areas and not (_is_range(areas) and 0 < areas[0] and areas[1] <= 1):
        yield (
            f"DATA.TRAIN_JITTER_SCALES_RELATIVE: {areas} must be [smallest, largest] share of "
            "the frame within 0..1, or [] for DATA.TRAIN_JITTER_SCALES"
        )
    is_range = _is_range(ratios) and 0.01 <= ratios[0] and ratios[1] <= 100
    if bool(areas) != bool(ratios) or (ratios and not is_range):
        yield (
            f"DATA.TRAIN_JITTER_ASPECT_RELATIVE: {ratios} must be [smallest, largest] in 0.01..100 "
            f"with DATA.TRAIN_JITTER_SCALES_RELATIVE, [] without; that is {areas}"
        )


@register_rule("DATA", "DETECTION.ENABLE")
def check_crop_scales(data: ConfigNode, is_detection: bool) -> Iterator[str]:
    """Check that boxes of several scales are of whole frames, and nothing else crops."""
    scales = list(data.TRAIN_CROP_SCALES)
    if not scales:
        return
    if not (are_numbers(scales) and 0.01 <= min(scales) <= max(scales) <= 1):
        yield (
            f"DATA.TRAIN_CROP_SCALES: {scales} must be shares of the short side within 0.01..1, or "
            "[] for DATA.TRAIN_JITTER_SCALES"
        )
    relative = list(data.TRAIN_JITTER_SCALES_RELATIVE)
    others = {
        f"DATA.TRAIN_JITTER_SCALES_RELATIVE {relative}": relative,
        "DATA.KEEP_ASPECT False": not data.KEEP_ASPECT,
        "DETECTION.ENABLE True": is_detection,
    }
    for other, is_set in others.items():
        if is_set:
            yield f"DATA.TRAIN_CROP_SCALES: {scales} must be [] with {other}"


@register_rule("TEST.SHORT_SIDE", "DATA.TEST_CROP_SIZE", "DETECTION")
def check_short_side(short_side: int, crop: int, detection: ConfigNode) -> Iterator[str]:
    """Check that the crop of a test fits into its frames."""
    if detection.TEST_VIEW != "whole" and not detection.ENABLE:
        yield f"DETECTION.TEST_VIEW: {detection.TEST_VIEW!r} needs DETECTION.ENABLE True"
    if short_side and detection.ENABLE and detection.TEST_VIEW == "whole":
        yield (
            f"TEST.SHORT_SIDE: {short_side} must be 0 with DETECTION.TEST_VIEW 'whole', which "
            f"tests on whole frames with the short side DATA.TEST_CROP_SIZE {crop}"
        )
    elif 0 < short_side < crop:
        yield f"TEST.SHORT_SIDE: {short_side} must be 0, or at least DATA.TEST_CROP_SIZE {crop}"


@register_rule("TEST", "DATA", "DETECTION.ENABLE")
def check_aspect(test: ConfigNode, data: ConfigNode, is_detection: bool) -> Iterator[str]:
    """Check that squares are asked for where there can be some, and not cropped thrice alike."""
    if data.KEEP_ASPECT:
        return
    if is_detection:
        yield "DATA.KEEP_ASPECT: False must be True with DETECTION.ENABLE True"
    if data.TRAIN_JITTER_SCALES_RELATIVE:
        yield (
            f"DATA.TRAIN_JITTER_SCALES_RELATIVE: {list(data.TRAIN_JITTER_SCALES_RELATIVE)} must "
            "be [] with DATA.KEEP_ASPECT False; it cuts boxes of any shape out of whole frames"
        )
    if test.NUM_SPATIAL_CROPS > 1 and test.SHORT_SIDE <= data.TEST_CROP_SIZE:
        yield (
            f"TEST.NUM_SPATIAL_CROPS: {test.NUM_SPATIAL_CROPS} must be 1 with DATA.KEEP_ASPECT "
            "False, or TEST.SHORT_SIDE above DATA.TEST_CROP_SIZE: all crops of a square of the "
            "same size are the same"
        )


@register_rule("TEST", "DATA", "SLOWFAST.ALPHA")
def check_whole_video(test: ConfigNode, data: ConfigNode, alpha: int) -> Iterator[str]:
    """Check that the whole video is one clip that the pathways take."""
    num_frames, stride = test.WHOLE_VIDEO, slow_stride(len(data.INPUT_CHANNEL_NUM), alpha)
    if not num_frames:
        return
    if test.NUM_ENSEMBLE_VIEWS != 1:
        yield (
            f"TEST.NUM_ENSEMBLE_VIEWS: {test.NUM_ENSEMBLE_VIEWS} must be 1 with TEST.WHOLE_VIDEO "
            f"{num_frames}, which makes one clip of a video"
        )
    if num_frames % stride:
        yield f"TEST.WHOLE_VIDEO: {num_frames} must be a multiple of SLOWFAST.ALPHA {stride}"
    if data.SAMPLED_FRAMES:
        yield (
            f"DATA.SAMPLED_FRAMES: {data.SAMPLED_FRAMES} must be 0 with TEST.WHOLE_VIDEO "
            f"{num_frames}"
        )


for _switch in ("DETECTION.ENABLE", "ADAPTIVE.ENABLE"):
    register_exclusion(_switch, "TEST.WHOLE_VIDEO")


@register_rule("DATA")
def check_sampled_frames(data: ConfigNode) -> Iterator[str]:
    """Check that the frames that are kept are among the sampled ones."""
    sampled, kept = data.SAMPLED_FRAMES, data.NUM_FRAMES
    if sampled and sampled < kept:
        yield f"DATA.SAMPLED_FRAMES: {sampled} must be 0, or at least DATA.NUM_FRAMES {kept}"


@register_rule("DATA")
def check_flips(data: ConfigNode) -> Iterator[str]:
    """Check that keys for flipped labels have flips."""
    if data.LABEL_AWARE_FLIP and not data.RANDOM_FLIP:
        yield "DATA.LABEL_AWARE_FLIP: True needs DATA.RANDOM_FLIP True"
    if data.FLIP_LABELS_FILE and not data.LABEL_AWARE_FLIP:
        yield f"DATA.FLIP_LABELS_FILE: {data.FLIP_LABELS_FILE!r} needs DATA.LABEL_AWARE_FLIP True"


@register_rule("MIXUP")
def check_mixup(mixup: ConfigNode) -> Iterator[str]:
    """Check that one of the two ways of mixing is on."""
    if mixup.ENABLE and not (mixup.ALPHA or mixup.CUTMIX_ALPHA):
        yield "MIXUP.ENABLE: True needs MIXUP.ALPHA or MIXUP.CUTMIX_ALPHA above 0"


@register_rule("DATA", "TEST.REVERSE_TIME")
def check_flow(data: ConfigNode, is_reversed: bool) -> Iterator[str]:
    """Check that flow is read from folders, forwards."""
    if data.MODALITY != "flow":
        return
    if is_reversed:
        # The way back does not start at the pixel where the way there did.
        yield (
            "TEST.REVERSE_TIME: True must be False with DATA.MODALITY 'flow': played backwards, a "
            "video has another flow; compute that of reversed videos"
        )
    default = DEFAULTS.DATA
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
    """Check that nothing changes the colours of flow, which has none."""
    if modality != "flow" or not aug.ENABLE:
        return
    if aug.AA_TYPE:
        yield (
            f"AUG.AA_TYPE: {aug.AA_TYPE!r} must be '' with DATA.MODALITY 'flow', which has no "
            "colours and would have to turn with the picture"
        )
    elif aug.COLOR_JITTER:
        yield f"AUG.COLOR_JITTER: {aug.COLOR_JITTER} must be 0 with DATA.MODALITY 'flow'"


def _is_range(values: list) -> bool:
    return len(values) == 2 and are_numbers(values) and values[0] <= values[1]
