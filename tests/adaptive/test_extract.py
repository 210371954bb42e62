"""Configurations of an adaptive network as plain networks."""

import json

import pytest
import torch

from slowfast.adaptive import extract as module
from slowfast.adaptive.budget import load_table, table_path
from slowfast.adaptive.calibrate import CALIBRATION_KEYS
from slowfast.adaptive.calibration_file import (
    build_settings,
    calibration_path,
    load_calibration,
)
from slowfast.adaptive.extract import build_extracted_cfg, extract
from slowfast.adaptive.network import cut_network
from slowfast.checkpoint import files
from slowfast.config.cli import load_cfg
from slowfast.datasets.build import build_dataset
from slowfast.engine.test import test as run_test
from slowfast.models import build_model
from slowfast.models.operating_point import OperatingPoint, build_points, build_reduce
from slowfast.models.slimmable import make_slimmable, norm_statistics, width
from tests.helpers.paths import ROOT
from tools import run_net

CONFIGS = ROOT / "configs" / "Kinetics" / "a3d"
SMALL = OperatingPoint(0.5, 2, 32)


@pytest.mark.slow
@torch.no_grad()
def test_the_plain_network_says_the_same_of_reduced_clips_at_all_configurations(
    budget_run, tmp_path
):
    path, weights = budget_run
    cfg = load_cfg(path)
    model = build_model(cfg).double().eval()
    model.load_state_dict(files.load(weights)["model_state"])
    torch.manual_seed(0)
    clips = [torch.randn(2, 3, 4, 40, 40, dtype=torch.float64)]
    measured = load_calibration(weights, build_settings(cfg, CALIBRATION_KEYS)).statistics
    for point in build_points(cfg)[::2]:
        statistics = measured.get(str(point))  # none of the whole network
        adaptive = cut_network(model, point, statistics, build_reduce(cfg))
        cut_weights, yaml = extract(cfg, weights, point, tmp_path)
        plain = build_model(load_cfg(yaml)).double().eval()
        plain.load_state_dict(files.load(cut_weights)["model_state"])
        (reduced,) = adaptive.reduce(clips, point)
        assert reduced.shape[2:] == (point.frames, *[point.crop] * 2)
        torch.testing.assert_close(plain([reduced]), adaptive(clips), rtol=1e-6, atol=0)


@pytest.mark.slow
def test_a_small_network_has_a_small_file_that_names_where_it_comes_from(budget_run, tmp_path):
    path, weights = budget_run
    cut, _ = extract(load_cfg(path), weights, SMALL, tmp_path)
    assert cut.stat().st_size < weights.stat().st_size / 2
    origin = files.load(cut)["cut_from"]
    assert origin["configuration"] == "0.5,2,32"
    assert origin["parent"] == json.loads(table_path(weights).read_text())["parent"]


@pytest.mark.slow
def test_run_net_tests_the_network_that_was_cut_out(budget_run, tmp_path):
    """Its clips are decoded at their crop in place of being resized to it, so scores differ."""
    path, weights = budget_run
    full = OperatingPoint(1.0, 4, 40)
    rows = {row.point: row for row in load_table(table_path(weights), weights).rows}
    for point in (SMALL, full):
        _, yaml = extract(load_cfg(path), weights, point, tmp_path / str(point))
        assert run_net.main(["--cfg", str(yaml)]) == 0
        results = json.loads((yaml.with_suffix("") / "test_results.json").read_text())
        assert results["num_videos"] == 5
        if point == full:
            assert results["top1_acc"] == rows[full].top1_acc


@pytest.mark.slow
def test_without_a_smaller_crop_accuracy_is_that_of_the_adaptive_network(budget_run, tmp_path):
    path, weights = budget_run
    rows = {row.point: row for row in load_table(table_path(weights), weights).rows}
    narrow = OperatingPoint(0.5, 2, 40)
    _, yaml = extract(load_cfg(path), weights, narrow, tmp_path)
    assert run_test(load_cfg(yaml))["top1_acc"] == rows[narrow].top1_acc


def test_the_same_frames_are_read(budget_run):
    path, weights = budget_run
    cfg = load_cfg(path)
    plain = build_extracted_cfg(cfg, OperatingPoint(0.5, 3, 40), "x.pyth")
    whole, part = (build_dataset(one, "test")[0].clips[0] for one in (cfg, plain))
    torch.testing.assert_close(part, whole[:, :, [0, 1, 3]], rtol=0, atol=0)


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("0.5,8,32", [], "has more than the 4 frames or the crop 40"),
        ("0.5,2,64", [], "has more than the 4 frames or the crop 40"),
        ("0.5,2,16", [], "DATA.TEST_CROP_SIZE: 16 must be at least 32"),
        ("0.4,2,32", [], "is narrower than ADAPTIVE.MIN_WIDTH 0.5"),
        ("0.5,2,32", ["ADAPTIVE.ENABLE", False], "ADAPTIVE.ENABLE: False"),
    ],
)
def test_mistakes_are_found_before_anything_is_measured_or_written(
    budget_copy, tmp_path, text, options, message
):
    path, weights = budget_copy
    calibration_path(weights).unlink()
    with pytest.raises(ValueError, match=message):
        extract(load_cfg(path, options), weights, OperatingPoint.parse(text), tmp_path / "cut")
    assert not (tmp_path / "cut").exists() and not calibration_path(weights).exists()


@pytest.mark.slow
def test_missing_statistics_are_measured(budget_copy, tmp_path):
    path, weights = budget_copy
    cut, _ = extract(load_cfg(path), weights, OperatingPoint(0.75, 2, 32), tmp_path)
    settings = build_settings(load_cfg(path), CALIBRATION_KEYS)
    statistics = load_calibration(weights, settings).statistics
    state = files.load(cut)["model_state"]
    assert all(torch.equal(state[name], values) for name, values in statistics["0.75,2,32"].items())


@pytest.mark.slow
def test_a_cut_that_says_something_else_is_not_written(budget_run, tmp_path, monkeypatch):
    path, weights = budget_run
    split = module.split_sub_bn

    def worse(state):
        values, *others = split(state)
        weight = 2 * values["head.projection.weight"]
        return {**values, "head.projection.weight": weight}, *others

    monkeypatch.setattr(module, "split_sub_bn", worse)
    with pytest.raises(ValueError, match="cut out differ by"):
        extract(load_cfg(path), weights, SMALL, tmp_path / "cut")
    assert not (tmp_path / "cut").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "point", "train_crop", "scales"),
    [
        ("SLOW_8x8_R50_06", OperatingPoint(0.63, 5, 178), 192, [219, 274]),
        ("SLOW_8x8_R50_016", OperatingPoint(0.5, 8, 256), 224, [256, 320]),
        ("X3D_M", OperatingPoint(0.63, 8, 160), 160, [183, 229]),
    ],
)
def test_heads_pool_as_in_the_adaptive_network(name, point, train_crop, scales):
    cfg = load_cfg(CONFIGS / f"A3D_{name}.yaml")
    with torch.device("meta"):
        plain_cfg = build_extracted_cfg(cfg, point, "x.pyth")
        model = build_model(cfg).eval()
        adaptive = cut_network(model, point, None, build_reduce(cfg))
        plain = build_model(plain_cfg).eval()
        frames, crop = point.frames, point.crop
        maps = plain.forward_features([torch.empty(1, 3, frames, crop, crop)])
    assert plain_cfg.DATA.TRAIN_CROP_SIZE == train_crop
    assert plain_cfg.DATA.TRAIN_JITTER_SCALES == scales
    pools = [
        getattr(model.head, "pool", None) or model.head.pools[0]
        for model in (plain, adaptive.network)
    ]
    (a, b) = (pool(maps[0], None).shape for pool in pools)
    assert a == b


def test_of_two_pathways_only_widths_are_cut_out():
    cfg = load_cfg(CONFIGS / "A3D_SLOWFAST_4x16_R50_06.yaml")
    for refused in (OperatingPoint(0.63, 2, 224), OperatingPoint(0.63, 4, 178)):
        with pytest.raises(ValueError, match=r"fast pathway keeps 32 frames.*e\.g\. 0\.63,4,224"):
            build_extracted_cfg(cfg, refused, "x.pyth")
    plain_cfg = build_extracted_cfg(cfg, OperatingPoint(0.63, 4, 224), "x.pyth")
    assert (plain_cfg.DATA.NUM_FRAMES, plain_cfg.DATA.TEST_CROP_SIZE) == (32, 224)


@pytest.mark.slow
@torch.no_grad()
def test_a_narrow_slowfast_says_the_same(tmp_path):
    options = ["RESNET.DEPTH", 18, "RESNET.TRANS_FUNC", "basic_transform", "MODEL.NUM_CLASSES", 3]
    options += ["RESNET.WIDTH_PER_GROUP", 16, "SLOWFAST.ALPHA", 4, "DATA.NUM_FRAMES", 8]
    options += ["DATA.TRAIN_CROP_SIZE", 64, "DATA.TRAIN_JITTER_SCALES", [64, 64]]
    options += ["DATA.TEST_CROP_SIZE", 80, "NUM_GPUS", 0, "ADAPTIVE.RESIZE", "bilinear"]
    options += ["ADAPTIVE.MIN_WIDTH", 0.5, "ADAPTIVE.CROPS", [64], "ADAPTIVE.FRAMES", [2]]
    options += ["ADAPTIVE.POINTS", []]
    cfg = load_cfg(CONFIGS / "A3D_SLOWFAST_4x16_R50_06.yaml", options)
    weights, point = tmp_path / "weights.pyth", OperatingPoint(0.5, 2, 64)
    torch.manual_seed(0)
    model = make_slimmable(build_model(cfg).eval())
    files.save(weights, {"model_state": model.state_dict()})
    with width(model, point.width):
        statistics = norm_statistics(model)
    adaptive = cut_network(model, point, statistics, build_reduce(cfg))
    plain = build_model(build_extracted_cfg(cfg, point, weights)).eval()
    plain.load_state_dict(adaptive.network.state_dict())
    clips = [torch.randn(1, 3, 2, 80, 80), torch.randn(1, 3, 8, 80, 80)]
    reduced = adaptive.reduce(clips, point)
    assert [clip.shape[2:] for clip in reduced] == [(2, 64, 64), (8, 64, 64)]
    torch.testing.assert_close(plain(reduced), adaptive(clips))


@pytest.mark.parametrize(("crops", "short_side"), [(1, 203), (3, 0)])
def test_the_plain_network_sees_as_much_of_a_frame(crops, short_side):
    """224 of 256 pixels, as in the adaptive network, are 178 of 203."""
    options = ["TEST.NUM_SPATIAL_CROPS", crops, "DATA.TEST_CROP_SIZE", 224]
    cfg = load_cfg(CONFIGS / "A3D_SLOW_8x8_R50_06.yaml", options)
    plain_cfg = build_extracted_cfg(cfg, OperatingPoint(0.63, 5, 178), "x.pyth")
    assert plain_cfg.TEST.SHORT_SIDE == short_side
