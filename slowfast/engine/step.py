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
from slowfast.runtime.late import HostCopy, Stopwatch
from slowfast.runtime.stop import StopRequest
from slowfast.runtime.unreadable import UnreadableVideos
from slowfast.solver.fused import spoil_unless, step_where
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
        self.device = device
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
        batch = self._task.prepare(batch, self.device)
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
    """Sums of a step over all processes, gradient norm before clipping (None: not measured).

    number: how many steps of the epoch were done with it. rank_times: seconds that each of several
    processes needed until it waited for the others (see `Stopwatch`).
    """

    number: int
    lr: float
    sums: Sums
    grad_norm: float | None
    is_stopped: bool
    rank_times: tuple[float, ...] = ()


class TrainStep:
    """Does optimizer steps, each on a list of batches whose gradients are added up.

    `network` is the state's model, or the same inside DistributedDataParallel. Gradients are
    clipped to +-`clip_value` each, then to the L2 norm `clip_norm`, where these are not None. The
    sums of a step are read when `num_late` further ones have begun: on a GPU, which then need not
    stand still while the host waits for them. All processes read the same ones at the same place.
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
        num_late: int = 0,
    ):
        self._state = state
        self._network = network
        self._passes = passes
        self._unreadable = unreadable
        self._clip_value = clip_value
        self._clip_norm = clip_norm
        self._num_late = num_late
        self._launched: list[_Launched] = []
        self._before: tuple[float, Stopwatch] | None = None

    def __call__(
        self, batches: Sequence[dict], *, lr: float, stop: StopRequest, waited: float = 0.0
    ) -> list[StepResult]:
        """Learn from the batches; all processes agree on the steps that are returned, if any.

        waited: seconds that the batches took, for the log.
        NonFiniteLoss leaves the weights as they were before the step that it names.
        """
        state = self._state
        set_learning_rate(state.optimizer, lr)
        own, watch = Sums(), Stopwatch(self._passes.device)
        for part, batch in enumerate(batches):
            own.add(self._add_gradients(batch, part, len(batches), watch))
        failures = [failure for batch in batches for failure in batch["failures"]]
        damaged = [damage for batch in batches for damage in batch["damaged"]]
        num_new = self._unreadable.add(failures, damaged)
        totals = _over_processes(own, num_new, bool(stop.signum), self._own_seconds())
        launched = _Launched(state.step, lr, batches, tuple(own.values), HostCopy(totals))
        self._launched.append(launched)
        num_due = len(self._launched) - self._num_late
        # Before this update: after a step that was skipped the weights are still those before it.
        for each in self._launched[: max(num_due, 0)]:
            self._check(each)
        launched.norm = self._update(totals[: len(own.values)].isfinite().all())
        state.step += 1
        state.lr = lr
        self._before = (waited, watch)
        return self._take(num_due)

    def flush(self) -> list[StepResult]:
        """Read all steps that are not read yet; all processes call this at the same place."""
        for each in self._launched:
            self._check(each)
        return self._take(len(self._launched))

    def settle(self) -> bool:
        """Count all steps done in the sums of the state, in this process alone, before a save.

        False where one is not finite: `flush` and the next step raise that in all processes.
        """
        return all([self._read(each).is_finite for each in self._launched])

    def _own_seconds(self) -> float:
        """Seconds of the step before, until this process waited for the others."""
        if self._before is None or distributed.world_size() == 1:
            return 0.0
        waited, watch = self._before
        return waited + watch.seconds()

    def _take(self, count: int) -> list[StepResult]:
        taken, self._launched = self._launched[: max(count, 0)], self._launched[max(count, 0) :]
        return [each.result() for each in taken]

    def _read(self, launched: "_Launched") -> "_Launched":
        if launched.sums is None:
            launched.read()
            if launched.is_finite:
                self._state.sums.add(launched.sums)
        return launched

    def _check(self, launched: "_Launched") -> None:
        """NonFiniteLoss, or an error of too many unreadable videos, in all processes."""
        self._read(launched)
        if not launched.is_finite:
            self._raise_nonfinite(launched)
        if launched.num_new and self._unreadable.may_exceed(launched.num_new):
            self._unreadable.sync()

    def _add_gradients(self, batch: dict, part: int, num_parts: int, watch: Stopwatch) -> Sums:
        passes, count = self._passes(self._network, batch, self._place(self._state.step, part))
        found = []
        for number, forward in enumerate(passes, start=1):
            is_last = part == num_parts - 1 and number == len(passes)
            with self._gradients(are_final=is_last):
                loss, sums = forward()
                watch.stop()  # the last time before the processes wait for each other
                self._state.scaler.scale(loss / num_parts).backward()
            found.append(sums)
        return Sums(_added(found), count)

    def _gradients(self, *, are_final: bool) -> contextlib.AbstractContextManager:
        """Processes exchange their gradients only when all are there."""
        is_wrapped = isinstance(self._network, DistributedDataParallel)
        if is_wrapped and not are_final:
            return self._network.no_sync()
        return contextlib.nullcontext()

    def _update(self, is_finite: Tensor) -> HostCopy | None:
        """Change the weights, unless `is_finite` (0-d) says no; gives the norm of clipping."""
        state = self._state
        spoil_unless(is_finite, state.optimizer, state.scaler)
        norm = None
        if self._clip_value is not None or self._clip_norm is not None:
            state.scaler.unscale_(state.optimizer)
            norm = clip_gradients(
                state.model.parameters(), value=self._clip_value, norm=self._clip_norm
            )
            norm = HostCopy(norm)
        step_where(is_finite, state.optimizer, state.scaler)
        state.scaler.update()
        state.optimizer.zero_grad(set_to_none=True)
        if state.ema is not None:
            state.ema.update(state.model)
        return norm

    def _place(self, step: int, part: int) -> tuple[int, int, int]:
        # Steps of an epoch that was begun with batches of another size have numbers of their own.
        return self._state.epoch, self._state.skipped + step, part

    def _raise_nonfinite(self, launched: "_Launched") -> None:
        """Find the first pass astray of each process; raise the same in all processes."""
        state, name = self._state, self._unreadable.name

        def made_again() -> Iterator[tuple[list[TrainPass], str]]:
            for part, batch in enumerate(launched.batches):
                passes, _ = self._passes(state.model, batch, self._place(launched.step, part))
                yield passes, ", ".join(map(name, batch["indices"].tolist()))

        found = filter(None, distributed.gather_objects(first_nonfinite(state.model, made_again())))
        where = "; ".join(found) or "done again, all modules and losses of this step are finite"
        raise NonFiniteLoss(
            f"the loss is not finite in epoch {state.epoch + 1}, step {launched.step + 1}: {where}."
            " A lower SOLVER.BASE_LR, a longer warm-up or SOLVER.CLIP_GRAD_L2NORM may help"
        )


@dataclass
class _Launched:
    """A step that the device has, maybe not done yet; what it gave is there after `read`.

    step: how many steps of the epoch came before it. totals: of `_over_processes`.
    """

    step: int
    lr: float
    batches: Sequence[dict]
    names: tuple[str, ...]
    totals: HostCopy
    norm: HostCopy | None = None
    sums: Sums | None = None
    num_new: float = 0.0
    is_stopped: bool = False
    rank_times: tuple[float, ...] = ()

    def read(self) -> None:
        """Wait for the sums."""
        totals, num_names = self.totals.tolist(), len(self.names)
        self.sums = Sums(dict(zip(self.names, totals[:num_names], strict=True)), totals[num_names])
        self.num_new, num_stops, *seconds = totals[num_names + 1 :]
        self.is_stopped = num_stops > 0
        self.rank_times = tuple(seconds) if any(seconds) else ()

    @property
    def is_finite(self) -> bool:
        return all(map(math.isfinite, self.sums.values.values()))

    def result(self) -> StepResult:
        """The part of it that the log needs."""
        norm = None if self.norm is None else self.norm.tolist()
        return StepResult(self.step + 1, self.lr, self.sums, norm, self.is_stopped, self.rank_times)


def _added(passes: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Sums over the passes of a batch in one addition; 0 stands for a name that a pass lacks."""
    names = list(dict.fromkeys(name for sums in passes for name in sums))
    zero = passes[0]["loss"].new_zeros(())
    rows = [torch.stack([sums.get(name, zero) for name in names]) for sums in passes]
    return dict(zip(names, torch.stack(rows).sum(0), strict=True))


def _over_processes(sums: Sums, num_new: int, is_stopped: bool, own_seconds: float) -> Tensor:
    """The sums, their count, `num_new` and the number of stopped processes, over all processes.

    In one exchange; then the `own_seconds` of each process, where there are several. Only values
    travel: the names have to be the same everywhere, in the same order. Filled in on the device,
    as a copy to it would wait.
    """
    values = torch.stack(list(sums.values.values()))
    others = [values.new_full((1,), float(each)) for each in (sums.count, num_new, is_stopped)]
    if distributed.world_size() > 1:
        others.append(values.new_zeros(distributed.world_size()))
        others[-1][distributed.rank()].fill_(own_seconds)
    return distributed.all_reduce_sum(torch.cat([values, *others]))


def steps_late(device: torch.device) -> int:
    """Steps after which the sums of a step are read; on the CPU there is nothing to wait for."""
    return 1 if device.type == "cuda" else 0
