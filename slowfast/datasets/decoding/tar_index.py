"""Members of tar files: where their bytes are, from an index beside the tar or from its headers.

The index of a.tar is a.tar.json: `{"version": 1, "size": bytes of the tar, "sha256": of the tar,
"members": {name: [first byte, bytes, CRC-32, time of change]}}`.
"""

import json
import logging
import tarfile
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Any, NamedTuple

from slowfast.datasets.decoding import stores
from slowfast.datasets.decoding.stores import PATIENCE, NoSuchObject, StoreError
from slowfast.datasets.records import Window

logger = logging.getLogger(__name__)

VERSION = 1
_NUM_THREADS = 16


class Member(NamedTuple):
    """Place of a file in a tar, CRC-32 of its bytes, and its time of change in seconds."""

    start: int
    size: int
    crc: int
    mtime: int


class TarIndex(NamedTuple):
    """Members of a tar by name. size, sha256: of the tar itself."""

    size: int
    sha256: str
    members: dict[str, Member]


def index_path(tar: str) -> str:
    """Path of a tar's index."""
    return f"{tar}.json"


def parse_index(text: str | bytes) -> TarIndex:
    """Content of an index; ValueError where it is none."""
    try:
        values: dict[str, Any] = json.loads(text)
        if values["version"] != VERSION:
            raise ValueError(f"its version is {values['version']!r}, not {VERSION}")
        members = {name: Member(*map(int, row)) for name, row in values["members"].items()}
        return TarIndex(int(values["size"]), values["sha256"], members)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ValueError(
            f"not the index of a tar ({type(error).__name__}: {error}); remove it, or write it "
            "with tools/dataset.py pack"
        ) from error


def read_windows(tar: str, *, seconds: float = PATIENCE) -> dict[str, Window]:
    """Place of each member of a tar by name; of several of one name the last.

    tar: a path, an address, or a pattern with stars that fits some. StoreError where a tar or its
    index cannot be read.
    """
    if "*" in tar:
        return _windows_of_all(tar, seconds)
    try:
        index = parse_index(stores.read_whole(index_path(tar), seconds=seconds))
    except NoSuchObject:
        return _from_headers(tar, seconds)
    except ValueError as error:
        raise StoreError(f"ValueError: {index_path(tar)}: {error}") from error
    return {name: Window(tar, *member[:3]) for name, member in index.members.items()}


def _windows_of_all(pattern: str, seconds: float) -> dict[str, Window]:
    tars = stores.find_files(pattern, seconds=seconds)
    if not tars:
        raise NoSuchObject(f"FileNotFoundError: no tar fits {pattern}")
    found = {}
    for windows in in_threads(lambda tar: read_windows(tar, seconds=seconds), tars):
        found |= windows
    return found


def in_threads(function: Callable[[str], Any], items: Iterable[str]) -> Iterator[Any]:
    """Results in the order of the items."""
    with ThreadPoolExecutor(_NUM_THREADS) as pool:
        yield from pool.map(function, items)


def _from_headers(tar: str, seconds: float) -> dict[str, Window]:
    """Places by the headers of a tar that has no index."""
    logger.info("%s: has no index beside it, so that the headers in it are read", tar)
    with (
        stores.open_stream(tar, seconds=seconds) as file,
        tarfile.open(fileobj=file, mode="r:") as members,
    ):
        return {
            member.name.removeprefix("./"): Window(tar, member.offset_data, member.size)
            for member in members
            if member.isreg() and not member.issparse()
        }


@lru_cache(maxsize=16)
def known_windows(tar: str, seconds: float = PATIENCE) -> dict[str, Window]:
    """`read_windows`, kept for the next member."""
    return read_windows(tar, seconds=seconds)
