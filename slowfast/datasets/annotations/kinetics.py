"""Kinetics-style lists, one video per line: `path label` and the like (docs/data/lists.md)."""

import logging
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np

from slowfast.config.derived import class_counts
from slowfast.config.node import ConfigNode
from slowfast.datasets.annotations.class_names import read_target_names
from slowfast.datasets.annotations.list_files import (
    check_files_exist,
    find_file,
    read_blocks,
    read_lines,
)
from slowfast.datasets.annotations.locate import find_in_any_form, list_frame_folders
from slowfast.datasets.decoding.flow import as_flow, flow_folder
from slowfast.datasets.list_lines import (
    Disk,
    LineFormat,
    ListedVideo,
    in_message,
    line_hint,
    local_path,
    path_hint,
    plain_pattern,
    recognise,
)
from slowfast.datasets.packed_records import RecordPacker
from slowfast.datasets.records import Annotations, Record
from slowfast.utils.video_names import is_plain_path, is_url, is_video

logger = logging.getLogger(__name__)

_NUM_PROBED = 100


class Row(NamedTuple):
    """A line of a list. video: None where it cannot be read. problem: what is wrong, else ""."""

    line: int
    video: ListedVideo | None
    problem: str = ""


@dataclass(frozen=True)
class ListRules:
    """Rules by which a list is read.

    kind: "auto", or one of `formats.KINDS`. prefix: folder of the paths, "" for the list's own.
    counts: classes of each target, None where any label will do. fps: frames per second of folders
    of images, None where it is unknown.
    """

    kind: str = "auto"
    separator: str = " "
    prefix: str = ""
    counts: tuple[int, ...] | None = None
    is_multi_label: bool = False
    is_flow: bool = False
    fps: float | None = None

    @property
    def num_labels(self) -> int | None:
        """Labels of a line; None: any number."""
        return None if self.is_multi_label else len(self.counts or (1,))

    def problem_of(self, labels: Sequence[int]) -> str:
        """Say what is wrong with the labels of a line; "" if nothing is."""
        if self.counts and len(labels) == 1 and 0 <= labels[0] < self.counts[0]:
            return ""
        if self.is_multi_label and len(set(labels)) < len(labels):
            repeated = next(label for label in labels if labels.count(label) > 1)
            return f"label {repeated} stands there twice"
        counts = self.counts * len(labels) if self.is_multi_label and self.counts else self.counts
        for target, label in enumerate(labels):
            if label < 0 or (counts and label >= counts[target]):
                return self._out_of_range(label, target)
        return ""

    def _out_of_range(self, label: int, target: int) -> str:
        if not self.counts:
            return f"label {label} is not within 0.."
        is_one = len(self.counts) == 1
        count, place = self.counts[0 if is_one else target], "" if is_one else f" {target + 1}"
        value = count if is_one else list(self.counts)
        return (
            f"label{place} {label} is not within 0..{count - 1} (MODEL.NUM_CLASSES {value}"
            f"{'' if is_one else f', its entry {target}'})"
        )

    def root(self, path: Path) -> str:
        """Folder that the paths of a list start from."""
        return local_path(self.prefix) or str(path.parent)

    def record(self, video: ListedVideo, path: str) -> Record:
        """The record of a line."""
        if len(video.labels) == 1 and not self.is_multi_label:
            return Record(path, video.labels[0], part=video.part)
        return Record(path, labels=video.labels, part=video.part)


def place_in(root: str, name: str) -> str:
    """Path of a video by its name in a list whose paths start from `root`.

    Its letters may be composed in another way than those on disk.
    """
    name = local_path(name)
    return name if is_url(name) else find_in_any_form(os.path.join(root, name))


def _disk(root: str, *, is_flow: bool) -> Disk:
    def look(name: str) -> str:
        try:
            path = place_in(root, name)
        except ValueError:  # an address: said where the line is read
            return ""
        return flow_folder(path) if is_flow else path

    return Disk(
        is_folder=lambda name: os.path.isdir(look(name)),
        exists=lambda name: os.path.exists(look(name)),
        num_images=lambda name: len(list_frame_folders([look(name)])[0]),
        is_video_name=is_video,
    )


def read_rows(path: Path, rules: ListRules) -> Iterator[Row]:
    """All lines of a list that are not blank.

    Their format is recognised by the first of them where rules do not name it, and told in the log.
    """
    form = line_format(path, rules)
    return (_row(path, rules, form, number, line) for number, line in read_lines(path))


def line_format(path: Path, rules: ListRules) -> LineFormat:
    """The format of a list's lines; the log tells of it."""
    first = list(islice(read_lines(path), _NUM_PROBED))
    kind = rules.kind
    if kind == "auto":
        disk = _disk(rules.root(path), is_flow=rules.is_flow)
        texts = [line for _, line in first]
        kind = recognise(texts, rules.separator, rules.num_labels, disk)
    form = LineFormat(kind, rules.separator, rules.num_labels)
    if first:
        logger.info("%s: lines are `%s` (DATA.LIST_FORMAT %s)", path, form, rules.kind)
    return form


def _row(path: Path, rules: ListRules, form: LineFormat, number: int, line: str) -> Row:
    try:
        video = form.parse(line)
    except ValueError as error:
        hint = line_hint(line, number, rules.separator, _numbers_beside(path))
        known = "a line is" in str(error) or "is not `" in str(error)
        ending = hint or ("" if known else f"a line is `{form}`")
        return Row(number, None, "; ".join(filter(None, [str(error), ending])))
    problem = rules.problem_of(video.labels)
    return Row(number, video, problem and problem + _one_based_hint(path, form, rules))


def _numbers_beside(path: Path) -> dict[str, int]:
    names = path.with_name("classes.txt")
    lines = [line for _, line in read_lines(names)] if names.is_file() else []
    return {name: number for number, name in enumerate(lines)}


def _one_based_hint(path: Path, form: LineFormat, rules: ListRules) -> str:
    """A hint where the largest label is the number of classes, and none is 0."""
    if not rules.counts:
        return ""
    labels = []
    for _, line in read_lines(path):
        try:
            labels.append(form.parse(line).labels)
        except ValueError:
            continue
    columns = [sum(labels, ())] if rules.is_multi_label else zip(*labels, strict=True)
    for column, count in zip(columns, rules.counts, strict=False):
        if max(column) == count and min(column) == 1:
            return (
                f"; no label is 0, the largest is {count}: are labels counted from 1? "
                "Here they count from 0"
            )
    return ""


class PlainLines:
    """Reads stretches of a list whose lines are all a path and a label, or parts, quickly."""

    def __init__(self, rules: ListRules, form: LineFormat, root: str):
        has_one = form.num_labels == 1
        self._pattern = plain_pattern(form.separator, form.kind) if has_one else None
        self._count = rules.counts[0] if rules.counts else 2**31
        self._root = root
        self._numbers: dict[str, int] = {}  # of folders as the list has them

    def add(self, text: str, packer: RecordPacker) -> bool:
        """Add the records of the lines; False, and nothing is added, where one is another."""
        if self._pattern is None or "://" in text:
            return False
        found = self._pattern.findall(text)
        if len(found) < text.count("\n") + (text[-1:] != "\n"):
            return False
        _, folders, names, *times, labels = zip(*found, strict=True)
        labels = np.array(list(map(int, labels)))
        part = np.array([list(map(float, each)) for each in times]).T if times else None
        if labels.max() >= self._count or (times and not (part[:, 0] < part[:, 1]).all()):
            return False
        if not text.isascii() and not self._are_as_listed(folders, names):
            return False
        for folder in dict.fromkeys(folders):
            if folder not in self._numbers:
                place = os.fsencode(os.path.join(self._root, folder))
                self._numbers[folder] = packer.folder_number(place)
        numbers = list(map(self._numbers.__getitem__, folders))
        packer.add_block(numbers, list(map(os.fsencode, names)), labels, part)
        return True

    def _are_as_listed(self, folders: Sequence[str], names: Sequence[str]) -> bool:
        """Whether no letters of these paths are composed in another way on the disk."""
        paths = (folder + name for folder, name in zip(folders, names, strict=True))
        places = (os.path.join(self._root, path) for path in paths if not path.isascii())
        return all(find_in_any_form(place) == place for place in places)


def read_records(path: Path, rules: ListRules) -> Sequence[Record]:
    """Records of a list, in its order.

    ValueError names file and line for a line that cannot be used, and for a list of which no video
    exists.
    """
    root, counts, first = rules.root(path), [], []
    form, packer = line_format(path, rules), RecordPacker()
    plain = PlainLines(rules, form, root)
    for start, text in read_blocks(path):
        if first and plain.add(text, packer):
            continue
        records = []
        for line, video, problem in _rows_of(text, start, path, rules, form):
            try:
                if problem:
                    raise ValueError(problem)
                records.append(rules.record(video, place_in(root, video.path)))
            except ValueError as error:
                raise ValueError(f"{path}:{line}: {error}") from None
            counts += [] if video.num_frames is None else [video.num_frames]
            first += [(line, video.path)] if len(first) < _NUM_PROBED else []
        packer.add(records)
    records = packer.pack()
    if not records:
        raise ValueError(f"{path}: the list holds no videos")
    if rules.is_flow:
        return records
    _explain_if_missing(path, first, records)
    return with_frames(records, counts, path=path, fps=rules.fps)


def _rows_of(
    text: str, start: int, path: Path, rules: ListRules, form: LineFormat
) -> Iterator[Row]:
    """The lines of a stretch of the list that are not blank."""
    for number, line in enumerate(text.split("\n"), start):
        if line := line.strip():
            yield _row(path, rules, form, number, line)


def _explain_if_missing(
    path: Path, first: Sequence[tuple[int, str]], records: Sequence[Record]
) -> None:
    """ValueError where none of the first videos is there and a line shows why."""
    pairs = list(zip(first, records[:_NUM_PROBED], strict=False))
    if any(not is_plain_path(r.path) or os.path.exists(r.path) for _, r in pairs):
        return
    for (line, name), record in pairs:
        if hint := path_hint(name, record.path):
            raise ValueError(
                f"{path}:{line}: none of its videos exists; {in_message(name)} is not there: {hint}"
            )


def with_frames(
    records: Sequence[Record], counts: Sequence[int], *, path: Path, fps: float | None
) -> Sequence[Record]:
    """The records, those of folders with their images.

    counts: images of each record as the list says, or empty where it does not. Others than it says
    are counted in a warning.
    """
    probed = records[:_NUM_PROBED]
    if not counts and not any(os.path.isdir(record.path) for record in probed):
        return records
    paths = list(dict.fromkeys(record.path for record in records))
    if not counts:
        paths = [path for path in paths if os.path.isdir(path)]
    if counts and (file := next((r.path for r in probed if os.path.isfile(r.path)), None)):
        raise ValueError(
            f"{path}: {file!r} is a file, but a line is `path num_frames label` of a folder of "
            "images (DATA.LIST_FORMAT frames)"
        )
    found = dict(zip(paths, list_frame_folders(paths), strict=True))
    if fps is not None:
        found = {path: replace(frames, fps=fps) for path, frames in found.items()}
    elif part := next((r for r in records if r.part and r.path in found), None):
        raise ValueError(
            f"{path}: {part.name!r} is a part in seconds of a folder of images; set "
            "DATA.FRAMES_FPS to its frames per second"
        )
    _warn_of_counts([(r.path, len(found[r.path])) for r in records] if counts else [], counts, path)
    return [replace(record, frames=found.get(record.path)) for record in records]


def _warn_of_counts(found: Sequence[tuple[str, int]], counts: Sequence[int], path: Path) -> None:
    pairs = zip(found, counts, strict=True)
    other = [(folder, num, said) for (folder, num), said in pairs if num and num != said]
    if other:
        folder, num, said = other[0]
        logger.warning(
            "%s: %d of %d folders hold another number of images than the list says, for example "
            "%s: %d, not %d; the images count",
            *(path, len(other), len(counts), folder, num, said),
        )


def list_rules(data: ConfigNode, num_classes: int | Sequence[int]) -> ListRules:
    """The rules of the section DATA of a config."""
    if not data.PATH_LABEL_SEPARATOR:
        raise ValueError("DATA.PATH_LABEL_SEPARATOR: '' is empty; use for example ' ' or ','")
    return ListRules(
        data.LIST_FORMAT,
        typed_separator(data.PATH_LABEL_SEPARATOR),
        data.PATH_PREFIX,
        class_counts(num_classes),
        is_multi_label=data.MULTI_LABEL,
        is_flow=data.MODALITY == "flow",
        fps=data.FRAMES_FPS or None,
    )


def fields_of(record: Record) -> list[str]:
    """Fields of a record's line after its path: the part of the file, and the labels."""
    times = [repr(float(time)) for time in record.part or ()]
    return times + [str(label) for label in record.labels or (record.label,)]


def typed_separator(text: str) -> str:
    """A separator; a tab may be typed as a backslash and a t."""
    return text.replace("\\t", "\t")


def build_kinetics(cfg: ConfigNode, split: str) -> Annotations:
    """<split>.csv in DATA.PATH_TO_DATA_DIR; names beside it, if any (see `read_target_names`)."""
    path = find_file("DATA.PATH_TO_DATA_DIR", cfg.DATA.PATH_TO_DATA_DIR, f"{split}.csv")
    rules = list_rules(cfg.DATA, cfg.MODEL.NUM_CLASSES)
    records = read_records(path, rules)
    if cfg.DATA.MODALITY == "flow":
        records = as_flow(records)
    check_files_exist(records, path)
    return Annotations(records, read_target_names(path.parent, rules.counts), list_path=path)
