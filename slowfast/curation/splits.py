"""Lists of a dataset, with the mistakes that are in them."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from pathlib import Path

from slowfast.datasets.annotations.kinetics import ListRules, place_in, read_rows, with_frames
from slowfast.datasets.records import Record
from slowfast.utils.video_names import is_url


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


def read_csv_split(path: str | Path, rules: ListRules, *, is_training: bool) -> Split:
    """A plain list with the mistakes in its lines."""
    path = Path(path)
    root = rules.root(path)
    entries, counts = [], []
    for line, video, problem in read_rows(path, rules):
        record = None
        try:
            if video is not None:
                place = place_in(root, video.path)
                place = place if is_url(place) else os.path.normpath(place)
                record = rules.record(video, place)
        except ValueError as error:
            problem = problem or str(error)
        labels = () if problem else numbered_labels(video.labels, rules)
        entries.append(Entry(line, record, labels, problem))
        if record is not None and video.num_frames is not None:
            counts.append(video.num_frames)
    if not entries:
        raise ValueError(f"{path}: the list holds no videos")
    return Split(path.stem, _with_frames(entries, counts, path, rules), is_training, path)


def _with_frames(
    entries: Sequence[Entry], counts: Sequence[int], path: Path, rules: ListRules
) -> list[Entry]:
    records = [entry.record for entry in entries if entry.record is not None]
    found = iter(with_frames(records, counts, path=path, fps=rules.fps))
    return [e if e.record is None else replace(e, record=next(found)) for e in entries]


def numbered_labels(labels: Sequence[int], rules: ListRules) -> tuple[int, ...]:
    """Classes that count; of several targets those of the second follow on those of the first."""
    if rules.is_multi_label or not rules.counts or len(rules.counts) == 1:
        return tuple(labels)
    starts = accumulate(rules.counts[:-1], initial=0)
    return tuple(start + label for start, label in zip(starts, labels, strict=True))


def read_csv_splits(paths: Sequence[str | Path], rules: ListRules) -> list[Split]:
    """Lists with names of their own; the first one is for training."""
    if not rules.separator:
        raise ValueError("--separator: '' is empty; use for example ' ' or ','")
    if len({Path(path).stem for path in paths}) < len(paths):
        raise ValueError(f"--csv: {list(map(str, paths))} do not differ in their names")
    return [
        read_csv_split(path, rules, is_training=number == 0) for number, path in enumerate(paths)
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
