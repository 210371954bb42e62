"""What both versions of Something-Something have in common once their label files are read."""

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path

from slowfast.config.node import ConfigNode
from slowfast.datasets.annotations.class_names import load_class_names
from slowfast.datasets.annotations.flip_labels import build_flip_labels
from slowfast.datasets.annotations.list_files import (
    check_files_exist,
    collect_by_id,
    find_file,
    numbers_by_name,
    read_lines,
)
from slowfast.datasets.annotations.locate import Place, find_videos_by_id
from slowfast.datasets.decoding.flow import build_modality
from slowfast.datasets.records import Annotations, Record

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


def read_csv_labels(path: Path, numbers: Mapping[str, int]) -> dict[str, int]:
    """Label of each video id; ValueError names file, line and id for a name that is no class."""

    def rows():
        for number, line in read_lines(path):
            video, _, name = (field.strip() for field in line.partition(";"))
            if name not in numbers:
                raise ValueError(f"{path}:{number}: video {video!r} has the unknown label {name!r}")
            yield f"{path}:{number}", video, numbers[name]

    return collect_by_id(rows(), path)


def build_ssv1(cfg: ConfigNode, split: str) -> Annotations:
    """something-something-v1-{labels,train,validation}.csv in DATA.PATH_TO_DATA_DIR."""
    return build_something(
        cfg,
        split,
        names=lambda part: (f"something-something-v1-{part}.csv",),
        read_labels=read_csv_labels,
        source="frames",
    )


def read_json_labels(path: Path, numbers: Mapping[str, int]) -> dict[str, int]:
    """Label of each video id; ValueError names file and id for a template that is no class."""

    def rows():
        for video in videos:
            name = video.get("template", "").replace("[", "").replace("]", "")
            if name not in numbers:
                raise ValueError(
                    f"{path}: video {video['id']!r} has the unknown template "
                    f"{video.get('template')!r}"
                )
            yield str(path), str(video["id"]), numbers[name]

    try:
        videos = json.loads(path.read_text(encoding="utf-8-sig"))
        return collect_by_id(rows(), path)
    except (AttributeError, KeyError, TypeError, json.JSONDecodeError) as error:
        raise ValueError(
            f"{path}: {type(error).__name__}: {error}; it is a list of {{id, template, ...}}"
        ) from error


def build_ssv2(cfg: ConfigNode, split: str) -> Annotations:
    """something-something-v2-{labels,train,validation}.json in DATA.PATH_TO_DATA_DIR.

    Or {labels,train,validation}.json, as they are called in the authors' newer archives.
    """
    return build_something(
        cfg,
        split,
        names=lambda part: (f"something-something-v2-{part}.json", f"{part}.json"),
        read_labels=read_json_labels,
        source=cfg.DATA.SOURCE,
    )
