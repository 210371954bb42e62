"""Several tested runs become one number and its spread."""

import csv
import json
import re

import pytest

from tools import average_results


@pytest.fixture
def runs(tmp_path):
    """Folders of three tested runs."""
    for number, top1 in enumerate((80.0, 82.0, 87.0)):
        folder = tmp_path / f"split{number + 1}"
        folder.mkdir()
        results = {"loss": 0.5, "top1_acc": top1, "num_videos": 9, "views": "10 x 3"}
        if number:
            results["map"] = 1.0
        (folder / "test_results.json").write_text(json.dumps(results))
    return [str(tmp_path / f"split{number}") for number in (1, 2, 3)]


def test_mean_and_deviation_of_the_metrics_that_all_runs_have(runs, tmp_path, capsys):
    assert average_results.main([*runs, "--output", str(tmp_path / "all.json")]) == 0
    content = json.loads((tmp_path / "all.json").read_text())
    assert content["runs"] == runs and list(content["metrics"]) == ["loss", "top1_acc"]
    top1 = content["metrics"]["top1_acc"]
    assert top1 == {"mean": 83.0, "std": pytest.approx(13**0.5), "values": [80.0, 82.0, 87.0]}
    assert "83.00" in capsys.readouterr().out


def test_csv_has_a_line_for_each_metric_that_was_asked_for(runs, tmp_path):
    path = tmp_path / "all.csv"
    assert average_results.main([*runs, "--metrics", "top1_acc", "--output", str(path)]) == 0
    with open(path) as file:
        (row,) = csv.DictReader(file)
    assert (row["metric"], float(row["mean"]), float(row[runs[2]])) == ("top1_acc", 83.0, 87.0)


def test_one_run_has_no_deviation(runs, tmp_path):
    average_results.main([runs[0], "--output", str(tmp_path / "one.json")])
    content = json.loads((tmp_path / "one.json").read_text())
    assert content["metrics"]["top1_acc"]["std"] is None


@pytest.mark.parametrize(
    "words, message",
    [
        (["--metrics", "map"], r"split1: no metric \['map'\] among \['loss', 'top1_acc'\]"),
        (["--output", "all.txt"], r"all.txt: .*\.json or \.csv"),
        (["nowhere"], "nowhere: no results"),
        (["split2/test_results.json"], "split2/test_results.json: this run is given twice"),
    ],
)
def test_mistakes_are_named(runs, tmp_path, capsys, monkeypatch, words, message):
    monkeypatch.chdir(tmp_path)
    assert average_results.main([*runs, *words]) == 1
    assert re.search(message, capsys.readouterr().err)
