import json
import math

import numpy as np
import pytest

from slowfast.evaluation.mean_ap import average_precisions, charades_map, mean_ap, mean_over_classes
from tests.helpers.paths import GOLDENS

GOLDEN = json.loads((GOLDENS / "charades_map.json").read_text())
CASES = [case for name, case in GOLDEN.items() if name != "about"]
METRICS = [mean_ap, charades_map]


def _arrays(case):
    return np.array(case["scores"]), np.array(case["labels"])


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("metric, name", [(mean_ap, "map"), (charades_map, "charades_map")])
def test_golden_values(case, metric, name):
    assert metric(*_arrays(case)) == pytest.approx(case[name], abs=1e-9)


@pytest.mark.parametrize("case", CASES)
def test_golden_values_by_class(case):
    expected = [np.nan if value is None else value for value in case["ap"]]
    np.testing.assert_allclose(average_precisions(*_arrays(case)), expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("metric", METRICS)
def test_classes_without_positive_are_left_out(metric):
    scores, labels = np.array([[0.9, 0.3], [0.1, 0.2]]), np.array([[1, 0], [0, 0]])
    assert metric(scores, labels) == 1.0


@pytest.mark.parametrize("metric", METRICS)
def test_no_positive_at_all_gives_nan(metric):
    assert math.isnan(metric(np.random.default_rng(0).random((4, 3)), np.zeros((4, 3))))


@pytest.mark.parametrize("metric", METRICS)
def test_a_score_that_is_nan_raises(metric):
    scores, labels = _arrays(CASES[0])
    scores[0, 0] = np.nan
    with pytest.raises(ValueError, match="mAP: 1 of 360 scores are NaN"):
        metric(scores, labels)


def test_only_charades_map_puts_videos_without_labels_last():
    scores, labels = np.array([[0.9], [0.5]]), np.array([[0], [1]])
    assert (mean_ap(scores, labels), charades_map(scores, labels)) == (0.5, 1.0)


def test_float_labels_and_scores_of_half_precision_will_do():
    scores, labels = _arrays(CASES[1])
    assert mean_ap(scores.astype(np.float16), labels.astype(np.float32)) == pytest.approx(
        CASES[1]["map"], abs=1e-9
    )


def test_mean_over_no_class_is_nan_without_a_warning(recwarn):
    assert math.isnan(mean_over_classes([math.nan, math.nan])) and math.isnan(mean_over_classes([]))
    assert not recwarn.list
