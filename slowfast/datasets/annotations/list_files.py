"""Lines of annotation files, and the mistakes that users make with any of them."""

import json
import logging
import os
import stat
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from hashlib import sha1
from itertools import islice
from pathlib import Path
from typing import NamedTuple, TextIO, TypeVar

from tqdm import tqdm

from slowfast.datasets.decoding.flow import flow_folder
from slowfast.datasets.decoding.stores import (
    PATIENCE,
    NoAnswer,
    StoreError,
    file_facts,
    list_names,
)
from slowfast.datasets.packed_records import PackedRecords
from slowfast.datasets.records import Record
from slowfast.datasets.windows import absent_members
from slowfast.utils.io import atomic_write, check_is_file, json_text
from slowfast.utils.video_names import is_plain_path, is_url

logger = logging.getLogger(__name__)

_NUM_PROBED = 100
_NUM_SHOWN = 10
_NUM_NAMED = 5
_NUM_THREADS = 16
_BLOCK = 1 << 20  # characters of a list that are read at once
_FEW = 8  # files of a folder that are looked for one by one: the folder may hold a million others
_MANY = 500_000  # paths that are looked for at a time
_WORTH_SECONDS = 1.0  # a look that takes longer is kept for the next run
# A folder that changed so shortly before it was listed may have changed since within one tick.
_TICK_SECONDS = 2.0

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
    no_test = "; TEST.ENABLE False does without a test" if names[0].startswith("test.") else ""
    raise ValueError(
        f"{key}: {folder!r} holds no {' or '.join(names)} "
        f"(looked for {paths[0].absolute()}; there: {there[:_NUM_SHOWN]}{rest}){no_test}"
    )


def open_text(path: str | Path, *, newline: str | None = None) -> TextIO:
    """Open a text file in UTF-8; bytes that are not UTF-8 survive the way into a file name.

    ValueError for UTF-16, which some programs of Windows write.
    """
    check_is_file(path)
    with open(path, "rb") as file:
        start = file.read(200)
    if start.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in start:
        raise ValueError(
            f"{path}:1: the text is UTF-16, or none at all: save it as UTF-8 "
            "(iconv -f UTF-16 -t UTF-8)"
        )
    return open(path, encoding="utf-8-sig", errors="surrogateescape", newline=newline)


def read_lines(path: Path) -> Iterator[tuple[int, str]]:
    """(number from 1, text without surrounding space) of each line that is not blank."""
    with open_text(path) as file:
        for number, line in enumerate(file, start=1):
            if line := line.strip():
                yield number, line


def read_blocks(path: Path) -> Iterator[tuple[int, str]]:
    """(number of the first line, text) of stretches of whole lines; the first is a short one."""
    number = 1
    with open_text(path) as file:
        text = "".join(islice(file, _NUM_PROBED))
        while text:
            yield number, text
            number += text.count("\n")
            text = file.read(_BLOCK) + file.readline()


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

    Of a video that is stored as images the first is looked for, of flow its folder. Members of tars
    and what is in stores are not looked for here.
    """
    step = -(-len(records) // _NUM_PROBED)
    files = [_first_file(record) for record in records[::step]]
    if all(map(is_plain_path, files)) and not any(map(os.path.exists, files)):
        raise ValueError(
            f"{path}: none of its videos exists, for example {os.path.abspath(files[0])!r}; {hint}"
        )


def _first_file(record: Record) -> str:
    if record.is_flow:
        return flow_folder(record.path)
    if record.frames is None:
        return record.path
    return record.frames.path(0) if record.frames.count else os.path.join(record.path, "*.jpg")


class _Group(NamedTuple):
    """Paths that lie in one folder, all of files or all of folders."""

    folder: str
    paths: list[str]
    are_folders: bool

    @property
    def key(self) -> str:
        """Key of the group in the cache."""
        return sha1("\0".join(self.paths).encode(errors="surrogateescape")).hexdigest()


class FileFacts:
    """Folders whose listed files were all there, and when those had changed last.

    A file whose folder has not changed since is there still. What is missing is not kept, so that
    it is looked for again.
    """

    def __init__(self, path: Path):
        self.path, self._new = path, {}
        try:
            self._known = dict(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            self._known = {}

    def holds(self, group: _Group) -> bool:
        """Whether all of the group's files are known to be there."""
        known = self._known.get(group.key)
        return known is not None and known == _mtime(group.folder)

    def add(self, group: _Group, mtime: int | None) -> None:
        """Remember that all of the group's files were there after its folder changed last."""
        if mtime is not None and time.time() - mtime / 1e9 > _TICK_SECONDS:
            self._new[group.key] = mtime

    def save(self) -> None:
        """Write what is known; a folder that cannot be written to has no cache."""
        try:
            with atomic_write(self.path, "w") as file:
                file.write(json_text({**self._known, **self._new}))
        except OSError as error:
            logger.debug("%s: not written (%s)", self.path, error)


def _mtime(folder: str) -> int | None:
    try:
        return os.stat(folder).st_mtime_ns
    except (OSError, ValueError):
        return None


def _place(record: Record) -> tuple[str, bool]:
    """Path that a record is read from, and whether it is a folder."""
    if record.is_flow:
        return flow_folder(record.path), True
    if record.frames is None:
        return record.path, False
    return os.path.dirname(record.frames.path(0)) if len(record.frames) else record.path, True


def _groups(records: Iterable[Record]) -> Iterator[_Group]:
    """The places of the records, but members of tars; of packed ones a folder at a time."""
    if isinstance(records, PackedRecords) and records.is_plain:
        for folder, names in records.by_folder():
            if ".tar/" not in folder:
                paths = [f"{folder}{name}" for name in dict.fromkeys(names)]
                yield _Group(folder or ".", paths, are_folders=False)
        return
    found: dict[tuple[str, bool], dict[str, None]] = defaultdict(dict)
    for record in records:
        path, is_folder = _place(record)
        if ".tar/" in path:
            continue
        found[path[: path.rfind("/") + 1] or ".", is_folder][path] = None
    for (folder, kind), paths in found.items():
        yield _Group(folder, list(paths), kind)


def _not_listed(group: _Group, facts: FileFacts | None, seconds: float) -> list[str]:
    """Paths that a glance at their folder does not show to be there."""
    if len(group.paths) < _FEW:
        return group.paths
    if facts is not None and facts.holds(group):
        return []
    if is_url(group.folder):
        return _not_in_store(group, seconds)
    mtime = _mtime(group.folder)
    try:
        with os.scandir(group.folder) as entries:
            listed = {entry.name: entry for entry in entries}
    except (OSError, ValueError):  # ValueError: a NUL byte
        return group.paths
    left = [path for path in group.paths if not _is_there(listed.get(_name(path)), group)]
    if facts is not None and not left:
        facts.add(group, mtime)
    return left


def _not_in_store(group: _Group, seconds: float) -> list[str]:
    """Paths that the list of a folder in a store does not show."""
    try:
        names = list_names(group.folder, seconds=seconds)
    except NoAnswer as error:
        raise ValueError(f"{group.folder} cannot be read: {error}") from error
    except StoreError:  # one that shows no lists, as many web servers: each path is asked for
        return group.paths
    return [path for path in group.paths if _name(path) not in names]


def _name(path: str) -> str:
    return path[path.rfind("/") + 1 :]


def _is_there(entry: os.DirEntry | None, group: _Group) -> bool:
    try:
        return entry is not None and (entry.is_dir() if group.are_folders else entry.is_file())
    except OSError:  # a loop of links
        return False


def _reason(path: str, is_folder: bool, seconds: float) -> str:
    """Say why a path cannot be read; "" if nothing speaks against it."""
    if is_url(path):
        return _reason_of_store(path, seconds)
    try:
        if not is_folder:
            check_is_file(path)
        elif not stat.S_ISDIR(os.stat(path).st_mode):
            return "NotADirectoryError: not a folder"
    except OSError as error:
        return f"{type(error).__name__}: {error.strerror}"
    return ""


def _reason_of_store(url: str, seconds: float) -> str:
    try:
        file_facts(url, seconds=seconds)
    except NoAnswer as error:  # and so would all others fail, after many minutes
        raise ValueError(f"{url} cannot be read: {error}") from error
    except StoreError as error:
        return str(error)
    return ""


def _portions(groups: Iterable[_Group]) -> Iterator[list[_Group]]:
    """The groups, so many at a time that their paths fit into memory."""
    some, count = [], 0
    for group in groups:
        some.append(group)
        count += len(group.paths)
        if count >= _MANY:
            yield some
            some, count = [], 0
    if some:
        yield some


def find_missing(
    records: Sequence[Record], facts: FileFacts | None = None, *, seconds: float = PATIENCE
) -> dict[str, str]:
    """Why each path of the records cannot be read that is not there, or is no file or folder.

    ValueError for a store that cannot be read. seconds: for one answer of it.
    """
    missing = {}
    with (
        ThreadPoolExecutor(_NUM_THREADS) as pool,
        tqdm(desc="looking for files", total=len(records), disable=None, delay=2) as bar,
    ):
        for some in _portions(_groups(records)):
            unlisted = pool.map(partial(_not_listed, facts=facts, seconds=seconds), some)
            left = [
                (path, group.are_folders)
                for group, paths in zip(some, unlisted, strict=True)
                for path in paths
            ]
            bar.update(sum(len(group.paths) for group in some) - len(left))
            look = partial(_reason, seconds=seconds)
            reasons = pool.map(look, *zip(*left, strict=True)) if left else ()
            for (path, _), reason in zip(left, reasons, strict=True):
                missing |= {path: reason} if reason else {}
                bar.update()
    return missing


def look_for_files(
    records: Sequence[Record],
    folder: str | Path,
    list_path: Path | None = None,
    *,
    seconds: float = PATIENCE,
) -> list[tuple[str, str]]:
    """(name, reason) of each record whose file or folder is not there.

    All are looked for; what takes long is kept in file_facts.json in `folder` for the next run.
    list_path: see Annotations; the first names then have their lines. seconds: see `find_missing`.
    """
    facts, start = FileFacts(Path(folder) / "file_facts.json"), time.monotonic()
    missing = find_missing(records, facts, seconds=seconds)
    if time.monotonic() - start > _WORTH_SECONDS:
        facts.save()
    found = {number: "not a member of its tar" for number in absent_members(records)}
    is_plain = isinstance(records, PackedRecords) and records.is_plain
    for number, record in enumerate(records if missing or not is_plain else ()):
        if missing and (reason := missing.get(_place(record)[0])):
            found[number] = reason
        elif record.frames is not None and not len(record.frames):
            found[number] = "no images in its folder or frame list"
    numbers = sorted(found)
    names = [records[number].name for number in numbers]
    if list_path is not None:
        lines = _line_numbers(list_path, numbers[:_NUM_NAMED])
        places = [f" ({list_path}:{line})" for line in lines]
        names[: len(places)] = map("".join, zip(names, places, strict=False))
    return list(zip(names, map(found.__getitem__, numbers), strict=True))


def _line_numbers(path: Path, numbers: Sequence[int]) -> list[int]:
    """Lines of some records, sorted numbers of lines that are not blank."""
    last = numbers[-1] + 1 if numbers else 0
    lines = [line for line, _ in islice(read_lines(path), last)]
    return [lines[number] for number in numbers]


def report_missing(
    found: Sequence[tuple[str, str]], num_records: int, split: str, *, max_share: float
) -> None:
    """A warning with the number of records that cannot be read, and some of them.

    found: (name, reason) of each. ValueError where their share is above `max_share`.
    """
    if not found:
        return
    examples = "\n".join(f"  {name}: {reason}" for name, reason in found[:_NUM_NAMED])
    text = f"{len(found)} of {num_records} videos of the {split} split are not there"
    share = len(found) / num_records
    if share > max_share:
        raise ValueError(
            f"DATA.MAX_UNREADABLE_SHARE: {text}, more than the allowed share of {max_share} "
            f"({100 * share:.1f} %); tools/dataset.py check lists all; the first:\n{examples}"
        )
    logger.warning("%s (%.1f %%); the first:\n%s", text, 100 * share, examples)
