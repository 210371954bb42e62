"""The experiments that were made with the checkpoints of PySlowFast and VoV3D, under our rules.

Names of the tests: their numbers in the record of these experiments.
"""

import pytest
import torch

from slowfast.checkpoint import files
from slowfast.checkpoint.initialize import initialize_from
from slowfast.config.defaults import get_cfg
from slowfast.engine.resume import resume
from slowfast.engine.state import TrainState, save_epoch
from slowfast.engine.train import train
from slowfast.models import build_model
from slowfast.solver.optimizer import build_optimizer
from tests.helpers.published import assert_same_weights, build_thin


def _state(model):
    optimizer = build_optimizer(get_cfg(), model)
    return TrainState(model, optimizer, torch.amp.GradScaler("cpu", enabled=False))


def _after_a_step(model):
    """A run whose optimizer has momentum for every parameter."""
    state = _state(model)
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    state.optimizer.step()
    return state


def _as_pyslowfast(path, model, *, epoch):
    """A file that the reference wrote: epoch, weights, optimizer, config."""
    state = _after_a_step(model).state_dict("MODEL:\n  MODEL_NAME: VoV3D\n")
    content = {key: state[key] for key in ("model_state", "optimizer_state", "cfg")}
    torch.save({"epoch": epoch, **content}, path)
    return path


@pytest.mark.slow
def test_1_format_of_a_saved_checkpoint(tmp_path):
    state = _state(build_thin("X3D-M"))
    state.epoch = 5  # finished epochs
    path = save_epoch(state.state_dict("AVA:\n"), tmp_path, keep=0, is_best=False)
    assert path == tmp_path / "checkpoints" / "checkpoint_epoch_00005.pyth"
    content = torch.load(path, weights_only=True)
    assert content["epoch"] == 4 and content["cfg"].splitlines()[0] == "AVA:"
    assert list(content["model_state"]) == list(state.model.state_dict())
    assert {"state", "param_groups"} == set(content["optimizer_state"])


@pytest.mark.slow
def test_2_resuming_goes_on_with_the_next_epoch_and_the_whole_optimizer(tmp_path):
    before = _after_a_step(build_thin("VoV3D-M"))
    before.epoch = 5
    save_epoch(before.state_dict(""), tmp_path, keep=0, is_best=False)
    after = _state(build_thin("VoV3D-M"))
    prepared = []
    assert resume(after, tmp_path, prepared.append, settings={}) and after.epoch == 5
    assert prepared == [5]
    assert len(after.optimizer.state_dict()["state"]) == 542  # as in the reference
    assert_same_weights(after.model, before.model)


def test_2b_without_a_checkpoint_nothing_is_resumed(tmp_path):
    assert files.last_checkpoint(tmp_path) is None
    assert not resume(_state(build_thin("X3D-M")), tmp_path, lambda epoch: None, settings={})


@pytest.mark.slow
@pytest.mark.parametrize("num_classes", [10, 20], ids=["3a_3b_more_classes", "3c_half_as_many"])
def test_3_fine_tuning_keeps_the_fresh_classifier_whole(tmp_path, num_classes):
    source = build_thin("VoV3D-M", "MODEL.NUM_CLASSES", num_classes)
    model = build_thin("VoV3D-M", "MODEL.NUM_CLASSES", 20 if num_classes == 10 else 10)
    fresh = {n: p.detach().clone() for n, p in model.head.projection.named_parameters()}
    report = initialize_from(model, _as_pyslowfast(tmp_path / "k.pyth", source, epoch=255))
    assert report.coverage == 1 and len(report.replaced) == 2
    assert all(torch.equal(p, fresh[n]) for n, p in model.head.projection.named_parameters())
    model.head.projection = source.head.projection
    assert_same_weights(model, source)


@pytest.mark.slow
def test_3a_fine_tuning_400_to_174_trains_from_epoch_0(toy_cfg, tmp_path):
    pretrained = build_model(toy_cfg("MODEL.NUM_CLASSES", 400))
    path = _as_pyslowfast(tmp_path / "kinetics.pyth", pretrained, epoch=255)
    cfg = toy_cfg("MODEL.NUM_CLASSES", 174, "TRAIN.CHECKPOINT_FILE_PATH", path)
    state = train(cfg)
    assert state.epoch == cfg.SOLVER.MAX_EPOCH == 2
    assert [row["epoch"] for row in state.history] == [1, 2]
    assert state.model.head.projection.weight.shape[0] == 174
    before = files.load(path)["model_state"]
    name = "s3.pathway0_res0.branch2.c.weight"
    after = state.model.state_dict()[name]
    assert not torch.equal(after, before[name])
    assert (after - before[name]).norm() < 0.5 * before[name].norm()  # it went on from there


@pytest.mark.slow
@pytest.mark.parametrize("wrap", [lambda state: {"model_state": state}, lambda state: state])
def test_3d_weights_alone_are_enough(tmp_path, wrap):
    source, model = build_thin("X3D-M"), build_thin("X3D-M")
    torch.save(wrap(source.state_dict()), tmp_path / "weights.pyth")
    initialize_from(model, tmp_path / "weights.pyth")
    assert_same_weights(model, source)


@pytest.mark.slow
@pytest.mark.parametrize("prefix", ["backbone.", "backbone.backbone."], ids=["once", "twice"])
def test_4_a_cleared_pattern_may_occur_more_than_once(tmp_path, prefix):
    source, model = build_thin("X3D-M"), build_thin("X3D-M")
    torch.save({f"{prefix}{n}": v for n, v in source.state_dict().items()}, tmp_path / "w.pyth")
    initialize_from(model, tmp_path / "w.pyth", clear_name_patterns=[r"backbone\."])
    assert_same_weights(model, source)


def _as_2d(state):
    return {n: v.sum(2) if v.ndim == 5 else v for n, v in state.items()}


@pytest.mark.parametrize(
    ("change", "patterns", "num_replaced"),
    [
        (lambda state: state, [], 0),
        (lambda state: {n: v for n, v in state.items() if n != "s1.pathway0_stem.bn.bias"}, [], 0),
        (lambda state: {**state, "extra.weight": torch.ones(1)}, [], 0),
        (lambda state: {**state, "head.projection.weight": torch.ones(1000, 256)}, [], 2),
        (lambda state: {f"net.{n}": v for n, v in state.items()}, [r"net\."], 0),
    ],
    ids=["all keys", "one key missing", "extra key", "1000 classes", "clear_name_pattern"],
)
def test_5_inflation(tmp_path, change, patterns, num_replaced):
    source, model = build_thin("I3D"), build_thin("I3D")
    torch.save(change(_as_2d(source.state_dict())), tmp_path / "2d.pyth")
    report = initialize_from(model, tmp_path / "2d.pyth", clear_name_patterns=patterns)
    name = "s3.pathway0_res0.branch2.a.weight"
    kernel, expected = model.state_dict()[name], source.state_dict()[name].sum(2)
    assert kernel.shape[2] == 3
    assert all(torch.equal(kernel[:, :, t], expected / 3) for t in range(3))
    assert len(report.inflated) == 53 and len(report.replaced) == num_replaced
    assert ("head.projection.weight" in report.loaded) == (num_replaced == 0)


@pytest.mark.slow
def test_7_caffe2_blobs_of_other_shapes_are_skipped_and_linear_layers_widened(tmp_path):
    model = build_thin("X3D-M")
    before = model.s1.pathway0_stem.bn.weight.detach().clone()
    state = {f"{n}": v for n, v in model.state_dict().items()}
    linear = torch.rand(state["head.lin_5.weight"].shape[:2])
    state |= {"head.lin_5.weight": linear, "s1.pathway0_stem.bn.weight": torch.ones(3)}
    torch.save(state, tmp_path / "w.pyth")
    report = initialize_from(model, tmp_path / "w.pyth")
    assert torch.equal(model.head.lin_5.weight[..., 0, 0, 0], linear)
    assert report.inflated == ("head.lin_5.weight",) and len(report.mismatched) == 1
    assert torch.equal(model.s1.pathway0_stem.bn.weight, before)
