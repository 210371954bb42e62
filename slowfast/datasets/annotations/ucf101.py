"""UCF101: three official splits as lists of videos in a folder per class."""

import re
from collections.abc import Mapping
from pathlib import Path

from slowfast.config.node import ConfigNode
from slowfast.datasets.annotations.class_names import check_number
from slowfast.datasets.annotations.list_files import (
    check_files_exist,
    find_file,
    numbers_by_name,
    read_lines,
)
from slowfast.datasets.annotations.locate import VideoFinder
from slowfast.datasets.decoding.flow import as_flow
from slowfast.datasets.list_lines import in_message
from slowfast.datasets.records import Annotations, Record


def read_class_index(path: Path, num_classes: int) -> list[str]:
    """Class names in the order of their numbers, from lines `1 ApplyEyeMakeup`."""
    names = []
    for number, line in read_lines(path):
        index, _, name = line.partition(" ")
        if index != str(len(names) + 1) or not name:
            raise ValueError(
                f"{path}:{number}: {in_message(line)} is not {len(names) + 1} and a class name"
            )
        names.append(name.strip())
    check_number(names, path, num_classes)
    return names


def read_split(path: Path, numbers: Mapping[str, int], finder: VideoFinder) -> list[Record]:
    """Records from lines `Class/video.avi`, after which the class number from 1 may stand.

    `numbers` has the classes by their names. ValueError names file and line for another class.
    """
    # The class HandstandPushups is also spelled HandStandPushups.
    numbers = {name.casefold(): number for name, number in numbers.items()}
    records = []
    for number, line in read_lines(path):
        video, given = re.fullmatch(r"(.*?)(?:\s+(\d+))?", line).groups()
        label = numbers.get(video.rpartition("/")[0].casefold())
        if label is None:
            raise ValueError(f"{path}:{number}: {video!r} is not in the folder of a known class")
        if given is not None and int(given) != label + 1:
            raise ValueError(f"{path}:{number}: {video!r} has number {given}, not {label + 1}")
        records.append(Record(finder.find(video), label))
    if not records:
        raise ValueError(f"{path}: the list holds no videos")
    return records


def build_ucf101(cfg: ConfigNode, split: str) -> Annotations:
    """classInd.txt and {train,test}list0N.txt in DATA.PATH_TO_DATA_DIR, N = DATA.SPLIT_NUMBER."""
    key, folder = "DATA.PATH_TO_DATA_DIR", cfg.DATA.PATH_TO_DATA_DIR
    names_path = find_file(key, folder, "classInd.txt")
    class_names = read_class_index(names_path, cfg.MODEL.NUM_CLASSES)
    part = "train" if split == "train" else "test"
    path = find_file(key, folder, f"{part}list{cfg.DATA.SPLIT_NUMBER:02d}.txt")
    is_flow = cfg.DATA.MODALITY == "flow"
    finder = VideoFinder(cfg.DATA.PATH_PREFIX or folder, takes_folders=is_flow)
    records = read_split(path, numbers_by_name(class_names, names_path), finder)
    records = as_flow(records) if is_flow else records
    check_files_exist(records, path)
    return Annotations(records, class_names)
