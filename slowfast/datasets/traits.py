"""Traits of datasets, by which all other code knows them, and the rules that follow from traits."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from slowfast.config.checks import register_names, register_rule
from slowfast.config.defaults import DEFAULTS
from slowfast.config.derived import kind_of_labels
from slowfast.config.node import ConfigNode
from slowfast.datasets.clips.samplers import ClipSampler
from slowfast.datasets.records import Annotations
from slowfast.utils.registry import Registry

# Config key that asks for a kind of labels.
_SWITCHES = {
    "detection": "DETECTION.ENABLE",
    "multi_label": "DATA.MULTI_LABEL",
    "several_targets": "MODEL.NUM_CLASSES",
}


@dataclass(frozen=True)
class DatasetTraits:
    """Everything in which a dataset differs from others: its row in the table.

    build_annotations: (cfg, split) -> Annotations. build_sampler: cfg -> sampler of its clips.
    task: "classification" (one class per video), "multi_label", "several_targets" or "detection";
    other_tasks: those that the config may ask for instead. metric: by which detections are judged,
    "ava" or "frame_map"; other tasks have their own. has_flow: its videos can be replaced by their
    optical flow; needs_flow_prefix: which then must lie in DATA.PATH_PREFIX. has_sources:
    DATA.SOURCE chooses between frames and videos. num_splits: official splits, one of which
    DATA.SPLIT_NUMBER chooses. has_plain_lists: each <split>.csv has lines `path label`.
    is_bgr_in_reference: order of channels in the images of the reference. is_one_crop_of_jitter: a
    test of one crop scales frames as the smallest of training.
    """

    build_annotations: Callable[[ConfigNode, str], Annotations]
    build_sampler: Callable[[ConfigNode], ClipSampler]
    task: str = "classification"
    other_tasks: tuple[str, ...] = ()
    metric: str = "ava"
    has_flow: bool = False
    needs_flow_prefix: bool = False
    has_sources: bool = False
    num_splits: int = 1
    has_plain_lists: bool = False
    is_bgr_in_reference: bool = False
    is_one_crop_of_jitter: bool = False

    def __post_init__(self):
        unknown = set(self.tasks) - {"classification", *_SWITCHES}
        assert not unknown, f"unknown tasks {unknown}"

    @property
    def tasks(self) -> tuple[str, ...]:
        """All kinds of labels that its videos may have."""
        return (self.task, *self.other_tasks)

    @property
    def has_splits(self) -> bool:
        """Whether there are several official splits."""
        return self.num_splits > 1


DATASETS: Registry[DatasetTraits] = Registry("TRAIN.DATASET or TEST.DATASET")
register_names("TRAIN.DATASET", DATASETS)
register_names("TEST.DATASET", DATASETS)


def names_with(trait: str, value: Any = True) -> list[str]:
    """Names of the datasets with this value of a trait, in the order of the table."""
    return [name for name in DATASETS if getattr(DATASETS.get(name), trait) == value]


def _used(train: ConfigNode, test: ConfigNode) -> dict[str, str]:
    """Names of the datasets that are used, by config key."""
    sections = {"TRAIN.DATASET": train, "TEST.DATASET": test}
    return {key: section.DATASET for key, section in sections.items() if section.ENABLE}


@register_rule("TRAIN", "TEST", "DETECTION.ENABLE", "DATA.MULTI_LABEL", "MODEL.NUM_CLASSES")
def check_tasks(
    train: ConfigNode,
    test: ConfigNode,
    is_detection: bool,
    is_multi_label: bool,
    num_classes: int | list[int],
) -> Iterator[str]:
    """Check that the task is one that the datasets are labelled for."""
    task = kind_of_labels(is_detection, is_multi_label, num_classes)
    value = num_classes if task == "several_targets" else True
    fitting = [name for name in DATASETS if task in DATASETS.get(name).tasks]
    for key, name in _used(train, test).items():
        if name not in DATASETS or name in fitting:
            continue
        if task == "classification":
            switch = _SWITCHES[DATASETS.get(name).task]
            needed = "a list" if switch == "MODEL.NUM_CLASSES" else True
            value = num_classes if switch == "MODEL.NUM_CLASSES" else False
            yield f"{switch}: {value} must be {needed} with {key} {name!r}"
        else:
            yield f"{key}: {name!r} is not one of {fitting} with {_SWITCHES[task]} {value}"


@register_rule("TRAIN", "TEST", "DATA")
def check_keys_of_some(train: ConfigNode, test: ConfigNode, data: ConfigNode) -> Iterator[str]:
    """Check that keys that some datasets read are used with one of these."""
    used, default = _used(train, test), DEFAULTS.DATA
    lists = "has_plain_lists"
    traits = {"SOURCE": "has_sources", "SPLIT_NUMBER": "has_splits", "LIST_FORMAT": lists}
    for key, trait in {**traits, "FRAMES_FPS": lists}.items():
        readers = names_with(trait)
        if data[key] != default[key] and used and not set(used.values()) & set(readers):
            named = ", ".join(f"{dataset_key} {name!r}" for dataset_key, name in used.items())
            yield f"DATA.{key}: {data[key]!r} has no effect with {named}, only with {readers}"


@register_rule("TRAIN", "TEST", "DATA")
def check_sampling(train: ConfigNode, test: ConfigNode, data: ConfigNode) -> Iterator[str]:
    """Check that the frames of clips can be chosen in the way that is asked for."""
    if data.SAMPLING == "auto":
        return
    fitting = names_with("task", "classification")
    if data.SAMPLING == "segments":
        fitting += names_with("task", "multi_label")
    for key, name in _used(train, test).items():
        if name not in fitting:
            yield f"{key}: {name!r} is not one of {fitting} with DATA.SAMPLING {data.SAMPLING!r}"
    if data.SAMPLING != "dense" and data.USE_OFFSET_SAMPLING:
        yield f"DATA.USE_OFFSET_SAMPLING: True must be False with DATA.SAMPLING {data.SAMPLING!r}"


@register_rule("TRAIN", "TEST", "DATA.SPLIT_NUMBER")
def check_split(train: ConfigNode, test: ConfigNode, number: int) -> Iterator[str]:
    """Check that the datasets with several splits have so many."""
    for key, name in _used(train, test).items():
        most = DATASETS.get(name).num_splits if name in DATASETS else 1
        if 1 < most < number:
            yield (
                f"DATA.SPLIT_NUMBER: {number} is not within 1..{most}, the splits of {key} {name!r}"
            )


@register_rule("TRAIN", "TEST", "DATA")
def check_flow_of_datasets(train: ConfigNode, test: ConfigNode, data: ConfigNode) -> Iterator[str]:
    """Check that the datasets have flow, in a folder of its own."""
    if data.MODALITY != "flow":
        return
    fitting = names_with("has_flow")
    for key, name in _used(train, test).items():
        if name not in fitting:
            yield f"{key}: {name!r} is not one of {fitting} with DATA.MODALITY 'flow'"
        elif DATASETS.get(name).needs_flow_prefix and not data.PATH_PREFIX:
            yield (
                f"DATA.PATH_PREFIX: must name the folder of the flow with {key} {name!r} "
                "and DATA.MODALITY 'flow'; PATH_TO_DATA_DIR is that of the videos"
            )
