"""Frame-mAP at IoU 0.5 of JHMDB and UCF101-24."""

from slowfast.evaluation.box_matching import (
    by_score,
    class_average_precisions,
    envelope_area,
    judged_rows,
    match_best,
    match_left,
    trapezoid_area,
)
from slowfast.utils.box_table import BoxTable, BoxTruth

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
    detections = by_score(detections)
    outcome = match(detections, boxes)
    return class_average_precisions(detections, outcome, boxes, classes=truth.classes, area=area)
