"""Record -> an open source of its frames, wherever they are stored."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import lru_cache, partial
from typing import Protocol

import numpy as np

from slowfast.datasets.decoding.flow import open_flow
from slowfast.datasets.decoding.images import ImageReader, load_rgb
from slowfast.datasets.decoding.index_file import IndexFile, file_state, pack_index, unpack_index
from slowfast.datasets.decoding.packets import VideoIndex
from slowfast.datasets.decoding.part import PartReader, open_part
from slowfast.datasets.decoding.ranges import UNCACHED, RangeReader
from slowfast.datasets.decoding.video import MAX_PIXELS, VideoReader, open_video, scan_video
from slowfast.datasets.records import Record, Window

# Files above it are not held in memory but scanned once, unless an index file knows them, and then
# seeked in; those of which records are parts are read again and again.
_LONG_FILE = 64 << 20  # bytes
_LONG_FILE_OF_PARTS = 4 << 20

# A stored video that is open: `read` some frames, or go through all `frames`.
StoredVideo = VideoReader | ImageReader | PartReader


class OpenVideo(Protocol):
    """Frames that can be read, of a stored video or in memory."""

    @property
    def index(self) -> VideoIndex:
        """Number, rate and keyframes of the frames."""

    @property
    def num_broken(self) -> int:
        """Packets or image files that were lost until now."""

    def read(
        self,
        numbers: Sequence[int] | np.ndarray,
        *,
        short_side: int | None = None,
        size: tuple[int, int] | None = None,
    ) -> np.ndarray:
        """Frames T,H,W,C of these numbers, scaled to a short side or a size (height, width)."""


def open_frames(
    record: Record,
    index_file: IndexFile | None = None,
    *,
    max_pixels: int = MAX_PIXELS,
    ranges: RangeReader = UNCACHED,
) -> AbstractContextManager[StoredVideo]:
    """The frames of a record; UnreadableVideo, here or in `read`, names what is wrong.

    Nothing is decoded that has more than `max_pixels` pixels. ranges: reads what is no file of its
    own on a disk.
    """
    whole: AbstractContextManager[VideoReader | ImageReader]
    if record.is_flow or record.frames is not None:
        whole = nullcontext(_open_images(record, max_pixels))
    elif (window := ranges.find(record)) is not None:
        file = ranges.open(window, record.path)
        index = _index_of_window(record, window, max_pixels, ranges)
        whole = open_video(file, index, max_pixels=max_pixels)
    else:
        index = _find_index(record, index_file, max_pixels)
        whole = open_video(record.path, index, max_pixels=max_pixels)
    return whole if record.part is None else open_part(whole, record.part)


def _open_images(record: Record, max_pixels: int) -> ImageReader:
    if record.is_flow:
        return open_flow(record.path, max_pixels=max_pixels)
    assert record.frames is not None, "a record without image files"
    return ImageReader(record.frames, load=partial(load_rgb, max_pixels=max_pixels))


def _longest(record: Record) -> int:
    """Bytes of the longest file that is held in memory."""
    return _LONG_FILE if record.part is None else _LONG_FILE_OF_PARTS


def _index_of_window(
    record: Record, window: Window, max_pixels: int, ranges: RangeReader
) -> VideoIndex | None:
    if window.size <= _longest(record):
        return None
    return unpack_index(_scan_window_once(record.path, window, max_pixels, ranges))


@lru_cache(maxsize=4096)
def _scan_window_once(path: str, window: Window, max_pixels: int, ranges: RangeReader) -> bytes:
    return pack_index(scan_video(ranges.open(window, path), max_pixels=max_pixels))


def _find_index(record: Record, index_file: IndexFile | None, max_pixels: int) -> VideoIndex | None:
    """The index to seek by; None where it is not worth a scan."""
    path, limit = record.path, _longest(record)
    index = index_file.find(path) if index_file is not None else None
    if index is None:
        state = file_state(path)
        if state is None or state[0] <= limit:
            return None
        index = unpack_index(_scan_once(path, max_pixels, *state))
    return index


@lru_cache(maxsize=4096)
def _scan_once(path: str, max_pixels: int, _size: int, _mtime_ns: int) -> bytes:
    """Packed, because the times of a film's frames take megabytes."""
    return pack_index(scan_video(path, max_pixels=max_pixels))
