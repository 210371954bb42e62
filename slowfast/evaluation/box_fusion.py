"""Late fusion of detectors: boxes of several runs, as on RGB and on flow, where they overlap."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from tabulate import tabulate

from slowfast.evaluation.ava import ava_average_precisions, frame_average_precisions
from slowfast.evaluation.box_matching import by_score, image_numbers, pair_up
from slowfast.evaluation.fusion import check_weights, write_table
from slowfast.evaluation.metrics import mean_over_classes
from slowfast.utils.box_table import BoxTable, BoxTruth
from slowfast.utils.io import atomic_write

_NAME = "test_scores.npz"
_COLUMNS = ("keys", "boxes", "labels")


@dataclass(frozen=True)
class DetectedRun:
    """Detections of a tested run, and the ground truth that judges them.

    definition: AVA.METRIC, for a truth of metric "ava".
    """

    name: str
    detections: BoxTable
    truth: BoxTruth
    definition: str

    def metrics(self) -> dict[str, float]:
        """Percent, under the names that a test gives them."""
        if self.truth.metric == "ava":
            found = {"map": ava_average_precisions(*self._tables, definition=self.definition)}
        else:
            found = {
                f"frame_map_{rule}": frame_average_precisions(*self._tables, definition=rule)
                for rule in ("voc", "act")
            }
        return {name: 100 * mean_over_classes(each.values()) for name, each in found.items()}

    @property
    def _tables(self) -> tuple[BoxTable, BoxTruth]:
        return self.detections, self.truth


def save_detections(
    path: str | Path, detections: BoxTable, truth: BoxTruth, *, definition: str
) -> None:
    """Write detections and the ground truth that judges them as npz, atomically."""
    arrays: dict[str, Any] = {"metric": truth.metric, "definition": definition}
    for prefix, table in (("", detections), ("true_", truth.table)):
        columns = (table.keys.astype(np.str_), table.boxes, table.labels)
        arrays |= {f"{prefix}{name}": x for name, x in zip(_COLUMNS, columns, strict=True)}
    arrays["scores"] = detections.scores
    arrays["classes"] = np.array(list(truth.classes), np.int64)
    arrays["class_names"] = np.array(list(truth.classes.values()), np.str_)
    arrays["excluded"] = np.array(sorted(truth.excluded), np.str_)
    with atomic_write(path) as file:
        np.savez(file, **arrays)


def holds_boxes(run: str | Path) -> bool:
    """Whether a run's folder, or a file of scores, is of boxes that a network found."""
    try:
        with np.load(_scores_path(run)) as saved:
            return "true_keys" in saved.files
    except (OSError, ValueError):
        return False


def read_detections(run: str | Path) -> DetectedRun:
    """Detections in a run's folder, or in a file that `save_detections` wrote."""
    path = _scores_path(run)
    if not holds_boxes(run):
        raise ValueError(f"{path}: holds no boxes that a network found (DETECTION.PROPOSALS rpn)")
    with np.load(path) as saved:
        content = {name: saved[name] for name in saved.files}
    names = zip(content["classes"].tolist(), content["class_names"].tolist(), strict=True)
    truth = BoxTruth(
        BoxTable(*(content[f"true_{name}"] for name in _COLUMNS)),
        dict(names),
        excluded=frozenset(content["excluded"].tolist()),
        metric=str(content["metric"]),
    )
    detections = BoxTable(*(content[name] for name in _COLUMNS), content["scores"])
    return DetectedRun(str(run), detections, truth, str(content["definition"]))


def _scores_path(run: str | Path) -> Path:
    path = Path(run)
    return path / _NAME if path.is_dir() else path


def fuse_tables(tables: Sequence[BoxTable], weights: Sequence[float]) -> BoxTable:
    """Detections of all tables; those of one image and class that overlap by 0.5 become one.

    Its score is the weighted mean, in which a table without such a box counts with 0. Its box is
    the mean weighted by the scores, too.
    """
    keys = image_numbers(*(table.keys for table in tables))
    first, *others = (
        by_score(replace(table, keys=numbers)) for table, numbers in zip(tables, keys, strict=True)
    )
    fused = _weighted(first, weights[0])
    for table, weight in zip(others, weights[1:], strict=True):
        added = _weighted(table, weight)
        rows, own = pair_up(added, fused)
        scores, boxes = fused.scores.copy(), fused.boxes.copy()
        scores[own] += added.scores[rows]
        share = (added.scores[rows] / np.maximum(scores[own], 1e-12))[:, None]
        boxes[own] += share * (added.boxes[rows] - boxes[own])
        is_new = np.ones(len(added), bool)
        is_new[rows] = False
        fused = BoxTable(
            np.concatenate([fused.keys, added.keys[is_new]]),
            np.concatenate([boxes, added.boxes[is_new]]),
            np.concatenate([fused.labels, added.labels[is_new]]),
            np.concatenate([scores, added.scores[is_new]]),
        )
    names = _names_of(keys, [table.keys for table in tables])
    return replace(fused, keys=names[fused.keys], scores=fused.scores / sum(weights))


def _weighted(table: BoxTable, weight: float) -> BoxTable:
    return replace(table, scores=weight * table.scores.astype(np.float64))


def _names_of(numbers: Sequence[np.ndarray], keys: Sequence[np.ndarray]) -> np.ndarray:
    """The key of each number."""
    all_numbers = np.concatenate(numbers)
    names = np.empty(1 + all_numbers.max(initial=-1), dtype=object)
    names[all_numbers] = np.concatenate([own.astype(object) for own in keys])
    return names


def fuse_runs(runs: Sequence[str | Path], weights: Sequence[float]) -> list[dict]:
    """For each run and the fused boxes at last {"run", "weight", metrics in percent}.

    ValueError if the runs were not tested on the same ground truth.
    """
    found = [read_detections(run) for run in runs]
    check_weights(weights, len(found))
    first = found[0]
    for other in found[1:]:
        if not _is_same(first.truth, other.truth):
            raise ValueError(
                f"{other.name}: was tested on another ground truth than {first.name}: other key "
                "frames, boxes or classes"
            )
    table = fuse_tables([run.detections for run in found], weights)
    rows = [
        {"run": run.name, "weight": weight, **run.metrics()}
        for run, weight in zip(found, weights, strict=True)
    ]
    fused = replace(first, detections=table)
    return [*rows, {"run": "fused", "weight": sum(weights), **fused.metrics()}]


def _is_same(truth: BoxTruth, other: BoxTruth) -> bool:
    pairs = ((getattr(truth.table, name), getattr(other.table, name)) for name in _COLUMNS)
    return truth.classes == other.classes and all(np.array_equal(*pair) for pair in pairs)


def as_table(rows: Sequence[dict]) -> str:
    """A line per run, the fused boxes last."""
    return tabulate(rows, headers="keys", floatfmt=".2f")


def write_rows(path: str | Path, rows: Sequence[dict]) -> None:
    """Write a .json or a .csv file, atomically."""
    metrics = {key: value for key, value in rows[-1].items() if key not in ("run", "weight")}
    write_table(path, rows, metrics)
