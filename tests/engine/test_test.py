"""What a test writes, and that unreadable videos are named and left out."""

import csv
import json
import os
import shutil
import signal

import numpy as np
import pytest
import torch

from slowfast.engine.test import _write_results
from slowfast.engine.test import test as run_test
from slowfast.engine.train import train


@pytest.fixture
def damaged_set(toy_set, tmp_path):
    """The toy set with one video in each split replaced by text."""
    folder = tmp_path / "damaged"
    shutil.copytree(toy_set, folder)
    for split in ("train", "val", "test"):
        (folder / f"{split}_1.mp4").write_text("not a video")
    return folder


@pytest.mark.slow
def test_results_agree_with_the_saved_scores(toy_cfg, tmp_path):
    cfg = toy_cfg("SOLVER.MAX_EPOCH", 1)
    train(cfg)
    results = run_test(cfg)
    with np.load(tmp_path / "run/test_scores.npz") as scores:
        assert scores["scores"].shape == (5, 6, 3)
        predictions = scores["scores"].sum(axis=1).argmax(axis=1)
        accuracy = 100 * (predictions == scores["labels"]).mean()
    assert results["top1_acc"] == pytest.approx(accuracy)
    with open(tmp_path / "run/test_results.csv") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["prediction"]) for row in rows] == predictions.tolist()
    assert results == json.loads((tmp_path / "run/test_results.json").read_text())
    assert [(row["clips"], row["crops"]) for row in results["fewer_views"]] == [
        (1, 1),
        (2, 1),
        (1, 3),
        (2, 3),
    ]
    assert results["fewer_views"][-1]["top1_acc"] == results["top1_acc"]


@pytest.mark.slow
def test_unreadable_test_video_is_named_and_left_out(toy_cfg, damaged_set, tmp_path):
    train(toy_cfg("SOLVER.MAX_EPOCH", 1))
    results = run_test(toy_cfg("DATA.PATH_TO_DATA_DIR", damaged_set))
    assert (results["num_videos"], results["num_unreadable"]) == (4, 1)
    ((path, reason),) = results["unreadable"].items()
    assert path.endswith("test_1.mp4") and "InvalidDataError" in reason
    with open(tmp_path / "run/test_results.csv") as file:
        assert not any(row["path"].endswith("test_1.mp4") for row in csv.DictReader(file))


@pytest.mark.slow
def test_damaged_test_video_is_named_with_what_it_lost(toy_cfg, lossy_set, tmp_path):
    train(toy_cfg("SOLVER.MAX_EPOCH", 1))
    results = run_test(toy_cfg("DATA.PATH_TO_DATA_DIR", lossy_set))
    (damaged,) = results["damaged"]
    assert damaged["path"].endswith("test_3.mp4") and damaged["num_frames"] == 12
    assert 0 < damaged["num_lost"] < 12 and results["num_damaged"] == 1
    with open(tmp_path / "run/test_results.csv") as file:
        rows = {os.path.basename(row["path"]): row["num_broken"] for row in csv.DictReader(file)}
    lost = str(damaged["num_lost"])
    assert rows == {f"test_{n}.mp4": lost if n == 3 else "0" for n in range(5)}
    assert "test_3.mp4" in (tmp_path / "run/damaged_test.csv").read_text()


@pytest.mark.slow
def test_lists_of_an_earlier_test_go(toy_cfg, lossy_set, tmp_path):
    train(toy_cfg("SOLVER.MAX_EPOCH", 1))
    run_test(toy_cfg("DATA.PATH_TO_DATA_DIR", lossy_set))
    assert run_test(toy_cfg())["damaged"] == []
    assert not (tmp_path / "run/damaged_test.csv").exists()


@pytest.mark.slow
def test_unreadable_training_video_is_replaced_and_listed(toy_cfg, damaged_set, tmp_path):
    state = train(toy_cfg("DATA.PATH_TO_DATA_DIR", damaged_set, "SOLVER.MAX_EPOCH", 1))
    assert "train_1.mp4,InvalidDataError" in (tmp_path / "run/unreadable_train.csv").read_text()
    assert state.history[0]["val_num_unreadable"] == 1
    assert "val_1.mp4,InvalidDataError" in (tmp_path / "run/unreadable_val.csv").read_text()


def test_too_many_unreadable_training_videos_stop_the_run(toy_cfg, damaged_set):
    with pytest.raises(ValueError, match="(?s)DATA.MAX_UNREADABLE_SHARE: 1 of 8.*train_1.mp4"):
        train(toy_cfg("DATA.PATH_TO_DATA_DIR", damaged_set, "DATA.MAX_UNREADABLE_SHARE", 0.1))


def test_without_weights_the_error_names_the_key(toy_cfg):
    with pytest.raises(ValueError, match="TEST.CHECKPOINT_FILE_PATH: is empty"):
        run_test(toy_cfg())


@pytest.mark.slow
def test_weights_of_another_model_are_refused(toy_cfg):
    cfg = toy_cfg("SOLVER.MAX_EPOCH", 1)
    train(cfg)
    with pytest.raises(ValueError, match="(?s)checkpoint of another model"):
        run_test(toy_cfg("VOV3D.INNER_CH", 16))


@pytest.mark.slow
def test_backwards_clips_give_other_scores(toy_cfg):
    cfg = toy_cfg("SOLVER.MAX_EPOCH", 1)
    train(cfg)
    forwards, backwards = run_test(cfg), run_test(toy_cfg("TEST.REVERSE_TIME", True))
    assert backwards["reversed_in_time"]
    assert not np.isclose(forwards["loss"], backwards["loss"], rtol=1e-9, atol=0)


@pytest.mark.slow
def test_in_bfloat16_it_says_how_far_from_float32_it_is(toy_cfg):
    train(toy_cfg("SOLVER.MAX_EPOCH", 1))
    results = run_test(toy_cfg("TEST.PRECISION", "bfloat16", "TEST.BATCH_SIZE", 4))
    assert results["precision"] == "bfloat16"
    assert results["against_float32"]["num_clips"] == 4
    assert 0 < results["against_float32"]["largest_score_difference"] < 0.05


@pytest.mark.slow
def test_interrupting_a_test_is_no_result(toy_cfg, monkeypatch, tmp_path):
    train(toy_cfg("SOLVER.MAX_EPOCH", 1))
    real = torch.nn.Module.__call__

    def interrupt(module, clips, *boxes):
        if clips[0].device.type != "meta":  # a pass that only looks at the network
            os.kill(os.getpid(), signal.SIGINT)
        return real(module, clips, *boxes)

    monkeypatch.setattr("slowfast.models.network.VideoNetwork.__call__", interrupt)
    with pytest.raises(SystemExit) as stopped:
        run_test(toy_cfg())
    assert stopped.value.code == 130
    assert not (tmp_path / "run/test_results.json").exists()


@pytest.mark.slow
def test_nothing_readable_is_an_error(toy_cfg, damaged_set):
    train(toy_cfg("SOLVER.MAX_EPOCH", 1))
    for index in range(5):
        (damaged_set / f"test_{index}.mp4").write_text("not a video")
    with pytest.raises(ValueError, match="no test video could be scored.*test_4.mp4"):
        run_test(toy_cfg("DATA.PATH_TO_DATA_DIR", damaged_set))


@pytest.mark.slow
def test_validation_without_readable_videos_goes_on_without_metrics(toy_cfg, damaged_set):
    for index in range(5):
        (damaged_set / f"val_{index}.mp4").write_text("not a video")
    state = train(toy_cfg("DATA.PATH_TO_DATA_DIR", damaged_set, "SOLVER.MAX_EPOCH", 1))
    assert state.best == {} and "val_loss" not in state.history[0]


def test_results_of_other_views_are_not_replaced_in_silence(tmp_path, caplog):
    first = {"views": "1 x 3", "checkpoint": "best.pyth"}
    for results in (first, first, {**first, "views": "10 x 3"}):
        caplog.clear()
        _write_results(tmp_path, results)
    assert "replaces the test with 1 x 3 views of best.pyth" in caplog.text
    caplog.clear()
    _write_results(tmp_path, {**first, "views": "10 x 3"})
    assert not caplog.text
