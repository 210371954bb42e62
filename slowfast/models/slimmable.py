"""Slimmable networks: one set of weights that runs at many widths (A3D, arXiv 2011.12384).

`make_slimmable` turns the layers of a model into subclasses that can use only their leading
channels, `width` says how many, `narrow` cuts a network of one width out. A layer's inputs are the
leading channels of each part of the concatenation that it declares (`conv3d((64, 16), ...)`), so a
model has to declare its concatenations, and by FixedWidth what stays whole, and nothing else.
"""

import copy
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from slowfast.models.batch_norm import BatchNorm3d
from slowfast.models.conv import Conv3d
from slowfast.models.heads import Classifier
from slowfast.models.layers import Linear
from slowfast.models.norm import SubBatchNorm3d, SyncBatchNorm3d
from slowfast.models.widths import slim_width


def _leading(weight: Tensor, dims: Sequence[int], width: float) -> Tensor:
    """The leading inputs (dimension 1) of each part of a concatenation of `dims`.

    Not the leading ones of the whole: the narrow layer before each part gives its own leading ones.
    """
    pieces, start = [], 0
    for dim in dims:
        pieces.append(weight.narrow(1, start, slim_width(dim, width)))
        start += dim
    return pieces[0] if len(pieces) == 1 else torch.cat(pieces, 1)


def _narrowed(dims: Sequence[int], width: float) -> tuple[int, ...]:
    return tuple(slim_width(dim, width) for dim in dims)


def _parameter(values: Tensor, old: nn.Parameter) -> nn.Parameter:
    """A parameter with memory of its own in the place of `old`."""
    return nn.Parameter(values.detach().clone(), requires_grad=old.requires_grad)


class SlimLayer:
    """Base of layers that use the leading channels of their weights, all of them at `width` 1."""

    width = 1.0


class SlimConv3d(SlimLayer, Conv3d):
    """A convolution; the groups of a depthwise one follow its channels."""

    def forward(self, x: Tensor) -> Tensor:
        if self.width == 1.0:
            return super().forward(x)
        num_inputs = sum(_narrowed(self.dims_in, self.width))
        assert x.shape[1] == num_inputs, (
            f"{x.shape[1]} input channels instead of {num_inputs} at width {self.width:g}: "
            f"is the input a concatenation other than {self.dims_in}?"
        )
        return self._convolve(x, self.sliced_weight(), self._sliced_bias(), self._sliced_groups())

    def sliced_weight(self) -> Tensor:
        """The weight in use, in the memory order of the whole."""
        weight = self.weight[: slim_width(self.dim_out, self.width)]
        if self.groups == 1:
            weight = _leading(weight, self.dims_in, self.width)
        is_last = self.weight.is_contiguous(memory_format=torch.channels_last_3d)
        order = torch.channels_last_3d if is_last else torch.contiguous_format
        return weight.contiguous(memory_format=order)

    def _sliced_bias(self) -> Tensor | None:
        return None if self.bias is None else self.bias[: slim_width(self.dim_out, self.width)]

    def _sliced_groups(self) -> int:
        """As many groups, of the same size, as the channels in use fill."""
        if self.groups == 1:
            return 1
        num_inputs = sum(_narrowed(self.dims_in, self.width))
        num_outputs = slim_width(self.dim_out, self.width)
        groups, rest = divmod(num_inputs, self.weight.shape[1])
        if rest or num_outputs * self.groups != groups * self.out_channels:
            raise ValueError(
                f"width {self.width:g}: {num_inputs} of {self.in_channels} channels do not fill "
                f"groups of {self.weight.shape[1]} channels"
            )
        return groups

    def become_narrow(self) -> None:
        """Keep only what is in use."""
        self.groups, bias = self._sliced_groups(), self._sliced_bias()
        self.weight = _parameter(self.sliced_weight(), self.weight)
        if bias is not None:
            self.bias = _parameter(bias, self.bias)
        self.dims_in = _narrowed(self.dims_in, self.width)
        self.dim_out = slim_width(self.dim_out, self.width)
        self.in_channels, self.out_channels = sum(self.dims_in), int(self.dim_out)


class SlimLinear(SlimLayer, Linear):
    """A linear layer: only its inputs become fewer."""

    def forward(self, x: Tensor) -> Tensor:
        if self.width == 1.0:
            return super().forward(x)
        return F.linear(x, self.sliced_weight(), self.bias)

    def sliced_weight(self) -> Tensor:
        """The weight in use."""
        return _leading(self.weight, self.dims_in, self.width)

    def become_narrow(self) -> None:
        """Keep only what is in use."""
        self.weight = _parameter(self.sliced_weight().contiguous(), self.weight)
        self.dims_in = _narrowed(self.dims_in, self.width)
        self.in_features = sum(self.dims_in)


class SlimClassifier(Classifier, SlimLinear):
    """The classifier of a head."""


class SlimNorm(SlimLayer):
    """A batch norm whose weight and bias all widths share, but only width 1 moves its statistics.

    Training uses the statistics of the batch. Evaluation uses `statistics` (mean and variance of
    the channels in use), if any, else the leading running ones. `moves_statistics` False keeps
    width 1 from moving them, too.
    """

    statistics: tuple[Tensor, Tensor] | None = None
    moves_statistics = True
    # Of the batch norm that a subclass also is.
    training: bool
    eps: float
    num_features: Any
    weight: Any
    bias: Any
    running_mean: Any
    running_var: Any
    normalise_by_batch: Any

    def forward(self, x: Tensor) -> Tensor:
        # Other widths see other values: their statistics would spoil the running ones, so that they
        # are measured for each operating point instead (adaptive.calibrate).
        is_own = self.moves_statistics if self.training else self.statistics is None
        if self.width == 1.0 and is_own:
            return super().forward(x)
        num = slim_width(self.num_features, self.width)
        if self.training:
            return self.normalise_by_batch(x, self.weight[:num], self.bias[:num])
        mean, var = self.statistics_in_use()
        return F.batch_norm(x, mean, var, self.weight[:num], self.bias[:num], eps=self.eps)

    def statistics_in_use(self) -> tuple[Tensor, Tensor]:
        """Mean and variance in evaluation."""
        if self.statistics is not None:
            return self.statistics
        num = slim_width(self.num_features, self.width)
        return self.running_mean[:num], self.running_var[:num]

    def become_narrow(self) -> None:
        """Keep only what is in use."""
        full, num = self.num_features, slim_width(self.num_features, self.width)
        mean, var = (values.clone() for values in self.statistics_in_use())
        self.running_mean, self.running_var = mean, var
        self.weight = _parameter(self.weight[:num], self.weight)
        self.bias = _parameter(self.bias[:num], self.bias)
        self.num_features, self.statistics = num, None
        if isinstance(self, SubBatchNorm3d):
            for name in ("split_running_mean", "split_running_var"):
                parts = getattr(self, name).unflatten(0, (self.num_splits, full))
                setattr(self, name, parts[:, :num].flatten())


class SlimBatchNorm3d(SlimNorm, BatchNorm3d):
    """BatchNorm3d at several widths."""


class SlimSubBatchNorm3d(SlimNorm, SubBatchNorm3d):
    """SubBatchNorm3d at several widths."""


class SlimSyncBatchNorm3d(SlimNorm, SyncBatchNorm3d):
    """SyncBatchNorm3d at several widths."""


# Exact types: a subclass may compute something else, and is refused.
_SLIM: dict[type[nn.Module], type[nn.Module]] = {
    Conv3d: SlimConv3d,
    Linear: SlimLinear,
    Classifier: SlimClassifier,
    BatchNorm3d: SlimBatchNorm3d,
    SubBatchNorm3d: SlimSubBatchNorm3d,
    SyncBatchNorm3d: SlimSyncBatchNorm3d,
}
_PLAIN = {slim: plain for plain, slim in _SLIM.items()}


def make_slimmable(model: nn.Module) -> nn.Module:
    """Turn the layers of `model` into their slimmable kinds, in place; gives `model` back.

    Nothing but their class changes: parameters, buffers and hooks stay the same objects under the
    same names, and width 1 computes what it did. Once slimmable, nothing happens. After
    `norm.replace_norms` it has to be called again.
    """
    for name, module in model.named_modules():
        if type(module) in _SLIM:
            # Not a new module: optimizer, moving average, DistributedDataParallel and hooks hold on
            # to this one and to its parameters.
            module.__class__ = _SLIM[type(module)]
        elif type(module) not in _PLAIN and list(module.parameters(recurse=False)):
            raise ValueError(f"{name}: a {type(module).__name__} has no slimmable kind")
    return model


@contextmanager
def width(model: nn.Module, share: float, *, moves_statistics: bool = True) -> Iterator[None]:
    """Inside the `with`, the slimmable `model` runs at this share of its full width.

    It starts there with the statistics that belong to the weights; those of
    `load_norm_statistics` last until the end of the block. Blocks may be nested. In training only
    width 1 moves running statistics, and not even that with `moves_statistics` False.
    """
    if not 0.0 < share <= 1.0:
        raise ValueError(f"width {share}: must be above 0 and at most 1")
    layers = [module for module in model.modules() if isinstance(module, SlimLayer)]
    assert layers, "make_slimmable(model) comes first"
    norms = [layer for layer in layers if isinstance(layer, SlimNorm)]
    widths = [layer.width for layer in layers]
    kept = [(norm.statistics, norm.moves_statistics) for norm in norms]
    try:
        for layer in layers:
            layer.width = share
        for norm in norms:
            norm.statistics, norm.moves_statistics = None, moves_statistics
        yield
    finally:
        for layer, value in zip(layers, widths, strict=True):
            layer.width = value
        for norm, values in zip(norms, kept, strict=True):
            norm.statistics, norm.moves_statistics = values


def _named_norms(model: nn.Module) -> Iterator[tuple[str, SlimNorm]]:
    for name, module in model.named_modules():
        if isinstance(module, SlimNorm):
            yield name, module


def norm_statistics(model: nn.Module) -> dict[str, Tensor]:
    """A copy of the statistics that evaluation uses at the present width.

    Names are those of the state of `model`, e.g. s1.pathway0_stem.bn.running_mean.
    """
    state = {}
    for name, norm in _named_norms(model):
        mean, var = norm.statistics_in_use()
        state[f"{name}.running_mean"], state[f"{name}.running_var"] = mean.clone(), var.clone()
    return state


def load_norm_statistics(model: nn.Module, statistics: Mapping[str, Tensor]) -> None:
    """Evaluate the present width with these statistics, named like those of `norm_statistics`.

    ValueError unless they are those of all batch norms at this width. The model's own, and what is
    saved of it, stay as they are.
    """
    found = [
        (norm, _found_statistics(norm, name, statistics)) for name, norm in _named_norms(model)
    ]
    if len(statistics) != 2 * len(found):
        raise ValueError(
            f"{len(statistics)} tensors in the statistics, {2 * len(found)} of the model's"
        )
    for norm, pair in found:  # nothing changes before all are found
        norm.statistics = pair


def _found_statistics(
    norm: SlimNorm, name: str, statistics: Mapping[str, Tensor]
) -> tuple[Tensor, Tensor]:
    """Copies of the mean and the variance of the batch norm called `name`, checked."""
    num, pair = slim_width(norm.num_features, norm.width), []
    for kind in ("running_mean", "running_var"):
        values = statistics.get(f"{name}.{kind}")
        if values is None or values.shape != (num,):
            have = "no values" if values is None else f"shape {tuple(values.shape)}"
            raise ValueError(
                f"{name}.{kind}: {have} in the statistics, {num} channels at width {norm.width:g}"
            )
        pair.append(values.detach().to(norm.running_mean, copy=True))
    return tuple(pair)


def narrow(
    model: nn.Module, share: float, statistics: Mapping[str, Tensor] | None = None
) -> nn.Module:
    """The network that `model` (slimmable or not) is at this share of its width, on its own.

    A plain model with its own memory. `statistics`: those of its batch norms, as
    `norm_statistics` gives them; else the leading running ones.
    """
    cut = make_slimmable(copy.deepcopy(model))
    with width(cut, share):
        if statistics is not None:
            load_norm_statistics(cut, statistics)
        layers = [module for module in cut.modules() if isinstance(module, SlimLayer)]
        for layer in layers:
            layer.become_narrow()
    for layer in layers:
        for name in ("width", "statistics", "moves_statistics"):  # a plain layer has none of these
            vars(layer).pop(name, None)
        layer.__class__ = _PLAIN[type(layer)]
    return cut
