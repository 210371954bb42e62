"""Sweeps whose runs are a small script (tools/sweep.py)."""

import csv
import os
import signal
import subprocess
import threading
import time

import pytest

from slowfast.config.cli import load_cfg
from slowfast.sweep.local import Progress
from slowfast.sweep.points import Axis, Range
from slowfast.sweep.runs import plan_grid
from slowfast.sweep.search import Search, Space, open_study
from tools import sweep as tool


@pytest.fixture
def run(run_tool, toy_yaml, tmp_path, fake_runs):
    """Function (words) -> (exit code, all that was printed)."""
    return lambda *words: run_tool(tool, toy_yaml, "--out", tmp_path / "sweep", *words)


RATES = ("--grid", "SOLVER.BASE_LR", 0.1, 0.3)


def test_first_seeds_of_all_points_come_first(toy_yaml, tmp_path):
    runs = plan_grid(toy_yaml, [], [Axis("LOG_PERIOD", ("1", "2"))], num_seeds=2, folder=tmp_path)
    assert [run.planned.name for run in runs] == [
        "LOG_PERIOD=1, seed 0",
        "LOG_PERIOD=2, seed 0",
        "LOG_PERIOD=1, seed 1",
        "LOG_PERIOD=2, seed 1",
    ]


@pytest.mark.slow
def test_points_are_compared_over_seeds(run, tmp_path):
    code, text = run(*RATES, "--seeds", 2, "SOLVER.MAX_EPOCH", 3)
    assert code == 0
    (best, other) = csv.DictReader((tmp_path / "sweep/sweep.csv").open())
    assert (best["SOLVER.BASE_LR"], best["runs"], float(best["test_mean"])) == ("0.3", "2", 30.5)
    assert float(other["val_std"]) == pytest.approx(0.5**0.5)
    assert "4 of 4: BASE_LR=0.3, seed 1: test 31.00 %" in text
    assert len((tmp_path / "sweep/runs.csv").read_text().splitlines()) == 5
    assert load_cfg(tmp_path / "sweep/BASE_LR=0.3/seed_1.yaml").SOLVER.MAX_EPOCH == 3


@pytest.mark.slow
def test_only_what_is_new_is_trained(run, tmp_path):
    run(*RATES)
    code, text = run("--grid", "SOLVER.BASE_LR", 0.1, 0.3, 0.5)
    assert code == 0 and "2 of 3 runs are done already" in text
    counts = {path.parent.parent.name: path.read_text() for path in tmp_path.rglob("begun")}
    assert counts == {"BASE_LR=0.1": "x", "BASE_LR=0.3": "x", "BASE_LR=0.5": "x"}


@pytest.mark.slow
def test_another_config_of_a_run_that_was_begun_is_refused(run):
    run(*RATES)
    code, text = run(*RATES, "SOLVER.MAX_EPOCH", 9)
    assert code == 1 and "begun with another config (SOLVER.MAX_EPOCH 2 -> 9)" in text
    assert run(*RATES, "LOG_PERIOD", 7)[0] == 0


@pytest.mark.slow
def test_a_failing_run_is_named_and_the_others_go_on(run):
    code, text = run("--grid", "SOLVER.BASE_LR", 0.9, 0.1)
    assert code == 1
    assert "1 run(s) failed:" in text and "SOLVER.BASE_LR: 0.9 is too high" in text
    assert "BASE_LR=0.1, seed 0: test 10.00 %" in text


def test_values_are_checked_before_anything_trains(run, tmp_path):
    code, text = run("--grid", "SOLVER.BASE_LR", 0.1, "fast")
    assert code == 1 and "BASE_LR=fast" in text and "SOLVER.BASE_LR: 'fast' is not" in text
    assert not (tmp_path / "sweep").exists()


def test_equal_points_are_refused(run):
    assert "two points are the same" in run("--grid", "SOLVER.BASE_LR", 0.1, "1e-1")[1]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--range", "SOLVER.BASE_LR", "0.1", "1"], "needs --optuna"),
        (["--optuna", "3"], "nothing varies"),
        (["--optuna", "3", *RATES, "--seeds", "2"], "single runs"),
        (["--optuna", "3", *RATES, "--slurm", "x.sbatch"], "chooses as it goes"),
        (["--optuna", "3", *RATES, "--table"], "no search here"),
        ([*RATES, "--metric", "loss"], "higher is better"),
        ([*RATES, "--metric", "map"], "'map' is not among"),
    ],
)
def test_options_that_do_not_fit_are_refused(run, words, message):
    code, text = run(*words)
    assert code == 1 and message in text


def test_a_value_in_capitals_is_no_override(run):
    assert "VoV3D" in run("--grid", "MODEL.MODEL_NAME", "X3DX", "VoV3D", "LOG_PERIOD", 3)[1]


def test_the_table_trains_nothing(run, tmp_path):
    code, text = run(*RATES, "--table")
    assert code == 0 and "no run is done yet" in text and not list(tmp_path.rglob("begun"))


@pytest.mark.slow
def test_slurm_array_has_a_command_for_each_run(run, tmp_path):
    script = tmp_path / "array.sbatch"
    code, text = run(*RATES, "--seeds", 2, "--slurm", script, "--jobs", 3)
    assert code == 0 and "--array=0-3%3\n" in script.read_text()
    bin_folder = tmp_path / "bin"
    bin_folder.mkdir()
    for name, body in (("srun", 'shift; "$@"'), ("scontrol", f"echo $* > {tmp_path}/again")):
        (bin_folder / name).write_text(f"#!/bin/bash\n{body}\n")
        (bin_folder / name).chmod(0o755)
    env = {**os.environ, "PATH": f"{bin_folder}:{os.environ['PATH']}", "SLURM_ARRAY_TASK_ID": "1"}
    assert subprocess.run(["bash", script], env=env).returncode == 0
    assert [path.parent.parent.name for path in tmp_path.rglob("begun")] == ["BASE_LR=0.3"]
    (bin_folder / "srun").write_text("#!/bin/bash\nexit 143\n")
    env["SLURM_ARRAY_JOB_ID"] = "77"
    assert subprocess.run(["bash", script], env=env).returncode == 143
    assert (tmp_path / "again").read_text() == "requeue 77_1\n"


SEARCH = ("--optuna", 4, "--range", "SOLVER.BASE_LR", 0.001, 0.5, "log")


@pytest.mark.slow
def test_search_goes_on_to_more_trials(run, tmp_path):
    pytest.importorskip("optuna")
    assert run(*SEARCH)[0] == 0
    code, text = run("--optuna", 5, *SEARCH[2:])
    assert code == 0 and "4 of 5 runs are done already" in text
    rows = list(csv.DictReader((tmp_path / "sweep/sweep.csv").open()))
    assert sorted(row["point"] for row in rows) == [f"trial_00{number}" for number in range(5)]
    best = max(float(row["SOLVER.BASE_LR"]) for row in rows)
    assert float(rows[0]["val_mean"]) == pytest.approx(100 * best + 1)  # RNG_SEED is 1
    code, text = run("--optuna", 6, *SEARCH[2:], "SOLVER.MAX_EPOCH", 9)
    assert code == 1 and "SOLVER.MAX_EPOCH 2 -> 9" in text


@pytest.mark.slow
def test_a_table_leaves_running_trials_alone(run, toy_yaml, tmp_path):
    pytest.importorskip("optuna")
    (tmp_path / "sweep").mkdir()
    space = Space(toy_yaml, [], [], [Range("SOLVER.BASE_LR", 0.001, 0.5, is_log=True)])
    open_study(tmp_path / "sweep", space).ask()
    assert run(*SEARCH, "--table")[0] == 0
    assert not open_study(tmp_path / "sweep", space).trials[0].state.is_finished()


@pytest.mark.slow
def test_trial_that_validates_worse_than_others_is_over(toy_yaml, tmp_path):
    optuna = pytest.importorskip("optuna")
    space = Space(toy_yaml, [], [], [Range("SOLVER.BASE_LR", 0.1, 1.0)])
    study = open_study(tmp_path, space)
    for value in (50.0, 51.0, 52.0, 53.0, 54.0):
        trial = study.ask()
        trial.report(value, 1)
        study.tell(trial, value)
    with Progress(5, 6, "") as progress:
        search = Search(tmp_path, space, study, 6, progress)
        (job,) = search.jobs()
        log = tmp_path / "trial_005/log.jsonl"
        log.parent.mkdir()
        log.write_text('{"_type": "val_epoch", "epoch": 1, "top1_acc": 20.0}\n')
        assert search.is_over(job)
        search.end(job, 143)
    assert study.trials[-1].state == optuna.trial.TrialState.PRUNED
    assert progress.failures == []


@pytest.mark.slow
def test_search_that_was_cut_off_goes_on_with_its_trials(run, tmp_path, fake_runs):
    pytest.importorskip("optuna")
    fake_runs(pause=1)
    threading.Thread(target=_interrupt_when, args=(tmp_path / "sweep/trial_000/log.jsonl",)).start()
    assert run(*SEARCH)[0] == 130
    fake_runs()
    assert run("--optuna", 2, *SEARCH[2:])[0] == 0
    rows = list(csv.DictReader((tmp_path / "sweep/sweep.csv").open()))
    assert sorted(row["point"] for row in rows) == ["trial_000", "trial_002"]
    assert (tmp_path / "sweep/trial_000/begun").read_text() == "xx"


def _interrupt_when(path):
    while not path.exists():
        time.sleep(0.02)
    os.kill(os.getpid(), signal.SIGINT)
