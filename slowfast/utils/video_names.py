"""Names of video files, and of what lies beside them."""

import os
import re
import unicodedata

# Containers that are taken from a folder; a file that is named itself may have any suffix.
SUFFIXES = frozenset(
    ".3g2 .3gp .asf .avi .divx .f4v .flv .gif .m2ts .m2v .m4v .mkv .mov .mp4 .mpeg .mpg .mts .mxf "
    ".ogv .rm .rmvb .ts .vob .webm .wmv .y4m".split()
)
IMAGE_SUFFIXES = frozenset([".jpg", ".jpeg", ".png", ".webp", ".bmp"])
# Folders that archives, network storage and Windows leave behind.
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
_FOREIGN = frozenset(["__MACOSX", "@eaDir", "$RECYCLE.BIN", "System Volume Information"])


def is_video(name: str) -> bool:
    """True for the suffix of a video."""
    return os.path.splitext(name)[1].lower() in SUFFIXES


def is_image(name: str) -> bool:
    """True for the suffix of an image file of a frame."""
    return os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES


def is_hidden(name: str) -> bool:
    """True for what no user put there: .DS_Store, the resource fork ._a.mp4 of a.mp4, __MACOSX."""
    return name.startswith(".") or name in _FOREIGN


def without_suffix(name: str) -> str:
    """The name without the suffix of a video; another one, as in "v1.0", stays."""
    return os.path.splitext(name)[0] if is_video(name) else name


def composed(name: str) -> str:
    """The name with composed letters, which a Mac takes apart: an e and an accent become one."""
    return name if name.isascii() else unicodedata.normalize("NFC", name)


def is_url(name: str) -> bool:
    """True for an address, as s3://bucket/a.mp4."""
    return "://" in name and _URL.match(name) is not None


def split_member(path: str) -> tuple[str, str]:
    """(tar, name in it) of a path like data/a.tar/b/c.mp4; ("", path) of others."""
    tar, inside, member = path.partition(".tar/")
    return (f"{tar}.tar", member) if inside else ("", path)


def is_plain_path(path: str) -> bool:
    """True for what is a file or folder of its own on a disk, not in a tar or a store."""
    return ".tar/" not in path and not is_url(path)
