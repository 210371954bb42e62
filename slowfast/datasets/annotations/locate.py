"""Places of videos that annotation files name: video files, or folders of image files."""

import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache, lru_cache
from pathlib import Path
from typing import NamedTuple

from tqdm import tqdm

from slowfast.datasets.annotations.frame_lists import read_frame_list
from slowfast.datasets.records import FrameFiles, frame_files
from slowfast.utils.video_names import (
    composed,
    is_hidden,
    is_image,
    is_url,
    is_video,
    without_suffix,
)

_NUM_THREADS = 16
_FLOW_PREFIXES = ("flow_x_", "flow_y_")


class VideoPlace(NamedTuple):
    """A video file, or the folder of image files."""

    path: str
    frames: FrameFiles | None = None


def listed_place(frames: FrameFiles, root: str, video: str) -> VideoPlace:
    """The place of a video whose frames a list names."""
    folder = os.path.dirname(frames.path(0)) if frames.count else os.path.join(root, video)
    return VideoPlace(folder, frames)


class VideoFinder:
    """Finds listed videos below `root` although case, suffix or composed letters differ on disk.

    UCF101's lists and folders differ in case, re-encoded files have another suffix, and a Mac takes
    letters with accents apart. Each folder is read once. `takes_folders`: what is looked for is the
    folder that was made of a video.
    """

    def __init__(self, root: str, *, takes_folders: bool = False):
        self._root = root
        self._takes_folders = takes_folders
        self._read = cache(_read_folder)

    def find(self, path: str) -> str:
        """Path of the video with this path below the root; the same if it is not there."""
        parent = self._root
        *folders, name = path.split("/")
        for folder in folders:
            names, _ = self._read(parent)
            parent = os.path.join(parent, _look_up(names, folder) or folder)
        names, stems = self._read(parent)
        found = _look_up(names, name) or _look_up(stems, os.path.splitext(name)[0])
        if self._takes_folders:
            found = found or _look_up(names, without_suffix(name))
        return os.path.join(parent, found or name)


def _read_folder(folder: str) -> tuple[dict[str, str], dict[str, str]]:
    """Entries of a folder by name, and its videos by name without suffix; both in any form."""
    try:
        names = sorted(os.listdir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return {}, {}
    videos = list(filter(is_video, names))
    return _by_key(names, names), _by_key([os.path.splitext(name)[0] for name in videos], videos)


def _by_key(keys: Iterable[str], names: Iterable[str]) -> dict[str, str]:
    by_key = dict(zip(keys, names, strict=True))
    for key, name in list(by_key.items()):
        by_key.setdefault(_folded(key), name)
    return by_key


def _look_up(names: dict[str, str], key: str) -> str | None:
    return names.get(key) or names.get(_folded(key))


def _folded(name: str) -> str:
    """The same for all cases and normal forms of a name."""
    return composed(composed(name).casefold())


def find_in_any_form(path: str) -> str:
    """The path on disk whose letters are composed, or taken apart, in another way than these.

    The same path if it is there, or if there is none. What all plain ASCII names cost is nothing.
    """
    if path.isascii() or is_url(path) or os.path.exists(path):
        return path
    found = ""
    for part in Path(path).parts:
        names = _composed_names(os.path.abspath(found))
        found = os.path.join(found, names.get(composed(part), part))
    return found if os.path.exists(found) else path


@lru_cache(maxsize=64)
def _composed_names(folder: str) -> dict[str, str]:
    """Entries of a folder by their composed names."""
    try:
        return {composed(name): name for name in os.listdir(folder)}
    except OSError:
        return {}


def list_frame_folders(folders: Sequence[str]) -> list[FrameFiles]:
    """The images of each folder in the order of their numbers; none where there is no folder."""
    with ThreadPoolExecutor(_NUM_THREADS) as pool:
        found = pool.map(_list_folder, folders, chunksize=64)
        return list(tqdm(found, desc="frame folders", total=len(folders), disable=None, delay=2))


def _list_folder(folder: str) -> FrameFiles:
    try:
        names = os.listdir(folder)
    except (FileNotFoundError, NotADirectoryError):
        names = []
    return frames_among(names, folder)


def frames_among(names: Iterable[str], folder: str) -> FrameFiles:
    """The images among the names of a folder's files, in the order of their numbers.

    Flow that lies beside them, as mmaction2's tools write it, is left out.
    """
    images = [name for name in names if is_image(name) and not is_hidden(name)]
    images = [name for name in images if not name.startswith(_FLOW_PREFIXES)] or images
    # Shorter first: 9.jpg comes before 10.jpg.
    images.sort(key=lambda name: (len(name), name))
    return frame_files([os.path.join(folder, name) for name in images])


def find_videos_by_id(
    videos: Sequence[str], root: str, *, source: str, suffix: str, frame_list: Path | None = None
) -> list[VideoPlace]:
    """A place for each id: its frames by `frame_list` or in root/<id>/, or file root/<id><suffix>.

    source: "frames" or "videos"; "auto" takes frames where there are any. What is missing from the
    list or from disk gets a place as well, so that it is named when it is read.
    """
    if source != "videos" and frame_list is not None and frame_list.is_file():
        listed = read_frame_list(frame_list, root)
        return [
            listed_place(listed[video].frames if video in listed else frame_files([]), root, video)
            for video in videos
        ]
    folders = [os.path.join(root, video) for video in videos]
    if source == "frames" or (source == "auto" and any(map(os.path.isdir, folders[:100]))):
        return [
            VideoPlace(folder, frames)
            for folder, frames in zip(folders, list_frame_folders(folders), strict=True)
        ]
    finder = VideoFinder(root)
    return [VideoPlace(finder.find(f"{video}{suffix}")) for video in videos]
