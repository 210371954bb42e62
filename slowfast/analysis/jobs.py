"""Several trainings at once on one machine, each a process of its own that ends with this one."""

import logging
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from slowfast.shipped import TOOLS
from slowfast.utils.system import end_with_parent, kill_group, num_usable_cores

logger = logging.getLogger(__name__)

_RUN_NET = TOOLS / "run_net.py"
_POLL_SECONDS = 0.1
# A run that is asked to stop saves what it has; then it is ended.
_GRACE_SECONDS = 15.0


@dataclass(frozen=True)
class Job:
    """A config to train and test with run_net.py; `log` gets all that it prints."""

    name: str
    config: Path
    log: Path


def run_jobs(jobs: Sequence[Job], num_at_once: int, *, num_gpus: int) -> Generator[Job, None, None]:
    """Run all, and give each when it has ended well; each takes `num_gpus` of the machine's.

    ValueError names those that failed, after the others have ended. Whatever ends the iteration,
    Ctrl-C, SIGTERM or even SIGKILL (on Linux), no process stays behind.
    """
    failures, left = [], len(jobs)
    if not jobs:
        return
    with closing(ended_jobs(jobs, min(num_at_once, left), num_gpus=num_gpus)) as ended:
        for job, code in ended:
            left -= 1
            if code == 0:
                yield job
            else:
                failures.append(failure_text(job, code))
                if left:
                    logger.warning("%s; the others go on", failures[-1])
    if failures:
        raise ValueError("\n".join([*failures, "The same command again goes on from here."]))


def ended_jobs(
    jobs: Iterable[Job],
    num_at_once: int,
    *,
    num_gpus: int,
    is_over: Callable[[Job], bool] = lambda job: False,
) -> Generator[tuple[Job, int], None, None]:
    """Run all, and give each with its exit code when it has ended.

    A job is asked for when there is a place for it. One that runs is asked to stop, which it does
    with code 143, when `is_over` says so, which is asked once a second.
    """
    slots, waiting = _slots(num_at_once, num_gpus), iter(jobs)
    running: dict[int, tuple[Job, subprocess.Popen]] = {}
    stopped: set[Job] = set()
    previous = signal.signal(signal.SIGTERM, _interrupt)
    try:
        asked, is_more = time.monotonic(), True
        while is_more or running:
            for slot in sorted(set(range(len(slots))) - set(running)) if is_more else ():
                if (job := next(waiting, None)) is None:
                    is_more = False
                    break
                running[slot] = job, _start(job, slots[slot])
            time.sleep(_POLL_SECONDS)
            if time.monotonic() - asked > 1:
                asked = time.monotonic()
                for job, process in running.values():
                    if job not in stopped and is_over(job):
                        stopped.add(job)  # a second signal would not let it save
                        process.terminate()
            for slot, (job, process) in list(running.items()):
                if process.poll() is not None:
                    del running[slot]
                    yield job, process.returncode
    finally:
        _stop([process for _, process in running.values()])
        signal.signal(signal.SIGTERM, previous)


def _interrupt(_signum: int, _frame) -> None:
    raise KeyboardInterrupt


def _slots(count: int, num_gpus: int) -> list[dict[str, str]]:
    """The environment of each place for a job: its GPUs, and its share of the processor."""
    threads = max(1, num_usable_cores() // max(count, 1))
    common = {"OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", str(threads))}
    if not num_gpus:
        return [common] * count
    names = _visible_gpus()
    if len(names) < num_gpus * count:
        raise ValueError(
            f"--jobs: {count} runs of NUM_GPUS {num_gpus} need {num_gpus * count} GPUs, and this "
            f"machine has {len(names)}"
        )
    return [
        {**common, "CUDA_VISIBLE_DEVICES": ",".join(names[n * num_gpus : (n + 1) * num_gpus])}
        for n in range(count)
    ]


def _visible_gpus() -> list[str]:
    import torch

    names = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
    return names or [str(number) for number in range(torch.cuda.device_count())]


def command_of(job: Job) -> list[str]:
    """Words of the command that trains and tests it."""
    return [sys.executable, str(_RUN_NET), "--cfg", str(job.config)]


def _start(job: Job, environment: dict[str, str]) -> subprocess.Popen:
    with open(job.log, "ab") as log:
        return subprocess.Popen(
            command_of(job),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, **environment},
            start_new_session=True,  # Ctrl-C reaches it through this process only, and once
            preexec_fn=end_with_parent(),
        )


def _stop(processes: Sequence[subprocess.Popen]) -> None:
    """Ask all to stop, then end those that do not, and all that they started."""
    if processes:
        logger.info("stopping %d run(s)", len(processes))
    for process in processes:
        process.terminate()
    deadline = time.monotonic() + _GRACE_SECONDS
    try:
        for process in processes:
            process.wait(max(0.0, deadline - time.monotonic()))
    except (subprocess.TimeoutExpired, KeyboardInterrupt):
        pass
    finally:
        for process in processes:
            kill_group(process)


def failure_text(job: Job, code: int) -> str:
    """Say what failed: the last line of its log that tells of an error."""
    lines = [line for line in job.log.read_text(errors="replace").splitlines() if line.strip()]
    errors = [line for line in lines if "Error" in line] or lines or ["it printed nothing"]
    text = re.sub(r"^\[\S+ \w\] ", "", errors[-1].strip())  # a line of a log
    return f"{job.config}: exit code {code}: {text} (all of it: {job.log})"
