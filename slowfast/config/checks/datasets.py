"""Rules for the datasets: their tasks, their inputs, the keys that only some of them read."""

from collections.abc import Iterator

from slowfast.config.checks.rules import register_rule
from slowfast.config.defaults import get_cfg
from slowfast.config.node import ConfigNode

DETECTION_DATASETS = ("ava", "jhmdb", "ucf101_24")
MULTI_LABEL_DATASETS = ("charades",)
FLOW_DATASETS = ("kinetics", "folder", "ssv1", "ssv2", "ucf101", "hmdb51")
# Datasets that come as frames or as videos, and datasets with several official splits.
SOURCE_DATASETS = ("ssv2", "charades", "jhmdb", "ucf101_24")
SPLIT_DATASETS = ("ucf101", "hmdb51", "jhmdb", "ucf101_24")


@register_rule("TRAIN", "TEST", "DETECTION.ENABLE", "DATA.MULTI_LABEL")
def check_tasks(
    train: ConfigNode, test: ConfigNode, is_detection: bool, is_multi_label: bool
) -> Iterator[str]:
    """Check that the task is the one that the datasets are labelled for."""
    for key, is_on, datasets in (
        ("DETECTION.ENABLE", is_detection, DETECTION_DATASETS),
        ("DATA.MULTI_LABEL", is_multi_label, MULTI_LABEL_DATASETS),
    ):
        for dataset_key, dataset in _used_datasets(train, test).items():
            if is_on and dataset not in datasets:
                yield f"{dataset_key}: {dataset!r} is not one of {list(datasets)} with {key} True"
            elif not is_on and dataset in datasets:
                yield f"{key}: False must be True with {dataset_key} {dataset!r}"


@register_rule("TRAIN", "TEST", "DATA")
def check_keys_of_some(train: ConfigNode, test: ConfigNode, data: ConfigNode) -> Iterator[str]:
    """Check that keys that some datasets read are used with one of these."""
    used, default = _used_datasets(train, test), get_cfg().DATA
    for name, datasets in (("SOURCE", SOURCE_DATASETS), ("SPLIT_NUMBER", SPLIT_DATASETS)):
        if data[name] != default[name] and used and not set(used.values()) & set(datasets):
            named = ", ".join(f"{key} {dataset!r}" for key, dataset in used.items())
            yield (
                f"DATA.{name}: {data[name]!r} has no effect with {named}, only with "
                f"{list(datasets)}"
            )


@register_rule("TRAIN", "TEST", "DATA")
def check_flow_of_datasets(train: ConfigNode, test: ConfigNode, data: ConfigNode) -> Iterator[str]:
    """Check that the datasets have flow, in a folder of its own."""
    if data.MODALITY != "flow":
        return
    for key, dataset in _used_datasets(train, test).items():
        if dataset not in FLOW_DATASETS:
            yield (
                f"{key}: {dataset!r} is not one of {list(FLOW_DATASETS)} with DATA.MODALITY 'flow'"
            )
        if dataset == "folder" and not data.PATH_PREFIX:
            yield (
                f"DATA.PATH_PREFIX: must name the folder of the flow with {key} 'folder' "
                "and DATA.MODALITY 'flow'; PATH_TO_DATA_DIR is that of the videos"
            )


def _used_datasets(train: ConfigNode, test: ConfigNode) -> dict[str, str]:
    """Value by key."""
    sections = {"TRAIN.DATASET": train, "TEST.DATASET": test}
    return {key: section.DATASET for key, section in sections.items() if section.ENABLE}
