"""Shapes of batches of clips, and the frames that a shorter clip keeps."""

from typing import NamedTuple


class BatchShape(NamedTuple):
    """Clips of one process, frames of a clip, side of its square crop in pixels."""

    num_clips: int
    num_frames: int
    crop_size: int


def evenly_spaced(num_positions: int, count: int) -> list[int]:
    """`count` of the numbers 0 ... `num_positions` - 1: the first and, if several, the last one."""
    return [index * (num_positions - 1) // max(count - 1, 1) for index in range(count)]
