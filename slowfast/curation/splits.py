"""Lists of a dataset, with the mistakes that are in them."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from slowfast.datasets.annotations.kinetics import parse_line
from slowfast.datasets.annotations.list_files import read_lines
from slowfast.datasets.records import Record


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of a list. line: its number, 0 where a builder made the record.

    record: None where the line names no video. labels: the classes that count. problem: what is
    wrong with the label.
    """

    line: int
    record: Record | None
    labels: tuple[int, ...] = ()
    problem: str = ""


@dataclass(frozen=True)
class Split:
    """A list; `path` is its file, None without one. problem: why it could not be read at all.

    class_names: None where unknown.
    """

    name: str
    entries: list[Entry]
    is_training: bool
    path: Path | None = None
    problem: str = ""
    class_names: list[str] | None = None

    def where(self, entry: Entry) -> str:
        """File and line by which a user finds the entry."""
        return f"{self.path or self.name}:{entry.line}" if entry.line else self.name


def read_csv_split(
    path: str | Path, *, separator: str, prefix: str, num_classes: int | None, is_training: bool
) -> Split:
    """A list of lines `path label`; paths start from `prefix`, or from the list's own folder."""
    path = Path(path)
    entries = []
    for number, line in read_lines(path):
        try:
            name, label = parse_line(line, separator)
        except ValueError as error:
            entries.append(Entry(number, None, problem=str(error)))
            continue
        record = Record(os.path.normpath(os.path.join(prefix or path.parent, name)), label)
        entries.append(_labelled_entry(number, record, num_classes))
    if not entries:
        raise ValueError(f"{path}: the list holds no videos")
    return Split(path.stem, entries, is_training, path)


def _labelled_entry(line: int, record: Record, num_classes: int | None) -> Entry:
    label = record.label
    if 0 <= label and (num_classes is None or label < num_classes):
        return Entry(line, record, (label,))
    last = "" if num_classes is None else num_classes - 1
    return Entry(line, record, problem=f"label {label} is not in 0..{last}")


def read_csv_splits(
    paths: Sequence[str | Path], *, separator: str, prefix: str, num_classes: int | None = None
) -> list[Split]:
    """Lists with names of their own; the first one is for training."""
    if not separator:
        raise ValueError("--separator: '' is empty; use for example ' ' or ','")
    if len({Path(path).stem for path in paths}) < len(paths):
        raise ValueError(f"--csv: {list(map(str, paths))} do not differ in their names")
    return [
        read_csv_split(
            path,
            separator=separator,
            prefix=prefix,
            num_classes=num_classes,
            is_training=number == 0,
        )
        for number, path in enumerate(paths)
    ]


def label_problems(splits: Sequence[Split]) -> list[tuple[str, str]]:
    """(where, reason) of each line with a wrong label."""
    return [
        (split.where(entry), f"wrong label: {entry.problem}")
        for split in splits
        for entry in split.entries
        if entry.problem
    ]


def class_names_of(splits: Sequence[Split], num_classes: int | None) -> dict[int, str]:
    """Names by label, or numbers; without `num_classes` of the labels that occur."""
    found = (split.class_names for split in splits if split.class_names)
    names = dict(enumerate(next(found, ())))
    labels = range(num_classes or 0)
    if num_classes is None:
        labels = sorted({label for s in splits for entry in s.entries for label in entry.labels})
    return {label: names.get(label, str(label)) for label in labels}
