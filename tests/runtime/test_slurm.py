"""Slurm's variables, as srun sets them on machines of several kinds."""

import argparse
import os
import subprocess

import pytest
import torch

from slowfast.runtime import slurm
from slowfast.runtime.launch import launch, run_in_processes
from tests.helpers.paths import ROOT
from tools import run_net

# Task 5 of 8 on two machines, with what a real step has beside.
TASK = {
    **{"SLURM_PROCID": "5", "SLURM_LOCALID": "1", "SLURM_NODEID": "1", "SLURM_TASK_PID": "77"},
    **{"SLURM_STEP_ID": "3", "SLURM_STEP_NUM_TASKS": "8", "SLURM_STEP_NUM_NODES": "2"},
    **{"SLURM_NTASKS": "8", "SLURM_NNODES": "2", "SLURM_JOB_ID": "1001"},
    "SLURM_STEP_NODELIST": "gpu[07-08]",
}


@pytest.mark.parametrize(
    ("text", "hosts"),
    [
        ("gpu3", ["gpu3"]),
        ("a,b-2.cluster", ["a", "b-2.cluster"]),
        ("gpu[08-10,12],login", ["gpu08", "gpu09", "gpu10", "gpu12", "login"]),
        ("r[1-2]n[01-02]-ib", ["r1n01-ib", "r1n02-ib", "r2n01-ib", "r2n02-ib"]),
        ("", []),
    ],
)
def test_short_lists_of_machines_are_spelled_out(text, hosts):
    assert slurm.expand_hosts(text) == hosts


def _args(**given):
    return argparse.Namespace(**{"num_shards": None, "shard_id": None, "init_method": "", **given})


def test_several_tasks_a_machine_are_processes_as_of_torchrun():
    env, args = dict(TASK), _args()
    slurm.join_tasks(args, env)
    names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "GROUP_RANK", "MASTER_ADDR")
    assert [env[name] for name in names] == ["5", "8", "1", "4", "1", "gpu07"]
    assert env["MASTER_PORT"] == str(12_000 + (16 * 1001 + 3) % 20_000) and args == _args()


def test_one_task_a_machine_is_that_machine():
    env = {**TASK, "SLURM_STEP_NUM_TASKS": "2", "SLURM_PROCID": "1", "SLURM_LOCALID": "0"}
    args = _args()
    slurm.join_tasks(args, {**env, "MASTER_PORT": "29500"})
    assert args == _args(num_shards=2, shard_id=1, init_method="tcp://gpu07:29500")


def test_the_older_names_do_too():
    env = {"SLURM_PROCID": "1", "SLURM_NTASKS": "2", "SLURM_NODELIST": "n[1-2]"}
    assert slurm.find_task(env) == slurm.Task(1, 0, num_tasks=2, node=1, num_nodes=2)


@pytest.mark.parametrize(
    "others",
    [
        {"RANK": "0", "WORLD_SIZE": "2", "LOCAL_RANK": "0"},  # srun torchrun
        {"SLURM_STEP_NUM_TASKS": "1"},  # one of several steps of a job
        {"SLURM_STEP_ID": None},  # the batch script itself
        {"SLURM_PROCID": None},  # salloc
    ],
)
def test_what_is_no_task_of_many_changes_nothing(others):
    env = {name: value for name, value in {**TASK, **others}.items() if value is not None}
    args, before = _args(), dict(env)
    slurm.join_tasks(args, env)
    assert args == _args() and env == before


def test_words_of_the_command_line_win():
    env = dict(TASK)
    slurm.join_tasks(_args(num_shards=1), env)
    assert env == TASK


@pytest.mark.parametrize(
    ("others", "message"),
    [
        ({"SLURM_STEP_NUM_TASKS": "5"}, "5 tasks on 2 machines; .*--ntasks-per-node"),
        ({"SLURM_PROCID": "x"}, "SLURM_PROCID: 'x' is not a number"),
        ({"SLURM_STEP_NODELIST": ""}, "set MASTER_ADDR and MASTER_PORT"),
    ],
)
def test_what_is_not_understood_is_refused(others, message):
    with pytest.raises(ValueError, match=message):
        slurm.join_tasks(_args(), {**TASK, **others})


@pytest.fixture
def launch_task(toy_cfg, monkeypatch):
    """Function (NUM_GPUS, GPUs that the task sees) -> config and GPU of task 1 of 2."""
    for name, value in TASK.items():
        monkeypatch.setenv(name, value)
    variables = {"RANK": 1, "WORLD_SIZE": 2, "LOCAL_RANK": 1, "LOCAL_WORLD_SIZE": 2}
    for name, value in {**variables, "MASTER_ADDR": "x", "MASTER_PORT": 1}.items():
        monkeypatch.setenv(name, str(value))
    monkeypatch.delenv("TORCHELASTIC_RUN_ID", raising=False)
    places = []
    monkeypatch.setattr(
        "slowfast.runtime.launch._run_process", lambda place, **_: places.append(place)
    )

    def run(num_gpus, num_visible):
        monkeypatch.setattr(torch.cuda, "device_count", lambda: num_visible)
        sizes = ("TRAIN.BATCH_SIZE", 8, "TEST.BATCH_SIZE", 8)
        launch([], toy_cfg("NUM_GPUS", num_gpus, *sizes))
        return places[-1].gpu

    return run


def test_a_task_that_sees_its_own_gpu_takes_it(launch_task):
    assert launch_task(8, 1) == 0  # --gpus-per-task=1
    assert launch_task(2, 2) == launch_task(1, 2) == 1  # all GPUs are seen by all
    assert launch_task(0, 8) is None


@pytest.mark.parametrize(("num_gpus", "num_visible"), [(8, 8), (8, 0)])
def test_too_few_tasks_or_gpus_are_refused_with_what_to_do(launch_task, num_gpus, num_visible):
    with pytest.raises(ValueError, match="srun started 2 tasks .*--ntasks-per-node=8 --gpus-per"):
        launch_task(num_gpus, num_visible)


def run_task(rank, env, words):
    """As one task on each of two machines."""
    own = {"SLURM_PROCID": rank, "SLURM_LOCALID": 0, "SLURM_NODEID": rank}
    os.environ.update({name: str(value) for name, value in {**env, **own}.items()})
    if code := run_net.main(words):
        raise SystemExit(code)


@pytest.mark.slow
def test_two_tasks_are_one_run(forked, toy_yaml, tmp_path):
    env = {"SLURM_NTASKS": 2, "SLURM_NNODES": 2, "SLURM_JOB_NODELIST": "localhost,another"}
    env |= {"SLURM_JOB_ID": hash(str(tmp_path)) % 10**6, "SLURM_STEP_ID": 0}
    words = ["--cfg", str(toy_yaml), "SOLVER.MAX_EPOCH", "1", "TEST.ENABLE", "False"]
    run_in_processes(run_task, (env, words), 2)
    assert (tmp_path / "run/stdout.log").read_text().count("epochs with validation:") == 1
    assert (tmp_path / "run" / "checkpoints" / "checkpoint_epoch_00001.pyth").is_file()
    config = (tmp_path / "run" / "config.yaml").read_text()
    assert config.count("NUM_SHARDS: 2") == 1


@pytest.mark.parametrize(("code", "is_queued_again"), [(0, False), (143, True), (1, False)])
def test_the_batch_script_queues_a_stopped_run_again(tmp_path, code, is_queued_again):
    for name, body in {"srun": f"echo srun $@; exit {code}", "scontrol": "echo $@"}.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{body}\n")
        (tmp_path / name).chmod(0o755)
    env = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "SLURM_JOB_ID": "77"}
    words = ["bash", ROOT / "tools/slurm.sbatch", "--cfg", "a b.yaml"]
    done = subprocess.run(words, env=env, capture_output=True, text=True)
    assert done.returncode == code
    assert "python tools/run_net.py --cfg a b.yaml" in done.stdout
    assert ("requeue 77" in done.stdout) == is_queued_again
