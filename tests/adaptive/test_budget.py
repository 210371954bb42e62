"""The configuration that a budget chooses, and what tests and predictions do with it."""

import json
import math
from contextlib import nullcontext

import pytest
import torch

from slowfast.adaptive.budget import TableRow, choose, load_table, pareto_front, table_path
from slowfast.adaptive.calibration_file import calibration_path, load_calibration
from slowfast.adaptive.network import load_for_evaluation
from slowfast.checkpoint.files import CheckpointError
from slowfast.checkpoint.initialize import load_for_test
from slowfast.config.cli import load_cfg
from slowfast.config.derived import parse_budget
from slowfast.engine.predict import Predictor
from slowfast.engine.test import test as run_test
from slowfast.models import build_model
from slowfast.models.operating_point import OperatingPoint, at_point, build_reduce
from slowfast.models.slimmable import make_slimmable


def row(gmacs, latency_ms, top1_acc):
    return TableRow(OperatingPoint(1.0, 4, 32), gmacs, 1.0, latency_ms, top1_acc, 100.0)


ROWS = (row(1.0, 9.0, 50.0), row(2.0, 4.0, 70.0), row(3.0, 20.0, 70.0), row(4.0, 30.0, 60.0))


@pytest.mark.parametrize(
    ("text", "gmacs"),
    [("1G", 1.0), ("1.9G", 1.0), ("2000M", 2.0), ("100G", 2.0), ("4ms", 2.0), ("25ms", 2.0)],
)
def test_the_most_accurate_that_fits_is_chosen_and_the_cheapest_of_equals(text, gmacs):
    assert choose(ROWS, parse_budget(text)).gmacs == gmacs


@pytest.mark.parametrize(
    ("text", "message"), [("1M", "'1M'.*1,4,32, takes 1 GMACs"), ("3ms", "takes 4 ms per clip")]
)
def test_an_impossible_budget_says_what_the_smallest_is(text, message):
    with pytest.raises(ValueError, match=message):
        choose(ROWS, parse_budget(text))


def test_without_latencies_a_time_is_an_error_that_says_how_to_measure():
    rows = tuple(row(gmacs, math.nan, 50.0) for gmacs in (1.0, 2.0))
    with pytest.raises(ValueError, match="no latency_ms.*--repeats"):
        choose(rows, parse_budget("50ms"))
    assert choose(rows, parse_budget("2G")).gmacs == 1.0


def test_the_front_holds_what_nothing_beats():
    costs = [1, 2, 2, 3, 4, 4]
    values = [5, 6, 7, 7, 9, 8]
    assert pareto_front(costs, values) == [True, False, True, False, True, False]


def test_equal_points_are_both_on_the_front():
    assert pareto_front([1, 1], [5, 5]) == [True, True]


def test_a_point_without_a_cost_or_value_is_never_on_the_front():
    assert pareto_front([math.nan, 1, 2], [9, math.nan, 3]) == [False, False, True]


@pytest.mark.slow
def test_a_missing_table_says_how_to_write_one(budget_run, tmp_path):
    with pytest.raises(ValueError, match="none.json: there is no such table.*tools/budget.py"):
        load_table(tmp_path / "none.json", budget_run[1])


@pytest.mark.slow
@pytest.mark.parametrize("content", ["", "[]", "{}", '{"parent": 1, "settings": {}}'])
def test_another_file_is_no_table(budget_run, tmp_path, content):
    (tmp_path / "x.json").write_text(content)
    with pytest.raises(ValueError, match="x.json: is not a table"):
        load_table(tmp_path / "x.json", budget_run[1])


@pytest.mark.slow
def test_tables_and_statistics_of_other_weights_are_refused(budget_copy):
    path, weights = budget_copy
    cfg = load_cfg(path, ["TEST.BUDGET", "1G"])
    torch.save({**torch.load(weights), "more": 1}, weights)
    with pytest.raises(ValueError, match="budget_table.json: was measured with other weights"):
        load_for_evaluation(cfg, weights, torch.device("cpu"))
    with pytest.raises(ValueError, match="calibration.pth: was measured with other weights"):
        load_calibration(weights, {})


def test_a_missing_checkpoint_names_those_nearby(budget_run):
    path, weights = budget_run
    with pytest.raises(CheckpointError, match="none.pyth: no such file.*: weights.pyth$"):
        load_for_evaluation(
            load_cfg(path, ["TEST.BUDGET", "1G"]),
            weights.with_name("none.pyth"),
            torch.device("cpu"),
        )


def test_other_clips_than_the_tables_are_refused(budget_run):
    path, weights = budget_run
    cfg = load_cfg(path, ["TEST.BUDGET", "1G", "DATA.TEST_CROP_SIZE", 44])
    with pytest.raises(ValueError, match="DATA.TEST_CROP_SIZE: 44 differs from the 40"):
        load_for_evaluation(cfg, weights, torch.device("cpu"))


def test_missing_statistics_say_what_measures_them(budget_copy):
    path, weights = budget_copy
    cheapest = load_table(table_path(weights), weights).rows[0]
    calibration_path(weights).unlink()
    cfg = load_cfg(path, ["TEST.BUDGET", f"{cheapest.gmacs}G"])
    with pytest.raises(ValueError, match="no batch-norm statistics.*0.5,2,32.*tools/budget.py"):
        load_for_evaluation(cfg, weights, torch.device("cpu"))


@pytest.mark.slow
@torch.no_grad()
def test_the_network_of_a_budget_is_the_adaptive_one_at_that_configuration(budget_copy):
    path, weights = budget_copy
    content = json.loads(table_path(weights).read_text())
    for row in content["configurations"]:
        row["top1_acc"] = 10 * row["gmacs"]  # so that each is the best of some budget
    table_path(weights).write_text(json.dumps(content))
    cfg = load_cfg(path)
    model = make_slimmable(build_model(cfg)).eval()
    load_for_test(model, weights)
    torch.manual_seed(0)
    statistics = load_calibration(weights, content["calibration"]).statistics
    clips = [torch.randn(2, 3, 4, 40, 40)]
    for row in content["configurations"][::3] + content["configurations"][-1:]:
        point = OperatingPoint.parse(row["configuration"])
        chosen = load_cfg(path, ["TEST.BUDGET", f"{row['gmacs']}G"])
        loaded = load_for_evaluation(chosen, weights, torch.device("cpu"))
        assert loaded.row.point == point
        at = nullcontext()
        if point != OperatingPoint(1.0, 4, 40):
            at = at_point(model, point, statistics[str(point)])
        with at:
            expected = model(build_reduce(cfg)(clips, point))
        # Folded batch norms round differently.
        torch.testing.assert_close(loaded.model(clips), expected, rtol=1e-3, atol=1e-4)


@pytest.mark.slow
def test_a_test_with_a_budget_finds_the_accuracy_of_the_table(budget_run, tmp_path):
    path, weights = budget_run
    table = load_table(table_path(weights), weights)
    where = ["OUTPUT_DIR", tmp_path, "TEST.CHECKPOINT_FILE_PATH", weights]
    where = [str(word) for word in where]
    for text in (f"{table.rows[0].gmacs}G", "1G"):
        expected = choose(table.rows, parse_budget(text))
        results = run_test(load_cfg(path, [*where, "TEST.BUDGET", text]))
        assert results["configuration"] == str(expected.point)
        assert results["top1_acc"] == expected.top1_acc
        assert json.loads((tmp_path / "test_results.json").read_text()) == results
    assert "configuration" not in run_test(load_cfg(path, where))


@pytest.mark.slow
def test_a_predictor_takes_a_budget_and_a_table_elsewhere(budget_copy, toy_set, tmp_path):
    path, weights = budget_copy
    table = table_path(weights).rename(tmp_path / "elsewhere.json")
    options = ["TEST.BUDGET", "1000ms", "TEST.BUDGET_TABLE", str(table)]
    predictor = Predictor(path, weights, options=options)
    best = choose(load_table(table, weights).rows, parse_budget("1000ms"))
    assert predictor.row == best
    assert len(predictor(toy_set / "test_0.mp4")) == 3


@pytest.mark.slow
def test_a_table_of_another_precision_is_pointed_out(budget_copy, caplog):
    path, weights = budget_copy
    cfg = load_cfg(path, ["TEST.BUDGET", "1G", "TEST.PRECISION", "bfloat16"])
    load_for_evaluation(cfg, weights, torch.device("cpu"))
    assert "its accuracies are of float32, this is bfloat16" in caplog.text


@pytest.mark.slow
def test_a_table_of_some_videos_or_of_another_device_is_pointed_out(budget_copy, caplog):
    path, weights = budget_copy
    content = json.loads(table_path(weights).read_text())
    table_path(weights).write_text(json.dumps({**content, "num_videos": 3, "device": "abacus"}))
    network = load_cfg(path, ["TEST.BUDGET", "1000ms"]), weights, torch.device("cpu")
    load_for_evaluation(*network)
    assert "are those of 3 of 5 videos" in caplog.text
    assert "times are of abacus" in caplog.text
