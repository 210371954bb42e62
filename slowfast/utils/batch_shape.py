"""The shape of a batch: what a training schedule asks for and datasets deliver."""

from typing import NamedTuple


class BatchShape(NamedTuple):
    """Clips of one process, frames of a clip, side of its square crop in pixels."""

    num_clips: int
    num_frames: int
    crop_size: int
