"""Something-Something V2: JSON files of labels, video files or a folder of images per video."""

import json
from collections.abc import Mapping
from pathlib import Path

from slowfast.config.node import ConfigNode
from slowfast.datasets.annotation_files import collect_by_id
from slowfast.datasets.records import Annotations
from slowfast.datasets.something import build_something


def read_labels(path: Path, numbers: Mapping[str, int]) -> dict[str, int]:
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
        read_labels=read_labels,
        source=cfg.DATA.SOURCE,
    )
