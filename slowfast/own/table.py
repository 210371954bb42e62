"""Rows of a user's csv: which column is the path, which are labels, which is the split."""

import csv
import os
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from slowfast.datasets.annotations.kinetics import place_in
from slowfast.datasets.annotations.list_files import read_lines
from slowfast.datasets.list_lines import in_message, split_fields
from slowfast.utils.video_names import is_plain_path, is_video

_SEPARATORS = (",", "\t", ";", "|", " ")
_NUM_PROBED = 100
_SPLITS = {"train": "train", "training": "train", "val": "val", "valid": "val"}
_SPLITS |= {"validation": "val", "test": "test", "testing": "test"}
_LABEL_COLUMN = re.compile(r"(label|class|tag|action|category|target)", re.IGNORECASE)
_SPLIT_COLUMNS = {"split", "subset", "set", "part"}
_SEVERAL = re.compile(r"[;|]")  # between the labels of one cell


@dataclass(frozen=True)
class TableRow:
    """A line of a csv. where: file and line. path: of its video. split: "" if it does not say."""

    where: str
    path: str
    labels: tuple[str, ...]
    split: str = ""


@dataclass(frozen=True)
class _Columns:
    """Numbers of the columns. split: None where there is none. has_header: the first row is one."""

    path: int
    labels: list[int]
    split: int | None
    has_header: bool


def read_table(path: Path, root: str) -> list[TableRow]:
    """Rows of a csv with or without a header, whatever separates its columns.

    Paths start from the folder `root`. ValueError names file and line.
    """
    lines = list(read_lines(path))
    if not lines:
        raise ValueError(f"{path}: the csv holds no lines")
    separator = _separator([text for _, text in lines[:_NUM_PROBED]], root, path)
    cells = [(number, _cells(text, separator)) for number, text in lines]
    columns = _columns([row for _, row in cells], root, path)
    has_several = separator not in (";", "|")
    return [
        _row(f"{path}:{number}", root, row, columns, has_several=has_several)
        for number, row in cells[columns.has_header :]
    ]


def _cells(text: str, separator: str) -> list[str]:
    if separator == " ":  # paths may hold blanks
        name, numbers = split_fields(text, " ")
        name, _, label = (name, "", "") if numbers else text.rpartition(" ")
        return [name, *numbers] if numbers else [name.strip(), label]
    return [cell.strip() for cell in next(csv.reader([text], delimiter=separator))]


def _is_there(root: str, name: str) -> bool:
    """Whether it is the path of a file or folder; of addresses and tars by their looks."""
    if not name or name in (".", ".."):
        return False
    try:
        place = place_in(root, name)
    except ValueError:
        return False
    return os.path.exists(place) if is_plain_path(place) else is_video(place)


def _separator(texts: Sequence[str], root: str, path: Path) -> str:
    """The separator with which most lines hold a path that leads somewhere, and something else."""

    def count(separator: str) -> int:
        rows = (_cells(text, separator) for text in texts)
        return sum(len(row) > 1 and any(_is_there(root, cell) for cell in row) for row in rows)

    counts = {separator: count(separator) for separator in _SEPARATORS}
    best = max(counts, key=counts.get)
    if not counts[best]:
        raise ValueError(
            f"{path}: none of its videos exists; a line is path,label, for example "
            f"{in_message(texts[-1])} looks for {os.path.abspath(os.path.join(root, texts[-1]))!r} "
            "and the like: paths start from the folder of the csv, or from DATA.PATH_PREFIX"
        )
    return best


def _columns(rows: Sequence[list[str]], root: str, path: Path) -> _Columns:
    probed = rows[:_NUM_PROBED]
    counts = Counter(n for row in probed for n, cell in enumerate(row) if _is_there(root, cell))
    place = counts.most_common(1)[0][0]
    first = rows[0]
    looks_like_path = len(first) > place and (is_video(first[place]) or "/" in first[place])
    has_header = not (looks_like_path or (len(first) > place and _is_there(root, first[place])))
    width = max(map(len, rows))
    others = [number for number in range(width) if number != place]
    names = dict(enumerate(first)) if has_header else {}
    split = next((n for n in others if names.get(n, "").lower() in _SPLIT_COLUMNS), None)
    if split is None and not has_header and len(others) > 1:
        values = {row[others[-1]].lower() if len(row) == width else "" for row in rows}
        split = others[-1] if values <= _SPLITS.keys() else None
    others = [number for number in others if number != split]
    labels = [n for n in others if _LABEL_COLUMN.match(names.get(n, ""))]
    if has_header and not labels and len(others) > 1:
        raise ValueError(
            f"{path}:1: which of the columns {first} holds the labels? Call it label, several "
            "label_1, label_2, ..."
        )
    return _Columns(place, labels or others, split, has_header)


def _row(
    where: str, root: str, cells: Sequence[str], columns: _Columns, *, has_several: bool
) -> TableRow:
    cells = [*cells, *[""] * (columns.path + 1 - len(cells))]
    name, labels = cells[columns.path], [cells[n] for n in columns.labels if n < len(cells)]
    if has_several:
        labels = [word.strip() for cell in labels for word in _SEVERAL.split(cell)]
    labels = list(dict.fromkeys(filter(None, labels)))
    if not name or not labels:
        missing = "label" if name else "path"
        raise ValueError(f"{where}: no {missing} in {in_message(' | '.join(cells))}")
    split = "" if columns.split is None else "".join(cells[columns.split :][:1]).lower()
    if split and split not in _SPLITS:
        raise ValueError(f"{where}: the split {split!r} is not one of {sorted(_SPLITS)}")
    return TableRow(where, place_in(root, name), tuple(labels), _SPLITS.get(split, ""))
