"""What both versions of Something-Something have in common once their label files are read."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path

from slowfast.config.node import ConfigNode
from slowfast.datasets.annotation_files import check_files_exist, find_file, numbers_by_name
from slowfast.datasets.class_names import load_class_names
from slowfast.datasets.flip_labels import build_flip_labels
from slowfast.datasets.flow_files import build_modality
from slowfast.datasets.records import Annotations, Record
from slowfast.datasets.videos_by_id import Place, find_videos_by_id

# The labels of the test videos are not public; everybody tests on the validation videos.
_PARTS = {"train": "train", "val": "validation", "test": "validation"}


def build_something(
    cfg: ConfigNode,
    split: str,
    *,
    names: Callable[[str], tuple[str, ...]],
    read_labels: Callable[[Path, Mapping[str, int]], dict[str, int]],
    source: str,
) -> Annotations:
    """Annotations from files in DATA.PATH_TO_DATA_DIR.

    names: what the file of a part ("labels", "train", "validation") may be called. read_labels:
    label of each video id in such a file, given the number of each class. source: as DATA.SOURCE.
    """

    def find(part: str) -> Path:
        return find_file("DATA.PATH_TO_DATA_DIR", cfg.DATA.PATH_TO_DATA_DIR, *names(part))

    names_path = find("labels")
    class_names = load_class_names(names_path, cfg.MODEL.NUM_CLASSES)
    path = find(_PARTS[split])
    labels = read_labels(path, numbers_by_name(class_names, names_path))
    root = cfg.DATA.PATH_PREFIX or cfg.DATA.PATH_TO_DATA_DIR
    if cfg.DATA.MODALITY == "flow":
        places = [Place(os.path.join(root, video)) for video in labels]
    else:
        places = find_videos_by_id(
            list(labels),
            root,
            source=source,
            suffix=".webm",
            frame_list=path.with_name("train.csv" if split == "train" else "val.csv"),
        )
    records = [
        Record(place.path, label, place.frames)
        for place, label in zip(places, labels.values(), strict=True)
    ]
    records = build_modality(cfg, records)
    check_files_exist(records, path)
    return Annotations(records, class_names, build_flip_labels(cfg, split, class_names))
