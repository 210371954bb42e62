import math

import torch

from slowfast.evaluation.topk import class_accuracies, topk_accuracies, topk_correct

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
