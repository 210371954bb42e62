"""Arithmetic of an expansion, against the published networks."""

import json
from dataclasses import replace
from functools import cache

import pytest

from slowfast.analysis.expansion import (
    CONTRACTED_GMACS,
    PUBLISHED_GMACS,
    PUBLISHED_NAMES,
    PUBLISHED_ORDER,
    PUBLISHED_STRIDE,
    Rules,
    Shape,
    build_gmacs,
    build_space,
    build_training_keys,
    nearest_cost,
    round_stride,
)
from slowfast.config.cli import load_cfg
from slowfast.models.families.x3d import x3d_stages
from slowfast.models.layers import round_width
from tests.helpers.paths import ROOT

KINETICS = ROOT / "configs" / "Kinetics"
COUNTED = json.loads((ROOT / "tests" / "golden" / "complexity.json").read_text())
NAMES = {name: f"X3D_{name}" for name in PUBLISHED_NAMES.values()} | {"X2D": "X2D"}


def stages_of(shape):
    factors = {"width_factor": shape.width, "depth_factor": shape.depth}
    return x3d_stages(12, **factors, bottleneck_factor=shape.bottleneck, has_wide_res2=False)


def gmacs_of(shape):
    """Multiply-adds of an X3D of 400 classes, layer by layer."""
    size, dim = -(-shape.crop // 2), round_width(12, shape.width)
    macs = shape.frames * size**2 * dim * (3 * 9 + 5)
    for stage in stages_of(shape):
        for index in range(stage.depth):
            before, inner = shape.frames * size**2, stage.dim_inner
            size = -(-size // 2) if index == 0 else size
            after = shape.frames * size**2
            macs += before * dim * inner + after * inner * (27 + stage.dim_out)
            macs += after * dim * stage.dim_out if index == 0 else 0
            macs += 2 * inner * round_width(inner, 1 / 16) if index % 2 == 0 else 0
            dim = stage.dim_out
    macs += after * dim * inner + inner * 2048 + 2048 * 400
    return macs / 1e9


@pytest.fixture(scope="module")
def published():
    """Name -> shape of the networks on the published way."""
    space = build_space(
        load_cfg(KINETICS / "x3d" / "X2D.yaml", ["DATA.SAMPLING_RATE", PUBLISHED_STRIDE])
    )
    cost = cache(gmacs_of)
    path = [space.start]
    for axis in PUBLISHED_ORDER:
        path.append(space.expand(path[-1], axis, cost))
    shapes = {name: path[step] for step, name in PUBLISHED_NAMES.items()}
    target = CONTRACTED_GMACS["S"]
    return shapes | {"S": space.contract(path[6], path[7], PUBLISHED_ORDER[6], cost, target)}


@pytest.mark.parametrize("name", NAMES)
def test_published_order_gives_the_published_network(published, name):
    shape, cfg = published[name], load_cfg(KINETICS / "x3d" / f"{NAMES[name]}.yaml")
    given = build_space(cfg).start
    if name == "X2D":  # one frame has no stride
        given = replace(given, stride=PUBLISHED_STRIDE)
    assert replace(shape, depth=given.depth) == given
    assert stages_of(shape) == stages_of(given)  # several factors of depth give the same blocks


@pytest.mark.parametrize("name", NAMES)
def test_published_order_gives_the_published_cost(published, name):
    counted = COUNTED[f"configs/Kinetics/x3d/{NAMES[name]}.yaml"]["macs_train"] / 1e9
    assert gmacs_of(published[name]) == pytest.approx(counted, rel=1e-12)
    assert counted == pytest.approx(PUBLISHED_GMACS[name], rel=0.05)


def test_training_sizes_are_those_of_the_published_recipes(published):
    for name in ("S", "M", "L"):
        cfg = load_cfg(KINETICS / "x3d" / f"{NAMES[name]}.yaml")
        keys = build_space(load_cfg(KINETICS / "x3d" / "X2D.yaml")).keys(published[name])
        assert keys["DATA.TRAIN_JITTER_SCALES"] == cfg.DATA.TRAIN_JITTER_SCALES
        assert keys["DATA.TEST_CROP_SIZE"] == keys["DATA.TRAIN_CROP_SIZE"] == published[name].crop


@pytest.fixture
def space(toy_cfg):
    """Networks around a VoV3D of 4 frames with stride 2."""
    return build_space(toy_cfg())


def volume(shape):
    """A cost that is easy to foresee."""
    return shape.frames * shape.crop**2 * shape.width**2 * shape.bottleneck * shape.depth


def test_frame_rate_doubles_within_the_same_time_and_frames_take_longer(space):
    assert space.expand(space.start, "tau", volume) == replace(space.start, frames=8, stride=1)
    assert space.expand(space.start, "t", volume) == replace(space.start, frames=8, stride=1.5)


def test_both_temporal_axes_make_the_same_two_frames_of_one(space):
    one = replace(space.start, frames=1, stride=16)
    wanted = replace(one, frames=2, stride=8)
    assert space.expand(one, "tau", volume) == space.expand(one, "t", volume) == wanted


def test_frame_rate_of_all_frames_cannot_grow(space):
    assert space.expand(replace(space.start, stride=1), "tau", volume) is None


@pytest.mark.parametrize(("axis", "field"), [("w", "width"), ("b", "bottleneck"), ("d", "depth")])
def test_axis_grows_to_twice_the_cost_alone(space, axis, field):
    grown = space.expand(replace(space.start, width=40), axis, volume)
    start = replace(space.start, width=40)
    assert volume(grown) == pytest.approx(2 * volume(start), rel=0.05)
    assert replace(grown, **{field: getattr(start, field)}) == start


def test_contraction_keeps_the_time_of_a_clip(space):
    before = Shape(8, 6, 160, 1, 1, 1)
    shape = replace(before, frames=16, stride=5)
    target = 13.2 / 8 * volume(before)
    found = space.contract(before, shape, "t", volume, target)
    assert found == replace(before, frames=13, stride=6)
    assert space.contract(before, shape, "t", volume, 1.01 * volume(before)) == before


def test_contraction_takes_back_a_part_of_the_crop(space):
    before = replace(space.start, crop=112)
    found = space.contract(before, replace(before, crop=160), "s", volume, 1.5 * volume(before))
    assert found == replace(before, crop=136)


@pytest.mark.parametrize("guess", [1, 5, 6, 7, 40])
def test_nearest_cost_is_found_from_any_guess(guess):
    assert nearest_cost(lambda n: n, 6.4, least=1, guess=guess) == 6
    assert nearest_cost(lambda n: n, 6.6, least=1, guess=guess) == 7


def test_of_equal_costs_the_largest_number_counts():
    assert nearest_cost(lambda n: n // 4, 2, least=1, guess=8) == 11
    assert nearest_cost(lambda n: n // 4, 2, least=1, guess=8, most=9) == 9


@pytest.mark.parametrize(("exact", "rounded"), [(4.5, 5), (6.15, 6), (2.5, 2.5), (1.3, 1.5)])
def test_strides_are_rounded(exact, rounded):
    assert round_stride(exact) == rounded


def test_cost_is_that_of_the_network(toy_cfg):
    cfg = load_cfg(KINETICS / "x3d" / "X2D.yaml")
    gmacs, params = build_gmacs(cfg)
    counted = COUNTED["configs/Kinetics/x3d/X2D.yaml"]
    assert (gmacs, params) == (counted["macs_train"] / 1e9, counted["params"] / 1e6)


def test_keys_of_vov3d_widen_and_deepen_its_modules(space):
    keys = space.keys(replace(space.start, width=12, bottleneck=1.5, depth=1.2))
    assert keys["VOV3D.INNER_CH"] == 12
    assert keys["VOV3D.INNER_MULTIPLIER"] == [1.5, 3, 6, 12]
    assert keys["VOV3D.NUM_MODULES"] == [2, 2, 2, 2]


def test_other_networks_are_refused(toy_cfg):
    cfg = load_cfg(KINETICS / "slow" / "SLOW_8x8_R50.yaml")
    with pytest.raises(ValueError, match="MODEL.MODEL_NAME: 'ResNet' has no width"):
        build_space(cfg)


@pytest.mark.parametrize(
    ("step", "rules"),
    [(0, (2, 0.5, 0)), (7, (2, 0.5, 0)), (8, (1, 1, 0)), (11, (1, 1, 0.1)), (13, (1, 1, 0.2))],
)
def test_rules_of_training_follow_the_step(step, rules):
    assert Rules.of_step(step) == Rules(*rules)


def test_learning_rate_follows_the_batch(toy_cfg):
    cfg = toy_cfg("TRAIN.BATCH_SIZE", 4, "SOLVER.BASE_LR", 0.1, "SOLVER.MAX_EPOCH", 6)
    keys = build_training_keys(cfg, Rules(2, 0.5, 0.1))
    assert (keys["TRAIN.BATCH_SIZE"], keys["SOLVER.BASE_LR"]) == (8, 0.2)
    assert (keys["SOLVER.MAX_EPOCH"], keys["MODEL.DROPCONNECT_RATE"]) == (3, 0.1)
