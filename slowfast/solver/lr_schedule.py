"""Learning rate as a function of the fractional epoch, `epoch + step / steps_per_epoch`."""

import math
from bisect import bisect_right
from collections.abc import Callable, Sequence
from functools import partial

from slowfast.config.node import ConfigNode
from slowfast.solver.multigrid import build_schedule

POLICIES = ("cosine", "steps_with_relative_lrs")
Schedule = Callable[[float], float]


def cosine_lr(
    epoch: float, *, base_lr: float, end_lr: float, max_epoch: float, start_epoch: float = 0.0
) -> float:
    """Half a cosine period from `base_lr` at `start_epoch` down to `end_lr` at `max_epoch`."""
    progress = (epoch - start_epoch) / (max_epoch - start_epoch)
    return end_lr + (base_lr - end_lr) * (math.cos(math.pi * progress) + 1.0) * 0.5


def step_lr(
    epoch: float, *, base_lr: float, steps: Sequence[float], factors: Sequence[float]
) -> float:
    """`base_lr` times the factor of the last of the ascending `steps` that has been reached."""
    return base_lr * factors[bisect_right(steps, epoch) - 1]


def with_warmup(schedule: Schedule, *, num_epochs: float, start_lr: float) -> Schedule:
    """`schedule` after a straight line from `start_lr` to its value at `num_epochs`."""

    def warmed_up(epoch: float) -> float:
        if epoch >= num_epochs:
            return schedule(epoch)
        slope = (schedule(num_epochs) - start_lr) / num_epochs
        return start_lr + slope * epoch

    return warmed_up


def _check_start(start_epoch: float, num_epochs: int) -> None:
    if start_epoch >= num_epochs:
        raise ValueError(
            f"SOLVER.WARMUP_EPOCHS: {start_epoch} must be smaller than the number of epochs, "
            f"{num_epochs} (SOLVER.MAX_EPOCH), with SOLVER.COSINE_AFTER_WARMUP"
        )


def build_lr_schedule(cfg: ConfigNode) -> Schedule:
    """The config's learning rate for a fractional epoch, warm-up included.

    Multigrid training has steps and factors of its own in place of SOLVER.STEPS and SOLVER.LRS.
    """
    solver, run, policy = cfg.SOLVER, build_schedule(cfg), cfg.SOLVER.LR_POLICY
    is_scaled = solver.BASE_LR_SCALE_NUM_SHARDS and not cfg.TRAIN.GLOBAL_BATCH_SIZE
    scale = cfg.NUM_SHARDS if is_scaled else 1
    base_lr = solver.BASE_LR * scale
    start_epoch = solver.WARMUP_EPOCHS if solver.COSINE_AFTER_WARMUP else 0.0
    if policy == "cosine":
        _check_start(start_epoch, run.num_epochs)
        schedule = partial(
            cosine_lr,
            base_lr=base_lr,
            end_lr=solver.COSINE_END_LR * scale,
            max_epoch=run.num_epochs,
            start_epoch=start_epoch,
        )
    elif policy == "steps_with_relative_lrs":
        schedule = partial(step_lr, base_lr=base_lr, steps=run.lr_steps, factors=run.lr_factors)
    else:
        raise ValueError(f"SOLVER.LR_POLICY: {policy!r} is not one of {list(POLICIES)}")
    start_lr = solver.WARMUP_START_LR * scale
    return with_warmup(schedule, num_epochs=solver.WARMUP_EPOCHS, start_lr=start_lr)
