"""Values that follow from keys: classes of targets, pathway strides, budget of a network."""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from slowfast.config.node import ConfigNode

_BUDGET = re.compile(r"\s*(\d{1,12}(?:\.\d*)?|\.\d+)\s*(G|M|ms)\s*")
_PLACES = re.compile(r"(\d{1,6}(?:,\d{1,6})*)(?:;(\d{1,6}(?:,\d{1,6})*))?")
# What follows the number: the cost that it limits, and how much of it that is.
_UNITS = {"G": ("gmacs", 1.0), "M": ("gmacs", 1e-3), "ms": ("latency_ms", 1.0)}


# Keys, or whole sections, that make another network, beside those that every network has.
NETWORK_KEYS = (
    *("MODEL.MODEL_NAME", "MODEL.ARCH", "MODEL.WIDTH", "MODEL.FACTORY", "MODEL.FACTORY_ARGS"),
    *("MODEL.INPUT_LAYOUT", "RESNET", "NONLOCAL", "SLOWFAST", "X3D", "VOV3D", "S3D", "SEGMENTS"),
    *("TSM", "TPN", "GST", "TRN.BACKBONE", "TRN.SCALES", "TRN.DIM_FRAME", "BLVNET", "R2PLUS1D"),
    *("CSN", "MFNET", "MVIT"),
)


def is_in(key: str, names: Sequence[str]) -> bool:
    """Whether a key, or a section that it is in, is among the names."""
    return any(key == name or key.startswith(f"{name}.") for name in names)


def plain(value: Any) -> Any:
    """The value with lists for tuples, as YAML has them."""
    return [plain(item) for item in value] if isinstance(value, list | tuple) else value


@dataclass(frozen=True)
class LayerMaps:
    """Maps of a layer that are shown: of these channels, () for the strongest.

    frames: one for each of the channels, () for all.
    """

    layer: str
    channels: tuple[int, ...] = ()
    frames: tuple[int, ...] = ()


def parse_layer_maps(text: str) -> LayerMaps:
    """`s5.pathway0_res2`, also with / for dots, and behind it channels 0,1 or 0,1;2,3 with frames.

    As in numpy's indexing, channel 0 is then shown in frame 2, and channel 1 in frame 3; a single
    one goes with all of the others. ValueError for anything else.
    """
    layer, _, places = text.strip().partition(" ")
    match = _PLACES.fullmatch(places.strip()) if places.strip() else None
    if not layer or (places.strip() and match is None):
        raise ValueError(
            f"{text!r} is not the name of a layer, alone or with channels (s5 0,1), or with "
            "channels and their frames (s5 0,1;2,3)"
        )
    layer = layer.replace("/", ".")
    if match is None:
        return LayerMaps(layer)
    channels, frames = ([int(n) for n in (part or "").split(",") if n] for part in match.groups())
    most = max(len(channels), len(frames))
    if frames and {len(channels), len(frames)} - {1, most}:
        raise ValueError(
            f"{text!r}: {len(channels)} channels and {len(frames)} frames; give as many of both, "
            "or one of either"
        )
    if frames:
        channels, frames = (part * (most // len(part)) for part in (channels, frames))
    return LayerMaps(layer, tuple(channels), tuple(frames))


@dataclass(frozen=True)
class Budget:
    """Largest value of a cost, gmacs or latency_ms, and how the user wrote it."""

    cost: str
    limit: float
    text: str


def parse_budget(text: str) -> Budget:
    """`10G` or `500M` (multiply-adds per clip), or `50ms` (time per clip)."""
    match = _BUDGET.fullmatch(text)
    if not match or not float(match[1]):
        raise ValueError(
            f"TEST.BUDGET: {text!r} is not a number above 0 with its unit: multiply-adds per clip "
            "like 10G or 500M, or time per clip like 50ms"
        )
    cost, scale = _UNITS[match[2]]
    return Budget(cost, scale * float(match[1]), text)


def precision_of_tests(precision: str, train: ConfigNode) -> str:
    """Type in which a test of TEST.PRECISION computes: float32, bfloat16 or float16."""
    if precision != "train":
        return precision
    return train.AMP_DTYPE if train.MIXED_PRECISION else "float32"


def class_counts(num_classes: int | list[int]) -> tuple[int, ...]:
    """Classes of each target of MODEL.NUM_CLASSES: (400,), or (97, 300) for verb and noun."""
    return (num_classes,) if isinstance(num_classes, int) else tuple(num_classes)


def num_processes(num_gpus: int) -> int:
    """Processes on this machine; torchrun's number wins over NUM_GPUS."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", max(num_gpus, 1)))


def clips_of_statistics(train: ConfigNode, norm: ConfigNode, num_gpus: int, num_shards: int) -> int:
    """Clips of a training batch that share batch-norm statistics, without multigrid."""
    num_local = num_processes(num_gpus)
    clips = train.BATCH_SIZE // num_local
    if norm.NORM_TYPE == "sub_batchnorm":
        return clips // norm.NUM_SPLITS
    if norm.NORM_TYPE == "sync_batchnorm":
        num_all = num_local * num_shards
        return clips * (num_all if norm.GLOBAL_SYNC else min(norm.NUM_SYNC_DEVICES, num_all))
    return clips


def kind_of_labels(is_detection: bool, is_multi_label: bool, num_classes: int | list[int]) -> str:
    """Kind of labels that DETECTION.ENABLE, DATA.MULTI_LABEL and MODEL.NUM_CLASSES ask for.

    One of classification, multi_label, several_targets and detection.
    """
    if is_detection:
        return "detection"
    if is_multi_label:
        return "multi_label"
    return "several_targets" if len(class_counts(num_classes)) > 1 else "classification"


def finds_boxes(detection: ConfigNode) -> bool:
    """Whether the network finds boxes by itself, in place of classifying those it is given."""
    return detection.ENABLE and detection.PROPOSALS == "rpn"


def accumulation_steps(train: ConfigNode, num_shards: int) -> int:
    """Batches whose gradients are added up before one optimizer step of so many machines."""
    if not train.GLOBAL_BATCH_SIZE:
        return train.ACCUMULATION_STEPS
    per_batch = train.BATCH_SIZE * num_shards
    count, rest = divmod(train.GLOBAL_BATCH_SIZE, per_batch)
    if rest or not count:
        raise ValueError(
            f"TRAIN.GLOBAL_BATCH_SIZE: {train.GLOBAL_BATCH_SIZE} is not a multiple of {per_batch}, "
            f"TRAIN.BATCH_SIZE {train.BATCH_SIZE} on {num_shards} machine(s)"
        )
    return count


def slow_stride(num_pathways: int, alpha: int) -> int:
    """Temporal stride of the first pathway's frames within the clip."""
    return 1 if num_pathways == 1 else alpha


def adaptive_frames(adaptive: ConfigNode) -> list:
    """Frames of ADAPTIVE.FRAMES, then of ADAPTIVE.POINTS; neither need be right yet."""
    points = (point for point in adaptive.POINTS if isinstance(point, list) and len(point) == 3)
    return [*adaptive.FRAMES, *(frames for _, frames, _ in points)]


def pathway_strides(cfg: ConfigNode) -> tuple[int, ...]:
    """Temporal stride of each pathway's frames within the clip: (1,) or (ALPHA, 1), slow first."""
    stride = slow_stride(len(cfg.DATA.INPUT_CHANNEL_NUM), cfg.SLOWFAST.ALPHA)
    return (stride, 1)[: len(cfg.DATA.INPUT_CHANNEL_NUM)]
