"""Video files on disk: those below a folder, and where one that a list names lies."""

import os
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from slowfast.utils.video_names import is_video, without_suffix


def walk_videos(folder: str | Path) -> list[str]:
    """Paths of all videos below a folder, in alphabetical order."""
    return sorted(
        os.path.join(place, name)
        for place, _, names in os.walk(folder)
        for name in names
        if is_video(name)
    )


class VideoFinder:
    """Finds listed videos below `root` although case or suffix differ on disk.

    UCF101's lists and folders differ in case, and re-encoded files have another suffix. Each folder
    is read once. `takes_folders`: what is sought is the folder that was made of a video.
    """

    def __init__(self, root: str, *, takes_folders: bool = False):
        self._root = root
        self._takes_folders = takes_folders
        self._read = cache(_read_folder)

    def find(self, path: str) -> str:
        """Where the video with this path below the root lies; that path if it is not there."""
        place = self._root
        *folders, name = path.split("/")
        for folder in folders:
            names, _ = self._read(place)
            place = os.path.join(place, _look_up(names, folder) or folder)
        names, stems = self._read(place)
        found = _look_up(names, name) or _look_up(stems, os.path.splitext(name)[0])
        if self._takes_folders:
            found = found or _look_up(names, without_suffix(name))
        return os.path.join(place, found or name)


def _read_folder(folder: str) -> tuple[dict[str, str], dict[str, str]]:
    """Entries of a folder by name, and its videos by name without suffix; both in any case."""
    try:
        names = sorted(os.listdir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return {}, {}
    videos = list(filter(is_video, names))
    return _by_key(names, names), _by_key([os.path.splitext(name)[0] for name in videos], videos)


def _by_key(keys: Iterable[str], names: Iterable[str]) -> dict[str, str]:
    by_key = dict(zip(keys, names, strict=True))
    for key, name in list(by_key.items()):
        by_key.setdefault(key.casefold(), name)
    return by_key


def _look_up(names: dict[str, str], key: str) -> str | None:
    return names.get(key) or names.get(key.casefold())
