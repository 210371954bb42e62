"""Videos in a folder and all below it, and what is passed over on the way."""

import logging
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import NamedTuple

from slowfast.utils.video_names import is_hidden, is_image, is_video

logger = logging.getLogger(__name__)


@dataclass
class PassedOver:
    """Counts of what walks leave out, with an example of each kind; named at once in the end."""

    counts: Counter[str] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)

    def add(self, kind: str, path: str) -> None:
        self.counts[kind] += 1
        self.examples.setdefault(kind, path)

    def add_files(self, level: "Level") -> None:
        """The files of a folder that are no videos."""
        for name in level.files:
            if not is_video(name):
                self.add("files with other suffixes", os.path.join(level.path, name))

    def log(self, folder: str | Path) -> None:
        """One line, if there is anything to say; the same one once in a process."""
        named = [f"{n} {kind} (as {self.examples[kind]})" for kind, n in self.counts.items()]
        if named:
            _log_once(f"{folder}: left out {', '.join(named)}")


@cache
def _log_once(line: str) -> None:
    # Splits of one set walk through the same folders.
    logger.info("%s", line)


class Level(NamedTuple):
    """A folder on the way. files, folders: names in alphabetical order, none of them hidden."""

    path: str
    files: list[str]
    folders: list[str]

    @property
    def is_frames(self) -> bool:
        """Whether it is a video of image files: it holds images, no videos and no folders."""
        return not (self.folders or any(map(is_video, self.files))) and self.has_images

    @property
    def has_images(self) -> bool:
        return any(map(is_image, self.files))

    @property
    def videos(self) -> list[str]:
        """Paths of its video files."""
        return [os.path.join(self.path, name) for name in self.files if is_video(name)]


def walk(folder: str | Path, passed: PassedOver) -> Iterator[Level]:
    """The folder and all below it; links are followed, but not those that lead back up."""
    real = Path(folder).resolve()
    above = {_identity(path) for path in (real, *real.parents)} - {None}
    yield from _walk(os.fspath(folder), frozenset(above), passed)


def _walk(path: str, above: frozenset, passed: PassedOver) -> Iterator[Level]:
    """above: identities of the folders on the way here, where a loop would come back."""
    level = read_level(path, passed)
    yield level
    for name in level.folders:
        inner = os.path.join(path, name)
        identity = _identity(inner)
        if identity in above:
            passed.add("links that lead back up", inner)
        else:
            yield from _walk(inner, above | {identity}, passed)


def read_level(path: str, passed: PassedOver) -> Level:
    """The visible files and folders of a folder."""
    files, folders = [], []
    try:
        with os.scandir(path) as found:
            entries = sorted(found, key=lambda entry: entry.name)
    except OSError as error:
        passed.add(f"folders that cannot be read ({error.strerror})", path)
        entries = []
    for entry in entries:
        if is_hidden(entry.name):
            passed.add("hidden files and folders", entry.path)
        else:
            (folders if _is_folder(entry) else files).append(entry.name)
    return Level(path, files, folders)


def _is_folder(entry: os.DirEntry) -> bool:
    """A folder, or a link to one; a link that leads to itself is a file that cannot be read."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def _identity(path: str | Path) -> tuple[int, int] | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def walk_videos(folder: str | Path) -> list[str]:
    """Paths of all video files below a folder, in alphabetical order; a line says what is not."""
    passed, videos = PassedOver(), []
    for level in walk(folder, passed):
        videos += level.videos
        passed.add_files(level)
    passed.log(folder)
    return sorted(videos)
