"""Evaluators of boxes in key frames, as in AVA: of labels for given ones, of boxes found."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from slowfast.evaluation.ava import (
    ava_average_precisions,
    frame_average_precisions,
    write_detections_csv,
)
from slowfast.evaluation.box_fusion import save_detections
from slowfast.evaluation.evaluator import Evaluation, Evaluator, write_class_table
from slowfast.evaluation.metrics import mean_over_classes
from slowfast.evaluation.video_scores import to_numpy
from slowfast.utils.box_table import BoxTable, BoxTruth
from slowfast.utils.io import atomic_write

_NUM_COLUMNS = 6  # of found boxes: x1,y1,x2,y2, class, score
# Column of the table of classes -> the metric that is its mean.
_METRICS = {"ap": "map", "ap_voc": "frame_map_voc", "ap_act": "frame_map_act"}


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


class BoxEvaluator(Evaluator):
    """Judges labels of boxes by the mAP of the dataset.

    keys, boxes: of each key frame its name in `truth`, and n,4 in shares of the frame. Ground truth
    is that of all key frames of the split: one that is unreadable or has no box to score is missed.
    ava_metric: AVA.METRIC. test_boxes: AVA.TEST_BOXES.
    """

    titles = {
        "map": "mAP",
        "frame_map_voc": "frame-mAP@0.5 (VOC)",
        "frame_map_act": "frame-mAP@0.5 (ACT)",
    }
    row_keys = ("box_indices", "box_numbers")

    def __init__(
        self,
        keys: Sequence[str],
        boxes: Sequence[np.ndarray],
        truth: BoxTruth,
        *,
        num_classes: int,
        ava_metric: str,
        test_boxes: str,
    ):
        self._keys, self._boxes, self._truth = keys, boxes, truth
        self._num_classes = num_classes
        self._ava_metric, self._test_boxes = ava_metric, test_boxes
        self.metric = "map" if truth.metric == "ava" else "frame_map_voc"
        super().__init__()

    def reset(self) -> None:
        self.scores = BoxScores(len(self._keys), self._num_classes)

    def add(self, batch: dict, output: torch.Tensor) -> None:
        self.scores.add(batch["box_indices"], batch["box_numbers"], output)

    def evaluate(self) -> Evaluation | None:
        seen = np.flatnonzero(self.scores.seen)
        if not len(seen):
            return None
        detections, truth = self._detections(), self._truth
        columns = self._average_precisions(detections)
        metrics = {
            _METRICS[name]: mean_over_classes(values.values()) for name, values in columns.items()
        }
        judged = set(truth.table.keys.tolist()) - truth.excluded
        counts = {
            "num_key_frames": len(judged),
            "num_key_frames_scored": len(judged & {self._keys[index] for index in seen}),
            "num_boxes": self._num_boxes(detections),
        }
        return Evaluation({**metrics, **counts}, {"positives": _positives(truth), **columns})

    def details(self) -> dict[str, Any]:
        named = {"metric_definition": self._ava_metric} if self._truth.metric == "ava" else {}
        return {**named, "test_boxes": self._test_boxes}

    def write(self, folder: Path, evaluation: Evaluation, *, scores_path: Path) -> list[Path]:
        """All detections in AVA's format, with the dataset's own numbers of classes; tables."""
        path, class_path = folder / "detections.csv", folder / "test_results_per_class.csv"
        write_detections_csv(path, self._detections(), self._truth.label_offset)
        self.scores.save_npz(scores_path, self._keys, self._boxes)
        write_class_table(class_path, evaluation.per_class, self._truth.classes)
        return [path, scores_path, class_path]

    def _detections(self) -> BoxTable:
        """Boxes and scores of the classes that count."""
        table = self._table()
        counts = np.isin(table.labels, list(self._truth.classes))
        return BoxTable(
            table.keys[counts], table.boxes[counts], table.labels[counts], table.scores[counts]
        )

    def _table(self) -> BoxTable:
        return self.scores.table(self._keys, self._boxes)

    def _num_boxes(self, detections: BoxTable) -> int:
        return len(detections) // len(self._truth.classes)

    def _average_precisions(self, detections: BoxTable) -> dict[str, dict[int, float]]:
        """Percent for each class, NaN without ground truth; under the name of the definition."""
        truth = self._truth
        if truth.metric == "ava":
            found = {"ap": ava_average_precisions(detections, truth, definition=self._ava_metric)}
        else:
            found = {
                f"ap_{name}": frame_average_precisions(detections, truth, definition=name)
                for name in ("voc", "act")
            }
        return {
            name: {label: 100 * value for label, value in values.items()}
            for name, values in found.items()
        }


class FoundBoxes:
    """Boxes by record: arrays n,6 of x1,y1,x2,y2 in shares of the frame, class, score.

    Holds only what was added, so a process keeps its share.
    """

    def __init__(self, num_records: int):
        self.num_records = num_records
        self._rows: dict[int, np.ndarray] = {}

    def add(self, records: torch.Tensor, detections: torch.Tensor) -> None:
        """Store detections N,D,6 of the records, sides in shares of the frame; class -1 is none."""
        for record, rows in zip(records.tolist(), detections.numpy(), strict=True):
            self._rows[record] = rows[rows[:, 4] >= 0]

    def merge(self, others: Iterable["FoundBoxes"]) -> None:
        """Add what other processes have."""
        for other in others:
            self._rows = {**other._rows, **self._rows}

    @property
    def seen(self) -> np.ndarray:
        """For each record whether its key frame was looked at (bool)."""
        seen = np.zeros(self.num_records, dtype=bool)
        seen[list(self._rows)] = True
        return seen

    def table(self, keys: Sequence[str]) -> BoxTable:
        """A row per box, ordered by record, best first; `keys` of each record's image."""
        records = sorted(self._rows)
        each = [self._rows[record] for record in records]
        rows = np.concatenate([np.empty((0, _NUM_COLUMNS)), *each])
        counts = [len(own) for own in each]
        own_keys = np.array(keys, dtype=object)[np.repeat(records, counts).astype(np.int64)]
        return BoxTable(own_keys, rows[:, :4], rows[:, 4].astype(np.int64), rows[:, 5])


class FoundBoxEvaluator(BoxEvaluator):
    """Judges boxes with a class by the mAP of the dataset; true boxes serve for that alone."""

    scores: FoundBoxes
    row_keys = ("indices", "views")

    def __init__(self, keys: Sequence[str], truth: BoxTruth, *, num_classes: int, ava_metric: str):
        super().__init__(
            keys, (), truth, num_classes=num_classes, ava_metric=ava_metric, test_boxes="found"
        )

    def reset(self) -> None:
        self.scores = FoundBoxes(len(self._keys))

    def add(self, batch: dict, output: torch.Tensor) -> None:
        self.add_rows(batch, self.row_values(batch, output))

    def row_values(self, batch: dict, output: torch.Tensor) -> torch.Tensor:
        """Detections N,D,6 in pixels of the clips -> N,D*6, sides in shares of the frame."""
        height, width = batch["clips"][0].shape[-2:]
        return (output / output.new_tensor([width, height, width, height, 1, 1])).flatten(1)

    def add_rows(self, batch: dict, values: torch.Tensor) -> None:
        self.scores.add(batch["indices"], values.unflatten(1, (-1, _NUM_COLUMNS)))

    def write(self, folder: Path, evaluation: Evaluation, *, scores_path: Path) -> list[Path]:
        """All detections in AVA's format, and with the ground truth as npz; a table of classes."""
        path, class_path = folder / "detections.csv", folder / "test_results_per_class.csv"
        detections = self._detections()
        write_detections_csv(path, detections, self._truth.label_offset)
        save_detections(scores_path, detections, self._truth, definition=self._ava_metric)
        write_class_table(class_path, evaluation.per_class, self._truth.classes)
        return [path, scores_path, class_path]

    def _table(self) -> BoxTable:
        return self.scores.table(self._keys)

    def _num_boxes(self, detections: BoxTable) -> int:
        return len(detections)


def _positives(truth: BoxTruth) -> dict[int, int]:
    """Boxes of each class in the ground truth."""
    is_counted = ~np.isin(truth.table.keys, list(truth.excluded))
    labels = truth.table.labels[is_counted]
    return {label: int((labels == label).sum()) for label in truth.classes}
