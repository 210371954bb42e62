"""Batch-norm statistics measured with fixed weights.

Wu and Johnson, "Rethinking Batch in BatchNorm", section 3. fvcore's `update_bn_stats` reads every
layer's running statistics after each batch; but with SubBatchNorm3d those mix several batches,
and processes would end with different numbers. So this one looks at the layers' inputs.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from slowfast.utils.distributed import all_reduce_sum

# Of each layer, by name: number, sum and sum of squares of all values that it received, a row each,
# with a column per channel.
Moments = dict[str, torch.Tensor]


def _moments_of(values: torch.Tensor) -> torch.Tensor:
    values = values.detach().float()  # N,C,...
    dims = [dim for dim in range(values.ndim) if dim != 1]
    # By way of the variance: a sum of squares in float32 would lose it beside a large mean.
    var, mean = torch.var_mean(values, dims, correction=0)
    var, mean = var.double(), mean.double()
    number = values.numel() // values.shape[1]
    return number * torch.stack([torch.ones_like(mean), mean, var + mean.square()])


def add_moments(totals: Moments, moments: Moments) -> None:
    """Add the moments of further values, also of layers that are new, to `totals`."""
    for name, values in moments.items():
        totals[name] = totals[name] + values if name in totals else values


def mean_and_variance(moments: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and biased variance of a layer's values, in float64."""
    number, total, squares = moments
    mean = total / number
    return mean, (squares / number - mean.square()).clamp_min(0)


def _training_layers(model: nn.Module) -> dict[str, _BatchNorm]:
    return {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, _BatchNorm) and module.training
    }


@contextmanager
def measured_inputs(model: nn.Module) -> Iterator[Moments]:
    """Inside the `with`, adds up what the batch-norm layers in training mode receive.

    Their running statistics stay as they are, and so do momentum and count of batches. The network
    may run narrow (models.slimmable): then there are fewer channels.
    """
    moments: Moments = {}

    def watch(name: str) -> Callable:
        def hook(_layer: nn.Module, inputs: tuple[torch.Tensor]) -> None:
            add_moments(moments, {name: _moments_of(inputs[0])})

        return hook

    layers = _training_layers(model)
    hooks = [layer.register_forward_pre_hook(watch(name)) for name, layer in layers.items()]
    kept = [(layer, layer.momentum, layer.num_batches_tracked.clone()) for layer in layers.values()]
    try:
        for layer in layers.values():
            layer.momentum = 0.0  # training mode moves running statistics: by nothing
        yield moments
    finally:
        for hook in hooks:
            hook.remove()
        for layer, momentum, num_batches in kept:
            layer.momentum = momentum
            layer.num_batches_tracked.copy_(num_batches)


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
    layers = _training_layers(model)
    with measured_inputs(model) as moments:
        for batch in batches:
            forward(batch)
    if not layers:
        return
    own = [
        moments.get(name, torch.zeros_like(layer.running_mean, dtype=torch.float64).expand(3, -1))
        for name, layer in layers.items()
    ]
    totals = all_reduce_sum(torch.cat(own, dim=1))
    assert totals[0].any(), "no batch reached a batch-norm layer of this model: wrong `forward`?"
    sizes = [layer.num_features for layer in layers.values()]
    for layer, values in zip(layers.values(), totals.split(sizes, dim=1), strict=True):
        if values[0, 0] > 0:
            mean, var = mean_and_variance(values)
            # Through this, SubBatchNorm3d also fills the statistics of its parts.
            layer.load_state_dict({"running_mean": mean, "running_var": var}, strict=False)
