"""Limit on the size of a network, which is found out before there is memory for it."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.nn.modules.module import register_module_parameter_registration_hook
from torch.overrides import TorchFunctionMode

from slowfast.config.limits import are_numbers
from slowfast.utils.words import shorten

# Sections whose numbers are sizes of networks.
_SECTIONS = ("RESNET.", "X3D.", "VOV3D.", "S3D.", "SLOWFAST.", "MFNET.", "MVIT.")
# Tensors of the largest published network: about 1000.
_MOST_TENSORS = 100_000
_INITIAL_VALUES = {"uniform_", "normal_", "trunc_normal_", "zero_", "fill_"}
# In what torch says about shapes that it cannot take.
_SIZE_WORDS = ("overflow", "allocate", "out of memory", "too large")


class TooLarge(Exception):
    """A network beyond the limit."""


class _Uninitialised(TorchFunctionMode):
    """Leaves out initial values: nobody looks at those of the meta device, and they take time."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if getattr(func, "__name__", "") in _INITIAL_VALUES:
            return args[0] if args else kwargs["tensor"]
        return func(*args, **(kwargs or {}))


@contextmanager
def parameters_up_to(most: int) -> Iterator[None]:
    """Raise TooLarge where modules that are made inside the block have more than `most` parameters.

    A parameter counts when a module gets it, before it has values.
    """
    num_values = num_tensors = 0

    def count(_module: nn.Module, _name: str, parameter: nn.Parameter | None) -> None:
        nonlocal num_values, num_tensors
        if parameter is not None and not isinstance(parameter, nn.UninitializedParameter):
            num_values += parameter.numel()
            num_tensors += 1
        if num_values > most or num_tensors > _MOST_TENSORS:
            raise TooLarge

    handle = register_module_parameter_registration_hook(count)
    try:
        yield
    except (RuntimeError, TypeError, OverflowError, MemoryError) as error:
        if any(word in str(error).lower() for word in _SIZE_WORDS):
            raise TooLarge from error
        raise
    finally:
        handle.remove()


def make_on_meta(make: Callable[[], nn.Module], most: int) -> nn.Module:
    """Make a network on the meta device, without memory or values; raises TooLarge."""
    with torch.device("meta"), _Uninitialised(), parameters_up_to(most):
        return make()


def size_mistake(most: int, values: Mapping[str, Any], defaults: Mapping[str, Any]) -> str:
    """A sentence that names the sizes that differ from their defaults, the largest first.

    Both mappings have all keys of a config.
    """
    changed = [key for key in values if _is_size(key, values[key]) and values[key] != defaults[key]]
    changed.sort(key=lambda key: -_largest(values[key]))
    named = ", ".join(f"{key} {shorten(values[key])}" for key in changed) or "none"
    return (
        f"MODEL.MAX_PARAMS: the network would have more than {most} parameters (or "
        f"{_MOST_TENSORS} layers); sizes that are not the defaults, the largest first: {named}"
    )


def _is_size(key: str, value: Any) -> bool:
    is_read = key.startswith(_SECTIONS) or key == "MODEL.NUM_CLASSES"
    return is_read and are_numbers(value if isinstance(value, list) else [value])


def _largest(value: Any) -> float:
    return max(value, default=0) if isinstance(value, list) else value
