"""Matching of detections with the boxes of the ground truth, and the average precision of it."""

import itertools
from collections.abc import Callable, Collection
from dataclasses import replace

import numpy as np

from slowfast.evaluation.metrics import check_scores
from slowfast.utils.box_table import BoxTable, BoxTruth

MIN_IOU = 0.5
# What becomes of a detection.
IGNORED, MISS, HIT = -1, 0, 1


def judged_rows(
    detections: BoxTable, truth: BoxTruth, *, excluded: Collection[str]
) -> tuple[BoxTable, BoxTable]:
    """Detections and ground truth of the classes that count, without the images `excluded`.

    The keys of both become integers, equal for equal images. A NaN score raises ValueError.
    """
    check_scores(detections.scores)
    excluded = np.array(sorted(excluded), dtype=object)
    *keys, excluded = image_numbers(detections.keys, truth.table.keys, excluded)
    tables = (
        replace(table, keys=numbers)
        for table, numbers in zip((detections, truth.table), keys, strict=True)
    )
    classes = list(truth.classes)
    judged, boxes = (
        select(table, np.isin(table.labels, classes) & ~np.isin(table.keys, excluded))
        for table in tables
    )
    return judged, boxes


def select(table: BoxTable, rows: np.ndarray) -> BoxTable:
    """The rows of a table: bool for each, or their numbers in the order wanted."""
    if rows.dtype == bool and rows.all():
        return table
    scores = None if table.scores is None else table.scores[rows]
    return BoxTable(table.keys[rows], table.boxes[rows], table.labels[rows], scores)


def by_score(detections: BoxTable) -> BoxTable:
    """Detections in the order of falling scores; equal ones stay in their order."""
    return select(detections, np.argsort(-detections.scores, kind="stable"))


def match_best(
    detections: BoxTable,
    truth: BoxTable,
    is_difficult: np.ndarray | None = None,
    *,
    scores: np.ndarray | None = None,
) -> np.ndarray:
    """HIT, MISS or IGNORED for each detection of the table.

    A detection can only hit the box that it overlaps most (the first of several, of its image and
    class), by an IoU of at least 0.5; the first one that does so hits it, all others miss. A
    detection of a box `is_difficult` (bool for each row of `truth`) is ignored. `scores`: of each
    detection, the first one has the highest; default: the first in the table.
    """
    found, boxes = overlapping(detections, truth, scores)
    is_best = np.append(True, found[1:] != found[:-1])[: len(found)]
    found, boxes = found[is_best], boxes[is_best]
    outcome = np.full(len(detections), MISS, dtype=np.int8)
    outcome[found[np.unique(boxes, return_index=True)[1]]] = HIT
    if is_difficult is not None:
        outcome[found[is_difficult[boxes]]] = IGNORED
    return outcome


def match_left(
    detections: BoxTable, truth: BoxTable, *, scores: np.ndarray | None = None
) -> np.ndarray:
    """HIT or MISS for each detection of the table.

    As `match_best`, but a box that was hit is gone: a detection can hit the best of those left.
    """
    outcome = np.full(len(detections), MISS, dtype=np.int8)
    outcome[pair_up(detections, truth, scores)[0]] = HIT
    return outcome


def pair_up(
    detections: BoxTable, boxes: BoxTable, scores: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Rows of detections and the rows of boxes they go with, each in one pair at most.

    In the order of falling `scores` (None: of the table) each detection takes the box that it
    overlaps most of those left, of its image and class, by an IoU of at least 0.5. Keys are
    integers, equal for equal images.
    """
    is_taken, is_gone = np.zeros(len(detections), bool), np.zeros(len(boxes), bool)
    pairs = []
    for detection, box in zip(*overlapping(detections, boxes, scores), strict=True):
        if not (is_taken[detection] or is_gone[box]):
            pairs.append((detection, box))
            is_taken[detection] = is_gone[box] = True
    found = np.array(pairs, np.int64).reshape(-1, 2)
    return found[:, 0], found[:, 1]


def envelope_area(is_hit: np.ndarray, num_boxes: int) -> float:
    """Area under the precision-recall curve made monotone, every point counts (VOC 2010 on).

    is_hit: bool of each detection in the order of falling scores. num_boxes: of the ground truth.
    """
    precisions = _precisions(is_hit)
    envelope = np.maximum.accumulate(precisions[::-1])[::-1]
    return float(envelope[is_hit].sum() / num_boxes)


def trapezoid_area(is_hit: np.ndarray, num_boxes: int) -> float:
    """Area under the precision-recall points joined by lines, from precision 1 at recall 0."""
    precisions = np.concatenate([[1.0], _precisions(is_hit)])
    return float((precisions[:-1] + precisions[1:])[is_hit].sum() / 2 / num_boxes)


def class_average_precisions(
    detections: BoxTable,
    outcome: np.ndarray,
    truth: BoxTable,
    *,
    classes: Collection[int],
    area: Callable[[np.ndarray, int], float],
) -> dict[int, float]:
    """Average precision 0..1 of each of `classes`; NaN for one without ground truth."""
    labels = detections.labels
    if labels.max(initial=0) < 1 << 15:  # numpy sorts such integers in linear time
        labels = labels.astype(np.int16)
    order = np.argsort(labels, kind="stable")
    outcome, scores = outcome[order], detections.scores[order]
    num_labels = 1 + max(classes, default=0)
    nums_boxes = np.bincount(truth.labels, minlength=num_labels)
    ends = np.append(0, np.bincount(labels, minlength=num_labels).cumsum())
    result = {}
    for label in classes:
        rows = slice(ends[label], ends[label + 1])
        ranked = outcome[rows][np.argsort(-scores[rows], kind="stable")]
        is_hit = ranked[ranked != IGNORED] == HIT
        result[label] = area(is_hit, nums_boxes[label]) if nums_boxes[label] else float("nan")
    return result


def _precisions(is_hit: np.ndarray) -> np.ndarray:
    return is_hit.cumsum() / np.arange(1, len(is_hit) + 1)


def image_numbers(*tables: np.ndarray) -> list[np.ndarray]:
    """For the keys of each table integers that are equal for equal keys.

    Only the first key of each run of equal ones is looked up: tables are usually in order.
    """
    starts = [
        np.flatnonzero(np.append(True, keys[1:] != keys[:-1])[: len(keys)]) for keys in tables
    ]
    heads = [keys[start].astype(object) for keys, start in zip(tables, starts, strict=True)]
    known: dict[str, int] = {}
    numbers = np.fromiter(
        (known.setdefault(key, len(known)) for key in itertools.chain(*heads)), np.int64
    )
    ends = np.cumsum([len(start) for start in starts])
    return [
        np.repeat(own, np.diff(np.append(start, len(keys))))
        for own, start, keys in zip(np.split(numbers, ends[:-1]), starts, tables, strict=True)
    ]


def overlapping(
    detections: BoxTable, truth: BoxTable, scores: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Pairs (detection, box of the same image and class) with enough IoU, as two lists of rows.

    In the order of falling `scores` of the detections, then of the table; of one detection, largest
    IoU first, then the box's own order. Only what overlaps is sorted: large tables would leave the
    processor's cache.
    """
    num_labels = 1 + max(detections.labels.max(initial=0), truth.labels.max(initial=0))
    cells = truth.keys * num_labels + truth.labels
    order = np.argsort(cells, kind="stable")
    found, places = _find(cells[order], detections.keys * num_labels + detections.labels)
    boxes = order[places]
    iou = _iou(detections.boxes[found], truth.boxes[boxes])
    is_enough = iou >= MIN_IOU
    found, boxes, iou = found[is_enough], boxes[is_enough], iou[is_enough]
    ranks = (boxes, -iou, found) if scores is None else (boxes, -iou, found, -scores[found])
    order = np.lexsort(ranks)
    return found[order], boxes[order]


def _find(cells: np.ndarray, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pairs (row of `wanted`, place of an equal one in the rising `cells`), by row, then place."""
    heads = np.flatnonzero(np.append(True, cells[1:] != cells[:-1])[: len(cells)])
    lengths = np.diff(np.append(heads, len(cells)))
    runs = np.searchsorted(cells[heads], wanted)
    rows = np.flatnonzero(np.append(cells[heads], -1)[runs] == wanted)
    first, count = heads[runs[rows]], lengths[runs[rows]]
    found = np.repeat(rows, count)
    return found, np.arange(len(found)) - np.repeat(count.cumsum() - count - first, count)


def _iou(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """IoU of each of N,4 boxes x1,y1,x2,y2 with the other in the same row."""
    low = np.maximum(boxes[:, :2], others[:, :2])
    high = np.minimum(boxes[:, 2:], others[:, 2:])
    shared = np.prod(np.maximum(high - low, 0), axis=1)
    areas = [np.prod(each[:, 2:] - each[:, :2], axis=1) for each in (boxes, others)]
    return shared / np.maximum(areas[0] + areas[1] - shared, np.finfo(np.float64).tiny)
