"""Mean average precision of AVA at IoU 0.5, and detections in AVA's file format."""

from pathlib import Path

import numpy as np

from slowfast.evaluation.box_matching import (
    by_score,
    class_average_precisions,
    envelope_area,
    judged_rows,
    match_best,
    match_left,
    select,
    trapezoid_area,
)
from slowfast.utils.box_table import BoxTable, BoxTruth
from slowfast.utils.io import atomic_write

DEFINITIONS = ("score_sorted", "pyslowfast", "activitynet")
_MAX_PER_IMAGE = 50


def ava_average_precisions(
    detections: BoxTable, truth: BoxTruth, *, definition: str
) -> dict[int, float]:
    """Average precision 0..1 by column of the network's output; NaN without ground truth.

    All definitions: only boxes of `truth.classes` count, detections without area are dropped,
    `box_matching.match_best` decides what hits and `envelope_area` is the AP. A class with ground
    truth and no detection has 0. A NaN score raises ValueError. They differ in this:

    score_sorted: detections hit in the order of falling scores, equal ones in table order;
        excluded images count nowhere; a detection on an image without ground truth is a miss.
        Ours, and that of mmaction2 except for such images, which it leaves out.
    pyslowfast: the same, but detections hit in the order of the table, whatever their score: what
        PySlowFast's numbers are. No different where no two detections overlap one box.
    activitynet: the challenge's get_ava_performance.py. By falling scores; there are no excluded
        images; only images with ground truth count, and of each only the 50 detections with the
        highest scores of all classes together.
    """
    if definition not in DEFINITIONS:
        raise ValueError(f"AVA.METRIC: {definition!r} is not one of {sorted(DEFINITIONS)}")
    excluded = () if definition == "activitynet" else truth.excluded
    detections, boxes = judged_rows(detections, truth, excluded=excluded)
    if definition == "activitynet":
        detections = by_score(detections)
        detections = select(detections, np.isin(detections.keys, boxes.keys))
        detections = select(detections, _place_in_image(detections.keys) < _MAX_PER_IMAGE)
    x1, y1, x2, y2 = detections.boxes.T
    detections = select(detections, (x1 < x2) & (y1 < y2))
    scores = None if definition == "pyslowfast" else detections.scores
    outcome = match_best(detections, boxes, scores=scores)
    return class_average_precisions(
        detections, outcome, boxes, classes=truth.classes, area=envelope_area
    )


def write_detections_csv(path: str | Path, detections: BoxTable, offset: int) -> None:
    """Write lines "video,second,x1,y1,x2,y2,action,score", atomically, in the order of the table.

    action: label + `offset`. No header, as in AVA's own files. Scores have the nine digits that
    tell float32 values apart, so that the file has the mAP of the table.
    """
    rows = zip(
        detections.keys.tolist(),
        (detections.labels + offset).tolist(),
        detections.scores.tolist(),
        detections.boxes.tolist(),
        strict=True,
    )
    with atomic_write(path, "w") as file:
        for key, action, score, (x1, y1, x2, y2) in rows:
            file.write(f"{key},{x1:.6g},{y1:.6g},{x2:.6g},{y2:.6g},{action},{score:.9g}\n")


def _place_in_image(keys: np.ndarray) -> np.ndarray:
    """For each row how many rows before it have the same key."""
    order = np.argsort(keys, kind="stable")
    places = np.empty(len(keys), dtype=np.int64)
    places[order] = np.arange(len(keys)) - np.searchsorted(keys[order], keys[order])
    return places


_RULES = {"voc": (match_best, envelope_area), "act": (match_left, trapezoid_area)}


def frame_average_precisions(
    detections: BoxTable, truth: BoxTruth, *, definition: str
) -> dict[int, float]:
    """Average precision 0..1 by column of the network's output; NaN without ground truth.

    Detections of a class in all frames, by falling scores (equal ones in table order), each box of
    the ground truth hit once; a NaN score raises ValueError. The definitions:

    voc: a detection can hit only the box it overlaps most; monotone curve, every point (Pascal VOC;
        equal to frameAP of mmaction2's MultiSports).
    act: it can hit the best of the boxes not hit yet; points joined by lines (ACT and MOC).
    YOWO has the rules of voc, but makes boxes one pixel wider and higher: not offered here.
    """
    match, area = _RULES[definition]
    detections, boxes = judged_rows(detections, truth, excluded=truth.excluded)
    outcome = match(detections, boxes, scores=detections.scores)
    return class_average_precisions(detections, outcome, boxes, classes=truth.classes, area=area)
