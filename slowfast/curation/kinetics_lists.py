"""The csv files in which Kinetics is published, turned into lists of the videos that one has."""

import csv
import logging
import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from slowfast.datasets.annotations.list_files import open_text, read_lines
from slowfast.datasets.list_lines import split_fields
from slowfast.utils.io import write_csv, write_lines
from slowfast.utils.video_names import SUFFIXES, composed, is_video
from slowfast.utils.walk import walk_videos

logger = logging.getLogger(__name__)

_COLUMNS = ("label", "youtube_id", "time_start", "time_end")


class Segment(NamedTuple):
    """A row of an official csv. video: YouTube id; times: seconds; where: file and line."""

    label: str
    video: str
    start: int
    end: int
    where: str

    @property
    def name(self) -> str:
        """Name of the official downloader for the file, without suffix."""
        return f"{self.video}_{self.start:06d}_{self.end:06d}"


class ListCounts(NamedTuple):
    """Videos of a split that are on disk, and those that are not."""

    found: int
    missing: int


def read_official_csv(path: Path) -> list[Segment] | None:
    """Rows of a Kinetics-400, 600 or 700 csv, by column name; None without labels (test files)."""
    with open_text(path, newline="") as file:
        table = csv.DictReader(file)
        missing = set(_COLUMNS) - set(table.fieldnames or ())
        if missing == {"label"}:
            return None
        if missing:
            raise ValueError(f"{path}:1: no column {sorted(missing)} in {table.fieldnames or []}")
        return [_segment(row, f"{path}:{table.line_num}") for row in table]


def _segment(row: Mapping[str, str], where: str) -> Segment:
    label, video, *times = (row[column] or "" for column in _COLUMNS)
    try:
        start, end = (int(float(time)) for time in times)
    except ValueError:
        raise ValueError(f"{where}: the times {times} are not seconds") from None
    if not label.strip() or not video.strip():
        raise ValueError(f"{where}: no label or no youtube_id")
    return Segment(label.strip(), video.strip(), start, end, where)


class Subset:
    """Restricts segments to those that files name, one per line.

    A line is a YouTube id (the lists of Mini-Kinetics-200), a class name, or a path and a label as
    in our own lists. Several files add up; where both classes and videos are named, both count.
    """

    def __init__(self, paths: Iterable[Path], classes: Iterable[str]):
        lines = {line for path in paths for _, line in read_lines(path)}
        known = {name.casefold() for name in classes}
        self._classes = {line.casefold() for line in lines if line.casefold() in known}
        self._videos = {_stem(line) for line in lines if line.casefold() not in known}

    def holds(self, segment: Segment) -> bool:
        """Whether the segment is in the subset."""
        return (not self._classes or segment.label.casefold() in self._classes) and (
            not self._videos or not self._videos.isdisjoint([segment.video, segment.name])
        )


def _stem(line: str) -> str:
    for separator in (" ", ",", "\t"):
        path, numbers = split_fields(line, separator)
        if numbers:
            line = path
            break
    name = os.path.basename(line)
    return os.path.splitext(name)[0] if is_video(name) else line


def _find_files(folder: Path) -> dict[str, list[str]]:
    """Paths of all videos below a folder by file name without suffix."""
    files = defaultdict(list)
    for path in walk_videos(folder):
        files[os.path.splitext(os.path.basename(path))[0]].append(path)
    if not files:
        raise ValueError(f"{folder}: no video in this folder (looked for {sorted(SUFFIXES)})")
    return files


def _find_video(segment: Segment, files: Mapping[str, list[str]], is_only: bool) -> str | None:
    """The file of a segment, one in the folder of its class if there are several.

    Named by the id alone it will do where the id has no other segment.
    """
    found = files.get(segment.name) or (files.get(segment.video) if is_only else None)
    if not found:
        return None
    return min(found, key=lambda path: (_class_of(path) != _plain(segment.label), path))


def _class_of(path: str) -> str:
    return _plain(os.path.basename(os.path.dirname(path)))


def _plain(name: str) -> str:
    return composed(name).casefold().replace("_", " ")


def _number_classes(splits: Mapping[str, Sequence[Segment]]) -> dict[str, int]:
    labels = sorted({segment.label for segment in splits["train"]})
    numbers = {label: number for number, label in enumerate(labels)}
    if not numbers:
        raise ValueError("no video of the train csv is left: is it empty, or outside the subset?")
    for segment in (segment for rows in splits.values() for segment in rows):
        if segment.label not in numbers:
            raise ValueError(f"{segment.where}: no training video has the label {segment.label!r}")
    return numbers


def _relative(path: str, folder: Path) -> str:
    """The path from a folder that it lies below; else the absolute path."""
    path, folder = Path(path).absolute(), folder.absolute()
    return str(path.relative_to(folder) if path.is_relative_to(folder) else path)


def _read_splits(
    annotations: Mapping[str, Path], subset: Sequence[Path]
) -> dict[str, list[Segment]]:
    """Segments of each split that has labels, restricted to a subset where one is given."""
    splits = {split: read_official_csv(path) for split, path in annotations.items()}
    for split in ("train", "val"):
        if splits[split] is None:
            raise ValueError(f"{annotations[split]}:1: no column 'label', which {split} needs")
    if "test" in splits and splits["test"] is None:
        logger.warning("%s has no labels; test.csv gets the videos of val", annotations["test"])
        del splits["test"]
    if subset:
        chosen = Subset(subset, {segment.label for segment in splits["train"]})
        splits = {split: list(filter(chosen.holds, rows)) for split, rows in splits.items()}
    return splits


def make_kinetics_lists(
    annotations: Mapping[str, Path], videos: Path, output: Path, *, subset: Sequence[Path] = ()
) -> dict[str, ListCounts]:
    """Write train.csv, val.csv, test.csv, classes.txt and missing.csv for the videos in a folder.

    annotations: official csv of "train", "val" and maybe "test"; without one that has labels, test
    gets the videos of val. videos: searched with all sub-folders for {id}_{start}_{end}.* or
    {id}.*. subset: files as for `Subset`. Classes are numbered in the order of the sorted labels of
    train.
    """
    splits = _read_splits(annotations, subset)
    numbers, files = _number_classes(splits), _find_files(videos)
    names = {(segment.video, segment.name) for rows in splits.values() for segment in rows}
    num_segments = Counter(video for video, _ in names)
    counts, missing = {}, []
    for split, segments in splits.items():
        lines = []
        for segment in segments:
            path = _find_video(segment, files, num_segments[segment.video] == 1)
            if path is None:
                missing.append([*segment[:4], split])
            else:
                lines.append(f"{_relative(path, output)} {numbers[segment.label]}")
        counts[split] = ListCounts(len(lines), len(segments) - len(lines))
        if not lines:
            logger.warning("%s: none of its %d videos is below %s", split, len(segments), videos)
        write_lines(output / f"{split}.csv", lines)
        if split == "val" and "test" not in splits:
            write_lines(output / "test.csv", lines)
    write_lines(output / "classes.txt", numbers)
    write_csv(output / "missing.csv", [*_COLUMNS, "split"], missing)
    return counts
