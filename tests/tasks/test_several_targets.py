"""Several targets per video: the loss, and what the log shows."""

import csv
import json

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from slowfast.checkpoint import files
from slowfast.checkpoint.files import CheckpointError
from slowfast.checkpoint.initialize import initialize_from, load_for_test
from slowfast.config.cli import load_cfg
from slowfast.engine.predict import Predictor, write_results
from slowfast.engine.state import Sums
from slowfast.engine.test import test as run_test
from slowfast.engine.train import train
from slowfast.models import build_model
from slowfast.tasks import build_task
from tools import dataset, predict

LABELS = torch.tensor([[1, 0], [0, 2], [1, 1]])
LOGITS = torch.tensor(
    [[0.0, 2, 3, 0, 0], [1, 2, 0, 0, 4], [0, 1, 9, 1, 0]]  # 1 0, 1 2, 1 0
)
TARGETS = ["MODEL.NUM_CLASSES", "[2, 3]"]


def step(cfg, weights=None):
    task = build_task(cfg)
    if weights is not None:
        task.weigh_classes(weights)
    clips = [torch.stack([torch.full((3, 1, 8, 8), float(n)) for n in range(3)])]
    batch = {"clips": clips, "labels": LABELS}
    return task.loss(lambda clips: LOGITS, batch, np.random.default_rng(0))


def cross_entropies(first, second, **options):
    return (
        F.cross_entropy(LOGITS[:, :2], first, **options)
        + F.cross_entropy(LOGITS[:, 2:], second, **options)
    ) / 2


def test_loss_is_the_mean_over_the_targets(toy_cfg):
    loss, sums = step(toy_cfg(*TARGETS))
    torch.testing.assert_close(loss, cross_entropies(*LABELS.unbind(1)))
    means = Sums(sums, count=3).means()
    assert means == pytest.approx(
        {"top1_acc": 100 / 3, "top1_acc_1": 200 / 3, "top1_acc_2": 200 / 3}
    )


def test_labels_are_smoothed_within_their_target(toy_cfg):
    loss, _ = step(toy_cfg(*TARGETS, "MODEL.LABEL_SMOOTHING", 0.2))
    torch.testing.assert_close(loss, cross_entropies(*LABELS.unbind(1), label_smoothing=0.2))


def test_labels_are_mixed_within_their_target(toy_cfg):
    cfg = toy_cfg(
        *TARGETS,
        *("MIXUP.ENABLE", True, "MIXUP.CUTMIX_ALPHA", 0, "MIXUP.LABEL_SMOOTH_VALUE", 0),
    )
    rng = np.random.default_rng(0)
    rng.uniform()
    share = rng.beta(0.8, 0.8)
    hot = [F.one_hot(LABELS[:, n], count).float() for n, count in enumerate((2, 3))]
    mixed = [torch.lerp(one.flip(0), one, share) for one in hot]
    loss, sums = step(cfg)
    torch.testing.assert_close(loss, cross_entropies(*mixed))
    assert set(sums) == {"top1_acc", "top1_acc_1", "top1_acc_2"}


def test_weights_of_all_classes_stand_one_after_another(toy_cfg):
    weights = torch.tensor([1.0, 2, 3, 4, 5])
    loss, _ = step(toy_cfg(*TARGETS), weights)
    losses = [
        F.cross_entropy(LOGITS[:, :2], LABELS[:, 0], reduction="none") * weights[LABELS[:, 0]],
        F.cross_entropy(LOGITS[:, 2:], LABELS[:, 1], reduction="none") * weights[2 + LABELS[:, 1]],
    ]
    torch.testing.assert_close(loss, (losses[0].mean() + losses[1].mean()) / 2)


@pytest.fixture
def predictor(toy_yaml, tmp_path):
    torch.manual_seed(0)
    path = tmp_path / "weights.pyth"
    model = build_model(load_cfg(toy_yaml, TARGETS))
    names = ["take", "put", "cup", "fork", "plate"]
    files.save(path, {"model_state": model.state_dict(), "class_names": names})
    return Predictor(toy_yaml, path, options=TARGETS)


def test_scores_are_probabilities_of_each_target(toy_cfg):
    model = build_model(toy_cfg(*TARGETS)).eval()
    scores = model([torch.rand(2, 3, 4, 32, 32)])
    torch.testing.assert_close(scores[:, :2].sum(1), torch.ones(2))
    torch.testing.assert_close(scores[:, 2:].sum(1), torch.ones(2))


@pytest.mark.slow
def test_each_target_is_predicted_by_name(predictor, toy_set, tmp_path):
    results = predictor.predict([toy_set / "val_0.mp4"], topk=2)
    found = [(p.target, p.label, p.name) for p in results[0].predictions]
    assert [target for target, _, _ in found] == [1, 1, 2, 2]
    assert {name for _, _, name in found[:2]} == {"take", "put"}
    assert all(name == ["cup", "fork", "plate"][label] for _, label, name in found[2:])
    for name in ("results.csv", "results.json"):
        write_results(tmp_path / name, results, {})
    with open(tmp_path / "results.csv") as file:
        rows = list(csv.DictReader(file))
    assert [(row["target"], row["rank"]) for row in rows] == [
        ("1", "1"),
        ("1", "2"),
        ("2", "1"),
        ("2", "2"),
    ]
    (video,) = json.loads((tmp_path / "results.json").read_text())["videos"]
    assert [p["target"] for p in video["predictions"]] == [1, 1, 2, 2]


@pytest.mark.slow
@pytest.mark.parametrize(("counts", "is_loaded"), [(None, False), ([3, 2], False), ([2, 3], True)])
def test_a_classifier_of_other_targets_starts_fresh(toy_cfg, tmp_path, counts, is_loaded):
    path, model = tmp_path / "weights.pyth", build_model(toy_cfg(*TARGETS))
    about = {} if counts is None else {"class_counts": counts}
    files.save(path, {"model_state": model.state_dict(), **about})
    report = initialize_from(build_model(toy_cfg(*TARGETS)), path)
    assert bool(report.replaced) != is_loaded and report.coverage == 1
    report = initialize_from(build_model(toy_cfg("MODEL.NUM_CLASSES", 5)), path)
    assert bool(report.replaced) == (counts is not None)


@pytest.mark.slow
def test_weights_of_other_targets_are_not_tested(toy_cfg, tmp_path):
    path, model = tmp_path / "weights.pyth", build_model(toy_cfg(*TARGETS))
    content = {"model_state": model.state_dict()}
    for counts in ([5], [3, 2]):
        files.save(path, {**content, "class_counts": counts})
        with pytest.raises(CheckpointError, match=r"MODEL.NUM_CLASSES: .* the model for targets"):
            load_for_test(model, path)
    for about in ({}, {"class_counts": [2, 3]}):
        files.save(path, {**content, **about})
        assert not load_for_test(model, path).missing


@pytest.mark.slow
def test_a_run_judges_each_target_and_both(pairs_cfg, tmp_path):
    state = train(pairs_cfg())
    best = max(state.history, key=lambda row: row["val_top1_acc"])
    assert state.best["top1_acc"] == best["val_top1_acc"]
    assert {"train_top1_acc", "train_top1_acc_1", "train_top1_acc_2"} <= set(state.history[0])
    results = run_test(pairs_cfg())
    with np.load(tmp_path / "run/test_scores.npz") as saved:
        scores, labels = saved["scores"].mean(axis=1), saved["labels"]
    assert scores.shape == (5, 5) and labels.tolist() == [[0, 0], [1, 1], [2, 0], [0, 1], [1, 0]]
    right = np.stack([scores[:, :3].argmax(1), scores[:, 3:].argmax(1)], 1) == labels
    assert results["top1_acc"] == pytest.approx(100 * right.all(1).mean())
    assert results["top1_acc_1"] == pytest.approx(100 * right[:, 0].mean())
    assert results["top1_acc_2"] == pytest.approx(100 * right[:, 1].mean())
    assert results["top5_acc"] >= results["top1_acc"] and results["fewer_views"][-1].items() >= {
        (name, results[name]) for name in ("top1_acc", "top5_acc", "top5_acc_2")
    }
    saved = files.load(files.last_checkpoint(tmp_path / "run"))
    assert saved["class_names"] == ["red", "green", "blue", "0", "1"]


@pytest.mark.slow
def test_weights_of_one_target_can_be_tuned_to_several(pairs_cfg, toy_cfg, tmp_path, caplog):
    train(toy_cfg("SOLVER.MAX_EPOCH", 1, "OUTPUT_DIR", tmp_path / "one"))
    caplog.set_level("INFO")
    weights = files.last_checkpoint(tmp_path / "one")
    state = train(pairs_cfg("TRAIN.CHECKPOINT_FILE_PATH", weights, "SOLVER.MAX_EPOCH", 1))
    assert "2  classifier of other shape" in caplog.text and state.epoch == 1


@pytest.mark.slow
def test_predict_names_the_classes_of_each_target(run_tool, pairs_yaml, pairs_cfg, tmp_path):
    torch.manual_seed(0)
    files.save(tmp_path / "w.pyth", {"model_state": build_model(pairs_cfg()).state_dict()})
    video = pairs_cfg().DATA.PATH_PREFIX + "/val_0.mp4"
    words = [video, "--cfg", pairs_yaml, "--checkpoint", tmp_path / "w.pyth", "--topk", 1]
    code, output = run_tool(predict, *words)[:2]
    assert code == 0 and "1: class " in output and "2: class " in output


@pytest.mark.slow
def test_classes_of_each_target_are_counted(run_tool, pairs_yaml, tmp_path):
    words = ["check", "--cfg", pairs_yaml, "--output", tmp_path / "report", "--workers", 1]
    run_tool(dataset, *words)
    report = json.loads((tmp_path / "report/report.json").read_text())
    assert report["splits"]["train"]["classes"] == {
        **{"1: red": 3, "1: green": 3, "1: blue": 2},
        **{"2: 0": 4, "2: 1": 4},
    }
    assert run_tool(dataset, "show", "--cfg", pairs_yaml, "--output", tmp_path / "a.png")[0] == 0


def test_weights_of_the_epic_kitchens_fork_are_tested(toy_cfg, tmp_path):
    model = build_model(toy_cfg(*TARGETS))
    state = model.state_dict()
    for kind in ("weight", "bias"):
        verb, noun = state.pop(f"head.projection.{kind}").split([2, 3])
        state |= {f"head.projection_verb.{kind}": verb, f"head.projection_noun.{kind}": noun}
    files.save(tmp_path / "epic.pyth", {"model_state": state})
    loaded = build_model(toy_cfg(*TARGETS))
    assert not load_for_test(loaded, tmp_path / "epic.pyth").missing
    torch.testing.assert_close(loaded.head.projection.weight, model.head.projection.weight)
