"""Kinetics-style lists, one video per line: `path label`. The rules are in DATA.md."""

import os
import re
from pathlib import Path

from slowfast.config.node import ConfigNode
from slowfast.datasets.annotations.class_names import read_class_names
from slowfast.datasets.annotations.list_files import check_files_exist, find_file, read_lines
from slowfast.datasets.decoding.flow import as_flow
from slowfast.datasets.records import Annotations, Record

_INTEGER = re.compile(r"-?[0-9]+")


def parse_line(line: str, separator: str) -> tuple[str, int]:
    """(path, label) of one line; ValueError says what is wrong with it.

    Fields are split from the right, so a path may hold the separator. An integer between path and
    label (the number of frames in lists of frame folders) is ignored.
    """
    line = line.strip()
    path, label = _split_last(line, separator)
    label = _unquoted(label)
    if not path:
        raise ValueError(f"no label in {line!r} (separator {separator!r})")
    if not _INTEGER.fullmatch(label):
        raise ValueError(
            f"the label {label!r} is not an integer in {line!r} (separator {separator!r})"
        )
    shorter, middle = _split_last(path, separator)
    if shorter and _INTEGER.fullmatch(middle):
        path = shorter
    return _unquoted(path), int(label)


def read_list(path: Path, *, separator: str, prefix: str, num_classes: int) -> list[Record]:
    """Records of a list file, in its order.

    Paths start from `prefix`, or from the list's own folder if that is empty.
    ValueError names file and line for a line that cannot be read and for a label outside
    0..num_classes-1.
    """
    folder = prefix or str(path.parent)
    records = []
    for number, line in read_lines(path):
        try:
            name, label = parse_line(line, separator)
        except ValueError as error:
            raise ValueError(
                f"{path}:{number}: {error}; a line is `path label`, separated by "
                "DATA.PATH_LABEL_SEPARATOR"
            ) from None
        if not 0 <= label < num_classes:
            raise ValueError(
                f"{path}:{number}: label {label} is not within 0..{num_classes - 1} "
                f"(MODEL.NUM_CLASSES {num_classes})"
            )
        records.append(Record(os.path.join(folder, name), label))
    if not records:
        raise ValueError(f"{path}: the list holds no videos")
    return records


def _split_last(text: str, separator: str) -> tuple[str, str]:
    """Text before the last separator, "" where there is none, and text after it."""
    before, _, after = text.rpartition(separator)
    return before.strip(), after.strip()


def _unquoted(field: str) -> str:
    if len(field) >= 2 and field[0] == field[-1] == '"':
        return field[1:-1].replace('""', '"')
    return field


def build_kinetics(cfg: ConfigNode, split: str) -> Annotations:
    """<split>.csv in DATA.PATH_TO_DATA_DIR; names in classes.txt there, if any."""
    path = find_file("DATA.PATH_TO_DATA_DIR", cfg.DATA.PATH_TO_DATA_DIR, f"{split}.csv")
    num_classes = cfg.MODEL.NUM_CLASSES
    records = read_list(
        path,
        separator=cfg.DATA.PATH_LABEL_SEPARATOR,
        prefix=cfg.DATA.PATH_PREFIX,
        num_classes=num_classes,
    )
    if cfg.DATA.MODALITY == "flow":
        records = as_flow(records)
    check_files_exist(records, path)
    return Annotations(records, read_class_names(path.with_name("classes.txt"), num_classes))
