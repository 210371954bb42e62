import json

import numpy as np
import pytest

from slowfast.evaluation.ava import frame_average_precisions
from slowfast.evaluation.metrics import mean_over_classes
from slowfast.utils.box_table import BoxTable, BoxTruth
from tests.helpers.paths import GOLDENS

GOLDEN = json.loads((GOLDENS / "frame_map.json").read_text())
CASES = [case for name, case in GOLDEN.items() if name != "about"]
DEFINITIONS = ["voc", "act"]


def _table(rows, *, has_scores):
    keys = np.array([f"{int(row[0])},{int(row[1])}" for row in rows])
    boxes = np.array([row[-4:] for row in rows], dtype=np.float64)
    labels = np.array([row[2] for row in rows], dtype=np.int64)
    return BoxTable(keys, boxes, labels, np.array([row[3] for row in rows]) if has_scores else None)


def _average_precisions(gt, det, definition, num_classes):
    truth = BoxTruth(_table(gt, has_scores=False), dict.fromkeys(range(num_classes), ""))
    return frame_average_precisions(_table(det, has_scores=True), truth, definition=definition)


@pytest.mark.parametrize("definition", DEFINITIONS)
@pytest.mark.parametrize("case", CASES)
def test_golden_values(case, definition):
    expected = case[definition]
    result = _average_precisions(case["gt"], case["det"], definition, len(expected["ap"]))
    assert list(result.values()) == pytest.approx(expected["ap"], abs=1e-9)
    assert 100 * mean_over_classes(result.values()) == pytest.approx(expected["map"], abs=1e-9)


@pytest.mark.parametrize("definition, expected", [("voc", 0.5), ("act", 1.0)])
def test_only_act_lets_a_detection_hit_the_best_box_left(definition, expected):
    gt = [[0, 1, 0, 0, 0, 50, 50], [0, 1, 0, 0, 0, 50, 40]]
    det = [[0, 1, 0, 0.9, 0, 0, 50, 50], [0, 1, 0, 0.8, 0, 0, 50, 48]]
    assert _average_precisions(gt, det, definition, 1)[0] == expected


@pytest.mark.parametrize("definition", DEFINITIONS)
def test_a_class_without_truth_is_left_out(definition):
    box = [0, 0, 50, 50]
    result = _average_precisions([[0, 1, 0, *box]], [[0, 1, 1, 0.9, *box]], definition, 2)
    assert result[0] == 0.0 and np.isnan(result[1])


@pytest.mark.parametrize("definition", DEFINITIONS)
def test_a_score_that_is_nan_raises(definition):
    with pytest.raises(ValueError, match="mAP: 1 of 1 scores are NaN"):
        _average_precisions([[0, 1, 0, 0, 0, 9, 9]], [[0, 1, 0, np.nan, 0, 0, 9, 9]], definition, 1)
