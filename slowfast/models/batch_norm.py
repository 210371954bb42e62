"""Batch norm with statistics of the batch, made fast for channels_last_3d memory on the CPU.

In memory N,T,H,W,C PyTorch's kernels work along C, 16 floats at a time, and are several times
slower on the remainder, which is most of the work where C is 20, 40 or 54. But k neighbouring
positions of C channels are also one position of k*C channels, and k can be chosen to leave no
remainder. Sums over positions are taken in that shape, then over k.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

ONE_VALUE = (
    "TRAIN.BATCH_SIZE: a batch norm gets one value per channel, of one position of one clip, which "
    "has no variance; take 2 clips or more for each process (and for each of BN.NUM_SPLITS), "
    "larger or longer clips (DATA.TRAIN_CROP_SIZE, DATA.NUM_FRAMES), or MODEL.FROZEN_BN True"
)
_LANES = 16  # floats in the widest vector register


def _packed_rows(x: Tensor) -> Tensor:
    """View N,C,T,H,W in channels_last_3d as rows of k*C values that fill whole registers."""
    channels = x.shape[1]
    num_positions = x.numel() // channels
    # The smallest k for which 16 divides k*C, e.g. 8 for C 54; less where it does not divide the
    # positions: slower, and as right.
    factor = math.gcd(_LANES // math.gcd(channels, _LANES), num_positions)
    return x.permute(0, 2, 3, 4, 1).reshape(num_positions // factor, factor * channels)


class _BatchNorm(torch.autograd.Function):
    """(x, weight, bias, eps) -> normalised x, mean, biased variance."""

    @staticmethod
    def forward(ctx, x, weight, bias, eps):
        means, variances = (
            values.view(-1, x.shape[1])  # k,C
            for values in torch.batch_norm_update_stats(_packed_rows(x), None, None, 0.0)
        )
        # Each of the k saw equally many positions, so plain means over k join them.
        mean = means.mean(0)
        var = variances.mean(0) + means.var(0, correction=0)
        y, _, _ = torch.native_batch_norm(x, weight, bias, mean, var, False, 0.0, eps)
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
        # grad * a + x * b + c
        count = x.numel() // len(mean)
        a = weight * invstd
        b = -a * invstd * grad_weight / count
        c = -a * grad_bias / count - b * mean
        grad_x = torch.empty_like(x)
        out = _packed_rows(grad_x)
        torch.addcmul(c.repeat(factor), grad, a.repeat(factor), out=out)
        out.addcmul_(rows, b.repeat(factor))
        return grad_x, grad_weight, grad_bias, None


def _can_pack(x: Tensor, weight: Tensor) -> bool:
    return (
        x.device.type == "cpu"
        and x.dim() == 5
        and x.dtype == weight.dtype
        and x.dtype in (torch.float32, torch.float64)
        and x.shape[1] % _LANES != 0
        and x.numel() > x.shape[1]
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
