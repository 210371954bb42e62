"""Something-Something V1: csv files of labels, a folder of images per video."""

from collections.abc import Mapping
from pathlib import Path

from slowfast.config.node import ConfigNode
from slowfast.datasets.annotation_files import collect_by_id, read_lines
from slowfast.datasets.records import Annotations
from slowfast.datasets.something import build_something


def read_labels(path: Path, numbers: Mapping[str, int]) -> dict[str, int]:
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
        read_labels=read_labels,
        source="frames",
    )
