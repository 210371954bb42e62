"""The resume contract of docs/train.md: what may change between a stop and the next start."""

import json
import logging
import os
import signal
from collections import Counter

import pytest
import torch

from slowfast.checkpoint import files
from slowfast.checkpoint.files import CheckpointError
from slowfast.config.defaults import get_cfg
from slowfast.config.node import flatten
from slowfast.datasets.clip_dataset import ClipDataset
from slowfast.engine.epoch import train_epoch
from slowfast.engine.resume import check_changes, check_content, find_changes
from slowfast.engine.run import build_run
from slowfast.engine.state import TrainState
from slowfast.engine.train import train

DEFAULTS = dict(flatten(get_cfg()))
FREE, LOGGED, NEVER, BETWEEN = "free", "logged", "never", "between epochs"
TABLE = [
    ("SOLVER.MAX_EPOCH", 7, LOGGED),
    ("DATA_LOADER.NUM_WORKERS", 3, FREE),
    ("LOG_PERIOD", 7, FREE),
    ("TRAIN.CHECKPOINT_PERIOD", 7, FREE),
    ("TRAIN.CHECKPOINT_MINUTES", 7.0, FREE),
    ("TRAIN.EVAL_PERIOD", 7, FREE),
    ("TRAIN.PATIENCE", 7, FREE),
    ("OUTPUT_DIR", "other", FREE),
    ("NUM_GPUS", 4, FREE),
    ("NUM_SHARDS", 2, FREE),
    ("TEST.BATCH_SIZE", 3, FREE),
    ("DATA.PATH_TO_DATA_DIR", "moved", FREE),
    ("SOLVER.BASE_LR", 0.7, LOGGED),
    ("SOLVER.WEIGHT_DECAY", 0.7, LOGGED),
    ("SOLVER.MOMENTUM", 0.7, LOGGED),
    ("SOLVER.HEAD_LR_FACTOR", 7.0, LOGGED),
    ("TRAIN.EMA_DECAY", 0.7, LOGGED),
    ("TRAIN.MIXED_PRECISION", True, LOGGED),
    ("TRAIN.BATCH_SIZE", 7, LOGGED),
    ("TRAIN.ACCUMULATION_STEPS", 7, LOGGED),
    ("AUG.ENABLE", True, LOGGED),
    ("MIXUP.ALPHA", 0.7, LOGGED),
    ("SOLVER.OPTIMIZING_METHOD", "adamw", NEVER),
    ("MODEL.MODEL_NAME", "X3D", NEVER),
    ("MODEL.NUM_CLASSES", 7, NEVER),
    ("X3D.SWISH_INNER", False, NEVER),
    ("RESNET.SPATIAL_STRIDES", [[1], [1], [1], [1]], NEVER),
    ("TRAIN.DATASET", "folder", NEVER),
    ("ADAPTIVE.ENABLE", True, NEVER),
    ("RNG_SEED", 7, BETWEEN),
    ("MULTIGRID.SHORT_CYCLE", True, BETWEEN),
    ("DATA.SAMPLER", "balanced", BETWEEN),
]


@pytest.mark.parametrize("key, value, kind", TABLE)
@pytest.mark.parametrize("in_epoch", [True, False])
def test_each_key_is_free_logged_or_refused(tmp_path, caplog, key, value, kind, in_epoch):
    changes = find_changes(DEFAULTS, {**DEFAULTS, key: value})
    if kind == NEVER or kind == BETWEEN and in_epoch:
        with pytest.raises(ValueError, match=f"(?s){key}: .* cannot go on"):
            check_changes(changes, tmp_path, in_epoch=in_epoch)
        return
    check_changes(changes, tmp_path, in_epoch=in_epoch)
    said = f"{key} {DEFAULTS[key]!r} -> {value!r}" in caplog.text
    assert said == (kind != FREE)


def test_a_list_is_no_other_value_than_a_tuple():
    assert not find_changes({"SOLVER.BETAS": [0.9, [1]]}, {"SOLVER.BETAS": (0.9, (1,))})


def stop_after(run, num_steps):
    """Let a run be asked to stop after so many steps."""
    calls = []

    class Stopping(type(run.train_step)):
        def __call__(self, *args, **kwargs):
            calls.append(1)
            if len(calls) == num_steps:
                os.kill(os.getpid(), signal.SIGTERM)
            return super().__call__(*args, **kwargs)

    run.train_step.__class__ = Stopping


def train_noting_clips(rank, cfg, folder, num_steps):
    """Train until a stop after `num_steps` (None: all); add each clip to a file of the process."""
    original = ClipDataset.__getitem__

    def noted(self, key):
        if self.replace_unreadable:
            with open(folder / f"clips_{rank}", "a") as file:
                file.write(f"{key[0]} {key[1]}\n")
        return original(self, key)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ClipDataset, "__getitem__", noted)
        if num_steps is not None:

            def built(cfg):
                run = build_run(cfg)
                stop_after(run, num_steps)
                return run

            patch.setattr("slowfast.engine.train.build_run", built)
        try:
            train(cfg)
        except SystemExit as stopped:
            assert num_steps is not None and stopped.code == 128 + signal.SIGTERM


BASE = ["SOLVER.MAX_EPOCH", 2, "BN.USE_PRECISE_STATS", False, "MODEL.FROZEN_BN", True]
BASE += ["TRAIN.EVAL_PERIOD", 2, "LOG_PERIOD", 1, "MODEL.DROPOUT_RATE", 0.0]


def clips_of(folder):
    rows = [line.split() for path in folder.glob("clips_*") for line in path.open()]
    return Counter((int(epoch), int(index)) for epoch, index in rows)


@pytest.mark.slow
@pytest.mark.parametrize(
    "first, steps, second",
    [((2, 1), 2, (4, 1)), ((4, 1), 1, (2, 1)), ((2, 1), 2, (2, 2)), ((2, 2), 1, (4, 1))],
)
def test_steps_of_another_size_see_the_rest_of_the_epoch(toy_cfg, tmp_path, first, steps, second):
    """Batches and accumulation; here no clips are left over that do not fill a step."""
    sizes = [["TRAIN.BATCH_SIZE", b, "TRAIN.ACCUMULATION_STEPS", a] for b, a in (first, second)]
    cfgs = [toy_cfg(*BASE, *size, "SOLVER.BASE_LR_SCALE_NUM_SHARDS", False) for size in sizes]
    train_noting_clips(0, cfgs[0], tmp_path, steps)
    train_noting_clips(0, cfgs[1], tmp_path, None)
    assert clips_of(tmp_path) == {(epoch, clip): 1 for epoch in (0, 1) for clip in range(8)}
    lines = map(json.loads, (tmp_path / "run/log.jsonl").open())
    rates = [line["lr"] for line in lines if line["_type"] == "train_iter"]
    assert rates == sorted(rates, reverse=True)  # a cosine without warm-up


@pytest.mark.slow
@pytest.mark.parametrize("before, after", [(2, 1), (1, 2), (2, 4), (4, 1)])
def test_the_rest_of_an_epoch_on_another_number_of_processes(
    run_in_group, toy_cfg, tmp_path, before, after
):
    """The batch of a machine stays: weights are those of a run that was not stopped."""
    options = [*BASE, "TRAIN.BATCH_SIZE", 4]
    whole = train(toy_cfg(*options, "OUTPUT_DIR", tmp_path / "whole")).model.state_dict()
    cfg = toy_cfg(*options)
    run_in_group(before, train_noting_clips, cfg, tmp_path, 1)
    run_in_group(after, train_noting_clips, cfg, tmp_path, None)
    assert clips_of(tmp_path) == {(epoch, clip): 1 for epoch in (0, 1) for clip in range(8)}
    found = files.load(files.last_checkpoint(tmp_path / "run"))["model_state"]
    for name, value in whole.items():
        torch.testing.assert_close(found[name], value, rtol=1e-5, atol=1e-5)


@pytest.mark.slow
def test_a_global_batch_gives_the_weights_of_the_same_batch_without(toy_cfg, tmp_path):
    whole = train(toy_cfg(*BASE, "TRAIN.BATCH_SIZE", 4)).model.state_dict()
    parts = ["TRAIN.BATCH_SIZE", 2, "TRAIN.GLOBAL_BATCH_SIZE", 4, "OUTPUT_DIR", tmp_path / "parts"]
    for name, value in train(toy_cfg(*BASE, *parts)).model.state_dict().items():
        torch.testing.assert_close(value, whole[name], rtol=1e-5, atol=1e-5)


def test_a_global_batch_that_is_no_multiple_is_refused(toy_cfg):
    with pytest.raises(ValueError, match="TRAIN.GLOBAL_BATCH_SIZE: 6 is not a multiple of 4"):
        train(toy_cfg("TRAIN.BATCH_SIZE", 4, "TRAIN.GLOBAL_BATCH_SIZE", 6))


@pytest.fixture
def stopped(toy_cfg, tmp_path):
    """OUTPUT_DIR of a run that was stopped in its second epoch, after one step."""
    train_noting_clips(0, toy_cfg(*BASE, "TRAIN.BATCH_SIZE", 2), tmp_path, 5)
    return tmp_path / "run"


@pytest.mark.slow
def test_another_list_is_refused_in_an_epoch(stopped, toy_cfg, toy_set, tmp_path):
    rows = (toy_set / "train.csv").read_text().splitlines()
    lists = tmp_path / "lists"
    lists.mkdir()
    for split in ("train", "val", "test"):
        (lists / f"{split}.csv").write_text("\n".join(rows[:-1]))
    paths = ["DATA.PATH_TO_DATA_DIR", lists, "DATA.PATH_PREFIX", toy_set]
    with pytest.raises(ValueError, match="the training list is another one"):
        train(toy_cfg(*BASE, "TRAIN.BATCH_SIZE", 2, *paths))


@pytest.mark.slow
def test_the_optimizer_takes_new_values_and_keeps_its_momentum(stopped, toy_cfg, caplog):
    changed = ["SOLVER.WEIGHT_DECAY", 0.125, "SOLVER.MOMENTUM", 0.5, "SOLVER.HEAD_LR_FACTOR", 2.0]
    run = build_run(toy_cfg(*BASE, "TRAIN.BATCH_SIZE", 2, *changed))
    groups = run.state.optimizer.param_groups
    assert {group["momentum"] for group in groups} == {0.5}
    assert 0.125 in {group["weight_decay"] for group in groups}
    assert [group["lr_factor"] for group in groups if "lr_factor" in group] == [2.0]
    saved = files.load(files.interrupted_path(stopped))
    first = saved["optimizer_state"]["state"][0]["momentum_buffer"]
    parameter = dict(run.state.model.named_parameters())[saved["optimizer_names"][0]]
    assert torch.equal(run.state.optimizer.state[parameter]["momentum_buffer"], first)
    assert "SOLVER.HEAD_LR_FACTOR 1.0 -> 2.0" in caplog.text


@pytest.mark.slow
def test_a_moving_average_can_begin_later_and_end_earlier(stopped, toy_cfg, caplog):
    state = train(toy_cfg(*BASE, "TRAIN.BATCH_SIZE", 2, "TRAIN.EMA_DECAY", 0.5))
    assert state.ema.num_updates == 3 and "moving average begins" in caplog.text
    assert train(toy_cfg(*BASE, "SOLVER.MAX_EPOCH", 3, "TRAIN.BATCH_SIZE", 2)).ema is None


def damage(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.slow
def test_a_damaged_last_checkpoint_gives_way_to_an_earlier_one(toy_cfg, tmp_path, caplog):
    options = [*BASE, "TRAIN.BATCH_SIZE", 2, "SOLVER.MAX_EPOCH", 3]
    whole = train(toy_cfg(*options)).model.state_dict()
    for epoch in (1, 2):
        damage(files.checkpoint_path(tmp_path / "run", epoch))
    again = train(toy_cfg(*options))
    for name, value in again.model.state_dict().items():
        assert torch.equal(value, whole[name]), name
    for epoch in (2, 3):
        assert f"checkpoint_epoch_0000{epoch}.pyth: is damaged" in caplog.text
    assert "going on from" in caplog.text and "checkpoint_epoch_00001.pyth" in caplog.text


@pytest.mark.slow
def test_damage_of_every_checkpoint_ends_the_run(toy_cfg, tmp_path):
    train(toy_cfg(*BASE, "SOLVER.MAX_EPOCH", 1))
    damage(files.checkpoint_path(tmp_path / "run", 0))
    with pytest.raises(CheckpointError, match="No other checkpoint of this run is whole"):
        train(toy_cfg(*BASE))


@pytest.mark.parametrize("part", ["model_state", "optimizer_state"])
def test_a_checkpoint_with_numbers_that_are_not_finite_is_not_whole(tmp_path, part):
    model = torch.nn.Linear(2, 2)
    optimizer = torch.optim.SGD(model.parameters(), momentum=0.9)
    model(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    state = TrainState(model, optimizer, torch.amp.GradScaler(enabled=False)).state_dict("")
    check_content(state, "a.pyth")
    next(files.tensors(state[part]))[1][0] = float("nan")
    with pytest.raises(CheckpointError, match=f"a.pyth: 1 of .* NaN .* in all: {part}"):
        check_content(state, "a.pyth")


@pytest.mark.slow
@pytest.mark.parametrize(
    "change, named",
    [
        ({"history": None}, "history is NoneType"),
        ({"epoch": "2"}, "epoch is str"),
        ({"epoch": -5}, "epoch -5"),
        ({"history": ["a row"]}, "history is no list of rows"),
        ({"optimizer_state": []}, "optimizer_state is list"),
    ],
)
def test_odd_contents_are_named_in_one_line(toy_cfg, tmp_path, change, named):
    train(toy_cfg(*BASE, "SOLVER.MAX_EPOCH", 1))
    path = files.checkpoint_path(tmp_path / "run", 0)
    files.save(path, {**files.load(path), **change})
    with pytest.raises(CheckpointError, match=f"00001.pyth: is no checkpoint .*{named}"):
        train(toy_cfg(*BASE))


@pytest.mark.slow
def test_a_best_epoch_by_another_metric_is_no_obstacle(toy_cfg, tmp_path):
    options = [*BASE, "TRAIN.EVAL_PERIOD", 1]
    train(toy_cfg(*options, "SOLVER.MAX_EPOCH", 1))
    path = files.checkpoint_path(tmp_path / "run", 0)
    files.save(path, {**files.load(path), "best": {"epoch": 1, "map": 5.0}})
    assert train(toy_cfg(*options)).best["epoch"] == 2


@pytest.mark.slow
def test_a_signal_saves_in_mid_epoch_and_the_run_goes_on(toy_cfg, tmp_path, monkeypatch):
    cfg = toy_cfg(*BASE, "TRAIN.BATCH_SIZE", 2)
    whole = train(toy_cfg(*BASE, "TRAIN.BATCH_SIZE", 2, "OUTPUT_DIR", tmp_path / "whole"))
    run = build_run(cfg)
    with run.stop:
        os.kill(os.getpid(), signal.SIGUSR1)
        train_epoch(run, 0)
    run.writer.wait()
    saved = files.load(files.interrupted_path(tmp_path / "run"))
    assert (saved["epoch"], saved["step"], saved["samples"]) == (-1, 1, 2)
    resumed = train(cfg)
    for name, value in whole.model.state_dict().items():
        assert torch.equal(resumed.model.state_dict()[name], value), name


@pytest.mark.slow
def test_the_state_is_saved_after_some_minutes(toy_cfg, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    train(toy_cfg(*BASE, "TRAIN.BATCH_SIZE", 2, "TRAIN.CHECKPOINT_MINUTES", 1e-9))
    assert "epoch 1, step 3: the state is saved to" in caplog.text


def train_from(rank, folder, cfgs):
    train(cfgs[rank])
    torch.save(
        files.load(files.last_checkpoint(cfgs[0].OUTPUT_DIR))["model_state"], folder / f"{rank}.pt"
    )


@pytest.mark.slow
def test_a_machine_without_the_files_of_the_run_gets_its_state(run_in_group, toy_cfg, tmp_path):
    options = [*BASE, "TRAIN.BATCH_SIZE", 4]
    whole = train(toy_cfg(*options, "OUTPUT_DIR", tmp_path / "whole"))
    train(toy_cfg(*options, "SOLVER.MAX_EPOCH", 1, "OUTPUT_DIR", tmp_path / "0"))
    cfgs = [toy_cfg(*options, "OUTPUT_DIR", tmp_path / str(rank)) for rank in (0, 1)]
    run_in_group(2, train_from, tmp_path, cfgs)
    found = torch.load(tmp_path / "0.pt")
    assert whole.epoch == 2 and found.keys() == whole.model.state_dict().keys()


def train_expecting(rank, cfgs, text):
    with pytest.raises(ValueError, match=text):
        train(cfgs[rank])


@pytest.mark.slow
def test_machines_with_other_settings_end_with_the_difference(run_in_group, toy_cfg):
    cfgs = [toy_cfg("TRAIN.BATCH_SIZE", 4, "SOLVER.BASE_LR", lr) for lr in (0.1, 0.2)]
    text = r"SOLVER.BASE_LR is 0.1 in rank 0 on .*, 0.2 in rank 1 on"
    run_in_group(2, train_expecting, cfgs, text)
