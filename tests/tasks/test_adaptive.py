"""The training of adaptive networks."""

import json
from unittest import mock

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from slowfast.engine import run as run_module
from slowfast.engine.state import Sums
from slowfast.engine.train import train
from slowfast.models import build_model
from slowfast.models.operating_point import build_reduce
from slowfast.models.slimmable import make_slimmable, width
from slowfast.tasks import build_task
from slowfast.tasks.adaptive import SubNetworks
from tests.helpers.slow import slow

PLAIN_HEAD = ["MODEL.DROPOUT_RATE", 0.0]


def batch_of(cfg, count=4):
    generator = torch.Generator().manual_seed(0)
    size = (count, 3, cfg.DATA.NUM_FRAMES, cfg.DATA.TRAIN_CROP_SIZE, cfg.DATA.TRAIN_CROP_SIZE)
    clips = [torch.randn(size, generator=generator, dtype=torch.float64)]
    return {"clips": clips, "labels": torch.arange(count) % cfg.MODEL.NUM_CLASSES}


def model_of(cfg):
    torch.manual_seed(0)
    model = build_model(cfg)
    for name, parameter in model.named_parameters():
        if name.endswith("weight") and parameter.ndim == 1:  # no gamma is 0, so all gradients flow
            torch.nn.init.uniform_(parameter, 0.5, 1.5)
    torch.nn.init.normal_(model.head.projection.weight, std=0.5)
    return make_slimmable(model).double().train()


def gradients_of_step(cfg, model, batch):
    """Gradients of the passes one by one, and the means of their sums."""
    passes = build_task(cfg).train_passes(
        model, batch, np.random.default_rng(0), np.random.default_rng(1)
    )
    sums = Sums(count=len(batch["labels"]))
    for forward in passes:
        loss, values = forward()
        loss.backward()
        sums.add(Sums({"loss": loss.item() * sums.count, **values}))
    return [parameter.grad for parameter in model.parameters()], sums.means()


def configurations(cfg):
    sizes = cfg.ADAPTIVE
    drawn = SubNetworks(sizes.MIN_WIDTH, sizes.NUM_RANDOM, sizes.FRAMES, sizes.CROPS)
    return drawn.draw(np.random.default_rng(1))


@pytest.mark.slow
@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_gradients_are_those_of_the_sandwich_written_by_hand(adaptive_cfg, temperature):
    cfg = adaptive_cfg("ADAPTIVE.NUM_RANDOM", 2, "ADAPTIVE.TEMPERATURE", temperature, *PLAIN_HEAD)
    batch, model = batch_of(cfg), model_of(cfg)
    logits = model(batch["clips"])
    distilled = 0.0
    full = F.cross_entropy(logits, batch["labels"])
    expected = torch.softmax(logits.detach() / temperature, 1)
    for drawn in configurations(cfg):
        with width(model, drawn.width):
            narrow = model(build_reduce(cfg)(batch["clips"], drawn))
        found = torch.softmax(narrow / temperature, 1)
        divergence = (expected * (expected / found).log()).sum(1).mean()
        distilled = distilled + temperature**2 * divergence
    by_hand = torch.autograd.grad(full + distilled, list(model.parameters()))

    gradients, metrics = gradients_of_step(cfg, model_of(cfg), batch)
    torch.testing.assert_close(gradients, list(by_hand), rtol=1e-4, atol=1e-6)
    assert metrics["loss"] == pytest.approx((full + distilled).item(), rel=1e-5)
    assert metrics["sub_loss"] == pytest.approx(distilled.item(), rel=1e-5)
    assert metrics["top1_acc"] == 100 * (logits.argmax(1) == batch["labels"]).float().mean().item()


@pytest.mark.slow
def test_without_distillation_all_learn_from_the_smoothed_labels(adaptive_cfg):
    options = ["ADAPTIVE.DISTILL", False, "MODEL.LABEL_SMOOTHING", 0.2, *PLAIN_HEAD]
    cfg = adaptive_cfg(*options)
    batch, model = batch_of(cfg), model_of(cfg)
    losses = [F.cross_entropy(model(batch["clips"]), batch["labels"], label_smoothing=0.2)]
    for drawn in configurations(cfg):
        with width(model, drawn.width):
            logits = model(build_reduce(cfg)(batch["clips"], drawn))
        losses.append(F.cross_entropy(logits, batch["labels"], label_smoothing=0.2))
    _, metrics = gradients_of_step(cfg, model_of(cfg), batch)
    assert metrics["loss"] == pytest.approx(sum(losses).item(), rel=1e-5)


ALONE = ["ADAPTIVE.FULL_PASS", False, "ADAPTIVE.DISTILL", False, "BN.USE_PRECISE_STATS", True]


@pytest.mark.slow
def test_without_a_full_pass_a_step_is_that_of_its_sub_networks(adaptive_cfg):
    cfg = adaptive_cfg(*ALONE, *PLAIN_HEAD)
    batch, model = batch_of(cfg), model_of(cfg)
    losses, hits = [], []
    for drawn in configurations(cfg):
        with width(model, drawn.width):
            logits = model(build_reduce(cfg)(batch["clips"], drawn))
        losses.append(F.cross_entropy(logits, batch["labels"]))
        hits.append((logits.argmax(1) == batch["labels"]).double().mean().item())
    by_hand = torch.autograd.grad(sum(losses), list(model.parameters()))

    gradients, metrics = gradients_of_step(cfg, model_of(cfg), batch)
    torch.testing.assert_close(gradients, list(by_hand), rtol=1e-4, atol=1e-6)
    assert metrics["loss"] == pytest.approx(sum(losses).item(), rel=1e-5)
    assert metrics["top1_acc"] == pytest.approx(100 * sum(hits) / len(hits))
    assert "sub_loss" not in metrics


def test_training_on_many_sizes_is_one_pass_of_the_whole_width(adaptive_cfg):
    options = ["ADAPTIVE.MIN_WIDTH", 1.0, "ADAPTIVE.WIDTHS", [1.0], "ADAPTIVE.NUM_RANDOM", 0]
    cfg = adaptive_cfg(*ALONE, *options, *PLAIN_HEAD)
    model, batch, seen = model_of(cfg), batch_of(cfg), []
    before = {name: values.clone() for name, values in model.named_buffers()}
    model.register_forward_pre_hook(lambda _model, inputs: seen.append(inputs[0][0].shape))
    gradients_of_step(cfg, model, batch)
    (point,) = configurations(cfg)
    assert point.width == 1.0
    assert seen == [(4, 3, point.frames, point.crop, point.crop)]
    torch.testing.assert_close(dict(model.named_buffers()), before)


@pytest.mark.slow
def test_every_parameter_gets_a_gradient(adaptive_cfg):
    cfg = adaptive_cfg()
    gradients, _ = gradients_of_step(cfg, model_of(cfg), batch_of(cfg))
    assert all(gradient.any() for gradient in gradients)


@pytest.mark.slow
@pytest.mark.parametrize("options", [[], ["ADAPTIVE.MIN_WIDTH", 1.0, "ADAPTIVE.WIDTHS", [1.0]]])
def test_sub_networks_do_not_move_the_running_statistics(adaptive_cfg, options):
    cfg = adaptive_cfg(*PLAIN_HEAD, *options)
    batch, model, alone = batch_of(cfg), model_of(cfg), model_of(cfg)
    gradients_of_step(cfg, model, batch)
    alone(batch["clips"])
    assert all(torch.equal(*pair) for pair in zip(model.buffers(), alone.buffers(), strict=True))


@pytest.mark.slow
def test_sub_networks_learn_from_mixed_clips(adaptive_cfg):
    cfg = adaptive_cfg("MIXUP.ENABLE", True, "MIXUP.CUTMIX_ALPHA", 0.0)
    model, batch, seen = model_of(cfg), batch_of(cfg), []
    batch["clips"] = [torch.stack([torch.full((3, 4, 40, 40), i % 2).double() for i in range(4)])]
    model.register_forward_pre_hook(lambda _model, inputs: seen.append(inputs[0][0]))
    gradients_of_step(cfg, model, batch)
    assert len(seen) == 3
    shares = [clips[0, 0, 0, 0, 0].item() for clips in seen]
    assert 0 < shares[0] < 1 and shares == pytest.approx([shares[0]] * 3)


def test_draws_follow_the_lists():
    drawn = SubNetworks(0.5, 3, [2, 4], [32, 48, 64])
    rng = np.random.default_rng(0)
    steps = [drawn.draw(rng) for _ in range(50)]
    assert all(step[-1].width == 0.5 and len(step) == 4 for step in steps)
    flat = [configuration for step in steps for configuration in step]
    assert {configuration.frames for configuration in flat} == {2, 4}
    assert {configuration.crop for configuration in flat} == {32, 48, 64}
    widths = [configuration.width for step in steps for configuration in step[:-1]]
    assert 0.5 <= min(widths) < 0.55 and 0.95 < max(widths) <= 1
    assert all(type(c.frames) is int and type(c.width) is float for c in flat)


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        ["TRAIN.MIXED_PRECISION", True, "TRAIN.AMP_DTYPE", "bfloat16", "TRAIN.EMA_DECAY", 0.9],
        *slow(
            [
                [],
                [
                    *("ADAPTIVE.DISTILL", False, "BN.USE_PRECISE_STATS", True),
                    *("ADAPTIVE.RESIZE", "bilinear"),
                ],
            ]
        ),
    ],
)
def test_run_trains_and_validates_the_full_network(adaptive_cfg, tmp_path, options):
    state = train(adaptive_cfg(*options))
    assert len(state.history) == 2
    assert all(np.isfinite(list(row.values())).all() for row in state.history)
    assert all(0 < row["train_sub_loss"] < row["train_loss"] for row in state.history)
    lines = (tmp_path / "run/log.jsonl").read_text().splitlines()
    assert any("sub_loss" in json.loads(line) for line in lines)


@pytest.mark.slow
def test_accumulated_batches_have_sub_networks_of_their_own(adaptive_cfg, monkeypatch):
    drawn, draw = [], SubNetworks.draw
    monkeypatch.setattr(
        SubNetworks, "draw", lambda self, rng: drawn.append(draw(self, rng)) or drawn[-1]
    )
    train(adaptive_cfg("TRAIN.BATCH_SIZE", 2, "TRAIN.ACCUMULATION_STEPS", 2))
    assert len(drawn) == len({step[0].width for step in drawn}) == 2 * 4


def _train_adaptive(rank, folder, cfg):
    train_in_double(cfg, folder / f"{rank}.pt")


class DoubleTask:
    """Notes the draws of `task`, and gives the network float64 clips.

    In float32 what two processes add up in another order grows to 3e-5 in five steps.
    """

    def __init__(self, task):
        self._task, self.drawn = task, []

    def __getattr__(self, name):
        return getattr(self._task, name)

    def prepare(self, batch, device):
        batch = self._task.prepare(batch, device)
        return {**batch, "clips": [clip.double() for clip in batch["clips"]]}

    def train_passes(self, network, batch, rng, shared_rng):
        self.drawn.append(shared_rng.bit_generator.state["state"]["state"])
        return self._task.train_passes(network, batch, rng, shared_rng)


def train_in_double(cfg, path):
    task = DoubleTask(build_task(cfg))
    with (
        mock.patch.object(run_module, "build_model", lambda cfg: build_model(cfg).double()),
        mock.patch.object(run_module, "build_task", lambda cfg: task),
    ):
        state = train(cfg)
    torch.save({"model": state.model.state_dict(), "drawn": [str(d) for d in task.drawn]}, path)


@pytest.mark.slow
def test_two_processes_train_as_one_does(run_in_two, adaptive_cfg, tmp_path):
    options = ["BN.NORM_TYPE", "sync_batchnorm", "BN.GLOBAL_SYNC", True, *PLAIN_HEAD]
    options += ["TRAIN.BATCH_SIZE", 4, "TRAIN.ACCUMULATION_STEPS", 2, "SOLVER.MAX_EPOCH", 2]
    options += ["SOLVER.BASE_LR", 0.02, "TRAIN.EVAL_PERIOD", 2]
    cfg = adaptive_cfg(*options, "OUTPUT_DIR", tmp_path / "two")
    run_in_two(_train_adaptive, tmp_path, cfg)
    train_in_double(adaptive_cfg(*options, "OUTPUT_DIR", tmp_path / "one"), tmp_path / "one.pt")
    one, *two = (torch.load(tmp_path / f"{name}.pt") for name in ("one", 0, 1))
    assert len(one["drawn"]) == 2 * 2  # batches of 2 steps
    assert one["drawn"] == two[0]["drawn"] == two[1]["drawn"]
    assert all(torch.equal(two[0]["model"][name], two[1]["model"][name]) for name in one["model"])
    torch.testing.assert_close(two[0]["model"], one["model"], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("distils", [True, False])
def test_all_networks_that_learn_from_labels_weigh_classes(adaptive_cfg, distils):
    cfg = adaptive_cfg(*PLAIN_HEAD, "ADAPTIVE.DISTILL", distils)
    model, batch = model_of(cfg), batch_of(cfg)
    task, losses = build_task(cfg), []
    for weights in (torch.ones(3), torch.full((3,), 2.0)):
        task.weigh_classes(weights)
        passes = task.train_passes(model, batch, *map(np.random.default_rng, (0, 1)))
        losses.append([forward()[0].item() for forward in passes])
    factors = [2, *[1 if distils else 2] * (len(losses[0]) - 1)]
    assert losses[1] == pytest.approx([a * b for a, b in zip(factors, losses[0], strict=True)])
