"""Indices of many videos in one file, so that none has to be scanned before it is read."""

import json
import logging
import os
import time
import zlib
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

from slowfast.datasets.decoding.packets import VideoIndex
from slowfast.datasets.decoding.video import MAX_PIXELS, UnreadableVideo, scan_video
from slowfast.datasets.records import Record
from slowfast.utils.io import atomic_write, json_text
from slowfast.utils.video_names import is_plain_path

logger = logging.getLogger(__name__)

# Changes with what counts as a frame, too.
_VERSION = 2
_NUM_PROBED = 100
_SECONDS_BETWEEN_SAVES = 60
_MAX_GROWTH = 4  # of an index file that is read, over its size; ours are not compressed
_MAX_UNPACKED = 1 << 28  # bytes of one video's index, of 33 million frames


class _Entry(NamedTuple):
    """Size and time of change of a file when it was scanned, and its packed index."""

    size: int
    mtime_ns: int
    packed: bytes


class IndexFile:
    """Packed indices by path, in a few arrays.

    Forked workers of a loader share them; of many Python objects each would get a copy, page by
    page, as it counts references to them. folder: of the index file, which the stored paths are
    relative to, so that an index beside its videos moves with them. ends: of the entries in
    `packed`.
    """

    def __init__(
        self,
        folder: str,
        *,
        names: np.ndarray,
        sizes: np.ndarray,
        mtimes: np.ndarray,
        ends: np.ndarray,
        packed: np.ndarray,
    ):
        self._folder, self._names = folder, names
        self._sizes, self._mtimes = sizes, mtimes
        self._ends, self._packed = ends, packed

    def __len__(self) -> int:
        return len(self._names)

    def find(self, path: str) -> VideoIndex | None:
        """The index of a video; None when it is not here, or the file has changed since."""
        name = _stored_name(path, self._folder)
        place = int(np.searchsorted(self._names, name))
        if place == len(self) or self._names[place] != name:
            return None
        entry = self._entry(place)
        if entry[:2] != file_state(path):
            return None
        try:
            return unpack_index(entry.packed)
        except (ValueError, TypeError, zlib.error):  # of another program: the video is scanned
            return None

    def entries(self) -> Iterator[tuple[str, _Entry]]:
        """All of them by absolute path, also of files that have changed."""
        for place, name in enumerate(self._names):
            path = os.path.join(self._folder, os.fsdecode(bytes(name)))
            yield os.path.normpath(path), self._entry(place)

    def _entry(self, place: int) -> _Entry:
        start = self._ends[place - 1] if place else 0
        packed = self._packed[start : self._ends[place]].tobytes()
        return _Entry(int(self._sizes[place]), int(self._mtimes[place]), packed)


def _stored_name(path: str, folder: str) -> bytes:
    return os.fsencode(os.path.relpath(path, folder))


def file_state(path: str) -> tuple[int, int] | None:
    """Size and time of change (ns) of a file, None when it cannot be looked at."""
    try:
        stat = os.stat(path)
    except (OSError, ValueError):  # a zero byte in the name
        return None
    return stat.st_size, stat.st_mtime_ns


def pack_index(index: VideoIndex) -> bytes:
    """About a bit per frame, where frame times are regular."""
    # Steps between times are nearly all the same, which zlib packs into nearly nothing.
    values = {**asdict(index), "pts": len(index.pts)}
    steps = np.diff(np.asarray(index.pts, np.int64), prepend=np.int64(0))
    return zlib.compress(json_text(values).encode() + b"\n" + steps.tobytes())


def unpack_index(packed: bytes) -> VideoIndex:
    """The reverse of `pack_index`."""
    unpacking = zlib.decompressobj()
    text, _, steps = unpacking.decompress(packed, _MAX_UNPACKED).partition(b"\n")
    if not unpacking.eof:
        raise ValueError(f"an index of more than {_MAX_UNPACKED} bytes, or a truncated one")
    values = {
        key: tuple(value) if isinstance(value, list) else value
        for key, value in json.loads(text).items()
    }
    pts = array("q", np.cumsum(np.frombuffer(steps, np.int64)).tobytes())
    return VideoIndex(**{**values, "pts": pts if values["pts"] else ()})


def load_index(path: str | Path) -> IndexFile:
    """An index file; ValueError when it is none."""
    try:
        with np.load(path, allow_pickle=False) as file:
            size = sum(info.file_size for info in file.zip.infolist())
            if size > _MAX_GROWTH * os.path.getsize(path):
                raise ValueError(f"would unpack to {size} bytes")
            values = dict(file)
        if values.pop("version") != _VERSION:
            raise ValueError("written by another version")
        return IndexFile(os.path.dirname(os.path.abspath(path)), **values)
    except FileNotFoundError:
        raise
    except Exception as error:  # numpy and zipfile raise all kinds of them on foreign files
        raise ValueError(
            f"{str(path)!r} is not an index file of this program ({error}); "
            "write one with tools/dataset.py index"
        ) from error


def run_here(function: Callable[[str], Any], items: Iterable[str]) -> Iterator[tuple[str, Any]]:
    """(item, result) of each item, one after another."""
    return ((item, function(item)) for item in items)


def _scan(path: str, *, max_pixels: int) -> _Entry | str:
    try:
        state = file_state(path)  # before it is read: a later change makes the entry stale
        packed = pack_index(scan_video(path, max_pixels=max_pixels))
    except UnreadableVideo as error:
        return str(error)
    return _Entry(*state, packed)


def _save(path: str | Path, folder: str, entries: dict[str, _Entry]) -> None:
    rows = sorted((_stored_name(file, folder), entry) for file, entry in entries.items())
    with atomic_write(path) as file:
        np.savez(
            file,
            version=_VERSION,
            names=np.array([name for name, _ in rows], np.bytes_),
            sizes=np.array([entry.size for _, entry in rows], np.int64),
            mtimes=np.array([entry.mtime_ns for _, entry in rows], np.int64),
            ends=np.cumsum([len(entry.packed) for _, entry in rows], dtype=np.int64),
            packed=np.frombuffer(b"".join(entry.packed for _, entry in rows), np.uint8),
        )


def _valid_entries(path: str | Path) -> dict[str, _Entry]:
    """Entries of an index file, if there is one, whose videos have not changed since."""
    entries = load_index(path).entries() if os.path.exists(path) else ()
    return {file: entry for file, entry in entries if entry[:2] == file_state(file)}


def write_index(
    path: str | Path,
    videos: Sequence[str],
    *,
    run: Callable[..., Iterable[tuple[str, Any]]] = run_here,
    max_pixels: int = MAX_PIXELS,
    also: Iterable[str | Path] = (),
) -> dict[str, str]:
    """Scan videos that an index file does not know yet, or not as they are now, and add them.

    also: other index files, whose entries are taken over.

    run: calls a function for each item, like `run_here`, in any order; a result with a `reason`
    in place of the function's own is a failure. The file is saved now and then, and at the
    end, however it comes. Returns "Type: reason" for each unreadable video.
    """
    folder = os.path.dirname(os.path.abspath(path))
    entries = {file: entry for one in (*also, path) for file, entry in _valid_entries(one).items()}
    names = {os.path.abspath(video): video for video in videos}
    missing = [file for file in names if file not in entries]
    failures: dict[str, str] = {}
    saved = time.monotonic()
    try:
        work = partial(_scan, max_pixels=max_pixels)
        with tqdm(run(work, missing), "index", total=len(missing), unit="video") as results:
            for file, result in results:
                if isinstance(result, _Entry):
                    entries[file] = result
                else:
                    failures[names[file]] = getattr(result, "reason", result)
                if time.monotonic() - saved > _SECONDS_BETWEEN_SAVES:
                    _save(path, folder, entries)
                    saved = time.monotonic()
    finally:
        _save(path, folder, entries)
    return failures


def warn_if_foreign(index: IndexFile, records: Sequence[Record], path: str) -> None:
    """A warning when the index knows none of about 100 videos spread over the records."""
    videos = [record.path for record in records if record.frames is None]
    videos = list(filter(is_plain_path, videos))
    probed = videos[:: -(-len(videos) // _NUM_PROBED) or 1]
    if probed and not any(map(index.find, probed)):
        logger.warning(
            "DATA.INDEX_FILE: %s knows none of %d videos, for example %s: it belongs to others, or "
            "they have been moved or changed since; they are read without it",
            *(path, len(probed), probed[0]),
        )


def open_index(path: str, records: Sequence[Record]) -> IndexFile | None:
    """The file that DATA.INDEX_FILE names, None where it is empty; `records` are what it is for."""
    if not path:
        return None
    try:
        index = load_index(path)
    except (ValueError, OSError) as error:
        raise ValueError(f"DATA.INDEX_FILE: {error}") from error
    warn_if_foreign(index, records, path)
    return index
