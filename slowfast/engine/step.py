"""One optimizer step: gradients of one or several batches, their checks, the update."""

import contextlib
from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from slowfast.config.node import ConfigNode
from slowfast.engine.state import TrainState
from slowfast.runtime.device import build_autocast
from slowfast.runtime.stop import StopRequest
from slowfast.runtime.unreadable import UnreadableVideos
from slowfast.solver.lr_schedule import build_lr_schedule
from slowfast.solver.optimizer import clip_gradients, set_learning_rate
from slowfast.tasks import Task
from slowfast.tasks.base import TrainPass
from slowfast.utils import distributed
from slowfast.utils.seeding import derive_seed


class NonFiniteLoss(ValueError):
    """The loss became NaN or infinite; the message names the module, the pass and the videos."""


class TrainStep:
    """Does one optimizer step on a list of batches whose gradients are added up.

    `network` is the state's model, or the same inside DistributedDataParallel. All randomness of a
    step is seeded by (seed, epoch, step, rank), some of it without the rank, so that a resumed run
    draws the same.
    """

    def __init__(
        self,
        state: TrainState,
        network: nn.Module,
        task: Task,
        unreadable: UnreadableVideos,
        *,
        device: torch.device,
        autocast: torch.autocast,
        schedule: Callable[[float], float],
        clip_value: float | None,
        clip_norm: float | None,
        seed: int,
    ):
        self._state = state
        self._network = network
        self._task = task
        self._unreadable = unreadable
        self._device = device
        self._autocast = autocast
        self._schedule = schedule
        self._clip_value = clip_value
        self._clip_norm = clip_norm
        self._seed = seed

    def __call__(
        self, batches: list[dict], *, steps_per_epoch: int, stop: StopRequest, names: list[str]
    ) -> tuple[np.ndarray, float, float | None, bool]:
        """Returns the task's sums over all processes, learning rate, gradient norm, "stop now"."""
        state = self._state
        lr = self._schedule(state.epoch + state.step / steps_per_epoch)
        set_learning_rate(state.optimizer, lr)
        sums = sum(self._backward(batch, part, len(batches)) for part, batch in enumerate(batches))
        num_failures = self._unreadable.add(
            *([item for batch in batches for item in batch[key]] for key in ("failures", "damaged"))
        )
        flags = sums.new_tensor([num_failures, bool(stop.signum)])
        *sums, num_failures, num_stops = distributed.all_reduce_sum(
            torch.cat([sums, flags])
        ).tolist()
        if not np.isfinite(sums).all():
            self._raise_nonfinite(batches, names)
        if num_failures:
            self._unreadable.sync()
        norm = self._update()
        state.step += 1
        return np.array(sums), lr, norm, num_stops > 0

    def _backward(self, batch: dict, part: int, num_parts: int) -> torch.Tensor:
        passes = self._passes(self._network, batch, part)
        last, sums = len(passes) - 1, []
        for number, forward in enumerate(passes):
            is_last = part == num_parts - 1 and number == last
            with self._gradients(are_final=is_last):
                with self._autocast:
                    loss, values = forward()
                self._state.scaler.scale(loss / num_parts).backward()
            sums.append(values)
        return torch.stack(sums).sum(0)

    def _passes(self, network: nn.Module, batch: dict, part: int) -> list[TrainPass]:
        """Those of a batch; they draw the same whenever they are run in order."""
        torch.manual_seed(self._derive("step", part))
        batch = self._task.to_device(batch, self._device)
        return self._task.train_passes(network, batch, self._rng(part), self._shared_rng(part))

    def _gradients(self, *, are_final: bool) -> contextlib.AbstractContextManager:
        """Processes exchange their gradients only when all are there."""
        is_wrapped = isinstance(self._network, DistributedDataParallel)
        if is_wrapped and not are_final:
            return self._network.no_sync()
        return contextlib.nullcontext()

    def _update(self) -> float | None:
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

    def _rng(self, part: int) -> np.random.Generator:
        return np.random.default_rng(self._derive("mix", part))

    def _shared_rng(self, part: int) -> np.random.Generator:
        state = self._state
        return np.random.default_rng(
            derive_seed("shared", self._seed, state.epoch, state.step, part)
        )

    def _derive(self, what: str, part: int) -> int:
        state = self._state
        return derive_seed(what, self._seed, state.epoch, state.step, part, distributed.rank())

    def _raise_nonfinite(self, batches: list[dict], names: list[str]) -> None:
        """Do all passes again to find the first one astray; raise the same in all processes."""
        # To the end: other processes may wait for the batch norms that are synchronised with them.
        notes = [
            note
            for part, batch in enumerate(batches)
            for note in self._nonfinite_passes(batch, part, names)
        ]
        found = [note for first in distributed.gather_objects(notes[:1]) for note in first]
        state = self._state
        where = "; ".join(found) or "done again, all modules and losses of this step are finite"
        raise NonFiniteLoss(
            f"the loss is not finite in epoch {state.epoch + 1}, step {state.step + 1}: {where}. "
            "A lower SOLVER.BASE_LR, a longer warm-up or SOLVER.CLIP_GRAD_L2NORM may help"
        )

    def _nonfinite_passes(self, batch: dict, part: int, names: list[str]) -> list[str]:
        """For each pass with NaN or infinity: the first module, the pass, the batch's videos."""
        model, notes = self._state.model, []
        videos = ", ".join(names[index] for index in batch["indices"].tolist())
        passes = self._passes(model, batch, part)
        for number, forward in enumerate(passes, start=1):
            with (
                self._autocast,
                torch.no_grad(),
                torch.compiler.set_stance("force_eager"),
                nonfinite_modules(model) as modules,
            ):
                _, sums = forward()
            if modules or not torch.isfinite(sums).all():
                what = f"in the output of {modules[0]}" if modules else "in the loss itself"
                where = f" in pass {number} of {len(passes)}" if len(passes) > 1 else ""
                notes.append(f"first {what}{where}; videos of the batch: {videos}")
        return notes


@contextlib.contextmanager
def nonfinite_modules(model: nn.Module) -> Iterator[list[str]]:
    """Inside the `with`, lists modules whose output holds NaN or infinity, in order of execution.

    Not a compiled model: that would not call the hooks.
    """
    found: list[str] = []

    def watch(name: str):
        def hook(module, _inputs, output):
            tensors = output if isinstance(output, list | tuple) else [output]
            if not all(torch.isfinite(tensor).all() for tensor in tensors):
                found.append(f"{name} ({type(module).__name__})")

        return hook

    handles = [
        module.register_forward_hook(watch(name or "model"))
        for name, module in model.named_modules()
    ]
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()


def build_train_step(
    cfg: ConfigNode,
    state: TrainState,
    network: nn.Module,
    task: Task,
    unreadable: UnreadableVideos,
    device: torch.device,
) -> TrainStep:
    """The training step that the config asks for."""
    return TrainStep(
        state,
        network,
        task,
        unreadable,
        device=device,
        autocast=build_autocast(cfg, device),
        schedule=build_lr_schedule(cfg),
        clip_value=cfg.SOLVER.CLIP_GRAD_VAL,
        clip_norm=cfg.SOLVER.CLIP_GRAD_L2NORM,
        seed=cfg.RNG_SEED,
    )
