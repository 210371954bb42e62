"""Where the videos lie that an annotation file names by an id: image files or video files."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from slowfast.datasets.frame_files import FrameFiles, frame_files
from slowfast.datasets.frame_folders import list_frame_folders
from slowfast.datasets.frame_lists import read_frame_list
from slowfast.datasets.video_files import VideoFinder


class Place(NamedTuple):
    """A video file, or the folder of image files."""

    path: str
    frames: FrameFiles | None = None


def find_videos_by_id(
    videos: Sequence[str], root: str, *, source: str, suffix: str, frame_list: Path | None = None
) -> list[Place]:
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
            Place(folder, frames)
            for folder, frames in zip(folders, list_frame_folders(folders), strict=True)
        ]
    finder = VideoFinder(root)
    return [Place(finder.find(f"{video}{suffix}")) for video in videos]


def listed_place(frames: FrameFiles, root: str, video: str) -> Place:
    """The place of a video whose frames a list names."""
    folder = os.path.dirname(frames.path(0)) if frames.count else os.path.join(root, video)
    return Place(folder, frames)
