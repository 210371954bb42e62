"""Runs whose videos have several labels each."""

import csv
import json

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from slowfast.checkpoint import files
from slowfast.engine.predict import Predictor
from slowfast.engine.test import test as run_test
from slowfast.engine.train import train
from slowfast.evaluation.metrics import average_precisions, charades_map, mean_ap
from slowfast.tasks import build_task
from tests.helpers.slow import slow


def read_rows(path):
    with open(path) as file:
        return list(csv.DictReader(file))


@pytest.fixture
def tested(many_cfg):
    """The results of a run of one epoch."""
    cfg = many_cfg("SOLVER.MAX_EPOCH", 1)
    train(cfg)
    return run_test(cfg)


def test_loss_is_binary_cross_entropy_on_all_classes(many_cfg):
    labels, logits = torch.tensor([[1.0, 0, 1], [0, 0, 0]]), torch.randn(2, 3)
    batch = {"clips": [torch.zeros(2, 3, 1, 1, 1)], "labels": labels}
    for name in ("bce", "bce_logit"):
        task = build_task(many_cfg("MODEL.LOSS_FUNC", name))
        loss, sums = task.loss(lambda clips: logits, batch, np.random.default_rng(0))
        torch.testing.assert_close(loss, F.binary_cross_entropy(logits.sigmoid(), labels))
        assert sums == {} and task.num_labelled(batch) == 2


@pytest.mark.slow
@pytest.mark.parametrize("method", ["max", *slow(["sum"])])
def test_results_agree_with_the_saved_scores(many_cfg, tmp_path, method):
    cfg = many_cfg("SOLVER.MAX_EPOCH", 1, "DATA.ENSEMBLE_METHOD", method)
    train(cfg)
    results = run_test(cfg)
    with np.load(tmp_path / "run/test_scores.npz") as saved:
        scores, labels = saved["scores"].astype(np.float64), saved["labels"]
    assert scores.shape == (5, 6, 3) and labels.tolist()[:2] == [[1, 1, 0], [0, 1, 1]]
    values = scores.max(axis=1) if method == "max" else scores.mean(axis=1)
    assert results["map"] == pytest.approx(100 * mean_ap(values, labels))
    assert results["charades_map"] == pytest.approx(100 * charades_map(values, labels))
    assert results["fewer_views"][-1]["map"] == results["map"]
    rows = read_rows(tmp_path / "run/test_results_per_class.csv")
    assert [float(row["ap"]) for row in rows] == pytest.approx(
        100 * average_precisions(values, labels)
    )
    assert [int(row["positives"]) for row in rows] == labels.sum(axis=0).tolist()
    first = read_rows(tmp_path / "run/test_results.csv")[0]
    assert first["labels"] == "0 1" and first["predictions"].split()[0] == str(values[0].argmax())
    assert first["label_names"] == first["prediction_names"] == ""


@pytest.mark.slow
def test_history_and_best_checkpoint_go_by_map(many_cfg, tmp_path):
    state = train(many_cfg())
    best = max(state.history, key=lambda row: row["val_map"])
    assert state.best["map"] == best["val_map"] and state.best["epoch"] == best["epoch"]
    saved = files.load(files.best_path(tmp_path / "run"))
    assert saved["best"]["map"] == state.best["map"]


@pytest.mark.slow
def test_class_without_videos_counts_nowhere_and_has_an_empty_cell(many_cfg, tmp_path):
    cfg = many_cfg("SOLVER.MAX_EPOCH", 1, "MODEL.NUM_CLASSES", 4)
    train(cfg)
    assert run_test(cfg)["map"] > 0
    assert read_rows(tmp_path / "run/test_results_per_class.csv")[3]["ap"] == ""


@pytest.mark.slow
def test_without_labels_the_metric_is_unknown(many_cfg, tmp_path):
    lines = "".join(f"val_{index},\n" for index in range(5))
    (tmp_path / "many/Charades_v1_test.csv").write_text("id,actions\n" + lines)
    cfg = many_cfg("SOLVER.MAX_EPOCH", 1)
    train(cfg)
    assert files.best_path(tmp_path / "run").exists()
    assert np.isnan(run_test(cfg)["map"])
    content = json.loads((tmp_path / "run/test_results.json").read_text())
    assert content["map"] is None and content["fewer_views"][0]["map"] is None


@pytest.mark.slow
def test_weights_can_predict_files(many_yaml, many_cfg, tested, toy_set, tmp_path):
    weights = files.last_checkpoint(tmp_path / "run")
    best = Predictor(many_yaml, weights)(toy_set / "val_0.mp4", topk=1)
    row = read_rows(tmp_path / "run/test_results.csv")[0]
    assert best[0][1] == pytest.approx(float(row["scores"].split()[0]), abs=1e-5)


def _own_lists(folder, toy_set):
    for split, name, count in (("train", "train", 8), ("val", "val", 5), ("test", "val", 5)):
        lines = [f"{name}_{n}.mp4 {n % 3} {(n + 1) % 3}\n" for n in range(count)]
        (folder / f"{split}.csv").write_text("".join(lines))
    return ["DATA.PATH_PREFIX", toy_set]


def _own_folders(folder, toy_set):
    for split, name, count in (("train", "train", 8), ("val", "val", 5)):
        for index in range(count):
            for label in (index % 3, (index + 1) % 3):
                path = folder / split / f"class {label}" / f"{index}.mp4"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.symlink_to(toy_set / f"{name}_{index}.mp4")
    return []


@pytest.mark.slow
@pytest.mark.parametrize(("name", "write"), [("kinetics", _own_lists), ("folder", _own_folders)])
def test_lists_and_folders_of_ones_own_have_several_labels(
    many_cfg, toy_set, tmp_path, name, write
):
    (tmp_path / "own").mkdir()
    options = [*write(tmp_path / "own", toy_set), "DATA.PATH_TO_DATA_DIR", tmp_path / "own"]
    options += ["TRAIN.DATASET", name, "TEST.DATASET", name, "DATA.SOURCE", "auto"]
    cfg = many_cfg(*options, "SOLVER.MAX_EPOCH", 1, "TRAIN.CLASS_WEIGHTS", "balanced")
    train(cfg)
    assert run_test(cfg)["map"] > 0
    with np.load(tmp_path / "run/test_scores.npz") as saved:
        found = {
            path[-5]: row
            for path, row in zip(saved["paths"], saved["labels"].tolist(), strict=True)
        }
    assert found == {str(n): [int(c != (n + 2) % 3) for c in range(3)] for n in range(5)}
