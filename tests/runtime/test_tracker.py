"""Trackers get the numbers of a run, and never stop it."""

import json
import logging
import sys
import threading

import pytest

from slowfast.runtime.run_log import RunLog
from slowfast.runtime.tracking import libraries, tracker
from slowfast.runtime.tracking.libraries import LIBRARIES, Row, RunFacts
from slowfast.runtime.tracking.tracker import Tracker, build_tracker
from tests.helpers.configs import cfg_with


class Recorder:
    """Tracker that keeps what it is told; `fails` names the method that raises."""

    def __init__(self, fails=""):
        self.calls, self.fails = [], fails

    def _keep(self, name, *args):
        self.calls.append((name, *args))
        if name == self.fails:
            raise ConnectionError("no\nnetwork")

    def start(self, facts):
        self._keep("start", facts.id)
        return facts.id or "new"

    def values(self, kind, values, step):
        self._keep("values", kind, values, step)

    def table(self, path):
        self._keep("table", path.name)

    def file(self, path):
        self._keep("file", path.name)

    def finish(self, *, has_failed):
        self._keep("finish", has_failed)

    @property
    def names(self):
        return [name for name, *_ in self.calls]


@pytest.fixture
def start(monkeypatch, tmp_path):
    """Function (recorder) -> a tracker of the run in tmp_path that speaks to it."""

    def begin(recorder):
        monkeypatch.setitem(LIBRARIES, "wandb", Row(lambda: recorder, "log in"))
        return Tracker("wandb", RunFacts("run", "", {"RNG_SEED": 1}, tmp_path))

    return begin


def test_curves_hold_the_numbers_of_the_log(start, tmp_path):
    recorder = Recorder()
    with RunLog(tmp_path, tensorboard_dir=None, tracker=start(recorder)) as log:
        log.write({"_type": "train_iter", "iter": "1/2", "loss": 0.5, "is_on": True}, step=7)
    assert recorder.calls[1:] == [("values", "train_iter", {"loss": 0.5}, 7), ("finish", False)]


def test_only_tables_and_files_that_are_there_are_sent(start, tmp_path):
    recorder = Recorder()
    found = start(recorder)
    (tmp_path / "a.csv").write_text("x\n1\n")
    found.table(tmp_path / "a.csv")
    found.file(tmp_path / "report.html")
    found.close()
    assert recorder.names == ["start", "table", "finish"]


def test_run_goes_on_in_the_same_run_of_the_tracker(start):
    for _ in range(2):
        recorder = Recorder()
        start(recorder).close()
    assert recorder.calls[0] == ("start", "new")


@pytest.mark.parametrize("fails", ["start", "values", "finish"])
def test_failure_is_one_warning_that_says_what_to_do(start, tmp_path, caplog, fails):
    log = RunLog(tmp_path, tensorboard_dir=None, tracker=start(Recorder(fails)))
    for step in range(3):
        log.write({"_type": "train_iter", "loss": 0.5}, step=step)
    log.close()
    (warning,) = [line.getMessage() for line in caplog.records if line.levelno == logging.WARNING]
    assert "no network" in warning and "log in" in warning
    assert len((tmp_path / "log.jsonl").read_text().splitlines()) == 3


def test_library_that_is_not_installed_is_named(monkeypatch, tmp_path, caplog):
    monkeypatch.setitem(sys.modules, "trackio", None)
    Tracker("trackio", RunFacts("run", "", {}, tmp_path)).close()
    assert "pip install trackio" in caplog.text


def test_tracker_that_hangs_is_not_waited_for(start, monkeypatch, caplog):
    monkeypatch.setattr(tracker, "_PATIENCE", 0.05)
    recorder, released = Recorder(), threading.Event()
    recorder.values = lambda *_: released.wait(10)
    found = start(recorder)
    found.values("train_iter", {"loss": 1.0}, step=1)
    found.close()
    released.set()
    assert "within 0.05 s" in caplog.text


def test_run_that_raises_has_failed(start, tmp_path):
    recorder = Recorder()
    with pytest.raises(ZeroDivisionError):
        with RunLog(tmp_path, tensorboard_dir=None, tracker=start(recorder)):
            raise ZeroDivisionError
    assert recorder.calls[-1] == ("finish", True)


def test_other_processes_have_no_tracker(monkeypatch, tmp_path):
    monkeypatch.setattr(tracker, "is_main_process", lambda: False)
    assert build_tracker(cfg_with({"TRACKER": "wandb", "OUTPUT_DIR": str(tmp_path)})) is None


def test_table_has_numbers(tmp_path):
    (tmp_path / "a.csv").write_text("name,top1\nrun,50\njump,\n")
    header, rows = libraries.read_table(tmp_path / "a.csv")
    assert (header, rows) == (["name", "top1"], [["run", 50.0], ["jump", None]])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["wandb", "mlflow", "trackio"])
def test_library_itself_takes_everything_and_goes_on(name, tmp_path, monkeypatch, caplog):
    pytest.importorskip(name, reason=f"{name} is not installed: pip install slowfast[track]")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"file:{tmp_path / 'mlruns'}")
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))
    path, ids = tmp_path / "run" / "report.csv", set()
    for step in range(2):
        found = build_tracker(cfg_with({"TRACKER": name, "OUTPUT_DIR": str(path.parent)}))
        path.write_text("class,top1\nrun,50\n")
        found.values("val_epoch", {"loss": 0.5}, step=step)
        found.table(path)
        found.file(path)
        found.close()
        ids.add(json.loads((path.parent / "tracker.json").read_text())[name])
    assert len(ids) == 1 and "TRACKER" not in caplog.text
