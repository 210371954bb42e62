"""Video files on disk: which they are, and where one that a list names lies."""

import os
from collections.abc import Iterable
from functools import cache
from pathlib import Path

# Containers that are taken from a folder; a file that is named itself may have any suffix.
SUFFIXES = frozenset(
    ".3gp .asf .avi .divx .flv .m2ts .m4v .mkv .mov .mp4 .mpeg .mpg .mts .ogv .ts .vob .webm "
    ".wmv".split()
)


def is_video(name: str) -> bool:
    """Whether the suffix is that of a video."""
    return os.path.splitext(name)[1].lower() in SUFFIXES


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
    is read once.
    """

    def __init__(self, root: str):
        self._root = root
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
