"""Record -> an open source of its frames, wherever they are stored."""

from contextlib import AbstractContextManager, nullcontext
from functools import lru_cache, partial

from slowfast.datasets.decoding.flow import open_flow
from slowfast.datasets.decoding.images import ImageReader, load_rgb
from slowfast.datasets.decoding.index_file import IndexFile, file_state, pack_index, unpack_index
from slowfast.datasets.decoding.packets import VideoIndex
from slowfast.datasets.decoding.part import PartReader, open_part
from slowfast.datasets.decoding.video import MAX_PIXELS, VideoReader, open_video, scan_video
from slowfast.datasets.records import Record

# Files above it are not held in memory but scanned once, unless an index file knows them, and then
# seeked in; those of which records are parts are read again and again.
_LONG_FILE = 64 << 20  # bytes
_LONG_FILE_OF_PARTS = 4 << 20

# An open source of frames: `read` some of them, or go through all `frames`.
OpenVideo = VideoReader | ImageReader | PartReader


def open_frames(
    record: Record, index_file: IndexFile | None = None, *, max_pixels: int = MAX_PIXELS
) -> AbstractContextManager[OpenVideo]:
    """The frames of a record; UnreadableVideo, here or in `read`, names what is wrong.

    Nothing is decoded that has more than `max_pixels` pixels.
    """
    whole = _open_whole(record, index_file, max_pixels)
    return whole if record.part is None else open_part(whole, record.part)


def _open_whole(
    record: Record, index_file: IndexFile | None, max_pixels: int
) -> AbstractContextManager[VideoReader | ImageReader]:
    if record.is_flow:
        return nullcontext(open_flow(record.path, max_pixels=max_pixels))
    if record.frames is not None:
        load = partial(load_rgb, max_pixels=max_pixels)
        return nullcontext(ImageReader(record.frames, load=load))
    index = _find_index(record, index_file, max_pixels)
    return open_video(record.path, index, max_pixels=max_pixels)


def _find_index(record: Record, index_file: IndexFile | None, max_pixels: int) -> VideoIndex | None:
    """The index to seek by; None where it is not worth a scan."""
    path, limit = record.path, _LONG_FILE if record.part is None else _LONG_FILE_OF_PARTS
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
