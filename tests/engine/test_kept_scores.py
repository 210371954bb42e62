"""A test that was killed goes on with the scores that it had, in any number of processes."""

import logging
import os
import signal

import numpy as np
import pytest
import torch

from slowfast.datasets.loader import ShardedBatchSampler
from slowfast.engine.kept_scores import keep_on_disk, shards_folder
from slowfast.engine.test import test as run_test
from slowfast.engine.train import train
from slowfast.evaluation.score_shards import ShardedEvaluator, find_done, find_shards
from slowfast.evaluation.video_evaluator import OneLabelEvaluator
from slowfast.models import build_model
from slowfast.models.network import VideoNetwork
from slowfast.runtime import launch
from slowfast.utils.logging import setup_logging

pytestmark = pytest.mark.slow


@pytest.fixture
def cfg(toy_cfg):
    """A function from overrides to the config of a test of trained weights, a video a batch."""
    train(toy_cfg("SOLVER.MAX_EPOCH", 1))
    return lambda *options: toy_cfg("TRAIN.ENABLE", False, "TEST.BATCH_SIZE", 1, *options)


def _killed(rank, cfg, count):
    """Test, and die with the `count`-th batch; a process without a group of its own."""
    add, left = ShardedEvaluator.add, [count]

    def add_and_die(self, batch, output):
        add(self, batch, output)
        left[0] -= 1
        if not left[0]:
            os.kill(os.getpid(), signal.SIGKILL)

    ShardedEvaluator.add = add_and_die
    torch.set_num_threads(1)
    run_test(cfg)


def _kill_in_one(cfg, count):
    with pytest.raises(SystemExit) as ended:
        launch.run_in_processes(_killed, (cfg, count), 1)
    assert ended.value.code == 128 + signal.SIGKILL


@pytest.fixture
def num_batches(monkeypatch):
    """Function () -> passes of a network over real clips so far."""
    counts, call = [], VideoNetwork.__call__

    def counted(module, clips, *boxes):
        counts.extend([1] * (clips[0].device.type != "meta"))
        return call(module, clips, *boxes)

    monkeypatch.setattr(VideoNetwork, "__call__", counted)
    return lambda: len(counts)


def _same(one, other):
    with np.load(one / "test_scores.npz") as found, np.load(other / "test_scores.npz") as expected:
        assert found.files == expected.files
        for name in expected.files:
            np.testing.assert_array_equal(found[name], expected[name])
    for name in ("test_results.csv", "test_results_per_class.csv"):
        assert (one / name).read_bytes() == (other / name).read_bytes()


def test_killed_in_the_middle_it_ends_with_the_same_bits_and_does_nothing_twice(
    cfg, forked, num_batches, tmp_path
):
    weights = [
        "TEST.CHECKPOINT_FILE_PATH",
        tmp_path / "run/checkpoints/checkpoint_epoch_00001.pyth",
    ]
    whole = run_test(cfg(*weights, "OUTPUT_DIR", tmp_path / "whole"))
    per_video, killed = num_batches() // 5, cfg(*weights, "OUTPUT_DIR", tmp_path / "killed")
    _kill_in_one(killed, 2)
    before = num_batches()
    assert run_test(killed) == whole
    assert num_batches() - before == 3 * per_video
    _same(tmp_path / "killed", tmp_path / "whole")
    assert not shards_folder(tmp_path / "killed").exists()


def _second_is_killed(rank, cfg):
    if rank:
        _killed(rank, cfg, 1)
    run_test(cfg)


def _tested(rank, cfg):
    setup_logging(cfg.OUTPUT_DIR, is_main=rank == 0)
    run_test(cfg)
    logging.shutdown()


def test_one_process_goes_on_with_what_two_had(cfg, run_in_two, num_batches, tmp_path):
    whole = run_test(cfg())
    scores = (tmp_path / "run/test_scores.npz").read_bytes()
    per_video = num_batches() // 5
    with pytest.raises(SystemExit):
        run_in_two(_second_is_killed, cfg("NUM_SHARDS", 2))
    done = find_done(find_shards(shards_folder(tmp_path / "run")), 5)
    assert done[1] and not done[3]  # the first video of the second process, not its other one
    before = num_batches()
    assert run_test(cfg()) == whole
    assert (tmp_path / "run/test_scores.npz").read_bytes() == scores
    assert num_batches() - before == (~done).sum() * per_video


def test_two_processes_go_on_with_what_one_had(cfg, forked, run_in_two, tmp_path):
    run_test(cfg())
    scores = (tmp_path / "run/test_scores.npz").read_bytes()
    _kill_in_one(cfg(), 2)
    run_in_two(_tested, cfg("NUM_SHARDS", 2))
    assert (tmp_path / "run/test_scores.npz").read_bytes() == scores
    assert "2 of 5 videos have scores" in (tmp_path / "run/stdout.log").read_text()


@pytest.mark.parametrize(
    ("options", "change", "num_views"),
    [
        (["TEST.NUM_ENSEMBLE_VIEWS", 1], "2 -> 1", 3),
        (["TEST.PRECISION", "bfloat16"], "'train' -> 'bfloat16'", 6),
    ],
)
def test_with_other_settings_it_begins_anew(
    options, change, num_views, cfg, forked, tmp_path, caplog
):
    _kill_in_one(cfg(), 2)
    run_test(cfg(*options))
    assert f"it is begun anew: {options[0]} {change}" in caplog.text
    with np.load(tmp_path / "run/test_scores.npz") as scores:
        assert scores["seen"].shape == (5, num_views) and scores["seen"].all()


def test_scores_of_boxes_go_on_too(box_cfg, forked, tmp_path, caplog):
    train(box_cfg("SOLVER.MAX_EPOCH", 1))
    whole = run_test(box_cfg())
    paths = [tmp_path / "run" / name for name in ("test_scores.npz", "detections.csv")]
    expected = [file.read_bytes() for file in paths]
    _kill_in_one(box_cfg(), 1)
    caplog.set_level(logging.INFO, "slowfast")
    assert run_test(box_cfg()) == whole
    assert [file.read_bytes() for file in paths] == expected
    assert "of 5 videos have scores" in caplog.text and "0 of 5" not in caplog.text


def test_found_boxes_go_on_in_two_processes(detector_cfg, forked, run_in_two, tmp_path):
    weights = tmp_path / "weights.pyth"
    options = ["TEST.CHECKPOINT_FILE_PATH", weights, "TEST.BATCH_SIZE", 1]
    torch.save({"model_state": build_model(detector_cfg()).state_dict()}, weights)
    run_test(detector_cfg(*options))
    paths = [tmp_path / "run" / name for name in ("test_scores.npz", "detections.csv")]
    expected = [file.read_bytes() for file in paths]
    _kill_in_one(detector_cfg(*options), 2)
    run_in_two(_tested, detector_cfg(*options, "NUM_SHARDS", 2))
    assert [file.read_bytes() for file in paths] == expected
    assert "2 of 5 videos have scores" in (tmp_path / "run/stdout.log").read_text()


def _on_another_disk(rank, folder, sampler):
    evaluator = object.__new__(OneLabelEvaluator)
    found = keep_on_disk(evaluator, folder / str(rank), {"list": "a"}, sampler)
    assert found is evaluator


def test_without_a_shared_folder_scores_stay_in_memory(run_in_two, tmp_path):
    run_in_two(_on_another_disk, tmp_path, ShardedBatchSampler(5, 1, shuffle=False))
    assert not shards_folder(tmp_path / "0").exists()
