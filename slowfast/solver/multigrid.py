"""The batches of a run, epoch by epoch: always the same shape, or the cycles of multigrid training.

Wu et al., "A Multigrid Method for Efficiently Training Video Models" (arXiv 1912.00998). The long
cycle changes frames and crop every few epochs, the short cycle the crop from step to step. Batches
grow as clips shrink, so that every step costs about the same, and the learning rate follows the
batch of the long cycle.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean
from typing import NamedTuple

from slowfast.config.node import ConfigNode
from slowfast.utils import distributed
from slowfast.utils.clip_shapes import BatchShape

# A value of BN.NORM_TYPE, and the number of parts of the batch (sub_batchnorm) or of processes that
# share statistics (sync_batchnorm).
NormKind = tuple[str, int]


class CyclePhase(NamedTuple):
    """A base shape of the long cycle, up to epoch `end`, which is no longer part of it.

    `rate` is the position of its learning rate in SOLVER.LRS; batches are `batch_factor` times the
    default.
    """

    rate: int
    batch_factor: int
    num_frames: int
    crop_size: int
    end: int


@dataclass(frozen=True, slots=True)
class Phase:
    """Epochs `start` to `end` - 1, in which step k takes a batch of shapes[k % len(shapes)].

    norm: the kind of batch norm, None for the one that the model was built with.
    """

    start: int
    end: int
    shapes: tuple[BatchShape, ...]
    norm: NormKind | None


@dataclass(frozen=True, slots=True)
class Schedule:
    """All phases of a run, their learning rates, and the epochs (from 0) that are followed by more.

    `default` has the one shape of validation. `lr_steps` and `lr_factors` stand for SOLVER.STEPS
    and SOLVER.LRS.
    """

    default: Phase
    phases: tuple[Phase, ...]
    lr_steps: tuple[float, ...]
    lr_factors: tuple[float, ...]
    validated: frozenset[int]
    saved: frozenset[int]

    @property
    def num_epochs(self) -> int:
        """Number of epochs."""
        return self.phases[-1].end

    def phase(self, epoch: int) -> Phase:
        """The phase of an epoch; the last one also for what comes after it."""
        return next((phase for phase in self.phases if epoch < phase.end), self.phases[-1])


def long_cycle(
    default: BatchShape,
    *,
    steps: Sequence[float],
    max_epoch: float,
    epoch_factor: float,
    factors: Sequence[Sequence[float]],
    short_factors: Sequence[float],
) -> list[CyclePhase]:
    """The whole long cycle for each rate but the last, which has the cycle's last shape throughout.

    `steps` and `max_epoch` describe the run without multigrid; this one takes `epoch_factor` times
    as many epochs. `factors` are (frames, crop) over the default. Within a cycle all shapes get the
    same number of steps, hence larger batches more epochs.
    """
    bases = [(round(default.num_frames * t), round(default.crop_size * s)) for t, s in factors]
    growths = [_mean_growth(default, base, short_factors) for base in bases]
    # An epoch at a base has 1 / growth as many steps: equal steps are epochs in proportion to it.
    lengths = [
        (rate, base, (end - start) * growth / sum(growths))
        for rate, (start, end) in enumerate(pairwise(steps))
        for base, growth in zip(bases, growths, strict=True)
    ]
    # The last rate in the same unit, epochs of the cycle's mean growth.
    last = (max_epoch - steps[-1]) * growths[-1] / fmean(growths)
    lengths.append((len(steps) - 1, bases[-1], last))
    scale = max_epoch * epoch_factor / sum(length for _, _, length in lengths)
    phases, end = [], 0.0
    for rate, base, length in lengths:
        end += length * scale  # ends are rounded, not lengths, so that no error adds up
        phases.append(CyclePhase(rate, _growth(default, *base), *base, round(end)))
    return phases


def _growth(default: BatchShape, num_frames: int, crop_size: float) -> int:
    """Clips of this size that cost as much as one of the default."""
    size = default.num_frames * default.crop_size**2
    return round(size / (num_frames * crop_size**2))


def _mean_growth(
    default: BatchShape, base: tuple[int, int], short_factors: Sequence[float]
) -> float:
    """Growth of batches over the short cycle inside a base; short crops are of the default's."""
    num_frames, crop_size = base
    crops = [*(default.crop_size * factor for factor in short_factors), crop_size]
    return fmean(_growth(default, num_frames, crop) for crop in crops)


def long_cycle_rates(
    phases: Sequence[CyclePhase], rates: Sequence[float]
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """(epochs, factors) of the learning rate: the phase's own times its batch factor.

    The last phase keeps the rate before it for its first half.
    """
    starts = [0, *(phase.end for phase in phases[:-1])]
    middle = (starts[-1] + phases[-1].end) // 2
    factors = [rates[phase.rate] * phase.batch_factor for phase in phases]
    return (*starts, middle), (*factors[:-1], factors[-2], factors[-1])


def long_cycle_evaluations(phases: Sequence[CyclePhase], frequency: int) -> frozenset[int]:
    """Epochs after which to validate: up to `frequency` in each phase, the last one among them."""
    epochs: set[int] = set()
    for start, end in pairwise([0, *(phase.end for phase in phases)]):
        epochs.update(range(end - 1, start - 1, -((end - start) // frequency + 1)))
    return frozenset(epochs)


def short_cycle(
    base: BatchShape, *, crop_size: int, factors: Sequence[float]
) -> tuple[BatchShape, ...]:
    """Crops of `factors` times the default `crop_size`, then the base itself.

    Batches are larger by as much as the crop is smaller.
    """
    shapes = []
    for factor in factors:
        growth = max(1, round((base.crop_size / (factor * crop_size)) ** 2))
        crop = min(round(factor * crop_size), base.crop_size)
        shapes.append(BatchShape(growth * base.num_clips, base.num_frames, crop))
    return (*shapes, base)


def norm_kind(num_clips: int, *, base_size: int, num_processes: int) -> NormKind:
    """The batch norm whose statistics come from `base_size` clips, or as near below as is possible.

    Each process has `num_clips`: smaller batches are shared, larger ones split.
    """
    if num_clips < base_size:
        num_shared = _largest_divisor(num_processes, base_size // num_clips)
        return ("batchnorm", 1) if num_shared == 1 else ("sync_batchnorm", num_shared)
    num_splits = _largest_divisor(num_clips, num_clips // base_size)
    return ("batchnorm", 1) if num_splits == 1 else ("sub_batchnorm", num_splits)


def _largest_divisor(number: int, limit: int) -> int:
    return next(divisor for divisor in range(limit, 0, -1) if number % divisor == 0)


def _every(period: int, num_epochs: int) -> frozenset[int]:
    return frozenset([*range(period - 1, num_epochs, period), num_epochs - 1])


def long_schedule(
    default: BatchShape,
    cycle: Sequence[CyclePhase],
    *,
    short_factors: Sequence[float],
    bn_base_size: int,
    rates: Sequence[float],
    eval_frequency: int,
) -> Schedule:
    """The schedule of the long cycle, with the short one inside it where there are factors."""

    def make_phase(start: int, end: int, base: BatchShape, factors: Sequence[float]) -> Phase:
        num_processes = distributed.world_size()
        norm = norm_kind(base.num_clips, base_size=bn_base_size, num_processes=num_processes)
        shapes = short_cycle(base, crop_size=default.crop_size, factors=factors)
        return Phase(start, end, shapes, norm)

    phases, start = [], 0
    for part in cycle:
        base = BatchShape(part.batch_factor * default.num_clips, part.num_frames, part.crop_size)
        if start < part.end:  # few epochs leave none for some parts
            phases.append(make_phase(start, part.end, base, short_factors))
        start = part.end
    lr_steps, lr_factors = long_cycle_rates(cycle, rates)
    evaluations = long_cycle_evaluations(cycle, eval_frequency)
    return Schedule(
        default=make_phase(0, start, default, []),
        phases=tuple(phases),
        lr_steps=lr_steps,
        lr_factors=lr_factors,
        validated=evaluations,
        saved=evaluations,
    )


def build_schedule(cfg: ConfigNode) -> Schedule:
    """The schedule that MULTIGRID asks for; without, one phase with one shape."""
    grid, solver, train = cfg.MULTIGRID, cfg.SOLVER, cfg.TRAIN
    num_local = distributed.local_size(cfg.NUM_SHARDS)
    num_clips = train.BATCH_SIZE // num_local
    if num_clips < 1:
        raise ValueError(
            f"TRAIN.BATCH_SIZE: {train.BATCH_SIZE} is less than one clip for each of {num_local} "
            "processes"
        )
    default = BatchShape(num_clips, cfg.DATA.NUM_FRAMES, cfg.DATA.TRAIN_CROP_SIZE)
    short_factors = grid.SHORT_CYCLE_FACTORS if grid.SHORT_CYCLE else []
    if grid.LONG_CYCLE:
        cycle = long_cycle(
            default,
            steps=solver.STEPS,
            max_epoch=solver.MAX_EPOCH,
            epoch_factor=grid.EPOCH_FACTOR,
            factors=grid.LONG_CYCLE_FACTORS,
            short_factors=short_factors,
        )
        return long_schedule(
            default,
            cycle,
            short_factors=short_factors,
            bn_base_size=grid.BN_BASE_SIZE,
            rates=solver.LRS,
            eval_frequency=grid.EVAL_FREQ,
        )
    steps, num_epochs = solver.STEPS, solver.MAX_EPOCH
    if grid.SHORT_CYCLE:
        factor = grid.EPOCH_FACTOR
        steps, num_epochs = [int(step * factor) for step in steps], int(num_epochs * factor)
    shapes = short_cycle(default, crop_size=default.crop_size, factors=short_factors)
    return Schedule(
        default=Phase(0, num_epochs, (default,), None),
        phases=(Phase(0, num_epochs, shapes, None),),
        lr_steps=tuple(steps[: len(solver.LRS)]),  # a step at the end may have no rate
        lr_factors=tuple(solver.LRS),
        validated=_every(train.EVAL_PERIOD, num_epochs),
        saved=_every(train.CHECKPOINT_PERIOD, num_epochs),
    )
