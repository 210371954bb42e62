"""Child processes: their mistakes are one line, their exit code is ours, torchrun wins."""

import os
import signal
import time

import pytest
import torch

from slowfast.models import MODELS
from slowfast.runtime.launch import ProcessPlace, _run_process, launch, run_in_processes
from slowfast.utils.logging import setup_logging


def fail(number):
    setup_logging(None, is_main=True)
    if number == 1:
        raise ValueError("TRAIN.BATCH_SIZE: wrong")
    time.sleep(60)


def end_after_signal(number, folder, main):
    def stop(signum, frame):
        raise SystemExit(128 + signum)

    signal.signal(signal.SIGINT, stop)
    (folder / str(number)).touch()
    if number == 0:
        while not (folder / "1").exists():
            time.sleep(0.01)
        os.kill(main, signal.SIGINT)
    time.sleep(60)


@pytest.mark.slow
def test_mistake_in_a_child_is_one_line_and_ends_the_others(capfd):
    start = time.monotonic()
    with pytest.raises(SystemExit) as ended:
        run_in_processes(fail, (), 2)
    assert ended.value.code == 1 and time.monotonic() - start < 50
    output = capfd.readouterr().err
    assert "ValueError: TRAIN.BATCH_SIZE: wrong" in output and "Traceback" not in output


@pytest.mark.slow
def test_signal_reaches_the_children_and_their_exit_code_is_ours(forked, tmp_path):
    with pytest.raises(SystemExit) as ended:
        run_in_processes(end_after_signal, (tmp_path, os.getpid()), 2)
    assert ended.value.code == 128 + signal.SIGINT


def test_number_of_processes_of_torchrun_wins(toy_cfg, monkeypatch):
    environment = {"RANK": 0, "WORLD_SIZE": 1, "LOCAL_RANK": 0, "LOCAL_WORLD_SIZE": 1}
    for name, value in environment.items():
        monkeypatch.setenv(name, str(value))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "set_device", lambda device: None)
    seen = []
    cfg = toy_cfg("NUM_GPUS", 8, "TRAIN.BATCH_SIZE", 8, "TEST.BATCH_SIZE", 8)
    launch([seen.append], cfg, "tcp://localhost:1")
    assert (seen[0].NUM_GPUS, seen[0].NUM_SHARDS, seen[0].SHARD_ID) == (1, 1, 0)


def test_more_processes_than_gpus_are_refused_under_torchrun(toy_cfg, monkeypatch):
    environment = {"RANK": 0, "WORLD_SIZE": 4, "LOCAL_RANK": 0, "LOCAL_WORLD_SIZE": 4}
    for name, value in environment.items():
        monkeypatch.setenv(name, str(value))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    cfg = toy_cfg("NUM_GPUS", 8, "TRAIN.BATCH_SIZE", 8, "TEST.BATCH_SIZE", 8)
    with pytest.raises(ValueError, match="nproc_per_node: 4 processes.* has 2 usable"):
        launch([print], cfg, "tcp://localhost:1")


MODEL = """
from slowfast.models import MODELS

MODELS.register("Mine")(lambda cfg: cfg)
"""


def run_in_new_process(number, imports, output_dir):
    def check_that_mine_is_a_model():
        assert "Mine" in MODELS

    _run_process(
        ProcessPlace(gpu=None, rank=0, world_size=1),
        runs=[check_that_mine_is_a_model],
        imports=imports,
        output_dir=output_dir,
        backend="gloo",
        init_method="",
        minutes=1,
    )


@pytest.mark.slow
def test_spawned_process_imports_the_modules_of_the_user(tmp_path, monkeypatch):
    (tmp_path / "model_of_a_test.py").write_text(MODEL)
    monkeypatch.chdir(tmp_path)
    assert "Mine" not in MODELS
    run_in_processes(run_in_new_process, (["model_of_a_test"], tmp_path), 1)
