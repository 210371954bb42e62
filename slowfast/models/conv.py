"""3D convolutions and max-pools that pick the fast formulation for where they run.

On the CPU, PyTorch has a fast backward pass for depthwise nn.Conv2d and none for nn.Conv3d, and
dense kx1x1 kernels are slow. In channels_last_3d memory (N,T,H,W,C) the same numbers are at once
N*T images of H x W and N images of T x (H*W), so a 1xkxk or kx1x1 kernel is a 2D operation on a
view. Parameters keep their 5-D shape and their names. On other devices nothing changes: nn.Conv3d
computes. Dense kernels over space and time at once gain nothing from folding and stay nn.Conv3d.
Depthwise ones can be told how they are computed (`set_depthwise`), anywhere.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from slowfast.models.depthwise import launch
from slowfast.models.widths import Dims, parts_of
from slowfast.utils.clip_shapes import evenly_spaced

Triple = tuple[int, ...]  # of time, height and width


def _frames(x: Tensor) -> Tensor:
    return x.permute(0, 2, 3, 4, 1).flatten(0, 1).permute(0, 3, 1, 2)  # N,C,T,H,W -> N*T,C,H,W


def _on_frames(x: Tensor, operation: Callable[[Tensor], Tensor]) -> Tensor:
    """Applies a 2D operation to every frame."""
    num_clips, _, num_t = x.shape[:3]
    y = operation(_frames(x))
    return y.permute(0, 2, 3, 1).unflatten(0, (num_clips, num_t)).permute(0, 4, 1, 2, 3)


def _over_time(x: Tensor, operation: Callable[[Tensor], Tensor]) -> Tensor:
    """Applies a 2D operation, kx1, to images T high and H*W wide."""
    size = x.shape[3:]
    y = operation(x.permute(0, 2, 3, 4, 1).flatten(2, 3).permute(0, 3, 1, 2))  # N,C,T,H*W
    return y.permute(0, 2, 3, 1).unflatten(2, size).permute(0, 4, 1, 2, 3)


def _spread(grad: Tensor, length: Triple, stride: Triple) -> Tensor:
    """`grad` with `stride` - 1 zeros between elements, and zeros behind up to T,H,W = `length`."""
    num_clips, channels = grad.shape[:2]
    spread = grad.new_zeros(num_clips, *length, channels).permute(0, 4, 1, 2, 3)
    t, h, w = stride
    num_t, num_h, num_w = grad.shape[2:]
    spread[:, :, : num_t * t : t, : num_h * h : h, : num_w * w : w] = grad
    return spread


class _DepthwiseConv3d(torch.autograd.Function):
    """Depthwise convolution of any kernel, with a backward pass made of fast convolutions."""

    @staticmethod
    def forward(ctx, x, weight, stride, padding):
        ctx.save_for_backward(x, weight)
        ctx.stride, ctx.padding = stride, padding
        y = F.conv3d(x, weight, None, stride, padding, groups=x.shape[1])
        return y.contiguous(memory_format=torch.channels_last_3d)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        x, weight = ctx.saved_tensors
        grad = grad.contiguous(memory_format=torch.channels_last_3d)
        grad_x = grad_weight = None
        if ctx.needs_input_grad[0]:
            grad_x = _input_gradient(grad, x.shape[2:], weight, ctx.stride, ctx.padding)
        if ctx.needs_input_grad[1]:
            grad_weight = _weight_gradient(grad, x, weight, ctx.stride, ctx.padding)
        return grad_x, grad_weight, None, None


def _input_gradient(
    grad: Tensor, size: Triple, weight: Tensor, stride: Triple, padding: Triple
) -> Tensor:
    """The gradient, zeros put between its strides, convolved with the flipped kernel."""
    kernel = weight.shape[2:]
    length = tuple(s + 2 * p - k + 1 for s, k, p in zip(size, kernel, padding, strict=True))
    if length != grad.shape[2:]:
        grad = _spread(grad, length, stride)
    # Not convolution_backward: for a depthwise 3D kernel that is the slow pass that this replaces.
    flipped = weight.flip(2, 3, 4)
    padding = tuple(k - 1 - p for k, p in zip(kernel, padding, strict=True))
    return F.conv3d(grad, flipped, None, 1, padding, groups=weight.shape[0])


def _weight_gradient(
    grad: Tensor, x: Tensor, weight: Tensor, stride: Triple, padding: Triple
) -> Tensor:
    """Tap by tap over time, each tap the weight gradient of a 2D convolution of all frames.

    A tap pairs frame t of the gradient with frame t + shift of the input. Shifting the flattened
    N*T does that without copying the input; frames whose partner is outside the clip are zeroed.
    """
    num_t = x.shape[2]
    if grad.shape[2] != num_t:
        grad = _spread(grad, (num_t, *grad.shape[3:]), (stride[0], 1, 1))
    frames = _frames(x)
    taps = []
    for tap in range(weight.shape[2]):
        shift = tap - padding[0]
        if abs(shift) >= num_t:
            taps.append(torch.zeros_like(weight[:, :, tap]))
            continue
        before, after = max(-shift, 0), max(shift, 0)
        kept = grad
        if shift:
            kept = grad.clone()
            kept[:, :, :before] = 0
            kept[:, :, num_t - after :] = 0
        grad_2d = _frames(kept)[before : len(frames) - after]
        x_2d, weight_2d = frames[after : len(frames) - before], weight[:, :, tap]
        taps.append(_weight_gradient_2d(grad_2d, x_2d, weight_2d, stride[1:], padding[1:]))
    return torch.stack(taps, dim=2)


def _weight_gradient_2d(
    grad: Tensor, x: Tensor, weight: Tensor, stride: tuple[int, int], padding: tuple[int, int]
) -> Tensor:
    dilation, output_padding, groups = (1, 1), (0, 0), weight.shape[0]
    sizes = (stride, padding, dilation, False, output_padding, groups)
    needs = (False, True, False)  # of x, weight, bias
    return torch.ops.aten.convolution_backward(grad, x, weight, None, *sizes, needs)[1]


def _compute_dtype(x: Tensor) -> torch.dtype:
    """Type in which a convolution of `x` computes."""
    return torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else x.dtype


def _depthwise_conv(
    x: Tensor, weight: Tensor, bias: Tensor | None, stride: Triple, padding: Triple
) -> Tensor:
    """Any depthwise kernel."""
    if not torch.is_grad_enabled():  # the bias in the same pass
        y = F.conv3d(x, weight, bias, stride, padding, groups=x.shape[1])
        return y.contiguous(memory_format=torch.channels_last_3d)
    # A custom Function has to cast by itself.
    x, weight = x.to(_compute_dtype(x)), weight.to(_compute_dtype(x))
    y = _DepthwiseConv3d.apply(x, weight, stride, padding)
    return y if bias is None else y + bias.to(y.dtype).view(-1, 1, 1, 1)


class Conv3d(nn.Conv3d):
    """nn.Conv3d that takes a faster way for 1xkxk, kx1x1 and depthwise kernels on the CPU.

    Where it does, the output is channels_last_3d, and only 1xkxk and kx1x1 kernels can be
    differentiated twice, depthwise ones in bfloat16 only without a stride. `dims_in` are the parts
    of the concatenation that it takes; they and `dim_out` say how a narrow network slices it
    (`slimmable`).
    """

    depthwise = "auto"  # MODEL.DEPTHWISE
    padding: tuple[int, ...]

    def __init__(self, dim_in: Dims, dim_out: int, *args, **kwargs):
        super().__init__(sum(parts_of(dim_in)), int(dim_out), *args, **kwargs)
        self.dims_in, self.dim_out = parts_of(dim_in), dim_out

    def forward(self, x: Tensor) -> Tensor:
        if self.padding_mode != "zeros":
            return super().forward(x)
        return self._convolve(x, self.weight, self.bias, self.groups)

    def _convolve(self, x: Tensor, weight: Tensor, bias: Tensor | None, groups: int) -> Tensor:
        """The convolution with these weights, which may be fewer than its own."""

        def plain() -> Tensor:
            return F.conv3d(x, weight, bias, self.stride, self.padding, self.dilation, groups)

        # Most formulations are a fold, a 2D operation on a view: for that x must lie in memory as
        # N,T,H,W,C. Only depthwise kernels gain so much that a copy into this order pays. There are
        # no such orders in ONNX, which traces.
        if x.dim() != 5 or torch.jit.is_tracing():
            return plain()
        is_depthwise = groups == x.shape[1] == weight.shape[0] and self._is_centred()
        way = self._way(x, is_depthwise)
        if way == "torch":
            return plain()
        if is_depthwise:
            x = x.contiguous(memory_format=torch.channels_last_3d)
        elif not x.is_contiguous(memory_format=torch.channels_last_3d):
            return plain()
        if way == "triton":
            return launch.convolve(x, weight, bias, self.stride, self.padding)
        if self.kernel_size == (1, 1, 1) and groups == 1 and not _is_single_threaded():
            return plain()
        if is_depthwise and self.stride[1:] != (1, 1) and _compute_dtype(x) == torch.bfloat16:
            # In bfloat16 the input gradient of a strided depthwise nn.Conv2d is 30 times slower.
            return _depthwise_conv(x, weight, bias, self.stride, self.padding)
        if _is_spatial(self.kernel_size, self.padding):  # strided time skips whole frames
            frames = x[:, :, :: self.stride[0]]
            return _on_frames(frames, lambda y: self._spatial(y, weight, bias, groups))
        if _is_temporal(self.kernel_size, self.stride, self.padding):
            return _over_time(x, lambda image: self._temporal(image, weight, bias, groups))
        if is_depthwise:
            return _depthwise_conv(x, weight, bias, self.stride, self.padding)
        # The kernel keeps the order of x; torch.export believes that it does not, and would record
        # nothing but slow convolutions from here on.
        y = plain()
        return y.contiguous(memory_format=torch.channels_last_3d) if _is_exporting() else y

    def _way(self, x: Tensor, is_depthwise: bool) -> str:
        """Its formulation on this device: torch (nn.Conv3d), fold or triton."""
        way = self.depthwise if is_depthwise else "auto"
        if way == "triton" and launch.can_convolve(x):
            return way
        if x.device.type == "cpu":
            return "torch" if way == "torch" else "fold"
        # Elsewhere a depthwise kernel over space and time has no fold.
        is_flat = _is_spatial(self.kernel_size, self.padding) or _is_temporal(
            self.kernel_size, self.stride, self.padding
        )
        return "fold" if way == "fold" and is_flat else "torch"

    @property
    def is_depthwise(self) -> bool:
        """A kernel for each channel, without dilation: one that `depthwise` is for."""
        return self.groups == self.in_channels == self.out_channels and self._is_centred()

    def _spatial(self, frames: Tensor, weight: Tensor, bias: Tensor | None, groups: int) -> Tensor:
        stride, padding, dilation = self.stride[1:], self.padding[1:], self.dilation[1:]
        if self.kernel_size == (1, 1, 1) and padding == (0, 0) and frames.shape[1] < 16:
            # PyTorch's weight gradient writes beyond its memory with a stride and so few channels:
            # take every stride-th pixel first, which is the same.
            frames, stride = frames[:, :, :: stride[0], :: stride[1]], (1, 1)
        return F.conv2d(frames, weight.squeeze(2), bias, stride, padding, dilation, groups)

    def _temporal(self, image: Tensor, weight: Tensor, bias: Tensor | None, groups: int) -> Tensor:
        stride, padding = (self.stride[0], 1), (self.padding[0], 0)
        return F.conv2d(
            image, weight.squeeze(4), bias, stride, padding, (self.dilation[0], 1), groups
        )

    def _is_centred(self) -> bool:
        """No dilation, padding of less than half the kernel."""
        return self.dilation == (1, 1, 1) and all(
            2 * p < k for p, k in zip(self.padding, self.kernel_size, strict=True)
        )


def _is_single_threaded() -> bool:
    """On one thread PyTorch computes a 1x1x1 nn.Conv3d of few clips in contiguous memory.

    That is slow and loses channels_last_3d for all that follows; nn.Conv2d has neither flaw. An
    exported network may be run so.
    """
    if torch.compiler.is_compiling():
        return _is_exporting()
    return torch.get_num_threads() == 1


def _is_exporting() -> bool:
    return getattr(torch.compiler, "is_exporting", bool)()  # not in torch 2.6


def _is_spatial(kernel: Triple, padding: Triple) -> bool:
    return kernel[0] == 1 and padding[0] == 0


def _is_temporal(kernel: Triple, stride: Triple, padding: Triple) -> bool:
    return kernel[1:] == stride[1:] == (1, 1) and padding[1:] == (0, 0)


def set_depthwise(model: nn.Module, way: str) -> int:
    """Compute the depthwise convolutions of `model` in a way of MODEL.DEPTHWISE; their number."""
    layers = [m for m in model.modules() if isinstance(m, Conv3d) and m.is_depthwise]
    for layer in layers:
        layer.depthwise = way
    return len(layers)


def max_pool3d(
    x: Tensor, kernel: Triple, *, stride: Triple, padding: Triple, ceil_mode: bool = False
) -> Tensor:
    """F.max_pool3d, folded like the convolutions.

    `ceil_mode`: windows that begin in the map but end beyond it count, too.
    """
    is_cpu = x.device.type == "cpu" and x.is_contiguous(memory_format=torch.channels_last_3d)
    if is_cpu and _is_spatial(kernel, padding):
        size = kernel[1:], stride[1:], padding[1:], 1, ceil_mode
        return _on_frames(x[:, :, :: stride[0]], lambda y: F.max_pool2d(y, *size))
    if is_cpu and _is_temporal(kernel, stride, padding):
        size = (kernel[0], 1), (stride[0], 1), (padding[0], 0), 1, ceil_mode
        return _over_time(x, lambda y: F.max_pool2d(y, *size))
    return F.max_pool3d(x, kernel, stride, padding, 1, ceil_mode)


def avg_pool2d(x: Tensor, size: int, *, stride: int) -> Tensor:
    """Mean of `size` x `size` pixels of each frame of N,C,T,H,W, half of them before the map.

    Pixels beyond the border are zeros and count.
    """
    return _on_frames(x, lambda frames: F.avg_pool2d(frames, size, stride, size // 2))


def resample(x: Tensor, size: Triple) -> Tensor:
    """Evenly spread frames of `x`, each resized to the mean values of areas: T,H,W = `size`."""
    num_t, *extent = size
    if x.shape[2] != num_t:
        index = torch.tensor(evenly_spaced(x.shape[2], num_t), device=x.device)
        x = x.permute(0, 2, 3, 4, 1).index_select(1, index).permute(0, 4, 1, 2, 3)
    if x.shape[3:] == tuple(extent):
        return x
    return _on_frames(x, lambda frames: F.adaptive_avg_pool2d(frames, extent))


def _triple(value: int | Triple) -> Triple:
    return (value, value, value) if isinstance(value, int) else tuple(value)


def conv3d(
    dim_in: Dims,
    dim_out: int,
    kernel: int | Triple,
    *,
    stride: int | Triple = 1,
    padding: int | Triple | None = None,
    dilation: int | Triple = 1,
    groups: int = 1,
    bias: bool = False,
) -> nn.Conv3d:
    """An nn.Conv3d; sizes are ints or (T, H, W), and padding None is kernel // 2 * dilation.

    `dim_in` (64, 16) means that the input is a concatenation of 64 and 16 channels.
    """
    kernel, dilation = _triple(kernel), _triple(dilation)
    if padding is None:
        padding = tuple(k // 2 * d for k, d in zip(kernel, dilation, strict=True))
    return Conv3d(
        dim_in,
        dim_out,
        kernel,
        _triple(stride),
        _triple(padding),
        dilation=dilation,
        groups=groups,
        bias=bias,
    )
