"""Boxes of many images in one table: ground truth or detections."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class BoxTable:
    """One row per box and class.

    keys: N strings naming the image, for AVA "video,0902". boxes: N,4 float64 x1,y1,x2,y2, in
    shares of the frame's width and height. labels: N ints, columns of the network's output, from 0.
    scores: N floats in detections, None in ground truth.
    """

    keys: np.ndarray
    boxes: np.ndarray
    labels: np.ndarray
    scores: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.keys)


@dataclass(frozen=True)
class BoxTruth:
    """Ground truth of a split, by which detections are judged.

    classes: names of the classes that count, by column of the network's output. excluded: keys of
    images that are left out of ground truth and detections alike. label_offset: what is added to a
    column to get the number in the dataset's own files (AVA, UCF101-24, JHMDB: 1). metric: "ava" or
    "frame_map".
    """

    table: BoxTable
    classes: dict[int, str]
    excluded: frozenset[str] = frozenset()
    label_offset: int = 1
    metric: str = "ava"
