"""The message of a step whose loss is not finite."""

import itertools
import math

import pytest
import torch

from slowfast.engine import run as run_module
from slowfast.engine.nonfinite import NonFiniteLoss
from slowfast.engine.train import train
from slowfast.models import build_model
from slowfast.tasks import adaptive

VIDEOS = r"videos of the batch: \S*train_\d.mp4(, \S*train_\d.mp4){3}\. "
STEM = "s1.pathway0_stem.conv"


def spoil(monkeypatch, name, is_spoilt):
    """Let a module's output be NaN where `is_spoilt(module)`."""

    def hook(module, _inputs, output):
        return output * math.nan if is_spoilt(module) else output

    def build(cfg):
        model = build_model(cfg)
        model.get_submodule(name).register_forward_hook(hook)
        return model

    monkeypatch.setattr(run_module, "build_model", build)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("is_spoilt", "number"),
    [(lambda stem: stem.width < 1, 2), (lambda stem: stem.width == 0.5, 3)],
)
def test_nan_of_a_sub_network_is_found_in_its_pass(adaptive_cfg, monkeypatch, is_spoilt, number):
    spoil(monkeypatch, STEM, is_spoilt)
    where = rf"output of {STEM} \(SlimConv3d\) in pass {number} of 3; {VIDEOS}"
    with pytest.raises(NonFiniteLoss, match=f"epoch 1, step 1: first in the {where}"):
        train(adaptive_cfg())


@pytest.mark.slow
def test_nan_of_a_loss_is_found_in_its_pass(adaptive_cfg, monkeypatch):
    monkeypatch.setattr(
        adaptive, "distillation", lambda _temperature: lambda logits, *_: logits.sum() * math.nan
    )
    with pytest.raises(NonFiniteLoss, match=f": first in the loss itself in pass 2 of 3; {VIDEOS}"):
        train(adaptive_cfg())


@pytest.mark.slow
def test_all_batches_are_done_again_as_they_were(toy_cfg, monkeypatch):
    seen = []
    spoil(monkeypatch, "head", lambda head: True)
    build = run_module.build_model

    def build_watched(cfg):
        model = build(cfg)
        model.register_forward_pre_hook(lambda _model, inputs: seen.append(inputs[0][0]))
        return model

    monkeypatch.setattr(run_module, "build_model", build_watched)
    options = ["TRAIN.BATCH_SIZE", 2, "TRAIN.ACCUMULATION_STEPS", 2, "MIXUP.ENABLE", True]
    with pytest.raises(NonFiniteLoss, match=r"first in the output of head\S* \(\w+\); videos"):
        train(toy_cfg(*options))
    first, second, *again = seen
    assert not torch.equal(first, second)
    assert all(torch.equal(*pair) for pair in zip(again, [first, second], strict=True))


def test_what_does_not_happen_again_is_said(toy_cfg, monkeypatch):
    calls = itertools.count()
    spoil(monkeypatch, "head", lambda head: next(calls) == 0)
    with pytest.raises(NonFiniteLoss, match="done again, all modules and losses .* are finite"):
        train(toy_cfg())


def _train_with_nan_in_one(rank, folder, cfg):
    calls = itertools.count()
    with pytest.MonkeyPatch.context() as patch:
        # Of two batches the first, after the last batch norm, so that the other process has no NaN.
        spoil(patch, "head", lambda head: rank == 0 and next(calls) % 2 == 0)
        with pytest.raises(NonFiniteLoss) as error:
            train(cfg)
    (folder / f"{rank}.txt").write_text(str(error.value))


@pytest.mark.slow
def test_processes_do_not_wait_for_the_one_with_nan(run_in_two, toy_cfg, tmp_path):
    options = ["BN.NORM_TYPE", "sync_batchnorm", "BN.GLOBAL_SYNC", True]
    options += ["TRAIN.BATCH_SIZE", 4, "TRAIN.ACCUMULATION_STEPS", 2]
    run_in_two(_train_with_nan_in_one, tmp_path, toy_cfg(*options))
    first, second = ((tmp_path / f"{rank}.txt").read_text() for rank in (0, 1))
    assert first == second and first.count("first in the output of head") == 1
