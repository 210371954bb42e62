"""Optimizer steps that need no wait for the device, not even to be left out."""

import math

import torch
from torch import Tensor, optim


def is_fused(device: torch.device, *, dampening: float = 0.0) -> bool:
    """Whether an optimizer for parameters on this device is to be one of torch's fused ones.

    On the CPU they gain nothing. With dampening the first step differs from the others, which a
    fused SGD does not survive where that step is left out (see `begin_momentum`).
    """
    return device.type == "cuda" and dampening == 0


def begin_momentum(optimizer: optim.Optimizer) -> None:
    """Give parameters of a fused SGD that have no momentum yet one of zeros.

    torch would allocate it in the first step, and not fill it where that step is left out, as
    loss scaling does with the first ones: later steps would add to what lay in memory.
    """
    if not isinstance(optimizer, optim.SGD):
        return
    for group in optimizer.param_groups:
        if not group["fused"] or not group["momentum"]:
            continue
        for parameter in group["params"]:
            state = optimizer.state[parameter]
            if state.get("momentum_buffer") is None:
                state["momentum_buffer"] = torch.zeros_like(parameter)


def fit_layouts(optimizer: optim.Optimizer) -> None:
    """Let loaded momenta lie in memory like their parameters, as fused optimizers demand.

    A checkpoint may be of a device, or of a MEMORY_FORMAT, where weights lie in another way.
    """
    for parameter, state in optimizer.state.items():
        for name, value in state.items():
            is_like = isinstance(value, Tensor) and value.shape == parameter.shape
            if is_like and value.stride() != parameter.stride():
                state[name] = torch.empty_like(parameter).copy_(value).detach()


def spoil_unless(
    is_finite: Tensor, optimizer: optim.Optimizer, scaler: torch.amp.GradScaler
) -> None:
    """Put NaN into a gradient where the 0-d `is_finite` is False: the scaler then skips the step.

    Before the scaler looks at them; without an enabled scaler this does nothing.
    """
    if not scaler.is_enabled():
        return
    grads = (p.grad for group in optimizer.param_groups for p in group["params"])
    grad = next((g for g in grads if g is not None and g.numel()), None)
    if grad is not None:
        first = grad[(0,) * grad.ndim]
        first.copy_(torch.where(is_finite, first, math.nan))


def step_where(is_finite: Tensor, optimizer: optim.Optimizer, scaler: torch.amp.GradScaler) -> None:
    """Do an optimizer step where the 0-d `is_finite` holds, else leave weights and momenta alone.

    Fused optimizers and a scaler (see `spoil_unless`) look at it on the device. Others wait for
    it, which on the CPU is no wait.
    """
    if scaler.is_enabled():
        scaler.step(optimizer)
    elif getattr(optimizer, "_step_supports_amp_scaling", False):
        optimizer.found_inf = (~is_finite).float()
        try:
            optimizer.step()
        finally:
            del optimizer.found_inf
    elif is_finite:
        optimizer.step()
