"""Charades: several classes at a time, from frame lists or from the official csv."""

import csv
from pathlib import Path

from slowfast.config.node import ConfigNode
from slowfast.datasets.annotations.class_names import check_number
from slowfast.datasets.annotations.frame_lists import read_frame_list
from slowfast.datasets.annotations.list_files import (
    check_files_exist,
    collect_by_id,
    find_file,
    open_text,
)
from slowfast.datasets.annotations.locate import find_videos_by_id, listed_place
from slowfast.datasets.records import Annotations, Record, TimedLabels

# Rate of the images that the authors offer.
_FRAMES_PER_SECOND = 24


def read_actions(path: Path, num_classes: int) -> dict[str, TimedLabels]:
    """Actions of each video id in a Charades_v1_*.csv, in seconds.

    ValueError names file and line for actions that are not like `c019 11.90 21.20;...`.
    """

    def rows():
        # Scripts and descriptions hold commas, quotes and line ends.
        with open_text(path, newline="") as file:
            table = csv.DictReader(file)
            missing = {"id", "actions"} - set(table.fieldnames or ())
            if missing:
                raise ValueError(
                    f"{path}:1: no column {sorted(missing)} among {table.fieldnames or []}"
                )
            for row in table:
                where = f"{path}:{table.line_num}"
                try:
                    spans = _parse_actions(row["actions"] or "", num_classes)
                except ValueError as error:
                    raise ValueError(f"{where}: video {row['id']!r}: {error}") from None
                yield where, row["id"].strip(), TimedLabels(spans, in_seconds=True)

    return collect_by_id(rows(), path)


def _parse_actions(text: str, num_classes: int) -> tuple[tuple[int, float, float], ...]:
    spans = []
    for action in text.split(";"):
        if not action.strip():
            continue
        try:
            code, start, end = action.split()
            label, span = int(code.removeprefix("c")), (float(start), float(end))
        except ValueError:
            raise ValueError(f"the action {action!r} is not like 'c019 11.90 21.20'") from None
        if not 0 <= label < num_classes:
            raise ValueError(
                f"action {code!r} is not within 0..{num_classes - 1} "
                f"(MODEL.NUM_CLASSES {num_classes})"
            )
        spans.append((label, *span))
    return tuple(spans)


def read_action_names(path: Path, num_classes: int) -> list[str] | None:
    """Names from Charades_v1_classes.txt, lines `c000 Holding some clothes`; None without it."""
    if not path.is_file():
        return None
    lines = path.read_text(encoding="utf-8-sig").splitlines()
    rows = [line.strip().partition(" ") for line in lines if line.strip()]
    if any(code != f"c{number:03d}" for number, (code, _, _) in enumerate(rows)):
        raise ValueError(f"{path}: the classes are not c000, c001, ... in this order")
    names = [name for _, _, name in rows]
    check_number(names, path, num_classes)
    return names


def _listed_records(path: Path, root: str, num_classes: int) -> list[Record]:
    listed = read_frame_list(path, root, num_classes=num_classes)
    return [
        Record(listed_place(video.frames, root, name).path, frames=video.frames, spans=video.labels)
        for name, video in listed.items()
    ]


def _official_records(path: Path, root: str, num_classes: int, source: str) -> list[Record]:
    actions = read_actions(path, num_classes)
    places = find_videos_by_id(list(actions), root, source=source, suffix=".mp4")
    return [
        Record(
            place.path,
            frames=place.frames,
            spans=spans if place.frames is None else _in_frames(spans),
        )
        for place, spans in zip(places, actions.values(), strict=True)
    ]


def _in_frames(labels: TimedLabels) -> TimedLabels:
    """Seconds to frame numbers: image files count as frames at any DATA.TARGET_FPS."""
    rate = _FRAMES_PER_SECOND
    return TimedLabels(tuple((label, a * rate, b * rate) for label, a, b in labels.spans))


def build_charades(cfg: ConfigNode, split: str) -> Annotations:
    """The frame list {train,val}.csv in DATA.PATH_TO_DATA_DIR, or Charades_v1_{train,test}.csv.

    The list where it is there, unless DATA.SOURCE asks for videos. Validation and testing take the
    same videos.
    """
    folder, num_classes = Path(cfg.DATA.PATH_TO_DATA_DIR), cfg.MODEL.NUM_CLASSES
    root = cfg.DATA.PATH_PREFIX or cfg.DATA.PATH_TO_DATA_DIR
    path = folder / ("train.csv" if split == "train" else "val.csv")
    if path.is_file() and cfg.DATA.SOURCE != "videos":
        records = _listed_records(path, root, num_classes)
    else:
        name = f"Charades_v1_{'train' if split == 'train' else 'test'}.csv"
        path = find_file("DATA.PATH_TO_DATA_DIR", str(folder), name)
        records = _official_records(path, root, num_classes, cfg.DATA.SOURCE)
    check_files_exist(records, path)
    return Annotations(records, read_action_names(folder / "Charades_v1_classes.txt", num_classes))
