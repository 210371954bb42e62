"""Batch norm with statistics of the batch, made fast for channels_last_3d memory on the CPU.

In memory N,T,H,W,C PyTorch's kernels work along C, 16 floats or 32 bfloat16 at a time, and are
several times slower on the remainder, which is most of the work where C is 20, 40 or 54. But k
neighbouring positions of C channels are also one position of k*C channels, and k can be chosen to
leave no remainder. Sums over positions are taken in that shape, then over k.

Maps in bfloat16, as under autocast, have parameters, statistics and sums in float32.
"""

import math
from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

ONE_VALUE = (
    "TRAIN.BATCH_SIZE: a batch norm gets one value per channel, of one position of one clip, which "
    "has no variance; take 2 clips or more for each process (and for each of BN.NUM_SPLITS), "
    "larger or longer clips (DATA.TRAIN_CROP_SIZE, DATA.NUM_FRAMES), or MODEL.FROZEN_BN True"
)
_LANES = {torch.float32: 16, torch.float64: 16, torch.bfloat16: 32}  # in the widest register
# Values of the smallest map that gains: PyTorch's own kernels are not as slow on the remainder in
# bfloat16, and calling a dozen small operators costs more on a small map.
_LEAST = {torch.float32: 0, torch.float64: 0, torch.bfloat16: 3 << 19}


def _packed_rows(x: Tensor) -> Tensor:
    """View N,C,T,H,W in channels_last_3d as rows of k*C values that fill whole registers."""
    channels = x.shape[1]
    num_positions, lanes = x.numel() // channels, _LANES[x.dtype]
    # The smallest k for which the lanes divide k*C, e.g. 8 for C 54 and 16; less where it does not
    # divide the positions: slower, and as right.
    factor = math.gcd(lanes // math.gcd(channels, lanes), num_positions)
    return x.permute(0, 2, 3, 4, 1).reshape(num_positions // factor, factor * channels)


def _normalised(x: Tensor, values: Iterable[Tensor], eps: float) -> Tensor:
    """(x - mean) / sqrt(var + eps) * weight + bias; values: weight, bias, mean, var."""
    if x.dtype != torch.bfloat16:  # this kernel minds the remainder only there
        weight, bias, mean, var = values
        return torch.native_batch_norm(x, weight, bias, mean, var, False, 0.0, eps)[0]
    rows, y = _packed_rows(x), torch.empty_like(x)
    packed = torch.stack(tuple(values)).repeat(1, rows.shape[1] // x.shape[1])
    out = _packed_rows(y), packed.new_empty(0), packed.new_empty(0)
    weight, bias, mean, var = packed
    torch.native_batch_norm(rows, weight, bias, mean, var, False, 0.0, eps, out=out)
    return y


class _BatchNorm(torch.autograd.Function):
    """(x, weight, bias, eps) -> normalised x, mean, biased variance."""

    @staticmethod
    def forward(ctx, x, weight, bias, eps):
        rows = _packed_rows(x)
        # Running statistics that stay zero: the sums are taken in their type.
        zero = weight.new_zeros(rows.shape[1])
        means, variances = (
            values.view(-1, x.shape[1])  # k,C
            for values in torch.batch_norm_update_stats(rows, zero, zero, 0.0)
        )
        # Each of the k saw equally many positions, so plain means over k join them.
        mean = means.mean(0)
        var = variances.mean(0) + means.var(0, correction=0)
        y = _normalised(x, (weight, bias, mean, var), eps)
        ctx.save_for_backward(x, weight, mean, torch.rsqrt(var + eps))
        ctx.mark_non_differentiable(mean, var)
        return y, mean, var

    @staticmethod
    @once_differentiable
    def backward(ctx, grad, _grad_mean, _grad_var):
        x, weight, mean, invstd = ctx.saved_tensors
        rows = _packed_rows(x)
        grad = _packed_rows(grad.contiguous(memory_format=torch.channels_last_3d))
        factor = rows.shape[1] // len(mean)
        needs_sums = (False, True, True)  # not the gradient of x: it needs the sums over all k
        _, grad_weight, grad_bias = torch.ops.aten.native_batch_norm_backward(
            grad,
            rows,
            None,
            None,
            None,
            mean.repeat(factor),
            invstd.repeat(factor),
            True,
            0.0,
            needs_sums,
        )
        grad_weight = grad_weight.view(factor, -1).sum(0)
        grad_bias = grad_bias.view(factor, -1).sum(0)
        # scale * (grad - mean(grad) - normalised x * mean(grad * normalised x)), as
        # grad * a + x * b + c. The scale is rounded to the type of the gradient before b and c are
        # made of it, so that the three terms cancel as they should.
        count = x.numel() // len(mean)
        rounded = (weight * invstd).to(x.dtype)
        a = rounded.to(weight.dtype)
        b = -a * invstd * grad_weight / count
        c = -a * grad_bias / count - b * mean
        if x.dtype == torch.bfloat16:  # in which b and c would be too coarse
            grad_x = _normalised(x, (b, c, torch.zeros_like(b), torch.ones_like(b)), 0.0)
            _packed_rows(grad_x).addcmul_(grad, rounded.repeat(factor))
            return grad_x, grad_weight, grad_bias, None
        grad_x = torch.empty_like(x)
        out = _packed_rows(grad_x)
        torch.addcmul(c.repeat(factor), grad, a.repeat(factor), out=out)
        out.addcmul_(rows, b.repeat(factor))
        return grad_x, grad_weight, grad_bias, None


def _can_pack(x: Tensor, weight: Tensor) -> bool:
    return (
        x.device.type == "cpu"
        and x.dim() == 5
        and x.dtype in _LANES
        and weight.dtype == torch.promote_types(x.dtype, torch.float32)
        and x.shape[1] % _LANES[x.dtype] != 0
        and x.numel() > max(x.shape[1], _LEAST[x.dtype])
        and x.is_contiguous(memory_format=torch.channels_last_3d)
        and not torch.compiler.is_compiling()
    )


def batch_norm(
    x: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor,
    bias: Tensor,
    momentum: float,
    eps: float,
) -> Tensor:
    """F.batch_norm in training: statistics of `x`, which also move the running ones, if any.

    ValueError for a single position, which has no variance.
    """
    if x.numel() == x.shape[1]:
        raise ValueError(ONE_VALUE)
    if not _can_pack(x, weight):
        return F.batch_norm(x, running_mean, running_var, weight, bias, True, momentum, eps)
    y, mean, var = _BatchNorm.apply(x, weight, bias, eps)
    if running_mean is None or running_var is None:
        return y
    with torch.no_grad():  # in place: the buffers stay the same objects
        count = x.numel() // x.shape[1]
        running_mean.lerp_(mean, momentum)
        running_var.lerp_(var * (count / (count - 1)), momentum)
    return y


class BatchNorm3d(nn.BatchNorm3d):
    """nn.BatchNorm3d with `batch_norm` in training."""

    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor

    def forward(self, x: Tensor) -> Tensor:
        if not (self.training and self.track_running_stats and self.affine):
            return super().forward(x)
        self.num_batches_tracked.add_(1)
        momentum = self.momentum
        if momentum is None:
            momentum = 1.0 / float(self.num_batches_tracked)
        return batch_norm(
            x, self.running_mean, self.running_var, self.weight, self.bias, momentum, self.eps
        )

    def normalise_by_batch(self, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """In training with other weights than its own, which leaves no trace in the buffers."""
        return batch_norm(x, None, None, weight, bias, 0.0, self.eps)
