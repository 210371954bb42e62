"""Lines of annotation files, and the mistakes that users make with any of them."""

import logging
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TextIO, TypeVar

from slowfast.datasets.decoding.flow import flow_folder
from slowfast.datasets.records import Record

logger = logging.getLogger(__name__)

_NUM_PROBED = 100
_NUM_SHOWN = 10

T = TypeVar("T")


def find_file(key: str, folder: str, *names: str) -> Path:
    """The first of some files that is in the folder of config key `key`.

    ValueError says what is there instead.
    """
    paths = [Path(folder, name) for name in names]
    for path in paths:
        if path.is_file():
            return path
    there = sorted(entry.name for entry in Path(folder).iterdir()) if Path(folder).is_dir() else []
    # Lists of the kind that is missing say more than thousands of videos.
    there = [name for name in there if name.endswith(paths[0].suffix)] or there
    rest = f" and {len(there) - _NUM_SHOWN} more" if len(there) > _NUM_SHOWN else ""
    raise ValueError(
        f"{key}: {folder!r} holds no {' or '.join(names)} "
        f"(looked for {paths[0].absolute()}; there: {there[:_NUM_SHOWN]}{rest})"
    )


def open_text(path: str | Path) -> TextIO:
    """Open a text file in UTF-8; bytes that are not UTF-8 survive the way into a file name.

    ValueError for UTF-16, which some programs of Windows write.
    """
    with open(path, "rb") as file:
        start = file.read(200)
    if start.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in start:
        raise ValueError(
            f"{path}:1: the text is UTF-16, or none at all: save it as UTF-8 "
            "(iconv -f UTF-16 -t UTF-8)"
        )
    return open(path, encoding="utf-8-sig", errors="surrogateescape")


def read_lines(path: Path) -> Iterator[tuple[int, str]]:
    """(number from 1, text without surrounding space) of each line that is not blank."""
    with open_text(path) as file:
        for number, line in enumerate(file, start=1):
            if line := line.strip():
                yield number, line


def collect_by_id(rows: Iterable[tuple[str, str, T]], path: Path) -> dict[str, T]:
    """Value of each video id, from rows (place in the file, id, value).

    A video counts once however often it is listed; ValueError if values differ, or without videos.
    """
    known: dict[str, T] = {}
    num_repeated = 0
    for where, video, value in rows:
        num_repeated += video in known
        if known.setdefault(video, value) != value:
            raise ValueError(f"{where}: video {video!r} is listed before with another label")
    if num_repeated:
        logger.warning("%s: %d videos are listed again; each is used once", path, num_repeated)
    if not known:
        raise ValueError(f"{path}: the list holds no videos")
    return known


def numbers_by_name(class_names: Sequence[str], path: Path) -> dict[str, int]:
    """Class of each name; ValueError for a name that stands for two classes."""
    numbers = {name: number for number, name in enumerate(class_names)}
    if len(numbers) < len(class_names):
        repeated = sorted(name for name in numbers if class_names.count(name) > 1)
        raise ValueError(f"{path}: class names that occur twice: {repeated}")
    return numbers


def check_files_exist(
    records: Sequence[Record],
    path: Path,
    *,
    hint: str = "paths start from DATA.PATH_PREFIX, or from the list's own folder where that is "
    "empty",
) -> None:
    """ValueError when none of about 100 videos spread over the list is there: a wrong folder.

    Of a video that is stored as images the first is looked for, of flow its folder.
    """
    step = -(-len(records) // _NUM_PROBED)
    files = [_first_file(record) for record in records[::step]]
    if not any(map(os.path.exists, files)):
        raise ValueError(f"{path}: none of its videos exists, for example {files[0]!r}; {hint}")


def _first_file(record: Record) -> str:
    if record.is_flow:
        return flow_folder(record.path)
    if record.frames is None:
        return record.path
    return record.frames.path(0) if record.frames.count else os.path.join(record.path, "*.jpg")
