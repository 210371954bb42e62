"""Several targets are judged one by one, and together."""

import csv
from itertools import product

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from slowfast.evaluation.targets_evaluator import TargetsEvaluator, joint_hits
from slowfast.evaluation.video_evaluator import LabelledVideos

LABELS = torch.tensor([[0, 2], [1, 0], [1, 1]])
VERBS = torch.tensor([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]])  # right, right, wrong
NOUNS = torch.tensor([[0.2, 0.3, 0.5], [0.1, 0.7, 0.2], [0.1, 0.8, 0.1]])  # right, wrong, right
BATCH = {"indices": torch.arange(3), "views": torch.zeros(3, dtype=torch.int64)}
NAMES = ["take", "put", "cup", "fork", "plate"]


def evaluator(names=NAMES):
    videos = LabelledVideos(["a.mp4", "b.mp4", "c.mp4"], LABELS, names)
    judge = TargetsEvaluator(videos, [2, 3], num_views=1, num_crops=1, ensemble="sum")
    judge.add(BATCH, torch.cat([VERBS, NOUNS], 1))
    return judge


def read_rows(path):
    with open(path) as file:
        return list(csv.DictReader(file))


def test_each_target_and_all_together_have_accuracies():
    losses = [F.nll_loss(part.log(), LABELS[:, i]) for i, part in enumerate((VERBS, NOUNS))]
    assert evaluator().evaluate().metrics == {
        "loss": pytest.approx(float(sum(losses) / 2)),
        "top1_acc": pytest.approx(100 / 3),
        # Of six combinations the third video's is the second, the second video's the last one.
        "top5_acc": pytest.approx(100),
        "top1_acc_1": pytest.approx(200 / 3),
        "top5_acc_1": 100.0,
        "top1_acc_2": pytest.approx(200 / 3),
        "top5_acc_2": 100.0,
        "num_videos": 3,
    }


@pytest.mark.parametrize("k", [1, 3, 5])
def test_combinations_are_ranked_by_the_product_of_scores(k):
    generator = torch.Generator().manual_seed(0)
    counts = (7, 4, 6)
    parts = [torch.rand(40, count, generator=generator).softmax(1) for count in counts]
    labels = torch.stack([torch.randint(count, (40,), generator=generator) for count in counts], 1)
    hits = []
    for video, own in enumerate(labels.tolist()):
        scores = [part[video].tolist() for part in parts]
        ranked = sorted(
            product(*map(range, counts)),
            key=lambda places, scores=scores: (
                -np.prod([one[place] for one, place in zip(scores, places, strict=True)])
            ),
        )
        hits.append(tuple(own) in ranked[:k])
    assert joint_hits(parts, labels, k).tolist() == hits and 0 <= sum(hits) < 40


def test_scores_that_are_not_numbers_are_never_right():
    parts = [torch.tensor([[float("nan"), 0.1]]), torch.tensor([[0.9, 0.1]])]
    assert joint_hits(parts, torch.tensor([[0, 0]]), 5).tolist() == [False]


def test_results_have_columns_for_each_target(tmp_path):
    judge = evaluator()
    written = judge.write(tmp_path, judge.evaluate(), scores_path=tmp_path / "scores.npz")
    second = read_rows(tmp_path / "test_results.csv")[1]
    assert second["path"] == "b.mp4" and second["is_correct"] == "0"
    assert [second[f"label_{n}"] for n in (1, 2)] == ["1", "0"]
    assert [second[f"is_correct_{n}"] for n in (1, 2)] == ["1", "0"]
    assert [second[f"label_name_{n}"] for n in (1, 2)] == ["put", "cup"]
    assert [second[f"prediction_name_{n}"] for n in (1, 2)] == ["put", "fork"]
    assert float(second["score_2"]) == pytest.approx(0.7)
    nouns = read_rows(tmp_path / "test_results_per_class_2.csv")
    assert [(row["class"], row["name"], row["videos"], row["top1_acc"]) for row in nouns] == [
        ("0", "cup", "1", "0.0"),
        ("1", "fork", "1", "100.0"),
        ("2", "plate", "1", "100.0"),
    ]
    assert all(path.exists() for path in written) and len(written) == 4
    with np.load(tmp_path / "scores.npz") as saved:
        assert saved["scores"].shape == (3, 1, 5) and saved["labels"].tolist() == LABELS.tolist()


def test_names_are_optional(tmp_path):
    judge = evaluator(None)
    judge.write(tmp_path, judge.evaluate(), scores_path=tmp_path / "scores.npz")
    assert read_rows(tmp_path / "test_results.csv")[0]["label_name_1"] == ""
