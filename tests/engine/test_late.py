"""Steps whose sums are read one step late, as on a GPU, and skipped by the optimizer itself."""

import json
import math
import os
import signal
from pathlib import Path

import pytest
import torch
from torch import nn, optim

from slowfast.checkpoint import files
from slowfast.datasets.transforms.spatial import normalize
from slowfast.engine import run as run_module
from slowfast.engine.nonfinite import NonFiniteLoss
from slowfast.engine.state import TrainState
from slowfast.engine.step import TrainStep
from slowfast.engine.train import train
from slowfast.runtime.stop import Interrupted, StopRequest
from slowfast.runtime.unreadable import UnreadableVideos
from slowfast.solver import optimizer as optimizer_module
from slowfast.solver.ema import ModelEma
from slowfast.solver.fused import begin_momentum

OPTIMIZERS = {
    "sgd": lambda params: optim.SGD(params, lr=0.1, momentum=0.9),
    "fused sgd": lambda params: optim.SGD(params, lr=0.1, momentum=0.9, fused=True),
    "fused adamw": lambda params: optim.AdamW(params, lr=0.1, fused=True),
}


class Passes:
    """The mean output of a network for a batch."""

    device = torch.device("cpu")

    def __call__(self, network, batch, place):
        def forward():
            loss = network(batch["x"]).mean()
            return loss, {"loss": 4 * loss.detach().double()}

        return [forward], 4


def batch(value):
    x = torch.linspace(1, 2, 8).view(4, 2) * value
    return {"x": x, "failures": [], "damaged": [], "indices": torch.tensor([], dtype=torch.int64)}


def late_step(make_optimizer, *, is_scaled=False, **options):
    torch.manual_seed(0)
    model = nn.Linear(2, 1)
    optimizer = make_optimizer(model.parameters())
    begin_momentum(optimizer)
    scaler = torch.amp.GradScaler("cpu", enabled=is_scaled)
    state = TrainState(model, optimizer, scaler, ema=ModelEma(model, 0.5))
    options = {"clip_value": None, "clip_norm": None, "num_late": 1, **options}
    return state, TrainStep(state, model, Passes(), UnreadableVideos([]), **options)


def values(state):
    momenta = [v for each in state.optimizer.state.values() for v in each.values()]
    return [t.clone() for t in [*state.model.state_dict().values(), *momenta] if t is not None]


@pytest.mark.parametrize("is_scaled", [False, True])
@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("clip_norm", [None, 1.0])
def test_a_step_that_is_not_finite_leaves_weights_and_momenta_alone(name, is_scaled, clip_norm):
    state, step = late_step(OPTIMIZERS[name], is_scaled=is_scaled, clip_norm=clip_norm)
    step([batch(1.0)], lr=0.1, stop=StopRequest())
    before = values(state)
    step([batch(math.inf)], lr=0.1, stop=StopRequest())
    assert not step.settle()
    with pytest.raises(NonFiniteLoss, match="epoch 1, step 2: first in the output of model"):
        step([batch(1.0)], lr=0.1, stop=StopRequest())
    assert all(torch.equal(*pair) for pair in zip(before, values(state), strict=True))


def test_a_first_step_that_scaling_skips_leaves_no_rubbish_in_the_momentum():
    # The first step of float16 has often gradients that are too large for its scale.
    state, step = late_step(OPTIMIZERS["fused sgd"], is_scaled=True)
    state.model.weight.register_hook(lambda grad: grad * (math.inf if state.step == 0 else 1))
    for _ in range(2):
        step([batch(1.0)], lr=0.1, stop=StopRequest())
    (momentum, _) = (each["momentum_buffer"] for each in state.optimizer.state.values())
    torch.testing.assert_close(momentum, batch(1.0)["x"].mean(0, keepdim=True))


def test_sums_come_one_step_late_and_count_once():
    state, step = late_step(OPTIMIZERS["sgd"])
    assert step([batch(1.0)], lr=0.1, stop=StopRequest()) == []
    assert step.settle() and state.sums.count == 4  # for a save
    (first,) = step([batch(2.0)], lr=0.2, stop=StopRequest())
    (second,) = step.flush()
    assert (first.number, first.lr, second.number, second.lr) == (1, 0.1, 2, 0.2)
    assert state.sums.count == 8 and step.flush() == []
    assert state.sums.values["loss"] == first.sums.values["loss"] + second.sums.values["loss"]


@pytest.mark.parametrize("kind", [optim.SGD, optim.Adam, optim.AdamW])
@pytest.mark.parametrize("is_fused", [True, False])
def test_fused_and_plain_optimizers_go_on_with_each_other(kind, is_fused):
    options = {"momentum": 0.9} if kind is optim.SGD else {}
    x = torch.linspace(1, 2, 8).view(4, 2)

    def steps(model, optimizer, count):
        for _ in range(count):
            optimizer.zero_grad()
            model(x).square().mean().backward()
            optimizer.step()

    torch.manual_seed(0)
    whole = nn.Linear(2, 1)
    parts = nn.Linear(2, 1)
    parts.load_state_dict(whole.state_dict())
    steps(whole, kind(whole.parameters(), lr=0.1, **options), 4)
    first = kind(parts.parameters(), lr=0.1, fused=is_fused, **options)
    steps(parts, first, 2)
    second = kind(parts.parameters(), lr=0.1, fused=not is_fused, **options)
    names = optimizer_module.parameter_names(first, parts)
    optimizer_module.load_state_by_name(second, parts, first.state_dict(), names)
    steps(parts, second, 2)
    torch.testing.assert_close(parts.weight, whole.weight)


def test_fused_sgd_takes_over_the_momentum_of_some_parameters():
    model = nn.Linear(2, 1)
    optimizer = optim.SGD(model.parameters(), lr=0.1, momentum=0.5, fused=True)
    saved = {"state": {0: {"momentum_buffer": torch.ones(1, 2)}}}
    optimizer_module.load_state_by_name(optimizer, model, saved, ["weight"])
    model(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    assert optimizer.state[model.weight]["momentum_buffer"].tolist() == [[1.5, 1.5]]
    assert optimizer.state[model.bias]["momentum_buffer"].item() == 1


@pytest.mark.parametrize("saved", [torch.contiguous_format, torch.channels_last_3d])
def test_a_momentum_takes_the_layout_of_its_weight(saved):
    weight = nn.Parameter(torch.ones(2, 3, 3, 3, 3).contiguous(memory_format=saved))
    model = nn.ParameterDict({"weight": weight})
    momentum = torch.arange(162.0).view(2, 3, 3, 3, 3)
    optimizer = optim.SGD([weight], lr=1.0, momentum=1.0, fused=True)
    state = {"state": {0: {"momentum_buffer": momentum.clone()}}}
    optimizer_module.load_state_by_name(optimizer, model, state, ["weight"])
    weight.sum().backward()
    optimizer.step()
    assert optimizer.state[weight]["momentum_buffer"].stride() == weight.stride()
    torch.testing.assert_close(weight, -momentum, check_stride=False)


def test_normalisation_by_tensors_is_that_by_lists():
    clips = torch.arange(24, dtype=torch.uint8).view(3, 2, 2, 2)
    mean, std = [0.1, 0.2, 0.3], [1.0, 0.5, 0.25]
    by_tensors = normalize(clips, torch.tensor(mean), torch.tensor(std))
    assert torch.equal(by_tensors, normalize(clips, mean, std))


@pytest.fixture
def late(monkeypatch):
    """Runs like on a GPU: fused optimizers, sums one step late."""
    monkeypatch.setattr(run_module, "steps_late", lambda _device: 1)
    monkeypatch.setattr(optimizer_module, "is_fused", lambda *_args, **_keys: True)


def logged(cfg):
    lines = map(json.loads, (Path(cfg.OUTPUT_DIR) / "log.jsonl").read_text().splitlines())
    names = ("_type", "epoch", "iter", "loss", "top1_acc", "lr", "grad_norm")
    return [{n: line[n] for n in names if n in line} for line in lines]


@pytest.mark.slow
def test_lines_are_those_of_the_same_steps(toy_cfg, tmp_path, monkeypatch):
    options = ["SOLVER.CLIP_GRAD_L2NORM", 1.0, "TRAIN.BATCH_SIZE", 2, "TRAIN.EMA_DECAY", 0.5]
    plain = toy_cfg(*options, "OUTPUT_DIR", tmp_path / "plain")
    averages = [train(plain).ema.module.state_dict()]
    monkeypatch.setattr(run_module, "steps_late", lambda _device: 1)
    cfg = toy_cfg(*options, "OUTPUT_DIR", tmp_path / "late")
    averages.append(train(cfg).ema.module.state_dict())
    assert logged(cfg) == logged(plain) and len(logged(cfg)) == 12
    assert all(torch.equal(averages[0][name], averages[1][name]) for name in averages[0])


@pytest.mark.slow
def test_a_late_run_that_is_stopped_goes_on_as_if_it_had_not(late, toy_cfg, tmp_path, monkeypatch):
    options = ["TRAIN.BATCH_SIZE", 2, "SOLVER.MAX_EPOCH", 2]
    whole = toy_cfg(*options, "OUTPUT_DIR", tmp_path / "whole")
    expected = train(whole).model.state_dict()
    cfg = toy_cfg(*options, "OUTPUT_DIR", tmp_path / "stopped")
    step = TrainStep._update

    def signalled(self, is_finite):
        if self._state.step == 1 and self._state.epoch == 1:
            os.kill(os.getpid(), signal.SIGTERM)
        return step(self, is_finite)

    with monkeypatch.context() as patch:
        patch.setattr(TrainStep, "_update", signalled)
        with pytest.raises(Interrupted):
            train(cfg)
    saved = files.load(files.interrupted_path(cfg.OUTPUT_DIR))
    assert saved["sums"]["count"] == 2 * saved["step"] > 0
    found = train(cfg).model.state_dict()
    assert all(torch.equal(found[name], value) for name, value in expected.items())
    assert logged(cfg) == logged(whole)


def _stop_one_of_two(rank, folder, cfg):
    """Train late until the second process is asked to stop in its second step."""
    update = TrainStep._update

    def signalled(self, is_finite):
        if rank == 1 and self._state.step == 1:
            os.kill(os.getpid(), signal.SIGTERM)
        return update(self, is_finite)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run_module, "steps_late", lambda _device: 1)
        patch.setattr(TrainStep, "_update", signalled)
        with pytest.raises(Interrupted) as stopped:
            train(cfg)
    (folder / f"stopped_{rank}").write_text(str(stopped.value.code))


@pytest.mark.slow
def test_late_processes_stop_after_the_same_step(run_in_two, toy_cfg, tmp_path):
    options = ["DDP.BUCKET_VIEW", True, "DDP.STATIC_GRAPH", True, "DDP.GRADIENTS", "bfloat16"]
    cfg = toy_cfg("TRAIN.BATCH_SIZE", 2, "SOLVER.MAX_EPOCH", 2, *options)
    run_in_two(_stop_one_of_two, tmp_path, cfg)
    assert [(tmp_path / f"stopped_{rank}").read_text() for rank in (0, 1)] == ["143", "143"]
    assert files.load(files.interrupted_path(cfg.OUTPUT_DIR))["sums"]["count"] == 8
    lines = map(json.loads, (Path(cfg.OUTPUT_DIR) / "log.jsonl").read_text().splitlines())
    steps = [line for line in lines if line["_type"] == "train_iter"]
    assert [line["iter"] for line in steps] == ["1/4", "2/4", "3/4", "4/4"]
    # The first one cannot say yet how long it took.
    assert all(line["rank_min"] <= line["rank_max"] for line in steps[1:])
    assert "slowest_rank" not in steps[0]


def test_loaded_momenta_do_not_share_memory_with_the_checkpoint():
    model = nn.Linear(2, 2, bias=False)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    saved = {"state": {0: {"momentum_buffer": torch.ones(2, 2)}}}
    optimizer_module.load_state_by_name(optimizer, model, saved, ["weight"])
    optimizer.state[model.weight]["momentum_buffer"].zero_()
    assert saved["state"][0]["momentum_buffer"].eq(1).all()
