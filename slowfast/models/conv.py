"""3D convolutions that pick the fast formulation for where they run.

On the CPU, PyTorch has a fast backward pass for depthwise nn.Conv2d and none for nn.Conv3d. In
channels_last_3d memory (N,T,H,W,C) the same numbers are at once N*T images of H x W and N images of
T x (H*W), so a 1xkxk or kx1x1 kernel is a 2D convolution on a view. Parameters keep their 5-D shape
and their names. On other devices nothing changes: nn.Conv3d computes.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

Triple = tuple[int, int, int]


def _is_channels_last(x: Tensor) -> bool:
    return x.is_contiguous(memory_format=torch.channels_last_3d)


def _frames(x: Tensor) -> Tensor:
    return x.permute(0, 2, 3, 4, 1).flatten(0, 1).permute(0, 3, 1, 2)  # N,C,T,H,W -> N*T,C,H,W


def _spatial_conv(
    x: Tensor, weight: Tensor, bias: Tensor | None, stride: Triple, padding: Triple, groups: int
) -> Tensor:
    """1xkxk: a 2D convolution of all frames."""
    num_clips, _, num_t = x.shape[:3]
    y = F.conv2d(_frames(x), weight.squeeze(2), bias, stride[1:], padding[1:], groups=groups)
    return y.permute(0, 2, 3, 1).unflatten(0, (num_clips, num_t)).permute(0, 4, 1, 2, 3)


def _temporal_conv(
    x: Tensor, weight: Tensor, bias: Tensor | None, stride: Triple, padding: Triple
) -> Tensor:
    """kx1x1 depthwise: a 2D convolution of images T high and H*W wide."""
    channels, size = x.shape[1], x.shape[3:]
    image = x.permute(0, 2, 3, 4, 1).flatten(2, 3).permute(0, 3, 1, 2)  # N,C,T,H*W
    y = F.conv2d(image, weight.squeeze(4), bias, (stride[0], 1), (padding[0], 0), groups=channels)
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
        _, grad_tap, _ = torch.ops.aten.convolution_backward(
            _frames(kept)[before : len(frames) - after],
            frames[after : len(frames) - before],
            weight[:, :, tap],
            None,
            stride[1:],
            padding[1:],
            (1, 1),
            False,
            (0, 0),
            weight.shape[0],
            (False, True, False),
        )
        taps.append(grad_tap)
    return torch.stack(taps, dim=2)


def _depthwise_conv(
    x: Tensor, weight: Tensor, bias: Tensor | None, stride: Triple, padding: Triple
) -> Tensor:
    """Any depthwise kernel."""
    if torch.is_autocast_enabled("cpu"):  # a custom Function has to cast by itself
        dtype = torch.get_autocast_dtype("cpu")
        x, weight = x.to(dtype), weight.to(dtype)
    y = _DepthwiseConv3d.apply(x, weight, stride, padding)
    return y if bias is None else y + bias.to(y.dtype).view(-1, 1, 1, 1)


class Conv3d(nn.Conv3d):
    """nn.Conv3d with faster ways for depthwise kernels, and for 1x1x1 on one thread, on the CPU.

    Where a depthwise kernel has a fast way, its output is channels_last_3d, and only 1xkxk and
    kx1x1 kernels can be differentiated twice.
    """

    def forward(self, x: Tensor) -> Tensor:
        if not self._has_fast_way(x):
            return super().forward(x)
        args = (self.weight, self.bias, self.stride, self.padding)
        if self.groups == self.in_channels == self.out_channels:
            x = x.contiguous(memory_format=torch.channels_last_3d)
            if self.kernel_size[0] == self.stride[0] == 1:
                return _spatial_conv(x, *args, self.groups)
            if self.kernel_size[1:] == self.stride[1:] == (1, 1):
                return _temporal_conv(x, *args)
            return _depthwise_conv(x, *args)
        # PyTorch computes a 1x1x1 nn.Conv3d of few clips on one thread in contiguous memory, which
        # is slow and loses channels_last_3d for all that follows; for nn.Conv2d it does not.
        is_pointwise = self.kernel_size == (1, 1, 1) and self.stride[0] == 1
        if is_pointwise and torch.get_num_threads() == 1 and _is_channels_last(x):
            return _spatial_conv(x, *args, self.groups)
        return super().forward(x)

    def _has_fast_way(self, x: Tensor) -> bool:
        """A batch on the CPU, no dilation, zero padding of less than half the kernel."""
        return (
            x.device.type == "cpu"
            and x.dim() == 5
            and self.padding_mode == "zeros"
            and self.dilation == (1, 1, 1)
            and all(2 * p < k for p, k in zip(self.padding, self.kernel_size, strict=True))
        )


def _triple(value: int | Triple) -> Triple:
    return (value, value, value) if isinstance(value, int) else tuple(value)


def conv3d(
    dim_in: int,
    dim_out: int,
    kernel: int | Triple,
    *,
    stride: int | Triple = 1,
    padding: int | Triple | None = None,
    groups: int = 1,
    bias: bool = False,
) -> nn.Conv3d:
    """An nn.Conv3d; sizes are ints or (T, H, W), and padding None is kernel // 2."""
    kernel = _triple(kernel)
    padding = tuple(k // 2 for k in kernel) if padding is None else _triple(padding)
    return Conv3d(dim_in, dim_out, kernel, _triple(stride), padding, groups=groups, bias=bias)
