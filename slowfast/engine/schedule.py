"""The schedule of batches as a run follows it: its steps, its batch norm, its log."""

import logging
from collections.abc import Sequence

from tabulate import tabulate

from slowfast.datasets.loader import ShardedBatchSampler
from slowfast.engine.state import TrainState
from slowfast.models.norm import make_norm, replace_norms
from slowfast.solver.multigrid import NormKind, Phase, Schedule
from slowfast.utils.clip_shapes import BatchShape

logger = logging.getLogger(__name__)


class NormSchedule:
    """Gives the batch norms of a state's models the kind of an epoch or of validation, in place.

    None in a schedule is the kind that the model was built with: it cannot be returned to.
    """

    def __init__(self, state: TrainState, schedule: Schedule):
        self._state, self._schedule = state, schedule
        self._kind: NormKind | None = None
        # All kinds now, in the order of the schedule: to make one can make a group of processes, in
        # which all must take part in the same order, wherever they resume.
        phases = (*schedule.phases, schedule.default)
        kinds = dict.fromkeys(phase.norm for phase in phases if phase.norm is not None)
        self._norms = {kind: make_norm(*kind) for kind in kinds}

    def to_epoch(self, epoch: int) -> None:
        """Use the batch norm of an epoch, from 0."""
        self._switch(self._schedule.phase(epoch).norm)

    def to_default(self) -> None:
        """Use the batch norm of validation's shape."""
        self._switch(self._schedule.default.norm)

    def _switch(self, kind: NormKind | None) -> None:
        if kind == self._kind:
            return
        for model in self._state.models:
            # Parameters and statistics stay the same tensors: the optimizer keeps their momentum,
            # and DistributedDataParallel its buckets, as if nothing had happened.
            replace_norms(model, self._norms[kind])
        self._kind = kind


def steps_of_epochs(
    schedule: Schedule, sampler: ShardedBatchSampler, accumulation: int
) -> list[int]:
    """Optimizer steps of every epoch; ValueError when there is an epoch without any."""
    steps = []
    for phase in schedule.phases:
        count = sampler.num_batches(repeated(phase.shapes, accumulation)) // accumulation
        if count == 0:
            needed = phase.shapes[0].num_clips * sampler.world_size * accumulation
            key = "TRAIN.BATCH_SIZE"
            if accumulation > 1:
                key = f"TRAIN.ACCUMULATION_STEPS {accumulation} times {key}"
            raise ValueError(
                f"{key}: a step of epoch {phase.start + 1} needs {needed} clips, but the training "
                f"list holds {sampler.num_samples} videos"
            )
        steps += [count] * (phase.end - phase.start)
    return steps


def repeated(shapes: Sequence[BatchShape], times: int) -> list[BatchShape]:
    """Each shape several times in a row: for all batches of a step."""
    return [shape for shape in shapes for _ in range(times)]


def log_schedule(schedule: Schedule, steps: Sequence[int]) -> None:
    """Log the phases: epochs, shapes of the batches of a process, batch norm, steps."""
    logger.info(
        "schedule:\n%s",
        tabulate(
            [_schedule_row(phase, steps[phase.start]) for phase in schedule.phases],
            headers=["epochs", "clips x frames x crop per process", "batch norm", "steps / epoch"],
        ),
    )


def _schedule_row(phase: Phase, num_steps: int) -> list:
    shapes = ", ".join(" x ".join(map(str, shape)) for shape in phase.shapes)
    norm = "as built" if phase.norm is None else f"{phase.norm[0]} {phase.norm[1]}"
    return [f"{phase.start + 1}-{phase.end}", shapes, norm, num_steps]
