"""torch.compile for the parts of a network, within a time."""

import logging
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from slowfast.models.network import VideoNetwork

logger = logging.getLogger(__name__)


class CompileBudget:
    """Seconds that the parts of a network may take to be compiled, all together.

    What is met first after that, parts as well as shapes of clips, stays eager, with one warning.
    The time is looked at before a part is compiled: one of them may exceed it.
    """

    def __init__(self, seconds: float):
        self._seconds, self._left = seconds, seconds
        self._is_told = False

    def take(self, call: Callable[[], Any]) -> Any:
        """Result of a call that compiles something, whose time counts."""
        start = time.monotonic()
        result = call()
        self._left -= time.monotonic() - start
        return result

    def is_spent(self, name: str) -> bool:
        """Whether no time is left for the part called `name`."""
        if self._left <= 0 and not self._is_told:
            self._is_told = True
            logger.warning(
                "TRAIN.COMPILE_SECONDS: the %g s for compiling are over before %s: the rest of the "
                "network, and new shapes of clips, run without torch.compile",
                *(self._seconds, name),
            )
        return self._left <= 0


class _Part:
    """Calls a part of a network, compiled where it is or may be compiled for such inputs."""

    def __init__(self, name: str, part: nn.Module, budget: CompileBudget):
        self._name, self._part, self._budget = name, part, budget
        self._compiled = part._compiled_call_impl
        self._known: set[tuple] = set()

    def __call__(self, *args, **named):
        key = (self._part.training, torch.is_grad_enabled(), *_shapes((*args, *named.values())))
        if key in self._known:
            return self._compiled(*args, **named)
        if self._budget.is_spent(self._name):
            return self._part._call_impl(*args, **named)
        self._known.add(key)
        return self._budget.take(lambda: self._compiled(*args, **named))


def _shapes(args: tuple) -> list:
    tensors = [x for each in args for x in (each if isinstance(each, list | tuple) else [each])]
    return [(x.shape, x.dtype) if isinstance(x, Tensor) else x for x in tensors]


def compile_parts(model: nn.Module, *, mode: str, seconds: float) -> None:
    """Compile the stages and the head of a network each by itself; another model as a whole.

    The time to compile then does not grow faster than the network. It passes when the parts are
    first called. mode: of torch.compile; reduce-overhead records CUDA graphs.
    """
    budget = CompileBudget(seconds)
    parts = dict(model.named_children()) if isinstance(model, VideoNetwork) else {"model": model}
    _allow_graphs(len(parts))
    for name, part in parts.items():
        part.compile(mode=mode)
        # As nn.Module.compile, which copies of the model (their moving average) leave out.
        part._compiled_call_impl = _Part(name, part, budget)
    if mode == "reduce-overhead":
        model.register_forward_pre_hook(_mark_step)


def _allow_graphs(num_parts: int) -> None:
    """Let torch keep its number of graphs for each part: stages share their code, and so its limit.

    Beyond the limit torch would run the last stages eager, and say so only in a warning of its own.
    """
    from torch._dynamo import config  # takes seconds

    name = "recompile_limit" if hasattr(config, "recompile_limit") else "cache_size_limit"
    setattr(config, name, max(getattr(config, name), 8 * num_parts))


def _mark_step(*_) -> None:
    """Tell CUDA graphs that the memory of the pass before may be used again."""
    torch.compiler.cudagraph_mark_step_begin()
