"""Shapes of common operators on the meta device, without PyTorch's compiler."""

import math
from collections.abc import Callable, Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode


class QuickShapes(TorchFunctionMode):
    """Gives the outputs of the operators of `table` on the meta device at once.

    PyTorch finds most shapes in Python, and for that imports its compiler and sympy: 3 seconds and
    150 MB of a process that may never compile anything. What is not in the table, or not plain, is
    PyTorch's to do, and so are all messages about shapes that do not fit. Without gradients.
    """

    def __init__(self, table: Mapping[Callable, Callable[..., Tensor | None]]):
        super().__init__()
        self._table = table

    def __torch_function__(self, function: Callable, _types, args=(), kwargs=None):
        kwargs = kwargs or {}
        find = self._table.get(function)
        if find is not None and _are_on_meta(args) and not torch.is_grad_enabled():
            output = find(*args, **kwargs)
            if output is not None:
                return output
        return function(*args, **kwargs)


def _are_on_meta(args: tuple) -> bool:
    first = args[0] if args else None
    tensors = first if isinstance(first, list | tuple) else [first]
    return bool(tensors) and all(isinstance(x, Tensor) and x.is_meta for x in tensors)


def empty(x: Tensor, shape: Sequence[int]) -> Tensor:
    """A contiguous tensor on the meta device, of the dtype of `x`."""
    return torch.empty(tuple(shape), dtype=x.dtype, device="meta")


def _same(x: Tensor, *args, inplace: bool = False, **_kwargs) -> Tensor:
    """In place PyTorch counts one change more, as with any other operator."""
    is_in_place = inplace or (args and args[0] is True)
    return F.relu(x, inplace=True) if is_in_place else empty(x, x.shape)


def _softmax(x: Tensor, _dim: int, *args, **kwargs) -> Tensor | None:
    return None if args or kwargs else empty(x, x.shape)


def _broadcast(x: Tensor, other: Tensor | float, *args, **kwargs) -> Tensor | None:
    """x + y and the like, of one dtype."""
    if args or kwargs or not x.is_floating_point():
        return None
    if not isinstance(other, Tensor):
        return empty(x, x.shape)
    num_axes = max(x.dim(), other.dim())
    sides = ([1] * (num_axes - y.dim()) + list(y.shape) for y in (x, other))
    pairs = list(zip(*sides, strict=True))
    is_plain = other.dtype == x.dtype and all(1 in pair or len(set(pair)) == 1 for pair in pairs)
    return empty(x, [b if a == 1 else a for a, b in pairs]) if is_plain else None


def _mean(x: Tensor, dim: int | Sequence[int] | None = None, keepdim=False, **kwargs):
    if kwargs or dim is None:
        return None
    axes = {axis % x.dim() for axis in ([dim] if isinstance(dim, int) else dim)}
    sizes = [1 if axis in axes else size for axis, size in enumerate(x.shape)]
    return empty(x, [n for axis, n in enumerate(sizes) if keepdim or axis not in axes])


def _cat(tensors: Sequence[Tensor], dim: int = 0) -> Tensor | None:
    first, axis = tensors[0], dim % max(tensors[0].dim(), 1)
    others = {(x.dtype, x.shape[:axis], x.shape[axis + 1 :]) for x in tensors}
    if len(others) > 1:
        return None
    return empty(
        first,
        [*first.shape[:axis], sum(x.shape[axis] for x in tensors)] + [*first.shape[axis + 1 :]],
    )


def _convolved(
    x: Tensor, weight: Tensor, bias=None, stride=1, padding=0, dilation=1, groups=1
) -> Tensor | None:
    if x.dim() != weight.dim() or x.shape[1] != weight.shape[1] * groups:
        return None
    if isinstance(padding, str):
        return None
    window = weight.shape[2:], stride, padding, dilation
    return _slid(x, *window, num_channels=len(weight))


def _max_pooled(
    x: Tensor, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, *_args, **kwargs
) -> Tensor | None:
    if kwargs.get("return_indices") or _args:
        return None
    return _slid(x, kernel_size, stride or kernel_size, padding, dilation, is_ceiled=ceil_mode)


def _mean_pooled(
    x: Tensor, kernel_size, stride=None, padding=0, ceil_mode=False, *_args, **_kwargs
) -> Tensor | None:
    return _slid(x, kernel_size, stride or kernel_size, padding, 1, is_ceiled=ceil_mode)


def _slid(
    x: Tensor, kernel, stride, padding, dilation, *, num_channels: int = 0, is_ceiled: bool = False
) -> Tensor | None:
    """Output of a window that slides over N,C,...; None where it has no place."""
    num_axes = x.dim() - 2
    sizes = (_per_axis(value, num_axes) for value in (kernel, stride, padding, dilation))
    lengths = []
    for n, k, s, p, d in zip(x.shape[2:], *sizes, strict=True):
        room = n + 2 * p - d * (k - 1) - 1
        steps = math.ceil(room / s) if is_ceiled else room // s
        lengths.append(steps + 1 - (is_ceiled and steps * s >= n + p))  # none begins in the padding
    return empty(x, [len(x), num_channels or x.shape[1], *lengths]) if min(lengths) > 0 else None


def _per_axis(value: int | Sequence[int], num_axes: int) -> tuple[int, ...]:
    if isinstance(value, int) or len(value) == 1:
        return (value if isinstance(value, int) else value[0],) * num_axes
    return tuple(value)


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor | None:
    return empty(x, [*x.shape[:-1], len(weight)]) if x.shape[-1] == weight.shape[-1] else None


def batched_product(x: Tensor, other: Tensor) -> Tensor | None:
    if not x.dim() == other.dim() == 3 or len(x) != len(other) or x.shape[2] != other.shape[1]:
        return None
    return empty(x, [*x.shape[:2], other.shape[2]])


def attention(query: Tensor, key: Tensor, value: Tensor, *_args, **kwargs) -> Tensor | None:
    return None if kwargs.get("enable_gqa") else empty(query, [*query.shape[:-1], value.shape[-1]])


# Operators that multiply no matrices, but for convolutions.
OPERATORS: dict[Callable, Callable[..., Tensor | None]] = {
    **dict.fromkeys((F.conv1d, F.conv2d, F.conv3d), _convolved),
    **dict.fromkeys((F.batch_norm, F.layer_norm, F.gelu, F.silu, torch.sigmoid), _same),
    **dict.fromkeys((Tensor.softmax, torch.softmax), _softmax),
    **dict.fromkeys((Tensor.add, Tensor.sub, Tensor.mul, Tensor.div), _broadcast),
    **dict.fromkeys((F.max_pool2d, F.max_pool3d), _max_pooled),
    **dict.fromkeys((F.avg_pool2d, F.avg_pool3d), _mean_pooled),
    Tensor.mean: _mean,
    torch.cat: _cat,
}
PRODUCTS: dict[Callable, Callable[..., Tensor | None]] = {
    F.linear: linear,
    torch.bmm: batched_product,
    F.scaled_dot_product_attention: attention,
}
