"""A run that was stopped ends, once resumed, with the weights of one that was not."""

import os
import signal
import sys

import pytest
import torch

from slowfast.checkpoint import files
from slowfast.engine.train import train
from tests.helpers.processes import start_tool, wait_until
from tests.helpers.slow import slow
from tools import run_net


@pytest.mark.slow
@pytest.mark.parametrize("signum, num_workers", [(signal.SIGINT, 0), (signal.SIGTERM, 2)])
def test_stopped_and_resumed_run_ends_with_the_same_weights(
    run_tool, toy_yaml, toy_cfg, tmp_path, signum, num_workers
):
    options = ["DATA_LOADER.NUM_WORKERS", num_workers, "SOLVER.MAX_EPOCH", 4, "TRAIN.BATCH_SIZE", 2]
    options += ["TRAIN.EVAL_PERIOD", 2]
    expected = train(toy_cfg(*options, "OUTPUT_DIR", tmp_path / "whole")).model.state_dict()
    options += ["OUTPUT_DIR", tmp_path / "stopped"]
    words = ["--cfg", toy_yaml, "TEST.ENABLE", "False", *options]
    stopped, log = start_tool("run_net.py", *words), tmp_path / "stopped/log.jsonl"
    second = '"epoch": "2/4", "iter": "2/4"'
    wait_until(lambda: log.exists() and second in log.read_text(), stopped)
    stopped.send_signal(signum)
    output = stopped.communicate()[0]
    assert stopped.returncode == 128 + signum, output
    assert "the same command goes on from here" in output
    assert run_tool(run_net, *words)[0] == 0
    assert "resumed from" in (tmp_path / "stopped/stdout.log").read_text()

    found = files.load(files.last_checkpoint(tmp_path / "stopped"))
    assert found["epoch"] == 3
    for name, value in expected.items():
        assert torch.equal(found["model_state"][name], value), name
    assert not (tmp_path / "stopped/checkpoints/checkpoint_interrupted.pyth").exists()


@pytest.mark.slow
def test_run_resumed_after_any_epoch_ends_with_the_same_weights(toy_cfg, tmp_path):
    """Also from a checkpoint of PySlowFast's kind of period: the epochs since it are done again."""
    whole = train(toy_cfg("SOLVER.MAX_EPOCH", 4, "OUTPUT_DIR", tmp_path / "whole"))
    kept = tmp_path / "killed" / "checkpoints" / "checkpoint_epoch_00002.pyth"
    kept.parent.mkdir(parents=True)
    kept.write_bytes((tmp_path / "whole/checkpoints/checkpoint_epoch_00002.pyth").read_bytes())
    resumed = train(toy_cfg("SOLVER.MAX_EPOCH", 4, "OUTPUT_DIR", tmp_path / "killed"))
    for name, value in whole.model.state_dict().items():
        assert torch.equal(resumed.model.state_dict()[name], value), name
    assert [row["epoch"] for row in resumed.history] == [1, 2, 3, 4]


def _signal_at_call(monkeypatch, name, number):
    """Let the `number`-th call of the function `name` begin with Ctrl-C."""
    module, _, attribute = name.rpartition(".")
    original, calls = getattr(sys.modules[module], attribute), []

    def call(*args, **kwargs):
        calls.append(1)
        if len(calls) == number:
            os.kill(os.getpid(), signal.SIGINT)
        return original(*args, **kwargs)

    monkeypatch.setattr(name, call)


ADAPTIVE = ["ADAPTIVE.ENABLE", True, "ADAPTIVE.FRAMES", [2, 4], "ADAPTIVE.CROPS", [32]]
ADAPTIVE += ["VOV3D.INNER_CH", 16, "TRAIN.BATCH_SIZE", 2]
FIRST_STEP = ("slowfast.engine.step.clip_gradients", 3)  # of the second epoch
LAST_STEP = ("slowfast.engine.step.clip_gradients", 4)
PRECISE_BN = ("slowfast.engine.epoch.update_bn_stats", 2)
VALIDATION = ("slowfast.engine.train.validate", 2)
MORE_STOPS = [
    (VALIDATION, []),
    (PRECISE_BN, []),
    (FIRST_STEP, ["TRAIN.MIXED_PRECISION", True]),
    (FIRST_STEP, ["TRAIN.EMA_DECAY", 0.9]),
    (FIRST_STEP, ["TRAIN.ACCUMULATION_STEPS", 2, "TRAIN.BATCH_SIZE", 2]),
    (FIRST_STEP, ["BN.NORM_TYPE", "sub_batchnorm", "BN.NUM_SPLITS", 2]),
    (PRECISE_BN, ["MODEL.DROPCONNECT_RATE", 0.5]),
    (FIRST_STEP, ["MIXUP.ENABLE", True, "AUG.ENABLE", True]),
    (FIRST_STEP, ["DATA.SAMPLER", "balanced", "TRAIN.CLASS_WEIGHTS", "[1, 2, 3]"]),
    (FIRST_STEP, [*ADAPTIVE, "TRAIN.EMA_DECAY", 0.9, "TRAIN.ACCUMULATION_STEPS", 2]),
    (LAST_STEP, [*ADAPTIVE, "TRAIN.MIXED_PRECISION", True]),
]


@pytest.mark.slow
@pytest.mark.parametrize(
    "place, options",
    [
        (FIRST_STEP, []),
        *slow(MORE_STOPS),
    ],
)
def test_stopped_anywhere_the_run_goes_on_as_if_it_had_not(
    toy_cfg, tmp_path, monkeypatch, place, options
):
    num_epochs = 2 if options else 3
    options = [*options, "SOLVER.CLIP_GRAD_L2NORM", 10.0, "SOLVER.MAX_EPOCH", num_epochs]
    options += ["BN.USE_PRECISE_STATS", True, "BN.NUM_BATCHES_PRECISE", 2]
    whole = train(toy_cfg(*options, "OUTPUT_DIR", tmp_path / "whole"))
    with monkeypatch.context() as patch:
        _signal_at_call(patch, *place)
        with pytest.raises(SystemExit) as stopped:
            train(toy_cfg(*options, "OUTPUT_DIR", tmp_path / "stopped"))
    assert stopped.value.code == 128 + signal.SIGINT
    resumed = train(toy_cfg(*options, "OUTPUT_DIR", tmp_path / "stopped"))
    for model, expected in zip(resumed.models, whole.models, strict=True):
        for name, value in expected.state_dict().items():
            assert torch.equal(model.state_dict()[name], value), name
    for row, expected in zip(resumed.history, whole.history, strict=True):
        for key in expected.keys() - {"train_seconds"}:
            assert row[key] == pytest.approx(expected[key], rel=1e-9), key
    lines = (tmp_path / "stopped/log.jsonl").read_text().splitlines()
    assert sum('"train_epoch"' in line for line in lines) == num_epochs


@pytest.mark.slow
def test_a_run_stopped_before_sums_had_names_goes_on(toy_cfg, tmp_path, monkeypatch):
    options = ["SOLVER.MAX_EPOCH", 1, "SOLVER.CLIP_GRAD_L2NORM", 10.0]
    whole = train(toy_cfg(*options, "OUTPUT_DIR", tmp_path / "whole"))
    with monkeypatch.context() as patch:
        _signal_at_call(patch, "slowfast.engine.step.clip_gradients", 1)
        with pytest.raises(SystemExit):
            train(toy_cfg(*options))
    path = files.interrupted_path(tmp_path / "run")
    content = files.load(path)
    values, count = content["sums"]["values"], content["sums"]["count"]
    hits = [values[name] / 100 for name in ("top1_acc", "top5_acc")]
    files.save(path, {**content, "sums": [values["loss"], *hits, count]})
    (row,), (expected,) = train(toy_cfg(*options)).history, whole.history
    assert {key: row[key] for key in row if key != "train_seconds"} == {
        key: expected[key] for key in expected if key != "train_seconds"
    }


@pytest.mark.slow
def test_signal_during_the_last_save_does_not_go_on_to_the_test(toy_cfg, monkeypatch):
    _signal_at_call(monkeypatch, "slowfast.engine.train.write_history", 2)
    with pytest.raises(SystemExit) as stopped:
        train(toy_cfg("SOLVER.MAX_EPOCH", 2))
    assert stopped.value.code == 128 + signal.SIGINT


@pytest.mark.slow
def test_run_without_resuming_sets_the_old_checkpoints_aside(toy_cfg, tmp_path):
    train(toy_cfg("SOLVER.MAX_EPOCH", 3))
    train(toy_cfg("SOLVER.MAX_EPOCH", 1, "TRAIN.AUTO_RESUME", False, "TRAIN.KEEP_CHECKPOINTS", 1))
    assert files.last_checkpoint(tmp_path / "run").name == "checkpoint_epoch_00001.pyth"
    assert (tmp_path / "run/checkpoints_1/checkpoint_epoch_00003.pyth").exists()


def _assert_kind_is_refused(cfg, now, before):
    with pytest.raises(ValueError, match=rf"ADAPTIVE.ENABLE: {now}, but .* has {before}\n.*anew"):
        train(cfg)


@pytest.mark.slow
def test_a_finished_adaptive_run_is_not_taken_for_a_plain_one(toy_cfg):
    train(toy_cfg(*ADAPTIVE, "SOLVER.MAX_EPOCH", 1))
    plain = toy_cfg(*ADAPTIVE, "SOLVER.MAX_EPOCH", 1, "ADAPTIVE.ENABLE", False)
    _assert_kind_is_refused(plain, False, True)


@pytest.mark.slow
def test_a_stopped_plain_run_does_not_go_on_as_an_adaptive_one(toy_cfg, monkeypatch):
    options = [*ADAPTIVE, "SOLVER.CLIP_GRAD_L2NORM", 10.0]
    with monkeypatch.context() as patch:
        _signal_at_call(patch, *FIRST_STEP)
        with pytest.raises(SystemExit):
            train(toy_cfg(*options, "ADAPTIVE.ENABLE", False))
    _assert_kind_is_refused(toy_cfg(*options), True, False)


@pytest.mark.slow
@pytest.mark.parametrize("text", [None, "", "MODEL:\n  WIDTH: 1.0\n"])
def test_a_checkpoint_that_does_not_say_whether_it_is_adaptive_is_plain(toy_cfg, tmp_path, text):
    options = [*ADAPTIVE, "SOLVER.MAX_EPOCH", 1]
    plain = toy_cfg(*options, "ADAPTIVE.ENABLE", False)
    train(plain)
    path = files.last_checkpoint(tmp_path / "run")
    content = files.load(path)
    del content["cfg"]
    files.save(path, content if text is None else {**content, "cfg": text})
    assert train(plain).epoch == 1
    _assert_kind_is_refused(toy_cfg(*options), True, False)
