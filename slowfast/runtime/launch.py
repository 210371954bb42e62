"""Starts run functions in one process, one per GPU, or inside those of torchrun or srun."""

import logging
import multiprocessing
import os
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from operator import attrgetter

import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from slowfast.config.cli import import_modules
from slowfast.config.node import ConfigNode
from slowfast.runtime import slurm
from slowfast.runtime.peers import free_address, meet, named_losses
from slowfast.runtime.stop import SAVE_SIGNALS, STOP_SIGNALS
from slowfast.runtime.watchdog import ended_if_hung
from slowfast.utils import distributed
from slowfast.utils.logging import setup_logging
from slowfast.utils.system import send_signal

logger = logging.getLogger(__name__)

_GRACE_SECONDS = 10


@dataclass(frozen=True)
class ProcessPlace:
    """One process of a job: its GPU (None: the CPU), its number, and how many there are."""

    gpu: int | None
    rank: int
    world_size: int


def launch(
    runs: Sequence[Callable], cfg: ConfigNode, init_method: str = "", *, has_log: bool = True
) -> None:
    """Call each `run(cfg)` in turn, in every process of the job; returns when all have ended.

    torchrun's environment wins over NUM_GPUS, NUM_SHARDS, SHARD_ID and `init_method`; its processes
    form a group, even one alone, which then does all that many do. Without it, one process per GPU
    is spawned on this machine; NUM_GPUS 0 is one process on each machine's CPU.
    `init_method` "" is MASTER_ADDR and MASTER_PORT, or a free port of this machine. has_log: lines
    go to OUTPUT_DIR, too.
    """
    if {"RANK", "WORLD_SIZE", "LOCAL_RANK"} <= set(os.environ):
        cfg, init_method = _with_torchrun_sizes(cfg), _address_of_torchrun()
        places = [_place_from_torchrun(has_gpu=cfg.NUM_GPUS > 0)]
    else:
        _check_gpus(cfg.NUM_GPUS)
        places = _places_on_machine(cfg.NUM_GPUS, cfg.NUM_SHARDS, cfg.SHARD_ID)
        is_alone = places[0].world_size == 1
        init_method = "" if is_alone else init_method or _default_address(cfg.NUM_SHARDS)
    work = partial(
        _run_process,
        runs=[partial(run, cfg) for run in runs],
        imports=cfg.IMPORTS,
        output_dir=cfg.OUTPUT_DIR if has_log else None,
        backend=cfg.DIST_BACKEND if cfg.NUM_GPUS else "gloo",
        init_method=init_method,
        minutes=cfg.DIST_TIMEOUT_MINUTES,
    )
    if len(places) == 1:
        work(places[0])
    else:
        run_in_processes(_run_spawned, (work, places), len(places))


def _place_from_torchrun(*, has_gpu: bool) -> ProcessPlace:
    rank, world_size, local_rank = (
        int(os.environ[name]) for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK")
    )
    gpu = slurm.gpu_of_task(local_rank, torch.cuda.device_count()) if has_gpu else None
    return ProcessPlace(gpu, rank, world_size)


def _places_on_machine(num_gpus: int, num_shards: int, shard_id: int) -> list[ProcessPlace]:
    if num_gpus == 0:
        return [ProcessPlace(None, shard_id, num_shards)]
    first = shard_id * num_gpus
    return [ProcessPlace(gpu, first + gpu, num_gpus * num_shards) for gpu in range(num_gpus)]


def _default_address(num_shards: int) -> str:
    """MASTER_ADDR and MASTER_PORT, else a free port of this machine, if it is the only one."""
    if {"MASTER_ADDR", "MASTER_PORT"} <= set(os.environ):
        return "tcp://{MASTER_ADDR}:{MASTER_PORT}".format_map(os.environ)
    if num_shards > 1:
        raise ValueError(
            f"NUM_SHARDS: {num_shards} machines need a place to meet: add --init_method "
            "tcp://HOST:PORT on each of them, with the name of the machine of SHARD_ID 0 and a "
            "port that is open there, e.g. 29500 (or set MASTER_ADDR and MASTER_PORT, or start "
            "them with torchrun)"
        )
    return free_address()


def _address_of_torchrun() -> str:
    """The URL at which processes under torchrun's names meet; "" for one that has none.

    ValueError where several do not know it.
    """
    world_size = os.environ["WORLD_SIZE"]
    missing = [name for name in ("MASTER_ADDR", "MASTER_PORT") if not os.environ.get(name)]
    if int(world_size) > 1 and missing:
        raise ValueError(
            f"{' and '.join(missing)}: not in the environment, though RANK and WORLD_SIZE "
            f"{world_size} are; start the processes with torchrun, or set them alike for all"
        )
    return "" if missing else "env://"


def _check_gpus(num_gpus: int) -> None:
    available = torch.cuda.device_count()
    if num_gpus > available:
        raise ValueError(
            f"NUM_GPUS: {num_gpus}, but this machine has {available} usable GPU(s); "
            f"set NUM_GPUS to at most {available} (0 runs on the CPU)"
        )


def _with_torchrun_sizes(cfg: ConfigNode) -> ConfigNode:
    local_size = int(os.environ.get("LOCAL_WORLD_SIZE", os.environ["WORLD_SIZE"]))
    available = torch.cuda.device_count()
    slurm.check_gpus(cfg.NUM_GPUS, local_size, available)
    if cfg.NUM_GPUS and slurm.gpu_of_task(local_size - 1, available) >= available:
        raise ValueError(
            f"torchrun --nproc_per_node: {local_size} processes, but this machine has "
            f"{available} usable GPU(s); fewer processes, or NUM_GPUS 0 for the CPU"
        )
    cfg = cfg.clone()
    cfg.defrost()
    cfg.NUM_GPUS = local_size if cfg.NUM_GPUS else 0
    cfg.NUM_SHARDS = int(os.environ["WORLD_SIZE"]) // local_size
    cfg.SHARD_ID = int(os.environ.get("GROUP_RANK", 0))
    cfg.freeze()
    return cfg


def run_in_processes(function: Callable, args: tuple, count: int) -> None:
    """Call `function(number, *args)` in `count` new processes; returns when all ended well.

    Signals are passed on to them. When one ends badly the others are ended too, and SystemExit has
    its exit code; a user's mistake (ValueError, OSError) has been logged there as one line.
    """
    method = multiprocessing.get_start_method()
    context = mp.start_processes(
        _call_in_process,
        args=(function, args, method),
        nprocs=count,
        join=False,
        start_method="spawn",
    )

    def forward(signum, frame):
        for process in context.processes:
            if process.is_alive():
                send_signal(process.pid, signum)

    previous = {number: signal.signal(number, forward) for number in STOP_SIGNALS + SAVE_SIGNALS}
    try:
        # The others may say what they saw, and save, before they are ended.
        while not context.join(grace_period=_GRACE_SECONDS):
            continue
    except mp.ProcessExitedException as error:
        if error.exit_code < 0:
            logger.error("%s", _end_by_signal(error.error_index, count, -error.exit_code))
        # Negative: ended by that signal; a shell says 128 + its number.
        raise SystemExit(
            error.exit_code if error.exit_code > 0 else 128 - error.exit_code
        ) from None
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _end_by_signal(number: int, count: int, signum: int) -> str:
    """One line about a process that a signal ended, with the likely cause."""
    name = signal.Signals(signum).name
    line = f"process {number} of {count} was ended by {name}"
    if name == "SIGKILL":
        line += (
            ": most often by the kernel, as memory ran out (dmesg tells; a smaller "
            "TRAIN.BATCH_SIZE or fewer DATA_LOADER.NUM_WORKERS need less)"
        )
    return line + ". The others are ended, too; the same command goes on from the last checkpoint"


def _call_in_process(number: int, function: Callable, args: tuple, method: str) -> None:
    # Else loaders would spawn their processes, too: 300 MB each, and an import of torch.
    multiprocessing.set_start_method(method, force=True)
    try:
        function(number, *args)
    except (ValueError, OSError) as error:
        logger.debug("traceback of the error below", exc_info=True)
        logger.error("%s: %s", type(error).__name__, error)
        raise SystemExit(1) from error


def _run_spawned(
    number: int, work: Callable[[ProcessPlace], None], places: Sequence[ProcessPlace]
) -> None:
    work(places[number])


def _run_process(
    place: ProcessPlace,
    *,
    runs: Sequence[Callable[[], object]],
    imports: Sequence[str],
    output_dir: str | None,
    backend: str,
    init_method: str,
    minutes: float,
) -> None:
    """One process of a job; it meets the others at `init_method`, nobody where that is ""."""
    import_modules(imports)  # a spawned process has only what it imports itself
    if place.gpu is not None:
        torch.cuda.set_device(place.gpu)
    setup_logging(output_dir, is_main=place.rank == 0)
    if init_method:
        sizes = {"rank": place.rank, "world_size": place.world_size}
        meet(backend, init_method, **sizes, gpu=place.gpu, minutes=minutes)
    with named_losses(minutes), ended_if_hung([signal.SIGINT]):
        for run in runs:
            run()
        distributed.barrier()  # a process that leaves early breaks the others' connections
    if dist.is_initialized():
        dist.destroy_process_group()


def launch_tool(
    run: Callable[[list], int | None], cfg: ConfigNode, *, most_gpus: int | None = None
) -> int:
    """The exit code of `run(options)`, in one process or several as `launch` has them.

    Those on GPUs are as many as the machine can use, at most `most_gpus`. options: overrides of a
    config, by which each process knows its place. All exit as the main process does.
    """
    cfg, is_alone = _on_usable_gpus(cfg, most_gpus), "RANK" not in os.environ
    if is_alone and cfg.NUM_SHARDS == 1 and cfg.NUM_GPUS <= 1:
        return run([]) or 0
    launch([partial(_run_as_main, run=run)], cfg, has_log=False)
    return 0


def _run_as_main(cfg: ConfigNode, run: Callable[[list], int | None]) -> None:
    keys = ("NUM_GPUS", "NUM_SHARDS", "SHARD_ID", "TEST.BATCH_SIZE")
    options = [word for key in keys for word in (key, attrgetter(key)(cfg))]
    if code := distributed.from_main(run(options)):
        raise SystemExit(code)


def _on_usable_gpus(cfg: ConfigNode, most: int | None = None) -> ConfigNode:
    """The config with the GPUs that there are, at most so many, and as many clips on each."""
    counts = [cfg.NUM_GPUS, torch.cuda.device_count(), *([] if most is None else [max(most, 1)])]
    cfg = cfg.clone()
    cfg.defrost()
    per_gpu = max(cfg.TEST.BATCH_SIZE // max(cfg.NUM_GPUS, 1), 1)
    cfg.NUM_GPUS = min(counts)
    cfg.TEST.BATCH_SIZE = per_gpu * max(cfg.NUM_GPUS, 1)
    cfg.freeze()
    return cfg


def single_process(cfg: ConfigNode) -> ConfigNode:
    """The config of one of the processes on its machine alone, on a GPU only if there is one.

    In a group of processes it stays as it is.
    """
    if distributed.is_distributed():
        return cfg
    cfg = _on_usable_gpus(cfg, 1)
    cfg.defrost()
    cfg.NUM_SHARDS, cfg.SHARD_ID = 1, 0
    cfg.freeze()
    return cfg
