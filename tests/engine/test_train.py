"""What a training run writes, and that its options do what they say."""

import csv
import json
import math

import numpy as np
import pytest
import torch

from slowfast.checkpoint import files
from slowfast.engine.test import test as run_test
from slowfast.engine.train import train
from slowfast.evaluation.video_evaluator import OneLabelEvaluator
from tests.helpers.slow import slow


def _weights(state):
    return {name: value.clone() for name, value in state.model.state_dict().items()}


def _lines(cfg, kind):
    with open(f"{cfg.OUTPUT_DIR}/log.jsonl") as file:
        return [line for line in map(json.loads, file) if line["_type"] == kind]


@pytest.mark.slow
def test_run_writes_its_numbers_and_checkpoints(toy_cfg, tmp_path):
    cfg = toy_cfg("TENSORBOARD.ENABLE", True)
    train(cfg)
    assert [line["iter"] for line in _lines(cfg, "train_iter")] == ["1/2", "2/2"] * 2
    assert all(np.isfinite(line["loss"]) for line in _lines(cfg, "val_epoch"))
    with open(tmp_path / "run/history.csv") as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["1", "2"]
    assert all(0 <= float(row["val_top1_acc"]) <= 100 for row in rows)
    names = sorted(path.name for path in (tmp_path / "run/checkpoints").iterdir())
    assert names == [
        "checkpoint_best.pyth",
        "checkpoint_epoch_00001.pyth",
        "checkpoint_epoch_00002.pyth",
    ]
    assert list((tmp_path / "run/tensorboard").glob("events*"))


@pytest.mark.slow
def test_same_seed_gives_the_same_weights_and_another_seed_others(toy_cfg, tmp_path):
    first = _weights(train(toy_cfg("OUTPUT_DIR", tmp_path / "a")))
    again = _weights(train(toy_cfg("OUTPUT_DIR", tmp_path / "b")))
    other = _weights(train(toy_cfg("OUTPUT_DIR", tmp_path / "c", "RNG_SEED", 7)))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)


@pytest.mark.slow
def test_number_of_workers_does_not_change_the_weights(toy_cfg, tmp_path):
    none = _weights(train(toy_cfg("OUTPUT_DIR", tmp_path / "a")))
    two = _weights(train(toy_cfg("OUTPUT_DIR", tmp_path / "b", "DATA_LOADER.NUM_WORKERS", 2)))
    assert all(torch.equal(none[name], two[name]) for name in none)


@pytest.mark.slow
def test_accumulated_gradients_equal_those_of_a_large_batch(toy_cfg, tmp_path):
    options = ["MODEL.FROZEN_BN", True, "MODEL.DROPOUT_RATE", 0.0, "SOLVER.MAX_EPOCH", 1]
    whole = _weights(train(toy_cfg(*options, "OUTPUT_DIR", tmp_path / "a", "TRAIN.BATCH_SIZE", 8)))
    parts = ["TRAIN.BATCH_SIZE", 2, "TRAIN.ACCUMULATION_STEPS", 4]
    summed = _weights(train(toy_cfg(*options, *parts, "OUTPUT_DIR", tmp_path / "b")))
    for name in whole:
        torch.testing.assert_close(summed[name], whole[name], rtol=1e-4, atol=1e-6)


@pytest.mark.slow
def test_frozen_stages_keep_their_weights_and_statistics(toy_cfg):
    torch.manual_seed(0)
    cfg = toy_cfg("TRAIN.FREEZE", "['s1', 's2']", "SOLVER.MAX_EPOCH", 1)
    state = train(cfg)
    start = _weights(
        train(
            toy_cfg(
                "OUTPUT_DIR", cfg.OUTPUT_DIR + "0", "SOLVER.BASE_LR", 0.0, "SOLVER.MAX_EPOCH", 1
            )
        )
    )
    for name, value in state.model.state_dict().items():
        if name.startswith(("s1.", "s2.")) and name.endswith("weight"):
            torch.testing.assert_close(value, start[name])
        if name.startswith(("s1.", "s2.")) and name.endswith("running_mean"):
            assert not value.any()
    assert not torch.equal(
        state.model.state_dict()["head.projection.weight"], start["head.projection.weight"]
    )


# One step of plain gradient descent on all videos, whose length the options below can tell.
ONE_STEP = [
    *("SOLVER.MAX_EPOCH", 1, "TRAIN.BATCH_SIZE", 8, "MODEL.DROPOUT_RATE", 0, "SOLVER.BASE_LR", 1.0),
    *("SOLVER.MOMENTUM", 0, "SOLVER.NESTEROV", False, "SOLVER.WEIGHT_DECAY", 0),
]
BFLOAT16, FLOAT16 = (
    ["TRAIN.MIXED_PRECISION", True, "TRAIN.AMP_DTYPE", dtype] for dtype in ("bfloat16", "float16")
)
MIXUP = ["MIXUP.ENABLE", True, "MIXUP.LABEL_SMOOTH_VALUE", 0]
BCE = ["MODEL.LOSS_FUNC", "bce_logit", "MODEL.HEAD_ACT", "sigmoid"]


@pytest.fixture
def trained(toy_cfg, train_once):
    """A function from overrides to the state after one epoch in a new folder."""
    return train_once(toy_cfg)


def _parameters(state):
    return torch.cat([parameter.detach().flatten() for parameter in state.model.parameters()])


@pytest.fixture(scope="module")
def plain_heads():
    """Weights of the classifier after an epoch without options, by the base: trained once."""
    return {}


def _first_mean(model):
    return next(value for name, value in model.named_buffers() if name.endswith("running_mean"))


@pytest.mark.parametrize(
    "base, options",
    [
        ([], ["AUG.ENABLE", True]),
        ([], [*MIXUP, "MIXUP.CUTMIX_ALPHA", 0]),
        ([], ["MODEL.LABEL_SMOOTHING", 0.1]),
        ([], BCE),
        ([], ["MODEL.DROPOUT_RATE", 0.0]),
        ([], BFLOAT16),
        ([], ["SOLVER.WEIGHT_DECAY", 0.1]),
        *slow(
            [
                ([], [*MIXUP, "MIXUP.ALPHA", 0]),
                (["MODEL.LOSS_FUNC", "soft_cross_entropy"], MIXUP),
                (BCE, MIXUP),
                (BCE, ["MODEL.LABEL_SMOOTHING", 0.1]),
                ([], ["MODEL.DROPCONNECT_RATE", 0.5]),
                ([], ["DATA.RESIZE_BACKEND", "torch"]),
                ([], ["DATA.INV_UNIFORM_SAMPLE", True]),
                ([], ["DATA.RANDOM_FLIP", False]),
                ([], ["BN.NORM_TYPE", "sub_batchnorm", "BN.NUM_SPLITS", 2]),
                ([], FLOAT16),
                ([], ["SOLVER.MOMENTUM", 0.5]),
                ([], ["SOLVER.NESTEROV", False]),
            ]
        ),
    ],
    ids=lambda options: "-".join(map(str, options)) or "default",
)
def test_option_changes_what_is_learned(trained, plain_heads, base, options):
    if str(base) not in plain_heads:
        plain_heads[str(base)] = trained(*base).model.head.projection.weight
    other = trained(*base, *options)
    assert np.isfinite(other.history[0]["train_loss"])
    assert not torch.equal(other.model.head.projection.weight, plain_heads[str(base)])


@pytest.mark.slow
def test_clipping_by_norm_bounds_the_length_of_a_step(trained):
    start = _parameters(trained(*ONE_STEP, "SOLVER.BASE_LR", 0.0))
    step = _parameters(trained(*ONE_STEP, "SOLVER.CLIP_GRAD_L2NORM", 1e-3)) - start
    assert step.norm().item() == pytest.approx(1e-3, rel=1e-3)


@pytest.mark.slow
def test_clipping_by_value_bounds_every_part_of_a_step(trained):
    start = _parameters(trained(*ONE_STEP, "SOLVER.BASE_LR", 0.0))
    step = _parameters(trained(*ONE_STEP, "SOLVER.CLIP_GRAD_VAL", 1e-3)) - start
    assert step.abs().max().item() == pytest.approx(1e-3, rel=1e-3)
    assert step.norm() > 1e-2


@pytest.mark.slow
def test_first_step_of_adamw_is_the_learning_rate(trained):
    start = _parameters(trained(*ONE_STEP, "SOLVER.BASE_LR", 0.0))
    adamw = ["SOLVER.OPTIMIZING_METHOD", "adamw", "SOLVER.BASE_LR", 1e-3]
    step = _parameters(trained(*ONE_STEP, *adamw)) - start
    assert step.abs().median().item() == pytest.approx(1e-3, rel=1e-3)


@pytest.mark.slow
def test_number_types_differ_a_little_in_training_and_validation(trained):
    same = ["MODEL.FROZEN_BN", True, "SOLVER.BASE_LR", 0.0]
    rows = [trained(*same, *words).history[0] for words in ([], BFLOAT16, FLOAT16)]
    for key in ("train_loss", "val_loss"):
        losses = [row[key] for row in rows]
        assert len(set(losses)) == 3
        assert losses == pytest.approx(losses[:1] * 3, rel=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("options", [BFLOAT16, *slow([FLOAT16])], ids=["bfloat16", "float16"])
def test_mixed_precision_takes_about_the_same_step(trained, options):
    start, plain, mixed = (
        _parameters(trained(*ONE_STEP, *words)) for words in (["SOLVER.BASE_LR", 0.0], [], options)
    )
    # Rounding grows from layer to layer of this random network; a forgotten scale is 65536.
    assert 0 < (mixed - plain).norm() < 0.8 * (plain - start).norm()


@pytest.mark.slow
def test_clipping_looks_at_gradients_without_the_loss_scale(trained):
    start = _parameters(trained(*ONE_STEP, "SOLVER.BASE_LR", 0.0))
    step = _parameters(trained(*ONE_STEP, *FLOAT16, "SOLVER.CLIP_GRAD_L2NORM", 1e-3)) - start
    assert step.norm().item() == pytest.approx(1e-3, rel=1e-3)


@pytest.mark.parametrize(
    "options, is_scaled",
    [([], False), (BFLOAT16, False), (FLOAT16, True)],
    ids=["float32", "bfloat16", "float16"],
)
def test_only_float16_scales_its_loss(trained, tmp_path, options, is_scaled):
    trained(*options)
    saved = files.load(files.last_checkpoint(tmp_path / "run0"))
    assert bool(saved["scaler_state"]) == is_scaled


@pytest.mark.slow
def test_precise_batch_norm_changes_statistics_but_no_weights(trained):
    plain, one, two = (
        trained(*options)
        for options in (
            [],
            ["BN.USE_PRECISE_STATS", True, "BN.NUM_BATCHES_PRECISE", 1],
            ["BN.USE_PRECISE_STATS", True, "BN.NUM_BATCHES_PRECISE", 2],
        )
    )
    assert torch.equal(_parameters(plain), _parameters(one))
    means = [_first_mean(state.model) for state in (plain, one, two)]
    assert not torch.allclose(means[0], means[1]) and not torch.allclose(means[1], means[2])


@pytest.mark.slow
def test_precise_batch_norm_measures_the_moving_average_too(trained):
    ema = ["TRAIN.EMA_DECAY", 0.5]
    plain, precise = trained(*ema), trained(*ema, "BN.USE_PRECISE_STATS", True)
    means = [_first_mean(state.ema.module) for state in (plain, precise)]
    assert not torch.allclose(*means)


@pytest.mark.slow
def test_sub_batch_norm_saves_the_statistics_of_its_parts(trained, tmp_path):
    trained("BN.NORM_TYPE", "sub_batchnorm", "BN.NUM_SPLITS", 2, "BN.USE_PRECISE_STATS", True)
    saved = files.load(files.last_checkpoint(tmp_path / "run0"))
    assert all(torch.isfinite(value).all() for value in saved["sub_bn_state"].values())
    assert any(value.any() for value in saved["sub_bn_state"].values())


@pytest.mark.slow
def test_compiled_training_takes_the_same_step(trained, traced):
    start, plain, compiled = (
        _parameters(trained(*ONE_STEP, "BN.USE_PRECISE_STATS", True, *words))
        for words in (["SOLVER.BASE_LR", 0.0], [], ["TRAIN.COMPILE", True])
    )
    assert len(traced) == 12  # of five stages and a head, for training and for validation
    assert (compiled - plain).norm() < 1e-3 * (plain - start).norm()


@pytest.mark.slow
@pytest.mark.parametrize(
    "options", [[], *slow([BCE, BFLOAT16, ["DATA.RESIZE_BACKEND", "torch"]])], ids=str
)
def test_trained_network_can_be_tested(toy_cfg, options):
    cfg = toy_cfg(*options, "SOLVER.MAX_EPOCH", 1)
    train(cfg)
    assert np.isfinite(run_test(cfg)["loss"])


@pytest.mark.slow
def test_gradient_norm_is_logged_when_clipped(toy_cfg):
    cfg = toy_cfg("SOLVER.CLIP_GRAD_L2NORM", 0.1, "SOLVER.MAX_EPOCH", 1)
    train(cfg)
    assert all(line["grad_norm"] > 0 for line in _lines(cfg, "train_iter"))


@pytest.mark.slow
def test_moving_average_is_what_is_validated_and_tested(toy_cfg, tmp_path):
    cfg = toy_cfg("TRAIN.EMA_DECAY", 0.5)
    state = train(cfg)
    saved = files.load(files.last_checkpoint(cfg.OUTPUT_DIR))
    average = saved["ema_state"]["model_state"]["head.projection.weight"]
    assert not torch.equal(average, saved["model_state"]["head.projection.weight"])
    torch.testing.assert_close(average, state.ema.module.head.projection.weight.detach())
    with_average = run_test(cfg)["loss"]
    del saved["ema_state"]
    files.save(tmp_path / "plain.pyth", saved)
    without = run_test(toy_cfg("TEST.CHECKPOINT_FILE_PATH", tmp_path / "plain.pyth"))["loss"]
    assert with_average != without


@pytest.mark.slow
def test_nan_stops_and_names_the_module_and_the_videos(toy_cfg, monkeypatch):
    monkeypatch.setattr("slowfast.engine.run.build_lr_schedule", lambda _cfg: lambda _epoch: 1e30)
    with pytest.raises(
        ValueError, match=r"not finite in epoch 1, step 2.*output of s1\S* .*train_\d.mp4"
    ):
        train(toy_cfg())


@pytest.mark.slow
def test_last_and_best_checkpoints_are_kept(toy_cfg, tmp_path):
    train(toy_cfg("TRAIN.KEEP_CHECKPOINTS", 1, "SOLVER.MAX_EPOCH", 3))
    names = sorted(path.name for path in (tmp_path / "run/checkpoints").iterdir())
    assert names == ["checkpoint_best.pyth", "checkpoint_epoch_00003.pyth"]


@pytest.mark.slow
def test_an_epoch_without_a_metric_is_never_better_than_one_with(toy_cfg, monkeypatch):
    accuracies = iter([math.nan, 50.0, math.nan, 40.0])

    def judge(self, values, labels):
        return {"top1_acc": next(accuracies), "top5_acc": 0.0}

    monkeypatch.setattr(OneLabelEvaluator, "_judge", judge)
    state = train(toy_cfg("SOLVER.MAX_EPOCH", 4))
    assert (state.best["epoch"], state.best["top1_acc"]) == (2, 50.0)


@pytest.fixture
def judged(monkeypatch):
    """Function (accuracies): validations give these, one after another."""

    def judge_as(accuracies):
        values = iter(accuracies)
        judge = lambda self, *_: {"top1_acc": next(values), "top5_acc": 0.0}  # noqa: E731
        monkeypatch.setattr(OneLabelEvaluator, "_judge", judge)

    return judge_as


@pytest.mark.slow
def test_training_stops_when_its_patience_is_over_and_saves_that_epoch(toy_cfg, judged, tmp_path):
    judged([10.0, 50.0, 50.0, 40.0])
    options = ["TRAIN.PATIENCE", 2, "TRAIN.CHECKPOINT_PERIOD", 6, "SOLVER.MAX_EPOCH", 6]
    state = train(toy_cfg(*options))
    assert (state.epoch, state.best["epoch"]) == (4, 2)
    names = sorted(path.name for path in (tmp_path / "run/checkpoints").iterdir())
    assert names == ["checkpoint_best.pyth", "checkpoint_epoch_00004.pyth"]


@pytest.mark.slow
def test_patience_is_counted_on_from_the_epochs_before_a_run_went_on(toy_cfg, judged):
    judged([50.0, 40.0, 30.0])
    train(toy_cfg("SOLVER.MAX_EPOCH", 2))
    options = ["TRAIN.PATIENCE", 2, "SOLVER.MAX_EPOCH", 6]
    assert train(toy_cfg(*options)).epoch == 3
    assert train(toy_cfg(*options)).epoch == 3  # over: nothing is judged again


@pytest.mark.slow
def test_the_main_process_decides_that_patience_is_over(toy_cfg, judged, monkeypatch):
    judged([10.0])
    theirs = lambda own: True if own is False else own  # noqa: E731
    monkeypatch.setattr("slowfast.utils.distributed.from_main", theirs)
    assert train(toy_cfg("TRAIN.PATIENCE", 2, "SOLVER.MAX_EPOCH", 3)).epoch == 0


@pytest.mark.slow
def test_finished_run_is_not_trained_again(toy_cfg):
    cfg = toy_cfg("SOLVER.MAX_EPOCH", 1)
    first = _weights(train(cfg))
    again = _weights(train(cfg))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert len(_lines(cfg, "train_epoch")) == 1


@pytest.mark.slow
def test_fine_tuning_starts_at_epoch_0_with_a_new_head(toy_cfg, tmp_path):
    pretrained = toy_cfg("OUTPUT_DIR", tmp_path / "pretrained", "MODEL.NUM_CLASSES", 7)
    train(pretrained)
    path = files.last_checkpoint(tmp_path / "pretrained")
    cfg = toy_cfg("TRAIN.CHECKPOINT_FILE_PATH", path, "SOLVER.BASE_LR", 0.0, "SOLVER.MAX_EPOCH", 1)
    state = train(cfg)
    assert len(_lines(cfg, "train_epoch")) == 1
    before = files.load(path)["model_state"]
    assert state.model.head.projection.weight.shape[0] == 3
    name = "s3.pathway0_res0.branch2.c.weight"
    torch.testing.assert_close(state.model.state_dict()[name], before[name])


@pytest.mark.slow
def test_resuming_another_model_is_refused(toy_cfg):
    train(toy_cfg("SOLVER.MAX_EPOCH", 1))
    with pytest.raises(ValueError, match="(?s)VOV3D.INNER_CH: 16, but .*00001.pyth has 8"):
        train(toy_cfg("VOV3D.INNER_CH", 16))
