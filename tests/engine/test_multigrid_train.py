"""Runs of 6 epochs with the long cycle, the short cycle, and both."""

import json
import os
import signal

import pytest
import torch

from slowfast.checkpoint import files
from slowfast.engine.train import train
from slowfast.runtime.stop import Interrupted
from slowfast.tasks.classification import Classification

pytestmark = pytest.mark.slow

NUM_VIDEOS = 24
# The default is 1 clip of 4 frames and crop 64; batch norm takes 1 clip at a time.
BASE = [
    *("TRAIN.BATCH_SIZE", 1, "DATA.TRAIN_CROP_SIZE", 64, "DATA.TRAIN_JITTER_SCALES", [64, 72]),
    *("SOLVER.LR_POLICY", "steps_with_relative_lrs", "SOLVER.LRS", [1, 0.1]),
    *("SOLVER.BASE_LR", 0.01, "MULTIGRID.LONG_CYCLE_FACTORS", [[0.5, 0.7071], [1, 1]]),
    *("MULTIGRID.BN_BASE_SIZE", 1, "MULTIGRID.EVAL_FREQ", 1, "TRAIN.EVAL_PERIOD", 3),
]
STEPWISE = ["SOLVER.STEPS", [0, 3], "SOLVER.MAX_EPOCH", 4]
LONG = ["MULTIGRID.LONG_CYCLE", True]
SHORT = ["MULTIGRID.SHORT_CYCLE", True]
SMALL_CYCLE = [(8, 2, 32), (4, 2, 45), (4, 2, 45)]
WHOLE_CYCLE = [(4, 4, 32), (2, 4, 45), (1, 4, 64)]
# Per run: its keys, and the shapes (clips, frames, crop) of all batches of each epoch. That ends
# when the next batch would need more than the 24 videos.
RUNS = {
    "both": (
        [*LONG, *SHORT, "BN.USE_PRECISE_STATS", True, "BN.NUM_BATCHES_PRECISE", 2],
        [SMALL_CYCLE + SMALL_CYCLE[:1]] * 3 + [WHOLE_CYCLE * 3] * 3,
    ),
    "long": ([*LONG, "TRAIN.EMA_DECAY", 0.9], [[(4, 2, 45)] * 6] * 4 + [[(1, 4, 64)] * 24] * 2),
    "short": (SHORT, [WHOLE_CYCLE * 3] * 6),
}


@pytest.fixture
def options(toy_set, tmp_path):
    """A function from the name of a run and its folder to its overrides."""
    lines = (toy_set / "train.csv").read_text().splitlines()
    (tmp_path / "train.csv").write_text("\n".join((lines * NUM_VIDEOS)[:NUM_VIDEOS]))
    (tmp_path / "val.csv").write_text((toy_set / "val.csv").read_text())
    data = ["DATA.PATH_TO_DATA_DIR", tmp_path, "DATA.PATH_PREFIX", toy_set]

    def make(name, folder):
        return [*data, *BASE, *STEPWISE, *RUNS[name][0], "OUTPUT_DIR", tmp_path / folder]

    return make


@pytest.fixture
def multigrid_cfg(toy_cfg, options):
    """A function from the name of a run, its folder and more overrides to the config."""
    return lambda name, folder, *more: toy_cfg(*options(name, folder), *more)


@pytest.fixture
def seen(monkeypatch):
    """Shapes of all batches trained on; `stop_after` of them, the process gets a signal."""
    loss = Classification.loss

    class Seen(list):
        stop_after = 0

    shapes = Seen()

    def spy(self, network, batch, rng):
        num_clips, _, num_frames, height, width = batch["clips"][0].shape
        assert height == width and len(batch["labels"]) == num_clips
        shapes.append((num_clips, num_frames, height))
        if len(shapes) == shapes.stop_after:
            os.kill(os.getpid(), signal.SIGTERM)
        return loss(self, network, batch, rng)

    monkeypatch.setattr(Classification, "loss", spy)
    return shapes


def assert_same_weights(found, expected):
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert torch.equal(found[name], value), name


@pytest.mark.parametrize("name", ["long", "short"])
def test_run_follows_the_schedule(multigrid_cfg, seen, name):
    train(multigrid_cfg(name, "whole"))
    assert seen == [shape for epoch in RUNS[name][1] for shape in epoch]


def test_run_follows_both_schedules_and_resumes_in_mid_cycle(multigrid_cfg, seen):
    whole = train(multigrid_cfg("both", "whole"))
    epochs = RUNS["both"][1]
    assert seen == [shape for epoch in epochs for shape in epoch]
    seen.clear()
    seen.stop_after = len(epochs[0]) + 2  # two steps into the second epoch
    cfg = multigrid_cfg("both", "stopped")
    with pytest.raises(Interrupted):
        train(cfg)
    assert len(seen) == seen.stop_after
    resumed = train(cfg)
    assert seen == [shape for epoch in epochs for shape in epoch]
    assert_same_weights(resumed.model.state_dict(), whole.model.state_dict())
    for ours, theirs in zip(resumed.models, whole.models, strict=True):
        assert_same_weights(ours.state_dict(), theirs.state_dict())


def test_run_resumes_from_the_checkpoint_at_the_end_of_a_phase(multigrid_cfg, seen, tmp_path):
    """There the batch norm changes from 4 parts of the batch to the whole."""
    whole = train(multigrid_cfg("both", "whole"))
    names = [path.name for path in sorted((tmp_path / "whole/checkpoints").glob("*_epoch_*"))]
    assert names == [f"checkpoint_epoch_0000{number}.pyth" for number in (3, 5, 6)]
    state = files.load(tmp_path / "whole/checkpoints" / names[0])
    (tmp_path / "killed/checkpoints").mkdir(parents=True)
    files.save(tmp_path / "killed/checkpoints" / names[0], state)
    seen.clear()
    resumed = train(multigrid_cfg("both", "killed"))
    assert seen == WHOLE_CYCLE * 9
    assert_same_weights(resumed.model.state_dict(), whole.model.state_dict())


def log_lines(folder):
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def test_two_processes_do_what_one_does(run_net_in_two, toy_yaml, options, multigrid_cfg, tmp_path):
    """2 clips share statistics: 4 parts in one process are 2 in each of two, 1 is sync batch norm.

    The learning rate is small, as otherwise the order of additions matters after few steps.
    """
    more = ["TRAIN.BATCH_SIZE", 2, "MULTIGRID.BN_BASE_SIZE", 2, "SOLVER.BASE_LR", 1e-6]
    more += ["SOLVER.WARMUP_START_LR", 0.0, "MODEL.DROPOUT_RATE", 0.0, "TEST.ENABLE", False]
    train(multigrid_cfg("both", "one", *more))
    run_net_in_two("--cfg", toy_yaml, *options("both", "two"), *more)
    for kind in ("sub_batchnorm 2", "sync_batchnorm 2"):
        assert kind in (tmp_path / "two/stdout.log").read_text()
    one, two = log_lines(tmp_path / "one"), log_lines(tmp_path / "two")
    for kind in ("train_iter", "val_epoch"):
        losses = [[line["loss"] for line in log if line["_type"] == kind] for log in (one, two)]
        assert losses[1] == pytest.approx(losses[0], abs=1e-4)


def test_log_counts_steps_and_rates_of_each_phase(multigrid_cfg, tmp_path):
    train(multigrid_cfg("both", "run"))
    lines = log_lines(tmp_path / "run")
    steps = [line for line in lines if line["_type"] == "train_iter"]
    assert [line["iter"] for line in steps[:4]] == ["1/4", "2/4", "3/4", "4/4"]
    assert steps[-1]["epoch"] == "6/6" and steps[-1]["iter"] == "9/9"
    assert steps[-1]["eta"] == "0:00:00"
    rates = [line["lr"] for line in lines if line["_type"] == "train_epoch"]
    # 4 clips, then 1; the last phase keeps the rate for half of it, which is less than an epoch.
    assert rates == pytest.approx([0.04] * 3 + [0.01] * 2 + [0.001])
    validated = [line["epoch"] for line in lines if line["_type"] == "val_epoch"]
    assert validated == [3, 5, 6]


def test_all_batches_of_an_accumulated_step_have_its_shape(multigrid_cfg, seen):
    train(multigrid_cfg("both", "run", "TRAIN.ACCUMULATION_STEPS", 2))
    doubled = [shape for shape in SMALL_CYCLE for _ in range(2)]
    assert seen[:2] == doubled[:2] and len(seen) % 2 == 0
    assert all(first == second for first, second in zip(seen[::2], seen[1::2], strict=True))


def test_a_list_shorter_than_the_largest_step_is_refused(multigrid_cfg, tmp_path):
    lines = (tmp_path / "train.csv").read_text().splitlines()
    (tmp_path / "train.csv").write_text("\n".join(lines[:7]))
    with pytest.raises(ValueError, match="a step of epoch 1 needs 8 clips, .* holds 7 videos"):
        train(multigrid_cfg("both", "run"))
