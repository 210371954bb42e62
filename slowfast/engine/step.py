"""One optimizer step: gradients of one or several batches, their checks, the update."""

import contextlib
from collections.abc import Callable

import numpy as np
import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from slowfast.config.node import ConfigNode
from slowfast.engine.device import build_autocast
from slowfast.engine.state import TrainState
from slowfast.engine.stop import StopRequest
from slowfast.engine.tasks import Task
from slowfast.engine.unreadable import UnreadableVideos
from slowfast.solver.clip import clip_gradients
from slowfast.solver.lr_schedule import build_lr_schedule
from slowfast.solver.optimizer import set_learning_rate
from slowfast.utils import distributed
from slowfast.utils.seeding import derive_seed


class NonFiniteLoss(ValueError):
    """The loss became NaN or infinite; the message names the module and the videos."""


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
        num_failures = self._unreadable.note(
            *([item for batch in batches for item in batch[key]] for key in ("failures", "damaged"))
        )
        flags = sums.new_tensor([num_failures, bool(stop.signum)])
        *sums, num_failures, num_stops = distributed.all_reduce_sum(
            torch.cat([sums, flags])
        ).tolist()
        if not np.isfinite(sums).all():
            self._raise_nonfinite(batches, names)
        if num_failures:
            self._unreadable.merge()
        norm = self._update()
        state.step += 1
        return np.array(sums), lr, norm, num_stops > 0

    def _backward(self, batch: dict, part: int, num_parts: int) -> torch.Tensor:
        self._seed_torch(part)
        batch = self._task.to_device(batch, self._device)
        passes = self._task.train_passes(
            self._network, batch, self._rng(part), self._shared_rng(part)
        )
        last, sums = len(passes) - 1, []
        for number, forward in enumerate(passes):
            is_last = part == num_parts - 1 and number == last
            with self._gradients(are_final=is_last):
                with self._autocast:
                    loss, values = forward()
                self._state.scaler.scale(loss / num_parts).backward()
            sums.append(values)
        return torch.stack(sums).sum(0)

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

    def _seed_torch(self, part: int) -> None:
        torch.manual_seed(self._derive("step", part))

    def _derive(self, what: str, part: int) -> int:
        state = self._state
        return derive_seed(what, self._seed, state.epoch, state.step, part, distributed.rank())

    def _raise_nonfinite(self, batches: list[dict], names: list[str]) -> None:
        """Find the first module with a non-finite output; raise the same error in all processes."""
        found = ""
        for part, batch in enumerate(batches):
            self._seed_torch(part)
            inputs = self._task.inputs(self._task.to_device(batch, self._device))
            with self._autocast, torch.no_grad(), torch.compiler.set_stance("force_eager"):
                module = first_nonfinite_module(self._state.model, inputs)
            if module is not None:
                videos = ", ".join(names[index] for index in batch["indices"].tolist())
                found = f"first in the output of {module}; videos of the batch: {videos}"
                break
        found = [item for item in distributed.gather_objects(found) if item]
        state = self._state
        where = "; ".join(found) or "all modules are finite, so it arose in the loss itself"
        raise NonFiniteLoss(
            f"the loss is not finite in epoch {state.epoch + 1}, step {state.step + 1}: {where}. "
            "A lower SOLVER.BASE_LR, a longer warm-up or SOLVER.CLIP_GRAD_L2NORM may help"
        )


def first_nonfinite_module(model: nn.Module, inputs: tuple) -> str | None:
    """Name of the first module, in order of execution, whose output holds NaN or infinity."""
    found: list[str] = []

    def watch(name: str):
        def hook(module, inputs, output):
            tensors = output if isinstance(output, list | tuple) else [output]
            if not found and not all(torch.isfinite(tensor).all() for tensor in tensors):
                found.append(f"{name} ({type(module).__name__})")

        return hook

    handles = [
        module.register_forward_hook(watch(name or "model"))
        for name, module in model.named_modules()
    ]
    try:
        model(*inputs)
    finally:
        for handle in handles:
            handle.remove()
    return found[0] if found else None


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
