"""Batch-norm statistics measured with fixed weights.

Wu and Johnson, "Rethinking Batch in BatchNorm", section 3. fvcore's `update_bn_stats` reads every
layer's running statistics after each batch; but with SubBatchNorm3d those mix several batches,
and processes would end with different numbers. So this one looks at the layers' inputs.
"""

from collections.abc import Callable, Iterable

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from slowfast.utils.distributed import all_reduce_sum


class _InputMoments:
    """Number, sum and sum of squares, per channel, of all values that a layer has received."""

    def __init__(self, layer: _BatchNorm):
        zeros = torch.zeros_like(layer.running_mean, dtype=torch.float64)
        self.totals = torch.stack([zeros] * 3)  # number, sum, sum of squares

    def __call__(self, layer: nn.Module, inputs: tuple[torch.Tensor]) -> None:
        values = inputs[0].detach().float()  # N,C,...
        dims = [dim for dim in range(values.ndim) if dim != 1]
        var, mean = torch.var_mean(values, dims, correction=0)
        var, mean = var.double(), mean.double()
        number = values.numel() // values.shape[1]
        moments = torch.stack([torch.ones_like(mean), mean, var + mean.square()])
        self.totals += number * moments


@torch.no_grad()
def update_bn_stats(
    model: nn.Module, batches: Iterable[list[torch.Tensor]], forward: Callable
) -> None:
    """Set the running statistics of all batch-norm layers that are in training mode.

    They become mean and variance of the layers' inputs over all batches of all processes, each of
    which must call this. `forward(batch)` runs the network on the layers of `model`, not compiled.
    A layer that no batch reaches keeps its statistics, as do all when `batches` raises. Modules
    keep their mode, momentum and count of batches.
    """
    layers = [m for m in model.modules() if isinstance(m, _BatchNorm) and m.training]
    moments = [_InputMoments(layer) for layer in layers]
    hooks = [
        layer.register_forward_pre_hook(moment)
        for layer, moment in zip(layers, moments, strict=True)
    ]
    counters = [(layer.momentum, layer.num_batches_tracked.clone()) for layer in layers]
    try:
        for layer in layers:
            layer.momentum = 0.0  # the running statistics wait for the result
        for batch in batches:
            forward(batch)
    finally:
        for hook in hooks:
            hook.remove()
        for layer, (momentum, num_batches) in zip(layers, counters, strict=True):
            layer.momentum = momentum
            layer.num_batches_tracked.copy_(num_batches)
    if not layers:
        return
    totals = all_reduce_sum(torch.cat([moment.totals for moment in moments], dim=1))
    assert totals[0].any(), "no batch reached a batch-norm layer of this model: wrong `forward`?"
    sizes = [layer.num_features for layer in layers]
    for layer, (number, total, squares) in zip(layers, totals.split(sizes, dim=1), strict=True):
        if number[0] > 0:
            mean = total / number
            _set_statistics(layer, mean, squares / number - mean.square())


def _set_statistics(layer: _BatchNorm, mean: torch.Tensor, var: torch.Tensor) -> None:
    """Through `load_state_dict`, by which SubBatchNorm3d also fills the statistics of its parts."""
    layer.load_state_dict({"running_mean": mean, "running_var": var.clamp_min(0)}, strict=False)
