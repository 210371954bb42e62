"""Folders of image files that no list describes."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from tqdm import tqdm

from slowfast.datasets.frame_files import FrameFiles, frame_files

IMAGE_SUFFIXES = frozenset([".jpg", ".jpeg", ".png", ".webp", ".bmp"])
_NUM_THREADS = 16


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
    names = [name for name in names if os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES]
    # Shorter first: 9.jpg comes before 10.jpg.
    names.sort(key=lambda name: (len(name), name))
    return frame_files([os.path.join(folder, name) for name in names])
