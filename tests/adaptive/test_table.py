"""Costs and accuracies of all configurations of an adaptive network."""

import csv
import json
import math
import signal
from collections import Counter
from dataclasses import replace
from itertools import product

import pytest
import torch

from slowfast.adaptive.budget import TableRow, load_table, table_path
from slowfast.adaptive.calibration_file import calibration_path
from slowfast.adaptive.report import best_by_budget, front_text, write_table
from slowfast.adaptive.scores import HitCounter
from slowfast.adaptive.table import build_costs, measure_table
from slowfast.checkpoint import files
from slowfast.config.cli import load_cfg
from slowfast.datasets.clip_dataset import ClipDataset
from slowfast.engine.test import test as run_test
from slowfast.models.operating_point import OperatingPoint, build_points
from slowfast.runtime.stop import StopRequest

KINETICS = "configs/Kinetics"


@pytest.fixture
def table(budget_run):
    """That of the small network."""
    weights = budget_run[1]
    return load_table(table_path(weights), weights)


def test_the_grid_and_the_whole_network_are_measured(table):
    found = {row.point for row in table.rows}
    assert found == {OperatingPoint(*at) for at in product([0.5, 1.0], [2, 4], [32, 40])}
    assert all(0 <= row.top1_acc <= row.top5_acc == 100 for row in table.rows)
    assert all(row.latency_ms > 0 for row in table.rows)
    assert table.about["num_videos"] == 5 and table.about["views"] == "2 x 3"
    assert table.about["device"]


@pytest.mark.slow
def test_crops_may_be_as_large_as_in_tests(budget_copy):
    """The rows "-T" of A3D's Table 5: fewer frames of the whole crop of a test."""
    options = ["DATA.TEST_CROP_SIZE", 44, "ADAPTIVE.CROPS", [44], "ADAPTIVE.WIDTHS", [1.0]]
    options += ["ADAPTIVE.FRAMES", [2], "TRAIN.ENABLE", True]
    table = measure_table(*budget_copy, options, repeats=0, stop=StopRequest())
    assert [row.point for row in table.rows] == [OperatingPoint(1.0, n, 44) for n in (2, 4)]


def test_points_beside_the_grid_are_measured_with_it(budget_run):
    cfg = load_cfg(budget_run[0], ["ADAPTIVE.POINTS", "[[0.5, 4, 36], [1.0, 2, 32]]"])
    grid = {OperatingPoint(*at) for at in product([0.5, 1.0], [2, 4], [32, 40])}
    assert build_points(cfg) == sorted(grid | {OperatingPoint(0.5, 4, 36)})


def assert_monotone(costs):
    """Every smaller configuration is cheaper."""
    for (a, cost_a), (b, cost_b) in product(costs.items(), repeat=2):
        smaller = (a.width <= b.width, a.frames <= b.frames, a.crop <= b.crop)
        if all(smaller) and a != b:
            assert cost_a.gmacs < cost_b.gmacs, (a, b)
        assert (cost_a.params < cost_b.params) == (a.width < b.width)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["slow/SLOW_8x8_R50", "x3d/X3D_M"])
def test_costs_grow_along_each_axis(name):
    grid = product([0.5, 0.73, 1.0], [2, 8], [128, 224])
    points = [OperatingPoint(*at) for at in grid]
    cfg = load_cfg(f"{KINETICS}/{name}.yaml")
    costs = dict(zip(points, build_costs(cfg, points), strict=True))
    assert_monotone(costs)


@pytest.mark.slow
def test_costs_of_slow_and_slowfast_are_the_published_ones():
    for name, at, gmacs, params in (
        ("slow/SLOW_8x8_R50", "0.63,5,178", 7.306, 12.963),
        ("slow/SLOW_8x8_R50", "1,8,256", 54.518, 32.454),
        ("slowfast/SLOWFAST_4x16_R50", "0.63,2,142", 7.604, 14.545),
        ("slowfast/SLOWFAST_4x16_R50", "1,4,256", 36.099, 34.480),
    ):
        cfg = load_cfg(f"{KINETICS}/{name}.yaml")
        (cost,) = build_costs(cfg, [OperatingPoint.parse(at)])
        assert cost.gmacs == pytest.approx(gmacs, abs=0.005)
        assert cost.params == pytest.approx(params, abs=0.001)


@pytest.mark.slow
def test_the_table_holds_the_accuracy_of_a_test(table, budget_run, tmp_path):
    """Of the whole network, which a test without a budget runs."""
    path, weights = budget_run
    cfg = load_cfg(path, ["TEST.CHECKPOINT_FILE_PATH", str(weights), "OUTPUT_DIR", str(tmp_path)])
    (full,) = [row for row in table.rows if str(row.point) == "1,4,40"]
    assert run_test(cfg)["top1_acc"] == full.top1_acc


@pytest.mark.slow
def test_classes_of_the_weights_are_found_by_their_names(budget_copy, named):
    path, weights = budget_copy
    names = ["red", "green", "blue"]
    files.save(weights, {**files.load(weights), "class_names": names})
    calibration_path(weights).unlink()  # was measured with the file as it was
    first, second = (
        measure_table(path, weights, list(map(str, named(order))), repeats=0, stop=StopRequest())
        for order in (names, ["blue", "red", "green"])
    )
    assert [row.top1_acc for row in first.rows] == [row.top1_acc for row in second.rows]


@pytest.mark.slow
def test_each_video_is_read_once_and_nothing_is_calibrated_again(budget_copy, reads):
    path, weights = budget_copy
    again = measure_table(path, weights, repeats=0, stop=StopRequest())
    assert reads == Counter(f"test_{index}.mp4" for index in range(5))
    assert all(math.isnan(row.latency_ms) for row in again.rows)
    before = load_table(table_path(weights), weights).rows
    assert [row.top1_acc for row in again.rows] == [row.top1_acc for row in before]


@pytest.mark.slow
def test_ctrl_c_keeps_the_videos_so_far(budget_copy, ctrl_c_after_a_video):
    path, weights = budget_copy
    stop = StopRequest()
    table = measure_table(path, weights, repeats=0, stop=stop)
    assert stop.signum == signal.SIGINT
    assert (table.about["num_videos"], table.about["num_test_videos"]) == (1, 5)


@pytest.mark.slow
def test_unreadable_videos_are_named_and_do_not_count(budget_copy, toy_set, tmp_path):
    path, weights = budget_copy
    lines = [f"{toy_set}/test_{index}.mp4 {index % 3}\n" for index in range(2)]
    (tmp_path / "text.mp4").write_text("not a video")
    (tmp_path / "test.csv").write_text("".join([f"{tmp_path}/text.mp4 1\n", *lines]))
    options = ["DATA.PATH_TO_DATA_DIR", str(tmp_path)]
    table = measure_table(path, weights, options, repeats=0, stop=StopRequest())
    assert (table.about["num_videos"], table.about["num_test_videos"]) == (2, 3)
    assert list(table.about["unreadable"]) == [f"{tmp_path}/text.mp4"]
    (tmp_path / "test.csv").write_text(f"{tmp_path}/text.mp4 1\n")
    with pytest.raises(ValueError, match="no test video was scored.*text.mp4"):
        measure_table(path, weights, options, repeats=0, stop=StopRequest())


@pytest.mark.slow
def test_damaged_videos_count_and_are_named(budget_copy, monkeypatch, caplog, tmp_path):
    path, weights = budget_copy
    read = ClipDataset.__getitem__

    def damaged(self, key):
        sample = read(self, key)
        sample.num_broken = 3 * (sample.index == 1)
        return sample

    monkeypatch.setattr(ClipDataset, "__getitem__", damaged)
    table = measure_table(path, weights, repeats=0, stop=StopRequest())
    assert (table.about["num_videos"], table.about["num_damaged"]) == (5, 1)
    assert "test_1.mp4 (3 of 12 packets" in caplog.text
    write_table(tmp_path / "table.json", table)
    about = load_table(tmp_path / "table.json", weights).about
    (damaged,) = about["damaged"]
    assert about["num_damaged"] == 1 and damaged["path"].endswith("test_1.mp4")


def test_plain_networks_have_no_table(budget_run):
    with pytest.raises(ValueError, match="ADAPTIVE.ENABLE: False"):
        measure_table(*budget_run, ["ADAPTIVE.ENABLE", False], repeats=0, stop=StopRequest())


def test_hits_are_counted():
    labels = torch.tensor([1, 0])
    batch = {"indices": torch.tensor([1, 0]), "views": torch.tensor([0, 0])}
    first, second = (HitCounter(labels, num_views=1, ensemble="sum") for _ in range(2))
    assert first.evaluate() is None
    right, wrong = torch.eye(7)[:2], torch.eye(7)[[3, 3]]
    for outputs in ((right, wrong), (wrong, wrong)):
        for counter, output in zip((first, second), outputs, strict=True):
            counter.add(batch, output)
    assert first.evaluate().metrics == {"top1_acc": 50, "top5_acc": 100, "num_videos": 4}
    # Ties: the lower class comes first.
    assert second.evaluate().metrics == {"top1_acc": 0, "top5_acc": 100, "num_videos": 4}
    first.merge([second.scores])
    assert first.evaluate().metrics == {"top1_acc": 25, "top5_acc": 100, "num_videos": 8}


def test_views_in_any_order_are_joined_before_they_count():
    counter = HitCounter(torch.tensor([0, 1, 2]), num_views=2, ensemble="max")
    scores = torch.tensor([[0.0, 0, 3], [0, 2, 0], [1, 0, 0], [4, 0, 0]])
    batch = {"indices": torch.tensor([2, 0, 2, 0]), "views": torch.tensor([1, 0, 0, 1])}
    counter.add(batch, scores)
    assert counter.evaluate().metrics["top1_acc"] == 100


def row(gmacs, latency_ms, top1_acc):
    return TableRow(OperatingPoint(gmacs / 10, 4, 32), gmacs, 1.0, latency_ms, top1_acc, 100.0)


def test_the_best_by_budget_are_steps_up():
    rows = [row(4, 1, 60), row(1, 3, 50), row(3, 2, 70), row(2, 9, 50), row(5, 5, 70)]
    assert [one.gmacs for one in best_by_budget(rows, "gmacs")] == [1, 3]
    assert [one.gmacs for one in best_by_budget(rows, "latency_ms")] == [4, 3]


@pytest.mark.slow
def test_the_files_agree_and_hold_the_picks(table, tmp_path, caplog):
    path = tmp_path / "table.json"
    picks = write_table(path, table, budgets=["1G", "1000ms", "0.001M"])
    assert list(picks) == ["1G", "1000ms"] and "'0.001M' is too small" in caplog.text
    content = json.loads(path.read_text())
    assert content["picks"] == {text: str(one.point) for text, one in picks.items()}
    assert content["parent"] == table.parent
    with open(path.with_suffix(".csv"), newline="") as file:
        rows = list(csv.DictReader(file))
    for found, one in zip(rows, content["configurations"], strict=True):
        assert found["configuration"] == one["configuration"]
        assert float(found["gmacs"]) == one["gmacs"]
        assert int(found["is_on_front_gmacs"]) == one["is_on_front_gmacs"]
    assert path.with_suffix(".png").read_bytes().startswith(b"\x89PNG")
    text = front_text(table, picks)
    assert all(str(one.point) in text for one in picks.values())


def test_a_table_without_latencies_is_drawn_and_read_again(budget_run, table, tmp_path):
    rows = tuple(TableRow(**{**vars(one), "latency_ms": math.nan}) for one in table.rows)
    bare = replace(table, rows=rows)
    write_table(tmp_path / "bare.json", bare)
    again = load_table(tmp_path / "bare.json", budget_run[1])
    assert all(math.isnan(one.latency_ms) for one in again.rows)
    assert "ms per clip" not in front_text(bare, {})
