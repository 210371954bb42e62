"""Depthwise convolution by Triton kernels, for autograd, autocast and torch.compile.

In N,T,H,W,C memory (channels_last_3d). float32, bfloat16 and float16, sums always in float32.
"""

import importlib.util
import math
import os
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

Triple = tuple[int, ...]  # of time, height and width

_HAS_TRITON = importlib.util.find_spec("triton") is not None
_IS_INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
_DTYPES = (torch.float32, torch.bfloat16, torch.float16)
_MOST_IN_WINDOW = 5  # taps in time
_POSITIONS = 32  # of a program
_PER_THREAD = 8  # sums: with more of them registers spill
_TAPS_PER_PROGRAM = 32  # of a weight's gradient
_GRADIENT_ELEMENTS = 4096  # taps x positions x channels of a program
_GRADIENT_PROGRAMS = 1024  # and so partial sums

# (rows, columns, channels, all channels) of a program; (taps, positions, ...) of a gradient.
Tile = tuple[int, int, int, int]


def missing(device: str) -> str:
    """Reason why Triton kernels do not run on a kind of device ("cuda", "cpu"), or ""."""
    if not _HAS_TRITON:
        return "the package triton is not installed (it comes with torch for CUDA on Linux)"
    if device == "cpu" and not _IS_INTERPRETED:
        return "it needs a GPU (a CPU has Triton's interpreter alone, with TRITON_INTERPRET=1)"
    return ""


def can_convolve(x: Tensor) -> bool:
    """Tensors that the kernels take."""
    return x.dtype in _DTYPES and x.device.type in ("cuda", "cpu") and not missing(x.device.type)


def _power_of_2(number: int) -> int:
    return 1 << (number - 1).bit_length()


def _num_blocks(number: int, block: int) -> int:
    return -(-number // block)


def _channel_block(num_channels: int) -> int:
    """Channels of a program: those that leave the fewest idle."""
    sizes = (64, 32) if num_channels > 16 else (16,)
    return min(sizes, key=lambda block: _num_blocks(num_channels, block) * block)


def tile_of(height: int, width: int, num_channels: int) -> Tile:
    """The tile of a program on maps of this size."""
    rows = min(4, _power_of_2(height))
    columns = min(_POSITIONS // rows, _power_of_2(width))
    return rows, columns, _channel_block(num_channels), num_channels


def gradient_tile_of(num_taps: int, num_channels: int) -> Tile:
    """The tile of a program for the gradient of a weight."""
    taps, channels = min(_TAPS_PER_PROGRAM, _power_of_2(num_taps)), _channel_block(num_channels)
    return taps, _GRADIENT_ELEMENTS // (taps * channels), channels, num_channels


def num_warps_of(tile: Tile) -> int:
    """Groups of 32 threads for a tile of a convolution."""
    return min(8, max(1, math.prod(tile[:3]) // (32 * _PER_THREAD)))


def kernel_of(kernel: Sequence[int], stride: Sequence[int]) -> str:
    """Name of the kernel for a convolution or the gradient of its input."""
    is_window = stride[0] == 1 and 1 < kernel[0] <= _MOST_IN_WINDOW
    return "convolve_window" if is_window else "convolve"


def _maps(x: Tensor, geometry: tuple[Triple, Triple, Triple]) -> Triple:
    """T,H,W of clips, where a kernel of time alone sees all positions of a frame as one row."""
    (_, *kernel), (_, *stride), (_, *padding) = geometry
    num_t, height, width = x.shape[2:]
    is_row = kernel == stride == [1, 1] and padding == [0, 0]
    return (num_t, 1, height * width) if is_row else (num_t, height, width)


def _taps_first(weight: Tensor) -> Tensor:
    """C,1,T,H,W -> T*H*W,C in float32."""
    taps = weight.flatten(1).t()
    return torch.empty(taps.shape, dtype=torch.float32, device=weight.device).copy_(taps)


def _channels_last(x: Tensor) -> Tensor:
    return x.contiguous(memory_format=torch.channels_last_3d)


def _new_clips(x: Tensor, size: Sequence[int]) -> Tensor:
    """Memory for clips like `x` of T,H,W = `size`."""
    num_t, height, width = size
    new = x.new_empty(x.shape[0], num_t, height, width, x.shape[1])
    return new.permute(0, 4, 1, 2, 3)  # N,T,H,W,C -> N,C,T,H,W


_CONVOLVE = (
    "(Tensor x, Tensor weight, Tensor? bias, SymInt[] size, SymInt[] stride, SymInt[] padding, "
    "bool is_back) -> Tensor"
)


@torch.library.custom_op("slowfast::depthwise_conv3d", mutates_args=(), schema=_CONVOLVE)
def _convolve(x, weight, bias, size, stride, padding, is_back):
    """Clips of T,H,W = `size`. `is_back`: of gradients `x` of an output those of its input."""
    from slowfast.models.depthwise import kernels

    y, geometry = _new_clips(x, size), (tuple(weight.shape[2:]), tuple(stride), tuple(padding))
    if not x.numel() or not y.numel():
        return y
    out, steps = _maps(y, geometry), geometry[1] if is_back else (1, 1, 1)
    tile = tile_of(_num_blocks(out[1], steps[1]), _num_blocks(out[2], steps[2]), x.shape[1])
    blocks = [_num_blocks(out[a], steps[a] * tile[a - 1]) for a in (1, 2)]
    grid = (math.prod(blocks) * _num_blocks(tile[3], tile[2]), math.prod(steps), len(x))
    getattr(kernels, kernel_of(*geometry[:2]))[grid](
        *(_channels_last(x), _taps_first(weight), bias, y, (_maps(x, geometry), out)),
        *(geometry, is_back, tile),
        num_warps=num_warps_of(tile),
    )
    return y


@_convolve.register_fake
def _fake_clips(x, weight, bias, size, stride, padding, is_back):
    return _new_clips(x, size)


_GRADIENT = "(Tensor x, Tensor grad, SymInt[] kernel, SymInt[] stride, SymInt[] padding) -> Tensor"


@torch.library.custom_op("slowfast::depthwise_conv3d_weight", mutates_args=(), schema=_GRADIENT)
def _weight_gradient(x, grad, kernel, stride, padding):
    """Gradient of the weight in float32, C,1,T,H,W. Partial sums: the same in every run."""
    from slowfast.models.depthwise import kernels

    geometry, num_taps = (tuple(kernel), tuple(stride), tuple(padding)), math.prod(kernel)
    tile = gradient_tile_of(num_taps, x.shape[1])
    size, out = _maps(x, geometry), _maps(grad, geometry)
    num_positions = len(x) * out[1] * out[2]
    groups = (_num_blocks(tile[3], tile[2]), _num_blocks(num_taps, tile[0]))
    most = max(1, _GRADIENT_PROGRAMS // math.prod(groups))
    splits = min(most, _num_blocks(num_positions, tile[1]))
    partial = x.new_empty(splits, num_taps, x.shape[1], dtype=torch.float32)
    if splits:
        kernels.weight_gradient[(*groups, splits)](
            *(_channels_last(x), _channels_last(grad), partial, (size, out), num_positions),
            *(geometry, tile),
        )
    return partial.sum(0).t().reshape(x.shape[1], 1, *kernel)


@_weight_gradient.register_fake
def _fake_weight(x, grad, kernel, stride, padding):
    return x.new_empty(x.shape[1], 1, *kernel, dtype=torch.float32)


class _DepthwiseConv3d(torch.autograd.Function):
    """The convolution, its gradients by the kernels, once differentiable."""

    @staticmethod
    def forward(ctx, x, weight, bias, stride, padding):
        ctx.save_for_backward(x, weight)
        ctx.stride, ctx.padding = stride, padding
        ctx.bias_dtype = None if bias is None else bias.dtype
        size = [
            (s + 2 * p - k) // step + 1
            for s, k, step, p in zip(x.shape[2:], weight.shape[2:], stride, padding, strict=True)
        ]
        return _convolve(x, weight, bias, size, stride, padding, False)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        x, weight = ctx.saved_tensors
        grad_x = grad_weight = grad_bias = None
        steps = ctx.stride, ctx.padding
        if ctx.needs_input_grad[0]:
            grad_x = _convolve(grad, weight, None, x.shape[2:], *steps, True)
        if ctx.needs_input_grad[1]:
            grad_weight = _weight_gradient(x, grad, weight.shape[2:], *steps).to(weight.dtype)
        if ctx.needs_input_grad[2]:
            grad_bias = grad.sum((0, 2, 3, 4), dtype=torch.float32).to(ctx.bias_dtype)
        return grad_x, grad_weight, grad_bias, None, None


def convolve(
    x: Tensor, weight: Tensor, bias: Tensor | None, stride: Triple, padding: Triple
) -> Tensor:
    """Depthwise convolution of clips N,C,T,H,W, without dilation; gives channels_last_3d.

    Under autocast the clips take its type; weights keep theirs, the kernels sum in float32 anyway.
    """
    device = x.device.type
    if torch.is_autocast_enabled(device):
        x = x.to(torch.get_autocast_dtype(device))
    return _DepthwiseConv3d.apply(x, weight, bias, stride, padding)
