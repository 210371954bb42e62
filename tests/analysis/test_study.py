"""Studies of several networks (tools/study.py)."""

import json
from dataclasses import replace

import numpy as np
import pytest

from slowfast.analysis.report.numbers import wilson_interval
from slowfast.analysis.study import Row, Study, spread, write_report
from slowfast.config.cli import load_cfg
from tests.helpers.paths import ROOT
from tools import study as tool

CONFIGS = {name: ROOT / f"configs/demo/{name}.yaml" for name in ("x3d_motion", "i2d_motion")}


def make_row(name="x3d", gmacs=0.1, accuracy=(90.0, 96.0)):
    orders = ("normal", "reversed", "shuffled", "single_frame")
    return Row(name, 1.5, gmacs, 4.0, dict.fromkeys(orders, accuracy))


def test_spread_is_the_sample_standard_deviation():
    assert spread([90.0, 96.0]) == "93.0 ± 4.2"


def test_one_seed_has_no_spread():
    assert spread([90.0]) == "90.0"


def test_bars_of_one_seed_are_the_interval_of_its_videos():
    row = replace(make_row(accuracy=[90.0]), num_videos=10)
    low, high = wilson_interval(9, 10)
    expected = [[90 - 100 * low], [100 * high - 90]]
    assert row.error("normal") == pytest.approx(np.array(expected))
    assert make_row().error("normal")[0, 0] == pytest.approx(4.243, abs=1e-3)


def test_each_network_has_a_yaml_for_every_seed(tmp_path):
    study = Study(tmp_path, CONFIGS, range(2))
    jobs = study.write(["SOLVER.MAX_EPOCH", 3])
    assert [job.name for job in jobs] == [
        "x3d_motion, seed 0",
        "i2d_motion, seed 0",
        "x3d_motion, seed 1",
        "i2d_motion, seed 1",
    ]
    cfg = load_cfg(jobs[-1].config)
    assert (cfg.MODEL.MODEL_NAME, cfg.RNG_SEED, cfg.SOLVER.MAX_EPOCH) == ("S3D", 1, 3)
    assert cfg.OUTPUT_DIR == str(tmp_path / "i2d_motion" / "seed_1")


def test_a_run_with_results_is_not_run_again(tmp_path):
    study = Study(tmp_path, CONFIGS, range(1))
    done = study.output_dir("x3d_motion", 0)
    done.mkdir(parents=True)
    (done / "test_results.json").write_text("{}")
    assert [job.name for job in study.write([])] == ["i2d_motion, seed 0"]


def test_orders_that_were_measured_are_read(tmp_path):
    study = Study(tmp_path, CONFIGS, range(2))
    for seed in range(2):
        folder = study.output_dir("x3d_motion", seed)
        folder.mkdir(parents=True)
        orders = {"normal": 90.0 + seed, "reversed": 10.0, "shuffled": 20.0, "single_frame": 12.5}
        (folder / "orders.json").write_text(json.dumps(orders))
    assert study.accuracies("x3d_motion")["normal"] == [90.0, 91.0]


def test_the_report_has_a_row_a_network(tmp_path):
    text = write_report(tmp_path, [make_row(), make_row("tsn", 0.2, (12.0, 13.0))])
    assert "| tsn | 1.5 | 0.2 | 4.0 | 12.5 ± 0.7 |" in text
    assert (tmp_path / "study.csv").read_text().splitlines()[1].startswith("x3d,1.5,0.1,4.0,93.0")
    assert (tmp_path / "study.png").stat().st_size > 10_000


def test_networks_of_one_name_are_refused(run_tool, tmp_path):
    path = CONFIGS["x3d_motion"]
    code, text = run_tool(tool, "--cfg", path, path, "--output", tmp_path / "out")
    assert code == 1
    assert "must differ" in text
    assert not (tmp_path / "out").exists()
