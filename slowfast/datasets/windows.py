"""Records that are members of tars: where their bytes are, looked up once for all processes."""

import logging
import os
from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np

from slowfast.datasets.decoding.stores import StoreError
from slowfast.datasets.decoding.tar_index import in_threads, read_windows
from slowfast.datasets.packed_records import PackedRecords, pack, text_columns
from slowfast.datasets.records import Record, Window
from slowfast.utils.video_names import is_url, split_member

logger = logging.getLogger(__name__)

# Numbers in place of a tar's: no member of one, and one that its tar does not have.
_NO_MEMBER, _ABSENT = -1, -2


class _Folder(NamedTuple):
    """A folder in a tar, with its last slash, and the numbers of its records."""

    name: str
    places: list[int]


def add_windows(records: Sequence[Record], *, seconds: float) -> Sequence[Record]:
    """The records, those that are members of tars with their windows.

    A member that its tar does not have gets none. ValueError for a tar that cannot be read.
    seconds: for one answer of a store.
    """
    packed = pack(records)
    tars = _tars(packed)
    if not tars:
        return records
    table, tar_of = _Tars(), np.full(len(packed), _NO_MEMBER, np.int32)
    windows = np.zeros((len(packed), 3), np.int64)
    logger.info("looking up members of %s", ", ".join([*tars][:3]) + ", ..." * (len(tars) > 3))
    found = in_threads(partial(_read, seconds=seconds), tars)
    for members, folders in zip(found, tars.values(), strict=True):
        for folder in folders:
            for place, name in zip(folder.places, packed.names(folder.places), strict=True):
                window = members.get(folder.name + name)
                tar_of[place] = _ABSENT if window is None else table.number(window)
                windows[place] = (0, 0, 0) if window is None else window[1:4]
    names, ends = text_columns(list(table.numbers))
    columns = {"tar_of": tar_of, "windows": windows, "tars": names, "tar_ends": ends}
    return packed.with_columns(columns)


class _Tars:
    """Tars by their numbers."""

    def __init__(self):
        self.numbers: dict[str, int] = {}

    def number(self, window: Window) -> int:
        return self.numbers.setdefault(window.file, len(self.numbers))


def _tars(records: PackedRecords) -> dict[str, list[_Folder]]:
    """Folders in each tar."""
    found = defaultdict(list)
    if not any(".tar/" in folder for folder in records.folders()):
        return found
    for folder, places in records.places_by_folder():
        tar, name = split_member(folder)
        if tar and (is_url(tar) or not os.path.isdir(tar)):
            found[tar].append(_Folder(name, places))
    return found


def _read(tar: str, *, seconds: float) -> dict[str, Window]:
    try:
        return read_windows(tar, seconds=seconds)
    except StoreError as error:
        raise ValueError(f"{tar} cannot be read: {error}") from error


def absent_members(records: Sequence[Record]) -> Iterator[int]:
    """Numbers of the records that are not in their tars, as `add_windows` found."""
    if isinstance(records, PackedRecords) and "tar_of" in records.columns:
        yield from np.flatnonzero(records.columns["tar_of"] == _ABSENT).tolist()


def comes_over_network(records: Sequence[Record]) -> bool:
    """Whether any record is read from a store or web server."""
    packed = pack(records)
    columns = packed.columns
    tars = columns["tars"].tobytes() if "tars" in columns else b""
    return b"://" in tars or any(map(is_url, packed.folders()))
