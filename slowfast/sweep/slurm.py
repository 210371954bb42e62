"""A sweep as a Slurm array: a list of commands, and the script that runs one of them a task."""

import shlex
from collections.abc import Sequence
from pathlib import Path

from slowfast.analysis.jobs import command_of
from slowfast.sweep.runs import SweepRun
from slowfast.utils.io import write_lines

_SCRIPT = """\
#!/bin/bash
# Runs of a sweep, one a task; each is queued again when its time ends before its training.
#   sbatch {script}
# The command that wrote this file, with --table in place of --slurm, then writes the tables.
#SBATCH --job-name=sweep --output={logs}/slurm-%A_%a.log --open-mode=append
#SBATCH --array=0-{last}{limit}
#SBATCH --nodes=1 --ntasks=1 {gpus}--cpus-per-task={cpus}
#SBATCH --time=24:00:00 --signal=TERM@300 --requeue

trap : TERM # for the task, not for this script
export SRUN_CPUS_PER_TASK=${{SLURM_CPUS_PER_TASK:-1}}
command=$(sed -n "$((SLURM_ARRAY_TASK_ID + 1))p" {commands})
eval "srun --wait=300 $command"
code=$?
# 128 + SIGTERM: stopped and saved. Anything else is the end, or a mistake that would come again.
if [ $code = 143 ]; then
    scontrol requeue "${{SLURM_ARRAY_JOB_ID}}_$SLURM_ARRAY_TASK_ID"
fi
exit $code
"""


def write_array(path: Path, runs: Sequence[SweepRun], folder: Path, *, num_jobs: int) -> str:
    """Write the script for the runs that are not done; what to do with it, in words.

    num_jobs: how many run at once, 1 for as many as Slurm likes. All paths are absolute.
    """
    waiting = [run for run in runs if not run.planned.is_done]
    if not waiting:
        return "all runs are done; --table writes the tables"
    for run in waiting:
        run.planned.write()
    commands = folder.resolve() / "commands.txt"
    settings = [run.planned.settings for run in waiting]
    num_gpus = max(one["NUM_GPUS"] for one in settings)
    workers = max(one["DATA_LOADER.NUM_WORKERS"] for one in settings)
    text = _SCRIPT.format(
        script=shlex.quote(str(path)),
        logs=folder.resolve(),
        last=len(waiting) - 1,
        limit=f"%{num_jobs}" if num_jobs > 1 else "",
        gpus=f"--gpus-per-node={num_gpus} " if num_gpus else "",
        cpus=max(num_gpus, 1) * (workers + 1),
        commands=shlex.quote(str(commands)),
    )
    write_lines(commands, [shlex.join(command_of(run.planned.job)) for run in waiting])
    write_lines(path, text.splitlines())
    return f"{len(waiting)} runs: {commands}\nsbatch {path}"
