"""Something-Something: a class for each video id, in csv files (V1) or JSON files (V2)."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from slowfast.config.node import ConfigNode
from slowfast.datasets.annotations.class_names import load_class_names
from slowfast.datasets.annotations.list_files import (
    check_files_exist,
    collect_by_id,
    find_file,
    numbers_by_name,
    read_lines,
)
from slowfast.datasets.annotations.locate import VideoPlace, find_videos_by_id
from slowfast.datasets.decoding.flow import as_flow
from slowfast.datasets.records import Annotations, Record
from slowfast.utils.io import read_json

# The labels of the test videos are not public; everybody tests on the validation videos.
_PARTS = {"train": "train", "val": "validation", "test": "validation"}


def read_csv_labels(path: Path, numbers: Mapping[str, int]) -> dict[str, int]:
    """Label of each video id; ValueError names file, line and id for a name that is no class."""

    def rows():
        for number, line in read_lines(path):
            video, _, name = (field.strip() for field in line.partition(";"))
            if name not in numbers:
                raise ValueError(f"{path}:{number}: video {video!r} has the unknown label {name!r}")
            yield f"{path}:{number}", video, numbers[name]

    return collect_by_id(rows(), path)


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
        videos = read_json(path)
        return collect_by_id(rows(), path)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"{path}: {type(error).__name__}: {error}; it is a list of {{id, template, ...}}"
        ) from error


@dataclass(frozen=True)
class Version:
    """One of the two sets.

    names: possible names of the file of a part ("labels", "train", "validation"), with a field for
    it. read_labels: label of each video id in such a file, given the number of each class. source:
    "frames" or "videos"; None: as DATA.SOURCE says.
    """

    names: tuple[str, ...]
    read_labels: Callable[[Path, Mapping[str, int]], dict[str, int]]
    source: str | None = None


V1 = Version(("something-something-v1-{}.csv",), read_csv_labels, source="frames")
# The authors' newer archives call the files labels.json, train.json and validation.json.
V2 = Version(("something-something-v2-{}.json", "{}.json"), read_json_labels)


def build_something(cfg: ConfigNode, split: str, version: Version) -> Annotations:
    """Annotations from the files of a version in DATA.PATH_TO_DATA_DIR."""

    def find(part: str) -> Path:
        names = [name.format(part) for name in version.names]
        return find_file("DATA.PATH_TO_DATA_DIR", cfg.DATA.PATH_TO_DATA_DIR, *names)

    names_path = find("labels")
    class_names = load_class_names(names_path, cfg.MODEL.NUM_CLASSES)
    path = find(_PARTS[split])
    labels = version.read_labels(path, numbers_by_name(class_names, names_path))
    root, is_flow = cfg.DATA.PATH_PREFIX or cfg.DATA.PATH_TO_DATA_DIR, cfg.DATA.MODALITY == "flow"
    if is_flow:
        places = [VideoPlace(os.path.join(root, video)) for video in labels]
    else:
        places = find_videos_by_id(
            list(labels),
            root,
            source=version.source or cfg.DATA.SOURCE,
            suffix=".webm",
            frame_list=path.with_name("train.csv" if split == "train" else "val.csv"),
        )
    pairs = zip(places, labels.values(), strict=True)
    records = [Record(place.path, label, place.frames) for place, label in pairs]
    records = as_flow(records) if is_flow else records
    check_files_exist(records, path)
    return Annotations(records, class_names)


build_ssv1 = partial(build_something, version=V1)
build_ssv2 = partial(build_something, version=V2)
