import json
import math

import numpy as np
import pytest
import torch

from slowfast.evaluation.metrics import (
    average_precisions,
    charades_map,
    class_accuracies,
    class_precisions,
    mean_ap,
    mean_over_classes,
    most_confused,
    topk_accuracies,
    topk_correct,
)
from tests.helpers.paths import GOLDENS

GOLDEN = json.loads((GOLDENS / "charades_map.json").read_text())
CASES = [case for name, case in GOLDEN.items() if name != "about"]
METRICS = [mean_ap, charades_map]
SCORES = torch.tensor([[0.1, 0.7, 0.2], [0.5, 0.1, 0.4], [0.2, 0.3, 0.5]])


def test_counts_labels_among_the_k_highest():
    labels = torch.tensor([1, 2, 0])
    assert [int(topk_correct(SCORES, labels, k)) for k in (1, 2, 3)] == [1, 2, 3]


def test_k_is_at_most_the_number_of_classes():
    assert topk_accuracies(SCORES, torch.tensor([0, 0, 0]))["top5_acc"] == 100.0


def test_accuracies_are_percent():
    accuracies = topk_accuracies(SCORES, torch.tensor([1, 0, 0]), ks=(1, 2))
    assert accuracies == {"top1_acc": 100 * 2 / 3, "top2_acc": 100 * 2 / 3}


def test_equal_scores_favour_the_lower_class():
    assert topk_correct(torch.zeros(3, 4), torch.tensor([0, 1, 3]), 2) == 2


def test_nan_is_never_correct():
    assert topk_correct(torch.full((2, 3), float("nan")), torch.tensor([0, 1]), 3) == 0


def test_no_samples_give_nan():
    assert math.isnan(topk_accuracies(torch.zeros(0, 3), torch.zeros(0).long())["top1_acc"])


def test_an_unknown_label_is_never_correct():
    assert topk_correct(SCORES, torch.tensor([-1, -1, 2]), 3) == 1


def test_precision_of_a_class_counts_the_answers_that_name_it():
    precisions = class_precisions(SCORES, torch.tensor([1, 0, 0])).tolist()
    assert precisions == [100, 100, 0]
    assert math.isnan(class_precisions(SCORES[:1], torch.tensor([1]))[0])


def test_a_class_is_confused_with_the_one_it_is_most_often_taken_for():
    scores = torch.eye(4)[[1, 2, 2, 3, 1, 3]]
    assert most_confused(scores, torch.tensor([0, 0, 0, 0, 2, 2])) == [2, None, 1, None]


def test_agrees_with_torch_topk():
    generator = torch.Generator().manual_seed(0)
    scores = torch.randn(50, 20, generator=generator)
    labels = torch.randint(20, (50,), generator=generator)
    expected = (scores.topk(5).indices == labels[:, None]).any(1).sum()
    assert topk_correct(scores, labels, 5) == expected


def test_classes_have_their_own_accuracies():
    scores = torch.tensor([[0.9, 0.1, 0.0], [0.2, 0.8, 0.0], [0.3, 0.7, 0.0]])
    percent, counts = class_accuracies(scores, torch.tensor([0, 0, 1]))
    assert percent[:2].tolist() == [50, 100] and percent[2].isnan()
    assert counts.tolist() == [2, 1, 0]


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
