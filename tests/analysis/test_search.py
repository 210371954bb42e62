"""A search with runs whose accuracy is known."""

import csv

import pytest
import yaml

from slowfast.analysis import candidates, search
from slowfast.analysis.candidates import Candidate
from slowfast.analysis.expansion import Shape
from slowfast.analysis.expansion_report import Result, draw
from slowfast.analysis.search import Settings, run_search
from slowfast.config.cli import load_cfg
from slowfast.utils.io import write_json


def known_cost(cfg):
    """GMACs and parameters from the keys alone."""
    data, vov3d = cfg.DATA, cfg.VOV3D
    gmacs = data.NUM_FRAMES * data.TRAIN_CROP_SIZE**2 * vov3d.INNER_CH**2
    gmacs *= sum(vov3d.INNER_MULTIPLIER) * sum(vov3d.NUM_MODULES)
    return 1e-9 * gmacs, 1.0


@pytest.fixture
def runs(monkeypatch):
    """Names of the runs so far; more frames are the more accurate ones."""
    names = []

    def run_jobs(jobs, _num_jobs, *, num_gpus):
        assert num_gpus == 0
        for job in jobs:
            cfg = load_cfg(job.config)
            score = 10.0 * cfg.DATA.NUM_FRAMES + cfg.DATA.SAMPLING_RATE
            write_json(f"{cfg.OUTPUT_DIR}/test_results.json", {"top1_acc": score})
            names.append(f"{job.config.parent.name}/{job.name}")
            yield job

    monkeypatch.setattr(candidates, "build_gmacs", known_cost)
    monkeypatch.setattr(search, "run_jobs", run_jobs)
    monkeypatch.setattr(search, "draw", lambda *_args, **_settings: None)
    return names


@pytest.fixture
def run(runs, toy_yaml, tmp_path):
    """Function (steps, target) -> the YAML of the last network."""

    def run(num_steps=None, target=None, **settings):
        words = ["DATA.NUM_FRAMES", 1, "DATA.SAMPLING_RATE", 16]
        place = (toy_yaml, words, tmp_path / "found", Settings(**settings))
        return run_search(*place, num_steps=num_steps, target=target, num_jobs=1)

    return run


def rows_of(folder):
    return list(csv.DictReader((folder / "found" / "expansion.csv").open()))


@pytest.mark.slow
def test_best_of_each_step_is_expanded(run, tmp_path):
    cfg = load_cfg(run(num_steps=2))
    assert (cfg.DATA.NUM_FRAMES, cfg.DATA.SAMPLING_RATE) == (4, 6)  # longer clips won
    best = [(row["step"], row["axis"]) for row in rows_of(tmp_path) if row["best"]]
    assert best == [("0", "start"), ("1", "tau"), ("2", "t")]


def test_plot_has_a_line_through_the_best(tmp_path):
    shape = Shape(1, 2, 32, 1, 1, 1)
    found = [Candidate(1, axis, shape, gmacs, 1.0, "") for axis, gmacs in (("t", 1), ("s", 2))]
    results = [Result(one, 50.0 * one.gmacs, one.axis == "s") for one in found]
    draw(tmp_path / "plot.png", results, metric="top1_acc", data="signs")
    assert (tmp_path / "plot.png").stat().st_size > 0


@pytest.mark.slow
def test_equal_networks_are_trained_once(run, runs):
    run(num_steps=1)
    axes = [name for name in runs if name.startswith("step_01/")]
    assert axes == [f"step_01/gamma_{axis}" for axis in ("tau", "s", "w", "b", "d")]


@pytest.mark.slow
def test_search_goes_on_where_it_was_cut_off(run, runs, tmp_path):
    run(num_steps=2)
    done, table = list(runs), rows_of(tmp_path)
    cut_off = [name for name in done if name > "step_01/gamma_s"]
    for name in cut_off:
        (tmp_path / "found" / name / "test_results.json").unlink()
    (tmp_path / "found" / "step_02" / "candidates.json").unlink()
    runs.clear()
    run(num_steps=2)
    assert sorted(runs) == sorted(cut_off)
    assert rows_of(tmp_path) == table
    runs.clear()
    run(num_steps=2)
    assert runs == []


@pytest.mark.slow
def test_what_exceeds_the_target_is_taken_back(run, tmp_path):
    start = known_cost(load_cfg(run(num_steps=0)))[0]
    path = run(target=3 * start)
    cfg = load_cfg(path)
    assert path.parent.name == "contracted"
    assert (cfg.DATA.NUM_FRAMES, cfg.DATA.SAMPLING_RATE) == (3, 8)  # of 4 x 6
    assert rows_of(tmp_path)[-1]["axis"] == "contracted"


@pytest.mark.slow
def test_network_near_the_target_stays_whole(run):
    start = known_cost(load_cfg(run(num_steps=0)))[0]
    assert run(target=1.95 * start).parent.name == "step_01"


def test_candidates_follow_the_rules_of_training_or_the_config(run, toy_cfg, tmp_path):
    run(num_steps=0)
    content = yaml.safe_load((tmp_path / "found" / "step_00" / "start.yaml").read_text())
    assert content["TRAIN"]["BATCH_SIZE"] == 2 * toy_cfg().TRAIN.BATCH_SIZE
    checkpoints = tmp_path / "found" / "step_00" / "start" / "checkpoints"
    checkpoints.mkdir()
    (checkpoints / "checkpoint_epoch_00001.pyth").touch()
    with pytest.raises(ValueError, match="other settings .has_rules True -> False"):
        run(num_steps=0, has_rules=False)


def test_other_settings_begin_anew_where_nothing_was_trained(run, toy_cfg, tmp_path):
    run(num_steps=0)
    run(num_steps=0, has_rules=False)
    content = yaml.safe_load((tmp_path / "found" / "step_00" / "start.yaml").read_text())
    assert "BATCH_SIZE" not in content["TRAIN"]


def test_start_above_the_target_is_refused(run):
    with pytest.raises(ValueError, match="--target: the start has"):
        run(target=1e-9)


def test_metric_without_a_value_is_named(run):
    with pytest.raises(ValueError, match="--metric: 'map' has no value among"):
        run(num_steps=0, metric="map")
