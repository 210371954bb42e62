"""Numbers of a report against known answers and against other implementations."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, confusion_matrix, precision_recall_curve

from slowfast.analysis.report import numbers


def test_wilson_interval_of_a_published_example():
    """Newcombe (1998), table I: 81 of 263 and 15 of 148, by the score method."""
    assert numbers.wilson_interval(81, 263) == pytest.approx((0.2553, 0.3662), abs=1e-4)
    assert numbers.wilson_interval(15, 148) == pytest.approx((0.0624, 0.1605), abs=1e-4)


def test_wilson_interval_of_all_right_is_not_a_point():
    low, high = numbers.wilson_interval(10, 10)
    assert low == pytest.approx(10 / (10 + 1.959964**2), abs=1e-6) and high == 1
    assert np.isnan(numbers.wilson_interval(0, 0)).all()


def test_bootstrap_interval_of_a_mean_is_that_of_the_normal_distribution():
    values = np.random.default_rng(1).normal(size=400)
    low, high = numbers.bootstrap_interval(lambda rows: values[rows].mean(), 400, repeats=2000)
    half = 1.96 * values.std() / 20
    assert low == pytest.approx(values.mean() - half, abs=0.01)
    assert high == pytest.approx(values.mean() + half, abs=0.01)


def test_calibration_error_by_hand():
    """Three at 0.9 of which two are right, one at 0.55 that is right: (3 * 7/30 + 0.45) / 4."""
    found = numbers.calibrate_bins(
        np.array([0.9, 0.9, 0.9, 0.55]), np.array([True, True, False, True])
    )
    assert found.ece == pytest.approx((3 * (0.9 - 2 / 3) + 0.45) / 4)
    assert found.counts.tolist() == [0, 0, 0, 0, 0, 1, 0, 0, 3, 0]


def test_confusion_is_that_of_sklearn():
    rng = np.random.default_rng(0)
    labels, answers = rng.integers(0, 4, 50), rng.integers(0, 4, 50)
    found = numbers.confusion(labels, answers)
    matrix = [[found[i, j] for j in range(4)] for i in range(4)]
    np.testing.assert_array_equal(matrix, confusion_matrix(labels, answers))
    label, answer, count = numbers.confused_pairs(found, 1)[0]
    assert label != answer and count == max(found[i, j] for i, j in found if i != j)


def test_surest_mistakes_and_doubtful_hits():
    values = np.array([[0.9, 0.1], [0.4, 0.6], [0.7, 0.3], [0.2, 0.8]])
    labels = np.array([1, 1, 0, 0])
    assert numbers.confident_mistakes(values, labels, 5) == [0, 3]
    assert numbers.doubtful_hits(values, labels, 5) == [1, 2]


def test_precision_and_recall_are_those_of_sklearn():
    rng = np.random.default_rng(0)
    scores, hits = rng.integers(0, 9, 60) / 9, rng.random(60) < 0.4
    recall, precision = numbers.precision_recall(scores, hits, int(hits.sum()))
    expected_precision, expected_recall, _ = precision_recall_curve(hits, scores)
    np.testing.assert_allclose(recall[::-1], expected_recall[:-1])
    np.testing.assert_allclose(precision[::-1], expected_precision[:-1])


def test_weighted_map_is_that_of_sklearn_with_videos_repeated():
    rng = np.random.default_rng(0)
    values, labels = rng.random((30, 3)), (rng.random((30, 3)) < 0.4).astype(float)
    rows = rng.integers(0, 30, 30)
    order = np.argsort(-values, axis=0)
    weights = np.bincount(rows, minlength=30).astype(float)[order]
    found = numbers.weighted_map(np.take_along_axis(labels, order, 0), weights)
    expected = [average_precision_score(labels[rows, i], values[rows, i]) for i in range(3)]
    assert found == pytest.approx(np.mean(expected), rel=0.02)
    low, high = numbers.map_interval(values, labels)
    assert low < np.mean(expected) < high


def test_error_bars_are_the_ends_of_wilson_s_interval():
    low, high = numbers.wilson_interval(9, 10)
    below, above = numbers.wilson_errors([90.0, 0.0], [10, 10])
    assert below == pytest.approx([90 - 100 * low, 0]) and above[0] == pytest.approx(
        100 * high - 90
    )
