"""The module and the videos behind a loss that is not finite."""

import contextlib
from collections.abc import Iterable, Iterator

import torch
from torch import nn

from slowfast.tasks.base import TrainPass


class NonFiniteLoss(ValueError):
    """The loss became NaN or infinite; the message names the module, the pass and the videos."""


def first_nonfinite(model: nn.Module, batches: Iterable[tuple[list[TrainPass], str]]) -> str | None:
    """Run passes of `model`; names the first module that goes astray, its pass and its videos.

    batches: passes and names of the videos of each batch, from an iterator that makes the passes
    when it is their turn, as this seeds what they draw. None when all is finite.
    """
    notes = []
    # To the end, also after the first note: in several processes others may be finite, and their
    # synchronised batch norms and collectives wait for this one.
    for passes, videos in batches:
        for number, forward in enumerate(passes, start=1):
            culprit = _nonfinite_part(model, forward)
            if culprit:
                where = f" in pass {number} of {len(passes)}" if len(passes) > 1 else ""
                notes.append(f"first in the {culprit}{where}; videos of the batch: {videos}")
    return notes[0] if notes else None


def _nonfinite_part(model: nn.Module, forward: TrainPass) -> str | None:
    """The first module of a pass with NaN or infinity in its output, else the loss, if that is."""
    # Eager: a compiled model would not call the hooks.
    with (
        torch.no_grad(),
        torch.compiler.set_stance("force_eager"),
        nonfinite_modules(model) as modules,
    ):
        _, sums = forward()
    if modules:
        return f"output of {modules[0]}"
    is_finite = all(torch.isfinite(value).all() for value in sums.values())
    return None if is_finite else "loss itself"


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
