import json
import math

import numpy as np
import pytest

from slowfast.evaluation.ava import DEFINITIONS, ava_average_precisions, write_detections_csv
from slowfast.evaluation.box_matching import (
    class_average_precisions,
    envelope_area,
    match_best,
    select,
)
from slowfast.evaluation.metrics import mean_over_classes
from slowfast.utils.box_table import BoxTable, BoxTruth
from tests.helpers.paths import GOLDENS

GOLDEN = json.loads((GOLDENS / "ava.json").read_text())
DIFFICULT = GOLDEN.pop("case6_difficult_api")
GOLDEN.pop("about")


def _key(video, second, *_):
    return f"{video},{int(second):04d}"


def _table(lines, *, has_scores):
    """Table of AVA csv lines."""
    rows = [line.split(",") for line in lines]
    return BoxTable(
        np.array([_key(*row) for row in rows], dtype=object),
        np.array([row[2:6] for row in rows], dtype=np.float64).reshape(-1, 4),
        np.array([int(row[6]) - 1 for row in rows], dtype=np.int64),
        np.array([float(row[7]) for row in rows]) if has_scores else None,
    )


def _average_precisions(gt, det, ids, definition, excluded=()):
    """AP by id of the label map."""
    keys = frozenset(_key(*line.split(",")) for line in excluded)
    classes = {number - 1: f"action {number}" for number in ids}
    truth = BoxTruth(_table(gt, has_scores=False), classes, keys)
    detections = _table(det, has_scores=True)
    result = ava_average_precisions(detections, truth, definition=definition)
    return {column + 1: value for column, value in result.items()}


@pytest.mark.parametrize("definition", DEFINITIONS)
@pytest.mark.parametrize("name", [name for name in GOLDEN if name != "case4_ties"])
def test_golden_values(name, definition):
    case = GOLDEN[name]
    result = _average_precisions(case["gt"], case["det"], case["ids"], definition, case["excluded"])
    expected = case[definition]
    by_class = {int(number): value for number, value in expected["ap"].items()}
    by_class = {number: math.nan if ap is None else ap for number, ap in by_class.items()}
    assert result == pytest.approx(by_class, abs=1e-9, nan_ok=True)
    assert mean_over_classes(result.values()) == pytest.approx(expected["map"], abs=1e-9)


def test_mmaction2_asserts_the_value_of_its_fixture():
    case = GOLDEN["case7_mmaction2_fixture"]
    result = _average_precisions(case["gt"], case["det"], case["ids"], "score_sorted")
    assert mean_over_classes(result.values()) == pytest.approx(0.09385522, abs=1e-8)


@pytest.mark.parametrize("definition", DEFINITIONS)
def test_golden_range_of_equal_scores(definition):
    case = GOLDEN["case4_ties"]
    low, high = case["range"]
    result = _average_precisions(case["gt"], case["det"], case["ids"], definition)
    assert low - 1e-9 <= mean_over_classes(result.values()) <= high + 1e-9


def test_golden_difficult_boxes_are_neither_counted_nor_missed():
    columns = {name: np.array(values) for name, values in DIFFICULT.items()}
    boxes, labels = columns["gt_boxes_y1x1y2x2"], columns["gt_classes"]
    truth = BoxTable(np.zeros(3, dtype=int), boxes, labels)
    detections = BoxTable(
        np.zeros(5, dtype=int), columns["det_boxes"], columns["det_classes"], columns["scores"]
    )
    is_difficult = columns["difficult"] == 1
    outcome = match_best(detections, truth, is_difficult)
    result = class_average_precisions(
        detections, outcome, select(truth, ~is_difficult), classes=[1, 2], area=envelope_area
    )
    assert result == pytest.approx({1: 0.5, 2: math.nan}, abs=1e-9, nan_ok=True)


# Two detections of one box, the best score not first; and one on an image without ground truth.
DUPLICATES = [
    "v,0902,0.1,0.1,0.5,0.4,1,0.3",
    "v,0902,0.1,0.1,0.5,0.5,1,0.9",
    "v,0903,0.1,0.1,0.5,0.5,1,0.95",
]


@pytest.mark.parametrize(
    "definition, expected", [("pyslowfast", 1 / 3), ("score_sorted", 1 / 2), ("activitynet", 1.0)]
)
def test_the_definitions_differ_in_order_and_in_images_without_truth(definition, expected):
    gt = ["v,0902,0.1,0.1,0.5,0.5,1,0"]
    result = _average_precisions(gt, DUPLICATES, [1], definition)
    assert result[1] == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("num_better, expected", [(49, 1 / 49), (50, 0.0)])
def test_activitynet_keeps_fifty_detections_of_an_image_over_all_classes(num_better, expected):
    gt = ["v,0902,0.1,0.1,0.5,0.5,1,0", "v,0902,0.1,0.1,0.5,0.5,2,0"]
    det = ["v,0902,0.1,0.1,0.5,0.5,1,0.5"]
    det += ["v,0902,0.6,0.6,0.9,0.9,1,0.9"] * (num_better - 1) + ["v,0902,0.6,0.6,0.9,0.9,2,0.9"]
    result = _average_precisions(gt, det, [1, 2], "activitynet")
    assert result[1] == pytest.approx(expected, abs=1e-9)


def test_classes_that_do_not_count_take_none_of_the_fifty():
    gt = ["v,0902,0.1,0.1,0.5,0.5,1,0"]
    det = ["v,0902,0.1,0.1,0.5,0.5,1,0.5"] + ["v,0902,0.6,0.6,0.9,0.9,3,0.9"] * 50
    assert _average_precisions(gt, det, [1], "activitynet")[1] == 1.0


@pytest.mark.parametrize("definition", DEFINITIONS)
def test_equal_scores_keep_the_order_of_the_table(definition):
    gt = ["v,0902,0.1,0.1,0.5,0.5,1,0"]
    det = ["v,0902,0.1,0.1,0.5,0.5,1,0.7", "v,0902,0.6,0.6,0.9,0.9,1,0.7"]
    orders = (det, det[::-1])
    results = [_average_precisions(gt, lines, [1], definition)[1] for lines in orders]
    assert results == [1.0, 0.5]


def test_a_taken_box_has_no_substitute():
    """The second detection overlaps the first box most and the second one enough."""
    gt = ["v,0902,0.0,0.0,0.5,0.5,1,0", "v,0902,0.0,0.0,0.5,0.4,1,1"]
    det = ["v,0902,0.0,0.0,0.5,0.5,1,0.9", "v,0902,0.0,0.0,0.5,0.48,1,0.8"]
    assert _average_precisions(gt, det, [1], "score_sorted")[1] == 0.5


def _iou(a, b):
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    shared = max(width, 0) * max(height, 0)
    return shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)


def _boxes_of(lines, number, excluded):
    """(key, box, score) of the lines of a class."""
    rows = [line.split(",") for line in lines]
    rows = [row for row in rows if int(row[6]) == number and _key(*row) not in excluded]
    return [(_key(*row), [float(x) for x in row[2:6]], float(row[-1])) for row in rows]


def _by_hand(gt, det, number, definition, excluded):
    """AP of a class, box by box: what the vectorised code must give."""
    excluded = [] if definition == "activitynet" else excluded
    gt, det = (_boxes_of(lines, number, excluded) for lines in (gt, det))
    if definition != "pyslowfast":
        det.sort(key=lambda row: -row[2])
    taken, hits = set(), []
    for key, box, score in det:
        own = [(i, _iou(box, other)) for i, (k, other, _) in enumerate(gt) if k == key]
        best, iou = max(own, key=lambda pair: pair[1], default=(None, 0))
        hits.append((score, iou >= 0.5 and best not in taken))
        taken |= {best} if iou >= 0.5 else set()
    hits = [hit for _, hit in sorted(hits, key=lambda pair: -pair[0])]
    precisions = [sum(hits[: i + 1]) / (i + 1) for i in range(len(hits))]
    envelope = [max(precisions[i:]) for i, hit in enumerate(hits) if hit]
    return sum(envelope) / len(gt) if gt else math.nan


@pytest.mark.parametrize("definition", DEFINITIONS)
def test_random_boxes_agree_with_a_count_by_hand(definition):
    """Ten of eighty classes, several detections of a box in any order, an excluded image."""
    rng = np.random.default_rng(3)
    ids = sorted(rng.choice(80, 10, replace=False) + 1)
    gt, det = [], []
    for second in range(902, 908):
        for _ in range(8):
            x, y = rng.uniform(0, 0.4, 2)
            number = rng.choice(ids[:9])
            gt.append(f"v,{second:04d},{x:.3f},{y:.3f},{x + 0.4:.3f},{y + 0.4:.3f},{number},1")
            for _ in range(4):
                a, b = (x, y) + rng.normal(0, 0.06, 2)
                box = f"{a:.3f},{b:.3f},{a + 0.4:.3f},{b + 0.4:.3f}"
                det.append(f"v,{second:04d},{box},{number},{rng.random():.6f}")
    det = [det[i] for i in rng.permutation(len(det))]
    excluded = ["v,0905"]
    result = _average_precisions(gt, det, ids, definition, excluded)
    expected = {number: _by_hand(gt, det, number, definition, excluded) for number in ids}
    assert result == pytest.approx(expected, abs=1e-9, nan_ok=True)
    assert 0.1 < mean_over_classes(result.values()) < 0.9


def test_no_detections_give_zero_where_there_is_truth():
    result = _average_precisions(["v,0902,0,0,1,1,1,0"], [], [1, 2], "score_sorted")
    assert result == pytest.approx({1: 0.0, 2: math.nan}, nan_ok=True)


def test_no_truth_gives_nan():
    result = _average_precisions([], DUPLICATES, [1], "score_sorted")
    assert math.isnan(mean_over_classes(result.values()))


@pytest.mark.parametrize("definition", DEFINITIONS)
def test_a_score_that_is_nan_raises(definition):
    with pytest.raises(ValueError, match="mAP: 1 of 1 scores are NaN"):
        _average_precisions([], ["v,0902,0,0,1,1,1,nan"], [1], definition)


def test_unknown_definition_names_the_key():
    with pytest.raises(ValueError, match="AVA.METRIC: 'voc' is not one of .'activitynet', "):
        _average_precisions([], [], [1], "voc")


def test_detections_are_written_as_ava_writes_them(tmp_path):
    table = _table(GOLDEN["case1_basic"]["det"], has_scores=True)
    write_detections_csv(tmp_path / "detections.csv", table, 1)
    written = (tmp_path / "detections.csv").read_text().splitlines()
    again = _table(written, has_scores=True)
    assert written[0] == "vid00_ABCDEFG,0902,0.094,0.663,0.511,0.981,12,0.610417"
    assert all((getattr(again, n) == getattr(table, n)).all() for n in ("keys", "boxes", "labels"))


def test_written_scores_tell_float32_values_apart(tmp_path):
    scores = np.array([1e-8, 0.99999994, 1.0], dtype=np.float32)
    table = BoxTable(np.array(["v,0902"] * 3), np.zeros((3, 4)), np.arange(3), scores)
    write_detections_csv(tmp_path / "detections.csv", table, 1)
    lines = (tmp_path / "detections.csv").read_text().splitlines()
    assert [np.float32(line.split(",")[-1]) for line in lines] == scores.tolist()
