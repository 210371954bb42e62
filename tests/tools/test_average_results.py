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


def test_mean_and_deviation_of_the_metrics_that_all_runs_have(run_tool, runs, tmp_path):
    code, output = run_tool(average_results, *runs, "--output", tmp_path / "all.json")
    assert code == 0 and "83.00" in output
    content = json.loads((tmp_path / "all.json").read_text())
    assert content["runs"] == runs and list(content["metrics"]) == ["loss", "top1_acc"]
    top1 = content["metrics"]["top1_acc"]
    assert top1 == {"mean": 83.0, "std": pytest.approx(13**0.5), "values": [80.0, 82.0, 87.0]}


def test_csv_has_a_line_for_each_metric_that_was_asked_for(run_tool, runs, tmp_path):
    path = tmp_path / "all.csv"
    words = ["--metrics", "top1_acc", "--output", path]
    assert run_tool(average_results, *runs, *words)[0] == 0
    with open(path) as file:
        (row,) = csv.DictReader(file)
    assert (row["metric"], float(row["mean"]), float(row[runs[2]])) == ("top1_acc", 83.0, 87.0)


def test_one_run_has_no_deviation(run_tool, runs, tmp_path):
    run_tool(average_results, runs[0], "--output", tmp_path / "one.json")
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
def test_mistakes_are_named(run_tool, runs, tmp_path, monkeypatch, words, message):
    monkeypatch.chdir(tmp_path)
    code, output = run_tool(average_results, *runs, *words)
    assert code == 1 and re.search(message, output)


FACTS = {
    "dataset": "kinetics",
    "split": None,
    "num_videos": 9,
    "videos": "ab12",
    "num_classes": 3,
    "classes": None,
}


@pytest.fixture
def on_sets(tmp_path):
    """Function (changes of FACTS, ...) -> folders of runs tested on such sets, run1, run2, ..."""

    def make(*changes):
        folders = [tmp_path / f"run{number}" for number, _ in enumerate(changes, start=1)]
        for folder, change in zip(folders, changes, strict=True):
            folder.mkdir()
            results = {"top1_acc": 50.0, "test_set": {**FACTS, **change}}
            (folder / "test_results.json").write_text(json.dumps(results))
        return folders

    return make


@pytest.mark.parametrize(
    "change, message",
    [
        ({"videos": "cd34"}, "videos and labels .their hash.: ab12 in .*run1; cd34 in .*run2"),
        ({"num_videos": 8, "videos": "cd34"}, "number of videos: 9 in .*run1; 8 in .*run2"),
        ({"dataset": "ssv2"}, "dataset: kinetics in .*run1; ssv2 in .*run2"),
        ({"num_classes": 4}, "number of classes: 3 in .*run1; 4 in"),
    ],
)
def test_runs_on_different_sets_are_refused(run_tool, on_sets, change, message):
    code, output = run_tool(average_results, *on_sets({}, change))
    assert code == 1 and re.search(message, output) and "--mixed-sets" in output


def test_runs_on_different_sets_are_named_where_they_are_wanted(run_tool, on_sets):
    code, output = run_tool(average_results, *on_sets({}, {"videos": "cd34"}), "--mixed-sets")
    assert code == 0 and "not tested on the same set" in output


def test_official_splits_belong_together(run_tool, on_sets):
    splits = [{"split": number, "videos": f"v{number}"} for number in (1, 2, 3)]
    code, output = run_tool(average_results, *on_sets(*splits))
    assert code == 0 and "same set" not in output


def test_within_an_official_split_the_videos_are_the_same(run_tool, on_sets):
    sets = [{"split": 1}, {"split": 2, "videos": "a"}, {"split": 2, "videos": "b"}]
    code, output = run_tool(average_results, *on_sets(*sets))
    assert code == 1 and re.search("split 2: videos.*a in .*run2; b in .*run3", output)


def test_older_results_are_named_as_not_compared(run_tool, runs):
    code, output = run_tool(average_results, *runs)
    assert code == 0 and re.search("split1, .*split3: written before results said", output)


def test_older_results_of_other_numbers_of_videos_are_refused(run_tool, runs, tmp_path):
    path = tmp_path / "split2/test_results.json"
    path.write_text(json.dumps({"top1_acc": 82.0, "num_videos": 9, "num_unreadable": 1}))
    code, output = run_tool(average_results, *runs)
    assert code == 1 and re.search("number of videos: 9 in .*split3; 10 in .*split2", output)


def test_videos_that_some_runs_could_not_read_are_said(run_tool, on_sets):
    folders = on_sets({}, {})
    for folder, num_videos in zip(folders, (9, 7), strict=True):
        results = {"top1_acc": 50.0, "num_videos": num_videos, "test_set": FACTS}
        (folder / "test_results.json").write_text(json.dumps(results))
    code, output = run_tool(average_results, *folders)
    assert code == 0 and re.search("some were unreadable: 9 of 9 in .*, 7 of 9 in", output)
