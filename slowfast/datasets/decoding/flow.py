"""Optical flow stored as JPEG files: how a displacement becomes a grey value, and where files lie.

A video has a folder with flow_x_00001.jpg and flow_y_00001.jpg for the way of each pixel from frame
1 to frame 2, and so on (two-stream networks, arXiv 1406.2199, section 3; the names and the bound of
TSN, arXiv 1608.00859). Folders of TSN's own tool can be read too.
"""

import json
import os
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from slowfast.datasets.decoding.images import ImageReader, load_pair
from slowfast.datasets.decoding.video import MAX_PIXELS, UnreadableVideo
from slowfast.datasets.records import FrameFiles, Record, frame_files
from slowfast.utils.video_names import is_video, without_suffix

# Pixels; what moves further is stored as if it moved so far.
BOUND = 20.0
# In a folder that our tool made: "num_frames" and "fps" of the flow, and how it was computed.
DESCRIPTION = "flow.json"
_PREFIXES = ("flow_x_", "flow_y_")
# All that our tool puts into a folder.
FILES = (*(f"{prefix}*.jpg" for prefix in _PREFIXES), DESCRIPTION)


def encode_flow(flow: np.ndarray) -> np.ndarray:
    """Pixels to grey values: -20 is 0, 20 is 255, and no motion, 127.5, becomes 128.

    255 - value is thus exactly the opposite direction.
    """
    scaled = (np.clip(flow, -BOUND, BOUND) + BOUND) * (255 / (2 * BOUND))
    return np.rint(scaled).astype(np.uint8)


def flow_names(number: int) -> tuple[str, str]:
    """Names of the files of both directions; numbers count from 1."""
    return tuple(f"{prefix}{number:05d}.jpg" for prefix in _PREFIXES)


def flow_folder(path: str) -> str:
    """The folder of a record's flow, whose path may still have the suffix of the video."""
    return path if not is_video(path) or os.path.isdir(path) else without_suffix(path)


def open_flow(path: str, *, max_pixels: int = MAX_PIXELS) -> ImageReader:
    """A video of two channels, x and y, of values 0..255; UnreadableVideo where there is none."""
    folder = flow_folder(path)
    files = _described(folder) or _listed(folder)
    if not files.count:
        raise UnreadableVideo(f"NoFlow: no {_PREFIXES[0]}*.jpg in {folder}")
    return ImageReader(files, load=partial(load_flow, max_pixels=max_pixels))


def load_flow(path: str, *, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """H,W,2: a flow_x file, and the flow_y file beside it."""
    return load_pair(path, _beside(path), max_pixels=max_pixels)


def flow_paths(path: str) -> list[str]:
    """The files of a record's flow."""
    folder = flow_folder(path)
    files = _described(folder) or _listed(folder)
    found = [files.path(number) for number in range(files.count)]
    return found + [_beside(path) for path in found]


def _beside(path: str) -> str:
    """The flow_y file of a flow_x file."""
    folder, name = os.path.split(path)
    return os.path.join(folder, name.replace(*_PREFIXES))


def _described(folder: str) -> FrameFiles | None:
    """Files that our tool wrote; None without its description."""
    try:
        with open(os.path.join(folder, DESCRIPTION), encoding="utf-8") as file:
            content = json.load(file)
        pattern = os.path.join(folder, _PREFIXES[0]).replace("{", "{{").replace("}", "}}")
        return FrameFiles(f"{pattern}{{:05d}}.jpg", 1, content["num_frames"], fps=content["fps"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _listed(folder: str) -> FrameFiles:
    try:
        names = [name for name in os.listdir(folder) if name.startswith(_PREFIXES[0])]
    except (FileNotFoundError, NotADirectoryError):
        names = []
    names.sort(key=lambda name: (len(name), name))
    return frame_files([os.path.join(folder, name) for name in names])


def as_flow(records: Sequence[Record]) -> list[Record]:
    """Records of the flow of these videos."""
    return [replace(record, frames=None, is_flow=True) for record in records]
