"""Videos that are stretches of other files, or lie in stores: read in ranges, kept on this machine.

A stretch of up to 16 MB comes in one request, a longer one in blocks of 8 MB as they are wanted.
"""

import io
import os
import tempfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path

from slowfast.config.checks import register_rule
from slowfast.config.defaults import DEFAULTS
from slowfast.config.node import ConfigNode
from slowfast.datasets.decoding import stores
from slowfast.datasets.decoding.stores import PATIENCE, NoSuchObject, StoreError
from slowfast.datasets.decoding.tar_index import known_windows
from slowfast.datasets.records import Record, Window
from slowfast.utils.video_names import is_plain_path, is_url, split_member

_AT_ONCE, _BLOCK = 16 << 20, 8 << 20  # bytes
_NUM_FOLDERS = 64  # of a cache, each of which is bounded by itself
_FULL_TO = 0.95  # share of a full folder that is left after the oldest files went
_SHARE_OF_TIMEOUT = 0.8  # of DATA.READ_TIMEOUT, for one answer of a store
_LOOKS = 100  # a folder is looked at once in so many parts of its room that were written


@dataclass(frozen=True)
class RangeCache:
    """Ranges as files in a folder of this machine, of about so many bytes in all.

    Any number of processes may share it: a file gets its name when it is whole, and the ones that
    were not used for longest go. Where the disk is full, there is just no file.
    """

    folder: str
    num_bytes: int

    def read(self, key: str, size: int, fetch: Callable[[], bytes]) -> bytes:
        """The bytes of a range by a key that changes with them."""
        path = self._path(key)
        try:
            with open(path, "rb") as file:
                data = file.read()
            if len(data) == size:
                os.utime(path)
                return data
        except OSError:
            pass
        data = fetch()
        try:
            self._keep(path, data)
        except OSError:  # a full disk, a folder of another user
            pass
        return data

    def forget(self, key: str) -> None:
        """Remove a range."""
        Path(self._path(key)).unlink(missing_ok=True)

    def _path(self, key: str) -> str:
        digest = blake2b(key.encode(errors="surrogateescape"), digest_size=20).hexdigest()
        folder = f"{int(digest[-8:], 16) % _NUM_FOLDERS:02d}"
        return os.path.join(self.folder, folder, digest)

    def _keep(self, path: str, data: bytes) -> None:
        """Write a file; now and then, by chance that its name gives, make room before.

        No process has to know what others write: on average a folder is looked at once for each
        hundredth of its room.
        """
        folder, name = os.path.split(path)
        room, chance = self.num_bytes / _NUM_FOLDERS, int(name[:8], 16) / 2**32
        if len(data) > room / 2:
            return
        os.makedirs(folder, exist_ok=True)
        if chance < _LOOKS * len(data) / room:
            _make_room(folder, room * _FULL_TO - len(data))
        handle, name = tempfile.mkstemp(dir=folder)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
            os.replace(name, path)
        except BaseException:
            os.unlink(name)
            raise


def _make_room(folder: str, most: float) -> None:
    """Remove the oldest files of a folder of more than so many bytes."""
    with os.scandir(folder) as entries:
        found = []
        for entry in entries:
            try:
                status = entry.stat()
            except OSError:  # another process removed it
                continue
            found.append((status.st_mtime_ns, status.st_size, entry.path))
    total = sum(size for _, size, _ in found)
    for _, size, path in sorted(found):
        if total <= most:
            return
        Path(path).unlink(missing_ok=True)
        total -= size


class RangeFile:
    """A stretch of a file, read like a file of its own; `fetch(start, size)` gives its bytes.

    It holds the last block that was read.
    """

    def __init__(self, fetch: Callable[[int, int], bytes], size: int, name: str):
        self._fetch, self._size, self.name = fetch, size, name
        self._length = size if size <= _AT_ONCE else _BLOCK
        self._place, self._number, self._block = 0, -1, b""

    def read(self, size: int = -1) -> bytes:
        """The next bytes, at most up to the end of a block; none at the end."""
        number, start = divmod(self._place, self._length) if self._size else (0, 0)
        if self._place >= self._size:
            return b""
        if number != self._number:
            first = number * self._length
            self._block = self._fetch(first, min(self._length, self._size - first))
            self._number = number
        data = self._block[start : None if size < 0 else start + size]
        self._place += len(data)
        return data

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a place, as in any file."""
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: self._size}[whence]
        self._place = max(start + offset, 0)
        return self._place

    def tell(self) -> int:
        """The place of the next byte."""
        return self._place


@dataclass(frozen=True)
class RangeReader:
    """Opens what is no file of its own on a disk. seconds: for one answer of a store, 0: no limit.

    Only what comes over the network is kept in the cache.
    """

    cache: RangeCache | None = None
    seconds: float = PATIENCE

    def find(self, record: Record) -> Window | None:
        """The stretch that holds a record's video; None for a file of its own on a disk.

        NoSuchObject where there is none.
        """
        has_images = record.is_flow or record.frames is not None
        if has_images or record.window is not None or is_plain_path(record.path):
            return record.window
        tar, name = split_member(record.path)
        if not tar:
            return Window(record.path, 0, *_facts(record.path, self.seconds))
        if not is_url(tar) and os.path.isdir(tar):
            return None
        try:
            return known_windows(tar, self.seconds)[name]
        except KeyError:
            raise NoSuchObject(f"FileNotFoundError: {tar} has no member {name!r}") from None

    def open(self, window: Window, name: str) -> RangeFile:
        """The bytes of a stretch as a file."""

        def fetch(start: int, size: int) -> bytes:
            return self._checked(window, start, size)

        return RangeFile(fetch, window.size, name)

    def _checked(self, window: Window, start: int, size: int) -> bytes:
        """A range of a stretch; where it is all of it, its check sum is compared."""
        key = f"{window}|{start}|{size}"
        data = self._read(key, window, start, size)
        if size < window.size or window.crc in (-1, zlib.crc32(data)):
            return data
        if self.cache is not None:  # may be to blame
            self.cache.forget(key)
            data = self._read(key, window, start, size)
        if zlib.crc32(data) != window.crc:
            if self.cache is not None:
                self.cache.forget(key)
            raise StoreError(
                f"WrongCheckSum: the bytes {window.start}..{window.start + window.size} of "
                f"{window.file} are others than its index says"
            )
        return data

    def _read(self, key: str, window: Window, start: int, size: int) -> bytes:
        def fetch() -> bytes:
            return stores.read_range(window.file, window.start + start, size, seconds=self.seconds)

        if self.cache is None or not is_url(window.file):
            return fetch()
        return self.cache.read(key, size, fetch)


UNCACHED = RangeReader()


@lru_cache(maxsize=1 << 14)
def _facts(url: str, seconds: float) -> tuple[int, int, str]:
    """Size, unknown check sum and version of an object: what a Window has after its start."""
    size, version = stores.file_facts(url, seconds=seconds)
    return size, -1, version


@register_rule("DATA")
def check_stores(data: ConfigNode) -> Iterator[str]:
    """Check that the cache is on this machine, and that nothing needs files that are not there."""
    if is_url(data.CACHE_DIR):
        yield f"DATA.CACHE_DIR: {data.CACHE_DIR!r} must be a folder of this machine"
    if not data.CACHE_DIR and data.CACHE_GB != DEFAULTS.DATA.CACHE_GB:
        yield f"DATA.CACHE_GB: {data.CACHE_GB} has no effect without DATA.CACHE_DIR"
    if is_plain_path(f"{data.PATH_PREFIX}/"):
        return
    with_prefix = f"with DATA.PATH_PREFIX {data.PATH_PREFIX!r}, which is no folder of a disk"
    if data.INDEX_FILE:
        yield f"DATA.INDEX_FILE: {data.INDEX_FILE!r} must be empty {with_prefix}"
    if data.MODALITY == "flow":
        yield f"DATA.MODALITY: 'flow' must be 'rgb' {with_prefix}: flow is folders of images"
    if data.SOURCE == "frames":
        yield f"DATA.SOURCE: 'frames' must be 'videos' {with_prefix}"


def build_range_reader(cfg: ConfigNode) -> RangeReader:
    """The reader of videos in tars and stores."""
    cache = None
    if cfg.DATA.CACHE_DIR:
        folder = os.path.join(os.path.abspath(cfg.DATA.CACHE_DIR), "ranges")
        cache = RangeCache(folder, int(cfg.DATA.CACHE_GB * 1e9))
    # Before the alarm that gives up the video alone: see ClipDataset.
    return RangeReader(cache, _SHARE_OF_TIMEOUT * cfg.DATA.READ_TIMEOUT)
