"""Names of video files."""

import os

# Containers that are taken from a folder; a file that is named itself may have any suffix.
SUFFIXES = frozenset(
    ".3gp .asf .avi .divx .flv .m2ts .m4v .mkv .mov .mp4 .mpeg .mpg .mts .ogv .ts .vob .webm "
    ".wmv".split()
)


def is_video(name: str) -> bool:
    """True for the suffix of a video."""
    return os.path.splitext(name)[1].lower() in SUFFIXES


def without_suffix(name: str) -> str:
    """The name without the suffix of a video; another one, as in "v1.0", stays."""
    return os.path.splitext(name)[0] if is_video(name) else name
