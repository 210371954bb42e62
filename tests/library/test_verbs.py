"""`slowfast.train`, `slowfast.test` and their results."""

import logging
import os
import signal
import threading

import pytest

import slowfast
from slowfast.engine import epoch
from slowfast.library import verbs
from slowfast.library.results import TestResult, TrainResult

SMALL = ["SOLVER.MAX_EPOCH", 1, "TEST.NUM_ENSEMBLE_VIEWS", 1, "TEST.NUM_SPATIAL_CROPS", 1]


@pytest.fixture
def result(toy_yaml):
    """Result of a training of one epoch and its test."""
    return slowfast.train(toy_yaml, SMALL)


@pytest.mark.slow
def test_training_gives_what_the_tool_writes(result, tmp_path):
    assert result.folder == tmp_path / "run"
    assert [row["epoch"] for row in result.history] == [1]
    assert result.checkpoint.is_file()
    assert set(result.metrics) >= {"top1_acc", "mean_class_acc", "loss"}
    names = {path.name for path in result.folder.iterdir()}
    assert names >= {"config.yaml", "environment.json", "log.jsonl", "stdout.log"}
    low, high = result.test.intervals["top1_acc"]
    assert low <= result.metrics["top1_acc"] <= high
    assert [row["class"] for row in result.test.per_class] == [0, 1, 2]
    assert "<svg" in result._repr_html_() and "top1_acc" in repr(result)
    assert len(result.predictor(classes=None)._counts) == 1


@pytest.fixture
def handled(monkeypatch):
    """Handlers of the log while a run goes on; it is not run."""
    seen = []
    logger = logging.getLogger("slowfast")
    monkeypatch.setattr(verbs, "run_config", lambda *_: seen.append(list(logger.handlers)))
    return seen


def test_calls_leave_no_handler_behind(toy_yaml, handled):
    logger = logging.getLogger("slowfast")
    before, state = list(logger.handlers), (logger.level, logger.propagate)
    slowfast.train(toy_yaml)
    slowfast.train(toy_yaml)
    names = [[handler.get_name() for handler in found] for found in handled]
    assert [found.count("slowfast.run") for found in names] == [1, 1]
    assert set(logger.handlers) == set(before)
    assert (logger.level, logger.propagate) == state


def test_handlers_of_others_stay(toy_yaml, handled):
    logger, own = logging.getLogger("slowfast"), logging.NullHandler()
    logger.addHandler(own)
    try:
        slowfast.train(toy_yaml)
        assert own in handled[0] and own in logger.handlers
    finally:
        logger.removeHandler(own)


def test_the_verb_decides_on_training(toy_yaml, monkeypatch):
    seen = []
    monkeypatch.setattr(verbs, "run_config", lambda cfg, _: seen.append(cfg))
    slowfast.train(slowfast.load_cfg(toy_yaml), ["TRAIN.ENABLE", False, "TEST.ENABLE", False])
    slowfast.test(toy_yaml, ["TEST.ENABLE", False])
    assert [(c.TRAIN.ENABLE, c.TEST.ENABLE) for c in seen] == [(True, False), (False, True)]


def test_ctrl_c_is_a_keyboard_interrupt_and_saves(toy_yaml, monkeypatch, tmp_path):
    validate = epoch.validate

    def interrupt(run, number):
        os.kill(os.getpid(), signal.SIGINT)
        return validate(run, number)

    monkeypatch.setattr("slowfast.engine.train.validate", interrupt)
    with pytest.raises(KeyboardInterrupt, match="the same call goes on"):
        slowfast.train(toy_yaml)
    assert list((tmp_path / "run/checkpoints").glob("*interrupted*"))


@pytest.mark.parametrize(("code", "error"), [(130, KeyboardInterrupt), (1, RuntimeError)])
def test_end_of_a_spawned_process_does_not_end_python(toy_yaml, monkeypatch, code, error):
    def end(*_):
        raise SystemExit(code)

    monkeypatch.setattr(verbs, "run_config", end)
    with pytest.raises(error):
        slowfast.train(toy_yaml)


def test_other_threads_are_refused(toy_yaml):
    errors = []

    def call():
        try:
            slowfast.test(toy_yaml)
        except ValueError as error:
            errors.append(str(error))

    thread = threading.Thread(target=call)
    thread.start()
    thread.join()
    assert len(errors) == 1 and "main thread" in errors[0]


def test_public_names_can_be_imported():
    assert {name: getattr(slowfast, name).__name__ for name in slowfast.__all__} == {
        name: name for name in slowfast.__all__
    }


def test_results_without_a_test_are_of_validation(tmp_path):
    (tmp_path / "history.csv").write_text("epoch,train_loss,val_loss,val_top1_acc\n1,2.0,1.5,50\n")
    assert TrainResult(tmp_path).metrics == {"loss": 1.5, "top1_acc": 50}


def test_a_test_without_a_report_has_none(tmp_path):
    assert TestResult(tmp_path).report is None
