"""PyTorch's kernels for batch norm over several GPUs, called without a wait for the device.

nn.SyncBatchNorm, which has them too, looks in every layer for processes without clips: its host
waits for the GPU there. Here each process has clips.
"""

import torch
import torch.distributed as dist
from torch import Tensor
from torch.autograd.function import once_differentiable


def has_kernels(x: Tensor, group: dist.ProcessGroup | None) -> bool:
    """Whether `sync_batch_norm` can be called: on a GPU, in a group (None: all) that has NCCL."""
    return x.device.type == "cuda" and "nccl" in dist.get_backend_config(group)


class _SyncBatchNorm(torch.autograd.Function):
    """(x, weight, bias, running mean and variance, momentum, eps, group) -> normalised x."""

    @staticmethod
    def forward(ctx, x, weight, bias, running, momentum, eps, group):
        if not x.is_contiguous(memory_format=torch.channels_last_3d):
            x = x.contiguous()
        own_mean, own_invstd = torch.batch_norm_stats(x, eps)
        count = own_mean.new_full((1,), x.numel() // x.shape[1])
        rows = _gathered(torch.cat([own_mean, own_invstd, count]), group)  # processes,2C+1
        means, invstds, counts = rows.split([len(own_mean), len(own_mean), 1], dim=1)
        counts = counts.flatten()
        mean, invstd = torch.batch_norm_gather_stats_with_counts(
            x, means, invstds, *running, momentum, eps, counts
        )
        ctx.save_for_backward(x, weight, mean, invstd, counts.int())
        ctx.group = group
        return torch.batch_norm_elemt(x, weight, bias, mean, invstd, eps)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        x, weight, mean, invstd, counts = ctx.saved_tensors
        is_last = x.is_contiguous(memory_format=torch.channels_last_3d)
        order = torch.channels_last_3d if is_last else torch.contiguous_format
        grad = grad.contiguous(memory_format=order)
        needs = (True, True, True)  # sums for x, gradients of weight and bias
        *sums, grad_weight, grad_bias = torch.batch_norm_backward_reduce(
            grad, x, mean, invstd, weight, *needs
        )
        total = torch.cat(sums)
        dist.all_reduce(total, group=ctx.group)
        grad_x = torch.batch_norm_backward_elemt(
            grad, x, mean, invstd, weight, *total.chunk(2), counts
        )
        return grad_x, grad_weight, grad_bias, None, None, None, None


def _gathered(row: Tensor, group: dist.ProcessGroup | None) -> Tensor:
    """The row of every process, one below the other."""
    rows = row.new_empty(dist.get_world_size(group), len(row))
    dist.all_gather_into_tensor(rows, row, group=group)
    return rows


def sync_batch_norm(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    *,
    momentum: float,
    eps: float,
    group: dist.ProcessGroup | None,
) -> Tensor:
    """F.batch_norm in training, with the statistics of all clips in the group.

    The running ones, if any, move. Gradients of weight and bias are this process's part.
    """
    running = running_mean, running_var
    return _SyncBatchNorm.apply(x, weight, bias, running, momentum, eps, group)
