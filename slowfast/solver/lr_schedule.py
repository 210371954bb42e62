"""Learning rate as a function of the fractional epoch, `epoch + step / steps_per_epoch`."""

import math
from bisect import bisect_right
from collections.abc import Callable, Sequence
from functools import partial

from slowfast.config.node import ConfigNode
from slowfast.solver.multigrid import build_schedule
from slowfast.utils.registry import Registry

LR_POLICIES = Registry("SOLVER.LR_POLICY")
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


@LR_POLICIES.register("cosine")
def build_cosine(cfg: ConfigNode, scale: float) -> Schedule:
    """`cosine` with rates times `scale`."""
    start_epoch = cfg.SOLVER.WARMUP_EPOCHS if cfg.SOLVER.COSINE_AFTER_WARMUP else 0.0
    num_epochs = build_schedule(cfg).num_epochs
    if start_epoch >= num_epochs:
        raise ValueError(
            f"SOLVER.WARMUP_EPOCHS: {start_epoch} must be smaller than the number of epochs, "
            f"{num_epochs} (SOLVER.MAX_EPOCH), with SOLVER.COSINE_AFTER_WARMUP"
        )
    return partial(
        cosine_lr,
        base_lr=cfg.SOLVER.BASE_LR * scale,
        end_lr=cfg.SOLVER.COSINE_END_LR * scale,
        max_epoch=num_epochs,
        start_epoch=start_epoch,
    )


@LR_POLICIES.register("steps_with_relative_lrs")
def build_steps(cfg: ConfigNode, scale: float) -> Schedule:
    """`steps_with_relative_lrs` with rates times `scale`; multigrid's steps in place of its own."""
    schedule = build_schedule(cfg)
    return partial(
        step_lr,
        base_lr=cfg.SOLVER.BASE_LR * scale,
        steps=schedule.lr_steps,
        factors=schedule.lr_factors,
    )


def build_lr_schedule(cfg: ConfigNode) -> Schedule:
    """The config's learning rate for a fractional epoch, warm-up included."""
    scale = cfg.NUM_SHARDS if cfg.SOLVER.BASE_LR_SCALE_NUM_SHARDS else 1
    return with_warmup(
        LR_POLICIES.get(cfg.SOLVER.LR_POLICY)(cfg, scale),
        num_epochs=cfg.SOLVER.WARMUP_EPOCHS,
        start_lr=cfg.SOLVER.WARMUP_START_LR * scale,
    )
