"""Evaluators of whole videos."""

import csv

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from slowfast.evaluation.metrics import mean_ap
from slowfast.evaluation.video_evaluator import (
    LabelledVideos,
    MultiLabelEvaluator,
    OneLabelEvaluator,
    ViewEvaluator,
)

PATHS = ["a.mp4", "b.mp4", "c.mp4"]
NAMES = ["run", "eat", "sit"]
VIEWS = {"num_views": 2, "num_crops": 1, "num_classes": 3}
# Three videos, two views each.
OUTPUT = torch.tensor(
    [[0.6, 0.3, 0.1], [0.2, 0.7, 0.1], [0.1, 0.8, 0.1], [0.2, 0.7, 0.1], [0.3, 0.3, 0.4], [0, 0, 1]]
)
BATCH = {"indices": torch.arange(3).repeat_interleave(2), "views": torch.tensor([0, 1] * 3)}


def one_label(labels, names=NAMES, activation="softmax", **options):
    videos = LabelledVideos(PATHS, torch.tensor(labels), names)
    options = {**VIEWS, "ensemble": "sum", **options}
    evaluator = OneLabelEvaluator(videos, activation=activation, **options)
    evaluator.add(BATCH, OUTPUT)
    return evaluator


def read_rows(path):
    with open(path) as file:
        return list(csv.DictReader(file))


def test_accuracies_and_loss_are_those_of_the_mean_over_views():
    evaluation = one_label([0, 1, 2]).evaluate()
    mean = OUTPUT.double().view(3, 2, 3).mean(1)
    assert evaluation.metrics == {
        "loss": pytest.approx(float(F.nll_loss(mean.log(), torch.tensor([0, 1, 2])))),
        "top1_acc": pytest.approx(200 / 3),
        "top5_acc": 100.0,
        "mean_class_acc": pytest.approx(200 / 3),
        "num_videos": 3,
    }
    assert list(evaluation.per_class["top1_acc"].values()) == [0, 100, 100]


def test_some_views_can_be_judged_alone():
    evaluator = one_label([0, 1, 2])
    assert evaluator.evaluate([0]).metrics["top1_acc"] == 100
    assert evaluator.evaluate([1]).metrics["top1_acc"] == pytest.approx(200 / 3)


def test_largest_scores_can_count():
    values, seen = one_label([0, 1, 2], ensemble="max").join()
    torch.testing.assert_close(values, OUTPUT.double().view(3, 2, 3).amax(1))
    assert seen.all()


@pytest.mark.parametrize("labels, num_videos", [([-1, 1, 1], 2), ([0, -1, -1], 1)])
def test_videos_of_unknown_class_do_not_count(labels, num_videos):
    assert one_label(labels).evaluate().metrics["num_videos"] == num_videos


def test_nothing_scored_or_known_has_no_evaluation():
    evaluator = one_label([0, 1, 2])
    assert one_label([-1, -1, -1]).evaluate() is None
    evaluator.reset()
    assert evaluator.evaluate() is None


def test_shares_of_processes_are_judged_together():
    whole, first, second = (one_label([0, 1, 2]) for _ in range(3))
    for evaluator, rows in ((first, slice(0, 2)), (second, slice(2, 6))):
        evaluator.reset()
        evaluator.add({key: values[rows] for key, values in BATCH.items()}, OUTPUT[rows])
    first.merge([second.scores])
    assert str(first.evaluate()) == str(whole.evaluate())  # NaN is not itself


@pytest.mark.parametrize("names", [NAMES, None])
def test_files_hold_predictions_and_scores(tmp_path, names):
    evaluator = one_label([0, 1, -1], names)
    evaluator.reset()
    evaluator.add({key: values[2:] for key, values in BATCH.items()}, OUTPUT[2:])
    paths = evaluator.write(tmp_path, evaluator.evaluate(), scores_path=tmp_path / "s.npz")
    assert paths[:2] == [tmp_path / "test_results.csv", tmp_path / "s.npz"]
    first, second = read_rows(paths[0])
    assert (first["path"], first["prediction"], first["is_correct"]) == ("b.mp4", "1", "1")
    assert [first["label_name"], second["label_name"]] == (["eat", ""] if names else ["", ""])
    with np.load(paths[1]) as content:
        assert content["seen"].tolist() == [[False] * 2, [True] * 2, [True] * 2]


def test_one_label_has_a_table_of_classes(tmp_path):
    evaluator = one_label([0, 1, 1])
    paths = evaluator.write(tmp_path, evaluator.evaluate(), scores_path=tmp_path / "s.npz")
    assert paths[-1] == tmp_path / "test_results_per_class.csv"
    run, eat, sit = read_rows(paths[-1])
    assert (run["class"], run["name"], run["videos"], run["top1_acc"]) == ("0", "run", "1", "0.0")
    assert (run["precision"], run["confused_with"], run["confused_with_name"]) == ("", "1", "eat")
    assert (eat["videos"], eat["top1_acc"], eat["precision"]) == ("2", "50.0", "50.0")
    assert (eat["confused_with"], eat["confused_with_name"]) == ("2", "sit")
    assert (sit["videos"], sit["top1_acc"], sit["precision"]) == ("0", "", "0.0")


def test_mean_over_classes_leaves_out_those_without_videos():
    assert one_label([0, 1, 1]).evaluate().metrics["mean_class_acc"] == 25


def test_the_csv_says_how_much_of_each_video_was_lost(tmp_path):
    evaluator = one_label([0, 1, 2])
    other = one_label([0, 1, 2])
    other.add({**BATCH, "damaged": [(1, 3, 9)]}, OUTPUT)
    evaluator.merge([other.scores])
    evaluator.write(tmp_path, evaluator.evaluate(), scores_path=tmp_path / "s.npz")
    rows = read_rows(tmp_path / "test_results.csv")
    assert [row["num_broken"] for row in rows] == ["0", "3", "0"]


def test_details_say_how_a_test_was_done():
    details = one_label([0, 1, 2]).details()
    assert (details["views"], details["ensemble"]) == ("2 x 1", "sum")
    assert [(row["clips"], row["top1_acc"]) for row in details["fewer_views"]][-1] == (
        2,
        pytest.approx(200 / 3),
    )


@pytest.mark.parametrize(
    "activation, expected",
    [
        ("softmax", lambda p, y: F.nll_loss(p.log(), y)),
        ("sigmoid", lambda p, y: F.binary_cross_entropy(p, F.one_hot(y, 3).double())),
        ("none", F.cross_entropy),
    ],
)
def test_loss_goes_by_the_activation_of_the_scores(activation, expected):
    labels, mean = torch.tensor([0, 1, 2]), OUTPUT.double().view(3, 2, 3).mean(1)
    found = one_label([0, 1, 2], activation=activation).evaluate().metrics["loss"]
    assert found == pytest.approx(float(expected(mean, labels)))


def test_several_labels_have_a_table_of_classes(tmp_path):
    labels = torch.tensor([[1.0, 1, 0], [0, 1, 0], [0, 0, 0]])
    videos = LabelledVideos(PATHS, labels, NAMES)
    evaluator = MultiLabelEvaluator(videos, ensemble="sum", **VIEWS)
    evaluator.add(BATCH, OUTPUT)
    evaluation = evaluator.evaluate()
    mean = OUTPUT.double().view(3, 2, 3).mean(1)
    assert evaluation.metrics["map"] == 100 * mean_ap(mean.numpy(), labels.numpy())
    assert evaluator.metric in evaluation.metrics and evaluator.class_metric in evaluation.per_class
    paths = evaluator.write(tmp_path, evaluation, scores_path=tmp_path / "s.npz")
    rows = read_rows(tmp_path / "test_results_per_class.csv")
    assert paths[-1].name == "test_results_per_class.csv"
    assert [(row["name"], row["positives"]) for row in rows] == [
        ("run", "1"),
        ("eat", "2"),
        ("sit", "0"),
    ]
    assert rows[2]["ap"] == ""
    first = read_rows(tmp_path / "test_results.csv")[0]
    assert (first["labels"], first["label_names"]) == ("0 1", "run; eat")


def test_views_are_joined_without_labels():
    evaluator = ViewEvaluator(3, 2, 3, ensemble="sum")
    evaluator.add(BATCH, OUTPUT)
    torch.testing.assert_close(evaluator.join([1])[0], OUTPUT.double().view(3, 2, 3)[:, 1])
    assert evaluator.evaluate() is None
