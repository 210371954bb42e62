"""Scores of the boxes of each record, collected batch by batch and process by process."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import torch

from slowfast.evaluation.video_scores import to_numpy
from slowfast.utils.box_table import BoxTable
from slowfast.utils.io import atomic_write


class BoxScores:
    """Scores per record and box; a box is numbered by its place in the record's annotation.

    Holds only what was added, so a process keeps its share. A box that never came has no rows in
    the table; one that comes twice counts once.
    """

    def __init__(self, num_records: int, num_classes: int):
        self.num_records = num_records
        self.num_classes = num_classes
        self._places: list[np.ndarray] = []  # each n,2: record, box
        self._scores: list[np.ndarray] = []  # each n,classes float32

    def add(
        self, box_indices: torch.Tensor, box_numbers: torch.Tensor, scores: torch.Tensor
    ) -> None:
        """Store scores (M,classes) of the boxes `box_numbers` (M) of the records `box_indices`."""
        scores = to_numpy(scores).astype(np.float32)
        places = np.stack([to_numpy(box_indices), to_numpy(box_numbers)], axis=1).astype(np.int64)
        assert scores.shape == (len(places), self.num_classes), f"scores are {scores.shape}"
        assert ((places >= 0) & (places[:, :1] < self.num_records)).all(), f"places {places}"
        self._places.append(places)
        self._scores.append(scores)

    def merge(self, others: Iterable["BoxScores"]) -> None:
        """Add what other processes have; what is here already may be among it."""
        for other in others:
            assert (other.num_records, other.num_classes) == (self.num_records, self.num_classes)
            self._places += other._places
            self._scores += other._scores

    @property
    def seen(self) -> np.ndarray:
        """For each record whether any of its boxes came (bool)."""
        seen = np.zeros(self.num_records, dtype=bool)
        for places in self._places:
            seen[places[:, 0]] = True
        return seen

    def table(self, keys: Sequence[str], boxes: Sequence[np.ndarray]) -> BoxTable:
        """A row per box and class, ordered by record, box, class.

        keys: of each record's image. boxes: of each record n,4, in shares of the frame.
        """
        own_keys, own_boxes, scores = self._rows(keys, boxes)
        return BoxTable(
            keys=np.repeat(own_keys, self.num_classes),
            boxes=np.repeat(own_boxes, self.num_classes, axis=0),
            labels=np.tile(np.arange(self.num_classes), len(scores)),
            scores=scores.reshape(-1),
        )

    def save_npz(self, path: str | Path, keys: Sequence[str], boxes: Sequence[np.ndarray]) -> None:
        """Write keys (N), boxes (N,4), scores (N,classes) of the boxes that came, atomically."""
        own_keys, own_boxes, scores = self._rows(keys, boxes)
        with atomic_write(path) as file:
            np.savez(file, keys=own_keys.astype(np.str_), boxes=own_boxes, scores=scores)

    def _rows(
        self, keys: Sequence[str], boxes: Sequence[np.ndarray]
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(keys N, boxes N,4, scores N,classes) of the boxes that came, by record and box."""
        assert len(keys) == len(boxes) == self.num_records, "one key and one array per record"
        places = np.concatenate([np.empty((0, 2), np.int64), *self._places])
        scores = np.concatenate([np.empty((0, self.num_classes), np.float32), *self._scores])
        places, first = np.unique(places, axis=0, return_index=True)
        own_boxes = [boxes[record][number] for record, number in places.tolist()]
        own_boxes = np.array(own_boxes, dtype=np.float64).reshape(-1, 4)
        return np.array(keys, dtype=object)[places[:, 0]], own_boxes, scores[first]
