"""Starts run functions in one process, one per GPU, or inside the processes of torchrun."""

import os
import signal
from collections.abc import Callable, Sequence

import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from slowfast.config.checks import check_processes
from slowfast.config.node import ConfigNode
from slowfast.utils import distributed
from slowfast.utils.logging import setup_logging


def launch(runs: Sequence[Callable], cfg: ConfigNode, init_method: str) -> None:
    """Call each `run(cfg)` in turn, in every process of the job; returns when all have ended.

    torchrun's environment wins over NUM_GPUS, NUM_SHARDS, SHARD_ID and `init_method`. Without it,
    one process per GPU is spawned on this machine; NUM_GPUS 0 is one process on the CPU.
    """
    _check_gpus(cfg)
    if "TORCHELASTIC_RUN_ID" in os.environ or {"RANK", "WORLD_SIZE", "LOCAL_RANK"} <= set(
        os.environ
    ):
        cfg = _with_torchrun_sizes(cfg)
        _run_process(
            runs,
            cfg,
            local_rank=int(os.environ["LOCAL_RANK"]),
            global_rank=int(os.environ["RANK"]),
            world_size=int(os.environ["WORLD_SIZE"]),
            init_method="env://",
        )
    elif max(cfg.NUM_GPUS, 1) * cfg.NUM_SHARDS == 1:
        _run_process(runs, cfg, 0, 0, 1, init_method)
    else:
        _spawn(runs, cfg, init_method)


def _check_gpus(cfg: ConfigNode) -> None:
    available = torch.cuda.device_count()
    if cfg.NUM_GPUS > available:
        raise ValueError(
            f"NUM_GPUS: {cfg.NUM_GPUS}, but this machine has {available} usable GPU(s); "
            f"set NUM_GPUS to at most {available} (0 runs on the CPU)"
        )
    if cfg.NUM_GPUS == 0 and cfg.NUM_SHARDS > 1 and "LOCAL_RANK" not in os.environ:
        raise ValueError(
            f"NUM_SHARDS: {cfg.NUM_SHARDS} machines without GPUs (NUM_GPUS 0): start them with "
            f"torchrun"
        )


def _with_torchrun_sizes(cfg: ConfigNode) -> ConfigNode:
    local_size = int(os.environ.get("LOCAL_WORLD_SIZE", os.environ["WORLD_SIZE"]))
    if cfg.NUM_GPUS and local_size > torch.cuda.device_count():
        raise ValueError(
            f"torchrun --nproc_per_node: {local_size} processes, but this machine has "
            f"{torch.cuda.device_count()} usable GPU(s); fewer processes, or NUM_GPUS 0 for the CPU"
        )
    cfg = cfg.clone()
    cfg.defrost()
    cfg.NUM_GPUS = local_size if cfg.NUM_GPUS else 0
    cfg.NUM_SHARDS = int(os.environ["WORLD_SIZE"]) // local_size
    cfg.SHARD_ID = int(os.environ.get("GROUP_RANK", 0))
    check_processes(cfg, local_size)
    cfg.freeze()
    return cfg


def _spawn(runs: Sequence[Callable], cfg: ConfigNode, init_method: str) -> None:
    context = mp.start_processes(
        _spawned,
        args=(runs, cfg, init_method),
        nprocs=cfg.NUM_GPUS,
        join=False,
        start_method="spawn",
    )

    def forward(signum, frame):
        for process in context.processes:
            if process.is_alive():
                os.kill(process.pid, signum)

    previous = {
        number: signal.signal(number, forward) for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        while not context.join():
            continue
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _spawned(local_rank: int, runs: Sequence[Callable], cfg: ConfigNode, init_method: str) -> None:
    global_rank = cfg.SHARD_ID * cfg.NUM_GPUS + local_rank
    _run_process(runs, cfg, local_rank, global_rank, cfg.NUM_GPUS * cfg.NUM_SHARDS, init_method)


def _run_process(
    runs: Sequence[Callable],
    cfg: ConfigNode,
    local_rank: int,
    global_rank: int,
    world_size: int,
    init_method: str,
) -> None:
    if cfg.NUM_GPUS:
        torch.cuda.set_device(local_rank)
    if world_size > 1:
        backend = cfg.DIST_BACKEND if cfg.NUM_GPUS else "gloo"
        dist.init_process_group(
            backend, init_method=init_method, rank=global_rank, world_size=world_size
        )
    try:
        setup_logging(cfg.OUTPUT_DIR, is_main=distributed.is_main_process())
        for run in runs:
            run(cfg)
        distributed.barrier()  # a process that leaves early breaks the others' connections
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()
