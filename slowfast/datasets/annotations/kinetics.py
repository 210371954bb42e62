"""Kinetics-style lists, one video per line: `path label`. The rules are in DATA.md."""

from slowfast.config.derived import class_counts
from slowfast.config.node import ConfigNode
from slowfast.datasets.annotations.class_names import read_class_names
from slowfast.datasets.annotations.list_files import check_files_exist, find_file
from slowfast.datasets.decoding.flow import as_flow
from slowfast.datasets.lists.reader import build_list_rules, read_records
from slowfast.datasets.records import Annotations


def build_kinetics(cfg: ConfigNode, split: str) -> Annotations:
    """<split>.csv in DATA.PATH_TO_DATA_DIR; names in classes.txt there, if any."""
    path = find_file("DATA.PATH_TO_DATA_DIR", cfg.DATA.PATH_TO_DATA_DIR, f"{split}.csv")
    counts = class_counts(cfg.MODEL.NUM_CLASSES)
    records = read_records(path, build_list_rules(cfg))
    if cfg.DATA.MODALITY == "flow":
        records = as_flow(records)
    check_files_exist(records, path)
    names = read_class_names(path.with_name("classes.txt"), counts[0]) if len(counts) == 1 else None
    return Annotations(records, names)
