import math

import pytest

from slowfast.analysis import pareto
from slowfast.analysis.pareto import (
    Point,
    draw_pareto,
    measure_points,
    read_points,
    run_pareto,
)
from slowfast.analysis.runs import parse_runs
from slowfast.config.cli import load_cfg
from slowfast.models.complexity import build_complexity
from slowfast.models.operating_point import ReducedNetwork
from slowfast.utils.io import write_json
from tests.helpers.slow import slow


def test_points_of_a_file(tmp_path):
    (tmp_path / "a.csv").write_text("name,params,gmacs,top1,note\nA,3.8,6.2,76.2,x\n")
    (point,) = read_points(tmp_path / "a.csv")
    assert (point.gmacs, point.params, point.accuracy, point.is_ours) == (6.2, 3.8, 76.2, False)
    assert math.isnan(point.latency_ms)


@pytest.mark.parametrize(
    "text, message",
    [
        ("name,gmacs\nA,1\n", "lacks .*'params', 'top1'"),
        ("name,gmacs,params,top1\nA,1,x,2\n", ":2"),
    ],
)
def test_mistakes_in_points_are_named(tmp_path, text, message):
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(ValueError, match=f"a.csv.*{message}"):
        read_points(tmp_path / "a.csv")


@pytest.mark.slow
def test_costs_and_accuracy_of_a_tested_run(make_run):
    folder = make_run("a")
    runs = parse_runs([str(folder)])
    with pytest.raises(ValueError, match="has not been tested"):
        measure_points(runs, [], metric="top1_acc", repeats=0)
    write_json(folder / "test_results.json", {"top1_acc": 62.5})
    (point,), device = measure_points(runs, [], metric="top1_acc", repeats=1)
    complexity = build_complexity(load_cfg(folder / "config.yaml"))
    assert (point.gmacs, point.params) == (complexity.macs_test / 1e9, complexity.params / 1e6)
    assert point.accuracy == 62.5 and point.latency_ms > 0 and "thread" in device
    with pytest.raises(ValueError, match="no metric 'map'"):
        measure_points(runs, [], metric="map", repeats=0)


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [["DATA.TEST_CROP_SIZE", 64], *slow([["DATA.NUM_FRAMES", 8], ["VOV3D.INNER_CH", 16]])],
)
def test_options_that_change_the_cost_but_not_the_accuracy_are_refused(make_run, options):
    folder = make_run("a")
    write_json(folder / "test_results.json", {"top1_acc": 62.5})
    runs = parse_runs([str(folder)])
    with pytest.raises(ValueError, match=f"a: --opts {options[0]} {options[1]} changes what"):
        measure_points(runs, options, metric="top1_acc", repeats=0)
    (point,), _ = measure_points(runs, ["NUM_GPUS", 0], metric="top1_acc", repeats=0)
    assert point.num_views == 2


@pytest.mark.slow
def test_runs_tested_on_different_videos_are_refused(make_run, tmp_path):
    folders = [make_run(name) for name in ("a", "b")]
    for folder, videos in zip(folders, ("ab12", "cd34"), strict=True):
        results = {"top1_acc": 62.5, "test_set": {"dataset": "kinetics", "videos": videos}}
        write_json(folder / "test_results.json", results)
    options = {"output": tmp_path, "points": [], "metric": "top1_acc", "repeats": 0}
    with pytest.raises(ValueError, match="videos and labels .*ab12 in .*/a; cd34 in .*/b"):
        run_pareto([str(folder) for folder in folders], [], mixed_sets=False, **options)
    assert "62.5" in run_pareto([str(one) for one in folders], [], mixed_sets=True, **options)


def test_points_lie_within_their_panels(tmp_path, monkeypatch):
    figures = []
    monkeypatch.setattr(pareto, "save_figure", lambda figure, _path: figures.append(figure))
    points = [Point("a", 1.0, 2.0, 50.0), Point("b", 8.0, 3.0, 60.0)]
    draw_pareto(tmp_path / "a.png", points, metric="top-1", device="")
    assert [axes.get_xlim() for axes in figures[0].axes] == [
        pytest.approx((0, 1.12 * 8)),
        pytest.approx((0, 1.12 * 3)),
    ]


@pytest.mark.slow
def test_a_config_alone_has_no_accuracy(make_run):
    folder = make_run("a")
    with pytest.raises(ValueError, match="OUTPUT_DIR"):
        measure_points(parse_runs([str(folder / "config.yaml")]), [], metric="top1_acc", repeats=0)


@pytest.mark.slow
def test_a_run_of_a_budget_costs_what_its_narrow_network_does(small_run, monkeypatch):
    folder, row = small_run
    timed, fold = [], pareto.fold_batch_norm
    monkeypatch.setattr(
        pareto,
        "fold_batch_norm",
        lambda model, *inputs: timed.append(model) or fold(model, *inputs),
    )
    (point,), _ = measure_points(parse_runs([str(folder)]), [], metric="top1_acc", repeats=1)
    assert (point.gmacs, point.params) == (row.gmacs, row.params)
    assert point.gmacs < build_complexity(load_cfg(folder / "config.yaml")).macs_test / 1e9
    (network,) = timed
    assert isinstance(network, ReducedNetwork) and network.point == row.point
    assert point.latency_ms > 0


@pytest.mark.slow
def test_another_budget_than_the_tested_one_is_refused(small_run):
    runs = parse_runs([str(small_run[0])])
    with pytest.raises(ValueError, match="small: --opts TEST.BUDGET '' changes what a clip costs"):
        measure_points(runs, ["TEST.BUDGET", ""], metric="top1_acc", repeats=0)


def test_interval_of_a_point_is_that_of_its_videos():
    below, above = Point("net", 1.0, 1.0, 50.0, num_videos=100).error
    assert below == above == [pytest.approx(9.617, abs=1e-3)]  # Wilson: 40.38 to 59.62 %
    assert Point("net", 1.0, 1.0, 50.0).error is None
