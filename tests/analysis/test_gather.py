import csv

import pytest

from slowfast.analysis.compare.gather import (
    as_text,
    choose_keys,
    differing_keys,
    gather_runs,
    write_run_table,
)
from tests.helpers.tested_run import write_tested_run


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """A good and a bad run."""
    folder = tmp_path_factory.mktemp("runs")
    write_tested_run(folder / "bad", [True, False], ["SOLVER.BASE_LR", 0.5])
    write_tested_run(folder / "deep" / "good", [True, True])
    return gather_runs(folder)


def test_runs_are_found_at_any_depth(table):
    assert [row.name for row in table.rows] == ["bad", "deep/good"]


def test_the_best_value_is_marked(table):
    assert table.best["top1_acc"] == {1}
    assert "100.00*" in as_text(table)


def test_csv_has_settings_metrics_and_costs(table, tmp_path):
    write_run_table(tmp_path / "runs.csv", table)
    first, second = csv.DictReader(open(tmp_path / "runs.csv"))
    assert (first["SOLVER.BASE_LR"], first["top1_acc"], first["best of"]) == ("0.5", "50.0", "")
    assert (second["epochs"], second["seconds"], second["best of"]) == ("2.0", "10.0", "top1_acc")
    costs = [float(second["params (M)"]), float(second["GMACs"])]
    assert costs == pytest.approx([0.326806, 0.002431488])


def test_folder_without_runs_says_what_a_run_is(tmp_path):
    with pytest.raises(ValueError, match=r"no run here or below; a run has config\.yaml"):
        gather_runs(tmp_path)


def test_keys_that_change_together_need_one_column():
    keys = ("MODEL.MODEL_NAME", "MODEL.DEPTH", "SOLVER.BASE_LR", "RNG_SEED")
    values = [("A", 1, 0.1, 0), ("A", 1, 0.2, 0), ("B", 2, 0.1, 0)]
    settings = [dict(zip(keys, one, strict=True)) for one in values]
    found = differing_keys(settings)
    assert found == ["MODEL.MODEL_NAME", "SOLVER.BASE_LR", "MODEL.DEPTH"]
    assert choose_keys(settings, found) == ["MODEL.MODEL_NAME", "SOLVER.BASE_LR"]
