"""A user's videos with their classes: a folder for each class, a csv, or lists of splits."""

import difflib
import logging
import os
import re
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from slowfast.datasets.annotations.class_names import load_class_names
from slowfast.datasets.annotations.folder import (
    Places,
    find_class_videos,
    find_held_out,
    join_classes,
    split_folders,
)
from slowfast.datasets.annotations.list_files import read_lines
from slowfast.datasets.records import Record
from slowfast.own.table import TableRow, read_table
from slowfast.shipped import names_recipe
from slowfast.utils.video_names import is_video
from slowfast.utils.words import shorten

logger = logging.getLogger(__name__)

ALL = ""  # the part of videos that are not split yet
_PARTS = ("train", "val", "test")


@dataclass(frozen=True)
class OwnVideos:
    """Records by part: train, val and test, or `ALL`. root: the folder that names start from."""

    root: Path
    class_names: list[str]
    parts: Mapping[str, list[Record]]
    is_multi_label: bool

    @property
    def records(self) -> list[Record]:
        """Records of all parts."""
        return [record for part in self.parts.values() for record in part]

    def counts(self, part: str | None = None) -> list[int]:
        """Videos of each class, in a part or in all."""
        records = self.records if part is None else self.parts.get(part, [])
        found = Counter(label for record in records for label in record.classes())
        return [found[label] for label in range(len(self.class_names))]

    def name(self, record: Record) -> str:
        """Path from the root, or the whole one of what lies elsewhere."""
        path, root = record.path, os.path.join(self.root, "")
        return path.removeprefix(root)


def read_videos(
    source: str | Path, root: str | Path = "", *, is_multi_label: bool | None = None
) -> OwnVideos:
    """The videos of a folder or csv; ValueError says what is missing or cannot be learnt from.

    root: the folder that the paths of a csv start from, "" for its own.
    is_multi_label: None for what the csv shows; a folder then has one class for each video.
    """
    path = Path(source).expanduser()
    try:
        videos = _read(path, str(root), is_multi_label)
    except ValueError as error:
        raise ValueError(str(error).removeprefix("DATA.PATH_TO_DATA_DIR: ")) from error
    _check_classes(videos, path)
    return videos


def _read(path: Path, root: str, is_multi_label: bool | None) -> OwnVideos:
    if path.is_dir():
        tables = {name: path / f"{name}.csv" for name in _PARTS if (path / f"{name}.csv").is_file()}
        if "train" in tables:
            return _read_tables(Path(root or path), tables, is_multi_label)
        if root:
            raise ValueError(
                "DATA.PATH_PREFIX: has no effect on a folder of classes, only on a csv"
            )
        return _read_folder(path, is_multi_label=bool(is_multi_label))
    if not path.is_file():
        raise ValueError(
            f"there is no folder or csv {str(path)!r} ({path.absolute()}){_hint(path)}"
        )
    if is_video(path.name):
        raise ValueError(f"{path}: is one video; give a folder of videos, or a csv")
    return _read_tables(Path(root or path.parent), {"train": path}, is_multi_label)


def _read_folder(folder: Path, *, is_multi_label: bool) -> OwnVideos:
    folder = Path(os.path.abspath(folder))
    folders = split_folders(folder)
    place = folders.pop("train", folder)
    _check_levels(place)
    train = find_class_videos(place)
    found: dict[str, tuple[Path, Places]] = {"train": (place, train)}
    for name, path in folders.items():
        found[name] = path, find_held_out(path, place, train)
    used = [name for name in train if any(videos[name] for _, videos in found.values())]
    if empty := sorted(train.keys() - set(used)):
        logger.info("%s: left out folders without videos: %s", place, shorten(empty))
    parts = {
        name: _records({c: videos[c] for c in used}, path, is_multi_label=is_multi_label)
        for name, (path, videos) in found.items()
    }
    return OwnVideos(folder, used, _complete(parts), is_multi_label)


def _hint(path: Path) -> str:
    """A guess at what was meant by a path that leads nowhere."""
    if names_recipe(str(path)):
        return f". {path} is a recipe: slowfast train --cfg {path} ..."
    try:
        names = os.listdir(path.parent)
    except OSError:
        return ""
    near = difflib.get_close_matches(path.name, names, n=3)
    return (
        f"; did you mean {' or '.join(str(path.parent / name) for name in near)}?" if near else ""
    )


def _check_levels(folder: Path) -> None:
    """ValueError for the videos of one class alone."""
    with os.scandir(folder) as found:
        entries = [(entry.name, entry.is_dir()) for entry in found]
    if not any(is_dir for _, is_dir in entries) and any(is_video(name) for name, _ in entries):
        raise ValueError(
            f"{folder}: videos lie directly in this folder; give the folder above, in which each "
            "class is a folder"
        )


def _records(videos: Places, folder: Path, *, is_multi_label: bool) -> list[Record]:
    if is_multi_label:
        return join_classes(videos, folder)
    pairs = enumerate(videos.values())
    return [Record(p.path, label, frames=p.frames) for label, places in pairs for p in places]


def _complete(parts: Mapping[str, list[Record]]) -> dict[str, list[Record]]:
    """All three parts: one that is held out serves as both; `ALL` where none is."""
    held_out = [parts[name] for name in ("val", "test") if parts.get(name)]
    if not held_out:
        return {ALL: parts["train"]}
    return {name: parts.get(name) or held_out[0] for name in _PARTS}


def _read_tables(root: Path, tables: Mapping[str, Path], is_multi_label: bool | None) -> OwnVideos:
    """tables: csv by part; one alone may name the part of each line in a column."""
    root = Path(os.path.abspath(root.expanduser()))
    rows = {name: read_table(path, str(root)) for name, path in tables.items()}
    if len(rows) == 1 and any(row.split for row in rows["train"]):
        rows = {n: [row for row in rows["train"] if row.split == n] for n in ("", *_PARTS)}
        if rows.pop("") or not rows["train"]:
            raise ValueError(f"{tables['train']}: not all lines have a split, or none is train")
    every = [row for part in rows.values() for row in part]
    if is_multi_label is None:
        is_multi_label = any(len(row.labels) > 1 for row in every)
    names, numbers = _number_classes(
        {label for row in every for label in row.labels}, tables["train"].with_name("classes.txt")
    )
    parts = {
        name: [_record(row, numbers, is_multi_label=is_multi_label) for row in part]
        for name, part in rows.items()
    }
    return OwnVideos(root, names, _complete(parts), is_multi_label)


def _number_classes(labels: Collection[str], path: Path) -> tuple[list[str], dict[str, int]]:
    """Names of the classes, and the number of each label.

    Numbers are in their order, named by the lines of `path`; names in alphabetical order.
    """
    if not all(re.fullmatch(r"[0-9]{1,9}", label) for label in labels):
        names = sorted(labels)
        return names, {name: number for number, name in enumerate(names)}
    values = sorted({int(label) for label in labels})
    if not path.is_file():
        return list(map(str, values)), {label: values.index(int(label)) for label in labels}
    count = sum(1 for _ in read_lines(path))
    if values[-1] >= count:
        raise ValueError(f"{path}: {count} names, but there is a label {values[-1]}, from 0")
    return load_class_names(path, count), {label: int(label) for label in labels}


def _record(row: TableRow, numbers: Mapping[str, int], *, is_multi_label: bool) -> Record:
    labels = tuple(sorted({numbers[label] for label in row.labels}))
    if is_multi_label:
        return Record(row.path, labels=labels)
    if len(labels) > 1:
        raise ValueError(
            f"{row.where}: {len(labels)} labels, but DATA.MULTI_LABEL is False: {list(row.labels)}"
        )
    return Record(row.path, labels[0])


def _check_classes(videos: OwnVideos, source: Path) -> None:
    """ValueError for what nothing can be learnt from; a warning for classes of one video."""
    counts, names = videos.counts(), videos.class_names
    if len(names) < 2 and not videos.is_multi_label:
        raise ValueError(
            f"{source}: one class only ({names[0]!r}, {counts[0]} videos): there is nothing to "
            "tell apart. Each class is a folder of its own, or a label of its own in the csv"
        )
    single = [name for name, count in zip(names, counts, strict=True) if count == 1]
    if len(single) == len(names) and ALL in videos.parts:
        raise ValueError(
            f"{source}: one video in each of the {len(names)} classes: none is left to validate "
            "on. Three of a class are the least, ten or more are better"
        )
    if single and ALL in videos.parts:
        logger.warning(
            "%s: one video only in %d of %d classes, which is trained on and never tested: %s",
            *(source, len(single), len(names), shorten(single)),
        )
