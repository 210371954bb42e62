"""The tasks of Slurm's srun as processes of one run, in torchrun's or in our own words."""

import argparse
import os
import re
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Task:
    """One of the processes that srun started. node: number of its machine, of `num_nodes`."""

    rank: int
    local_rank: int
    num_tasks: int
    node: int
    num_nodes: int

    @property
    def per_node(self) -> int:
        return self.num_tasks // self.num_nodes


def find_task(env: Mapping[str, str]) -> Task | None:
    """The task that this process is; None outside of srun, below torchrun, and for a task alone.

    Its workers have Slurm's variables of torchrun itself. A batch script has SLURM_PROCID 0, too,
    but no step, and starts a run of its own.
    """
    is_script = "SLURM_TASK_PID" in env and "SLURM_STEP_ID" not in env
    if {"RANK", "WORLD_SIZE"} <= set(env) or "SLURM_PROCID" not in env or is_script:
        return None
    num_tasks = _number(env, "SLURM_STEP_NUM_TASKS", "SLURM_NTASKS", "SLURM_NPROCS", default=1)
    num_nodes = _number(env, "SLURM_STEP_NUM_NODES", "SLURM_NNODES", "SLURM_JOB_NUM_NODES")
    num_nodes = num_nodes or len(expand_hosts(_hosts(env))) or 1
    if num_tasks == 1:
        return None
    if num_tasks % num_nodes:
        raise ValueError(
            f"srun: {num_tasks} tasks on {num_nodes} machines; each needs the same number: give "
            "--ntasks-per-node, 1 or one for each GPU"
        )
    rank, per_node = _number(env, "SLURM_PROCID"), num_tasks // num_nodes
    local_rank = _number(env, "SLURM_LOCALID", default=rank % per_node)
    node = _number(env, "SLURM_NODEID", default=rank // per_node)
    return Task(rank, local_rank, num_tasks, node, num_nodes)


def _number(env: Mapping[str, str], *names: str, default: int = 0) -> int:
    """Value of the first of these variables that is there."""
    for name in names:
        if value := env.get(name):
            if not value.isdecimal():
                raise ValueError(f"{name}: {value!r} is not a number; is it set by srun?")
            return int(value)
    return default


def _hosts(env: Mapping[str, str]) -> str:
    names = ("SLURM_STEP_NODELIST", "SLURM_JOB_NODELIST", "SLURM_NODELIST")
    return next((env[name] for name in names if env.get(name)), "")


def expand_hosts(text: str) -> list[str]:
    """The machines of Slurm's short form: "gpu[08-09,12],login" is gpu08, gpu09, gpu12, login."""
    hosts: list[str] = []
    for part in re.findall(r"(?:[^,\[]|\[[^\]]*\])+", text):
        begin, bracket, rest = part.partition("[")
        if not bracket:
            hosts.append(part)
            continue
        numbers, _, end = rest.partition("]")
        for one in numbers.split(","):
            first, _, last = one.partition("-")
            for number in range(int(first), int(last or first) + 1):
                hosts += expand_hosts(f"{begin}{number:0{len(first)}d}{end}")
    return hosts


def meeting_place(env: Mapping[str, str], num_nodes: int) -> tuple[str, str]:
    """Address and port: MASTER_ADDR and MASTER_PORT, else the first machine and one of the job."""
    hosts = ["127.0.0.1"] if num_nodes == 1 else expand_hosts(_hosts(env))
    if not (env.get("MASTER_ADDR") or hosts):
        raise ValueError(
            "SLURM_JOB_NODELIST: not in the environment, so that the machines cannot know where to "
            "meet; set MASTER_ADDR and MASTER_PORT, or give --init_method"
        )
    job, step = _number(env, "SLURM_JOB_ID", "SLURM_JOBID"), _number(env, "SLURM_STEP_ID")
    port = 12_000 + (16 * job + step) % 20_000  # below those that the kernel gives to clients
    return env.get("MASTER_ADDR") or hosts[0], env.get("MASTER_PORT") or str(port)


def join_tasks(args: argparse.Namespace, env: MutableMapping[str, str] = os.environ) -> None:
    """Make the tasks of srun one run; what the command line says of machines wins.

    One task a machine becomes --num_shards, --shard_id and --init_method. Several are processes as
    torchrun's, by its variables.
    """
    if args.num_shards is not None or args.shard_id is not None:
        return
    task = find_task(env)
    if task is None:
        return
    address, port = meeting_place(env, task.num_nodes)
    if task.per_node == 1:
        args.num_shards, args.shard_id = task.num_nodes, task.node
        args.init_method = args.init_method or f"tcp://{address}:{port}"
        return
    values = {
        **{"RANK": task.rank, "WORLD_SIZE": task.num_tasks, "LOCAL_RANK": task.local_rank},
        **{"LOCAL_WORLD_SIZE": task.per_node, "GROUP_RANK": task.node},
        **{"MASTER_ADDR": address, "MASTER_PORT": port},
    }
    env.update({name: str(value) for name, value in values.items()})


def gpu_of_task(local_rank: int, num_visible: int, env: Mapping[str, str] = os.environ) -> int:
    """Number of the GPU; 0 where a task sees only its own (--gpus-per-task=1)."""
    is_task = "SLURM_PROCID" in env and "TORCHELASTIC_RUN_ID" not in env
    return 0 if is_task and num_visible == 1 else local_rank


def check_gpus(
    num_gpus: int, num_tasks: int, num_visible: int, env: Mapping[str, str] = os.environ
) -> None:
    """ValueError where `num_tasks` on this machine cannot use a GPU each, or leave some unused."""
    if "SLURM_PROCID" not in env or "TORCHELASTIC_RUN_ID" in env or not num_gpus:
        return
    if num_visible != 1 and num_tasks > num_visible or num_gpus > num_tasks < num_visible:
        raise ValueError(
            f"NUM_GPUS: {num_gpus}, but srun started {num_tasks} tasks on this machine, which see "
            f"{num_visible} GPU(s). Start a task for each GPU (srun --ntasks-per-node={num_gpus} "
            f"--gpus-per-task=1) or one a machine (srun --ntasks-per-node=1 "
            f"--gpus-per-node={num_gpus}); NUM_GPUS 0 runs on the CPU. For runs that have nothing "
            "to do with each other add --num_shards 1"
        )
