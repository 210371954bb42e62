"""tools/budget.py, and tools/predict.py with what it wrote."""

import json
import shutil
import signal

import pytest
import torch

from slowfast.adaptive.budget import load_table, table_path
from slowfast.adaptive.calibration_file import calibration_path, load_calibrations
from tools import budget, predict, run_net


@pytest.fixture
def run(run_tool, budget_copy):
    """Function (tool, words) -> (exit code, all that was printed)."""
    path, weights = budget_copy
    where = ["--cfg", path, "--checkpoint", weights]
    return lambda tool, first, *words: run_tool(tool, first, *where, *words)


@pytest.mark.slow
def test_from_weights_to_a_table_a_prediction_and_a_plain_network(
    run_tool, run, budget_copy, toy_set, tmp_path
):
    weights = budget_copy[1]
    for path in (table_path(weights), calibration_path(weights)):
        path.unlink()
    words = ["--budgets", "1G", "1M", "--repeats", 1, "--threads", 1]
    words += ["ADAPTIVE.FRAMES", "[4]", "ADAPTIVE.WIDTHS", "[0.5]"]
    code, output = run(budget, "table", *words)
    assert code == 0, output
    assert "best of 3 configurations by GMACs" in output and "5 of 5 videos" in output
    assert weights.with_name("weights.pyth.budget_table.png").exists()
    rows = load_table(table_path(weights), weights).rows
    cheapest = min(rows, key=lambda row: row.gmacs)

    out = tmp_path / "out.json"
    words = ["--budget", f"{cheapest.gmacs}G", "--output", out]
    code, output = run(predict, toy_set / "test_0.mp4", *words)
    assert code == 0, output
    assert json.loads(out.read_text())["configuration"] == "0.5,4,32"
    assert "width,frames,crop 0.5,4,32" in output

    where = ["--output", tmp_path / "cut"]
    code, output = run(budget, "extract", "--at", "0.5,2,32", *where)  # calibrates it first
    assert code == 0, output
    assert run_tool(run_net, "--cfg", tmp_path / "cut" / "0.5_2_32.yaml")[0] == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--budget", "1"], "TEST.BUDGET: '1' is not a number above 0 with its unit"),
        (["--budget", "0.001M"], "is too small; the smallest configuration, 0.5,2,32"),
        (["--latency", "0.001ms"], "is too small; the smallest configuration"),
        (["--budget", "1G", "--table", "none.json"], "none.json: there is no such table"),
        (["--table", "none.json"], "TEST.BUDGET_TABLE: 'none.json' needs TEST.BUDGET"),
    ],
)
def test_mistakes_of_predictions_are_one_line(run, toy_set, words, message):
    code, output = run(predict, toy_set / "test_0.mp4", *words)
    assert code == 1 and message in output and "Traceback" not in output


@pytest.mark.parametrize(
    "words",
    [
        ["--latency", "4G"],
        ["--latency", ""],
        ["--latency", "4ms", "--budget", "4G"],
        ["--budget", ""],
    ],
)
def test_a_latency_is_a_time_and_there_is_one_budget(run, toy_set, words):
    code, output = run(predict, toy_set / "test_0.mp4", *words)
    assert code == 2 and words[0] in output


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["table", "--budgets", "4"], "TEST.BUDGET: '4' is not a number"),
        (["table", "--output", "x.csv"], "x.csv must end in .json"),
        (["extract", "--at", "0.5,2", "--output", "x"], "must be WIDTH,FRAMES,CROP"),
        (["extract", "--at", "0.5,8,32", "--output", "x"], "has more than the 4 frames"),
    ],
)
def test_mistakes_of_tables_are_one_line(run, words, message):
    code, output = run(budget, *words)
    assert code == 1 and message in output and "Traceback" not in output


@pytest.mark.slow
def test_an_interrupted_table_leaves_a_whole_one(
    run, budget_copy, ctrl_c_after_a_video, monkeypatch
):
    weights = budget_copy[1]
    before = table_path(weights).read_bytes()
    code, output = run(budget, "table", "--repeats", 0)
    assert code == 128 + signal.SIGINT and "1 of 5 videos" in output
    assert table_path(weights).read_bytes() == before
    partial = table_path(weights).with_suffix(".partial.json")
    assert load_table(partial, weights).about["num_videos"] == 1
    monkeypatch.undo()
    assert run(budget, "table", "--repeats", 0)[0] == 0
    assert not list(weights.parent.glob("*.partial.*"))


@pytest.mark.parametrize("words", [["--repeats", "-1"], ["--threads", "0"]])
def test_numbers_that_make_no_sense_are_refused(run, words):
    code, output = run(budget, "table", *words)
    assert code == 2 and "is not at least" in output


@pytest.mark.slow
def test_a_comparison_is_printed_and_written(run_tool, budget_copy, tmp_path):
    path, weights = budget_copy
    words = ["compare", "--cfg", path, "--adaptive", weights, "--at", "0.5,2,32", "1,4,40"]
    code, output = run_tool(budget, *words, "--output", tmp_path / "out.csv")
    assert code == 1 and "out.csv must end in .json" in output
    words += ["--output", tmp_path / "out.json", "--threads", 1, "TEST.BATCH_SIZE", 5]
    code, output = run_tool(budget, *words)
    assert code == 0 and "0.5,2,32" in output and "5 of 5 videos" in output
    assert {file.name for file in tmp_path.glob("out*")} == {"out.json", "out.csv"}


def test_a_test_after_training_has_no_table_yet(run_tool, budget_copy, tmp_path):
    words = ["--cfg", budget_copy[0], "TRAIN.ENABLE", "True", "TEST.BUDGET", "1G"]
    assert run_tool(run_net, *words, "OUTPUT_DIR", tmp_path / "run")[0] == 1
    assert "TEST.BUDGET" in (tmp_path / "run" / "stdout.log").read_text()


@pytest.mark.slow
def test_two_processes_calibrate_and_score_as_one_does(budget_run, run_tool_in_two, tmp_path):
    (path, weights), own = budget_run, tmp_path / "weights.pyth"
    shutil.copy(weights, own)
    words = ["--cfg", path, "--checkpoint", own, "--repeats", 0, "--output", tmp_path / "two.json"]
    run_tool_in_two(budget, "table", *words)
    one, two = (
        json.loads(file.read_text()) for file in (table_path(weights), tmp_path / "two.json")
    )
    assert [row["top1_acc"] for row in two["configurations"]] == [
        row["top1_acc"] for row in one["configurations"]
    ]
    (expected,), (found,) = load_calibrations(weights), load_calibrations(own)
    assert found.statistics.keys() == expected.statistics.keys() and not found.progress
    for name, values in expected.statistics.items():
        for key, value in values.items():
            assert torch.equal(value, found.statistics[name][key]), (name, key)
