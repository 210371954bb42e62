"""One optimizer step: gradients of one or several batches, their checks, the update."""

import contextlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from slowfast.engine.nonfinite import NonFiniteLoss, first_nonfinite
from slowfast.engine.state import Sums, TrainState
from slowfast.runtime.stop import StopRequest
from slowfast.runtime.unreadable import UnreadableVideos
from slowfast.solver.optimizer import clip_gradients, set_learning_rate
from slowfast.tasks import Task
from slowfast.tasks.base import TrainPass
from slowfast.utils import distributed
from slowfast.utils.seeding import derive_seed


class SeededPasses:
    """Makes the forward passes of a batch.

    Run in order, they draw the same random numbers every time.
    """

    def __init__(self, task: Task, *, device: torch.device, autocast: torch.autocast, seed: int):
        self._task = task
        self._device = device
        self._autocast = autocast
        self._seed = seed

    def __call__(
        self, network: nn.Module, batch: dict, place: tuple[int, int, int]
    ) -> tuple[list[TrainPass], int]:
        """The passes, to be run before others are made, and the number of labelled clips or boxes.

        place: epoch, step and number of the batch in the step. All seeds come from it, so that a
        resumed run draws what the whole one would have.
        """
        # With the rank, for the processes have different clips: dropout, mixing.
        torch.manual_seed(derive_seed("step", self._seed, *place, distributed.rank()))
        rng = np.random.default_rng(derive_seed("mix", self._seed, *place, distributed.rank()))
        # Without, for what all must do alike: the widths of an adaptive network.
        shared_rng = np.random.default_rng(derive_seed("shared", self._seed, *place))
        batch = self._task.prepare(batch, self._device)
        count = self._task.num_labelled(batch)
        passes = self._task.train_passes(network, batch, rng, shared_rng)
        return [partial(self._run, forward, count) for forward in passes], count

    def _run(self, forward: TrainPass, count: int) -> tuple[Tensor, dict[str, Tensor]]:
        """Adds "loss" (times the number of clips or boxes) to the task's sums; all are float64."""
        with self._autocast:
            loss, sums = forward()
        sums = {"loss": loss.detach().double() * count, **sums}
        return loss, {name: value.double() for name, value in sums.items()}


@dataclass(frozen=True)
class StepResult:
    """Sums of a step over all processes, gradient norm before clipping (None: not measured)."""

    sums: Sums
    grad_norm: float | None
    is_stopped: bool


class TrainStep:
    """Does one optimizer step on a list of batches whose gradients are added up.

    `network` is the state's model, or the same inside DistributedDataParallel. Gradients are
    clipped to +-`clip_value` each, then to the L2 norm `clip_norm`, where these are not None.
    """

    def __init__(
        self,
        state: TrainState,
        network: nn.Module,
        passes: SeededPasses,
        unreadable: UnreadableVideos,
        *,
        clip_value: float | None,
        clip_norm: float | None,
    ):
        self._state = state
        self._network = network
        self._passes = passes
        self._unreadable = unreadable
        self._clip_value = clip_value
        self._clip_norm = clip_norm

    def __call__(self, batches: Sequence[dict], *, lr: float, stop: StopRequest) -> StepResult:
        """Learn from the batches; all processes agree on what is returned.

        NonFiniteLoss leaves the weights as they were.
        """
        state = self._state
        set_learning_rate(state.optimizer, lr)
        own = Sums()
        for part, batch in enumerate(batches):
            own.add(self._add_gradients(batch, part, len(batches)))
        failures = [failure for batch in batches for failure in batch["failures"]]
        damaged = [damage for batch in batches for damage in batch["damaged"]]
        num_new = self._unreadable.add(failures, damaged)
        sums, num_new, num_stops = _over_processes(own, num_new, is_stopped=bool(stop.signum))
        if not all(map(math.isfinite, sums.values.values())):
            self._raise_nonfinite(batches)
        if num_new and self._unreadable.may_exceed(num_new):
            self._unreadable.sync()
        norm = self._update()
        state.step += 1
        state.lr = lr
        state.sums.add(sums)
        return StepResult(sums, norm, num_stops > 0)

    def _add_gradients(self, batch: dict, part: int, num_parts: int) -> Sums:
        passes, count = self._passes(self._network, batch, self._place(part))
        found = []
        for number, forward in enumerate(passes, start=1):
            is_last = part == num_parts - 1 and number == len(passes)
            with self._gradients(are_final=is_last):
                loss, sums = forward()
                self._state.scaler.scale(loss / num_parts).backward()
            found.append(sums)
        return Sums(_added(found), count)

    def _gradients(self, *, are_final: bool) -> contextlib.AbstractContextManager:
        """Processes exchange their gradients only when all are there."""
        is_wrapped = isinstance(self._network, DistributedDataParallel)
        if is_wrapped and not are_final:
            return self._network.no_sync()
        return contextlib.nullcontext()

    def _update(self) -> float | None:
        """Change the weights; returns the gradient norm if gradients are clipped."""
        state = self._state
        norm = None
        if self._clip_value is not None or self._clip_norm is not None:
            state.scaler.unscale_(state.optimizer)
            norm = clip_gradients(
                state.model.parameters(), value=self._clip_value, norm=self._clip_norm
            )
            norm = float(norm)
        state.scaler.step(state.optimizer)
        state.scaler.update()
        state.optimizer.zero_grad(set_to_none=True)
        if state.ema is not None:
            state.ema.update(state.model)
        return norm

    def _place(self, part: int) -> tuple[int, int, int]:
        # Steps of an epoch that was begun with batches of another size have numbers of their own.
        return self._state.epoch, self._state.skipped + self._state.step, part

    def _raise_nonfinite(self, batches: Sequence[dict]) -> None:
        """Find the first pass astray of each process; raise the same in all processes."""
        state, name = self._state, self._unreadable.name

        def made_again() -> Iterator[tuple[list[TrainPass], str]]:
            for part, batch in enumerate(batches):
                passes, _ = self._passes(state.model, batch, self._place(part))
                yield passes, ", ".join(map(name, batch["indices"].tolist()))

        found = filter(None, distributed.gather_objects(first_nonfinite(state.model, made_again())))
        where = "; ".join(found) or "done again, all modules and losses of this step are finite"
        raise NonFiniteLoss(
            f"the loss is not finite in epoch {state.epoch + 1}, step {state.step + 1}: {where}. "
            "A lower SOLVER.BASE_LR, a longer warm-up or SOLVER.CLIP_GRAD_L2NORM may help"
        )


def _added(passes: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Sums over the passes of a batch in one addition; 0 stands for a name that a pass lacks."""
    names = list(dict.fromkeys(name for sums in passes for name in sums))
    zero = passes[0]["loss"].new_zeros(())
    rows = [torch.stack([sums.get(name, zero) for name in names]) for sums in passes]
    return dict(zip(names, torch.stack(rows).sum(0), strict=True))


def _over_processes(sums: Sums, num_new: int, *, is_stopped: bool) -> tuple[Sums, float, float]:
    """The sums, `num_new` and the number of stopped processes over all processes, in one exchange.

    Only values travel: the names have to be the same everywhere, in the same order.
    """
    values = torch.stack(list(sums.values.values()))
    own = torch.cat([values, values.new_tensor([sums.count, num_new, is_stopped])])
    *totals, count, num_new, num_stops = distributed.all_reduce_sum(own).tolist()
    return Sums(dict(zip(sums.values, totals, strict=True)), count), num_new, num_stops
