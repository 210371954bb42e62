"""Frames of video files in one call."""

from slowfast.datasets.decoding.video import open_video


def read_frames(path, numbers, short_side=None):
    """Frames T,H,W,C of a file."""
    with open_video(path) as video:
        return video.read(numbers, short_side=short_side)
