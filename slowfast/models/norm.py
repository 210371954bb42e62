"""Batch normalisation over the batch, over parts of it, or over several processes."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.modules.batchnorm import _NormBase

from slowfast.config.node import ConfigNode
from slowfast.models.batch_norm import BatchNorm3d, batch_norm
from slowfast.models.kernels.sync_batch_norm import has_kernels, sync_batch_norm
from slowfast.utils import distributed

# A kind of batch norm: number of channels -> layer.
Norm = Callable[[int], nn.BatchNorm3d]


@contextmanager
def statistics_kept(module: nn.Module) -> Iterator[None]:
    """Inside the `with`, the batch norms of `module` change copies of their running statistics.

    Not their values, put back in place afterwards: a backward pass to come may need the tensors
    unchanged.
    """
    norms = [each for each in module.modules() if isinstance(each, _NormBase)]
    kept = [dict(norm._buffers) for norm in norms]
    try:
        for norm, buffers in zip(norms, kept, strict=True):
            for name, buffer in buffers.items():
                norm._buffers[name] = None if buffer is None else buffer.clone()
        yield
    finally:
        for norm, buffers in zip(norms, kept, strict=True):
            norm._buffers.update(buffers)


class SubBatchNorm3d(nn.BatchNorm3d):
    """Batch norm whose training statistics come from `num_splits` equal parts of the batch.

    Part j is the j-th run of consecutive samples; the buffers `split_running_*` hold the parts'
    running statistics, part after part. `running_mean` and `running_var` follow them at each
    training step (mean of the means; mean of the variances plus variance of the means) and serve
    in evaluation. All other names are BatchNorm3d's, so a state of either kind can be loaded.
    """

    running_mean: torch.Tensor
    running_var: torch.Tensor
    num_batches_tracked: torch.Tensor
    split_running_mean: torch.Tensor
    split_running_var: torch.Tensor

    def __init__(self, dim: int, num_splits: int):
        super().__init__(dim)
        self.num_splits = num_splits
        self.register_buffer("split_running_mean", torch.zeros(dim * num_splits))
        self.register_buffer("split_running_var", torch.ones(dim * num_splits))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not self.training:
            return super().forward(x)
        self._check_batch(x)
        factor = _average_factor(self)
        means = self.split_running_mean.chunk(self.num_splits)
        variances = self.split_running_var.chunk(self.num_splits)
        parts = [
            batch_norm(part, mean, var, self.weight, self.bias, factor, self.eps)
            for part, mean, var in zip(x.chunk(self.num_splits), means, variances, strict=True)
        ]
        self._aggregate()
        return torch.cat(parts)

    def normalise_by_batch(
        self, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor
    ) -> torch.Tensor:
        """In training with other weights than its own, which leaves no trace in the buffers."""
        self._check_batch(x)
        parts = x.chunk(self.num_splits)
        return torch.cat([batch_norm(p, None, None, weight, bias, 0.0, self.eps) for p in parts])

    def _check_batch(self, x: torch.Tensor) -> None:
        if x.shape[0] % self.num_splits:
            raise ValueError(
                f"BN.NUM_SPLITS: {self.num_splits} does not divide the batch of {x.shape[0]} clips"
            )

    @torch.no_grad()
    def _aggregate(self) -> None:
        means = self.split_running_mean.unflatten(0, (self.num_splits, -1))
        variances = self.split_running_var.unflatten(0, (self.num_splits, -1))
        self.running_mean.copy_(means.mean(0))
        self.running_var.copy_(variances.mean(0) + means.var(0, correction=0))

    def _load_from_state_dict(self, state_dict, prefix, *args):
        """Parts that the state lacks, or has in another number, start from the whole."""
        for name in ("running_mean", "running_var"):
            whole = state_dict.get(prefix + name)
            parts = state_dict.get(f"{prefix}split_{name}")
            if whole is not None and (parts is None or len(parts) != len(whole) * self.num_splits):
                state_dict[f"{prefix}split_{name}"] = whole.repeat(self.num_splits)
        super()._load_from_state_dict(state_dict, prefix, *args)


class SyncBatchNorm3d(nn.BatchNorm3d):
    """Batch norm whose training statistics are shared by the processes of `group` (None: by all).

    One exchange forward and one backward, on the CPU (gloo) too, unlike nn.SyncBatchNorm; over NCCL
    by its kernels.
    """

    running_mean: torch.Tensor
    running_var: torch.Tensor
    num_batches_tracked: torch.Tensor

    def __init__(self, dim: int, group: dist.ProcessGroup | None = None):
        super().__init__(dim)
        # A function, so that deep copies of the model share the group, which cannot be copied.
        self._group = lambda: group

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not (self.training and distributed.is_distributed()):
            return super().forward(x)
        if has_kernels(x, self._group()):
            factor = _average_factor(self)
            running = self.running_mean, self.running_var
            return self._by_kernels(x, self.weight, self.bias, running, factor)
        mean, var, count = self._shared_statistics(x)
        self._update_running(mean.detach(), var.detach(), count.detach())
        return self._normalise(x, mean, var, self.weight, self.bias)

    def normalise_by_batch(
        self, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor
    ) -> torch.Tensor:
        """In training with other weights than its own, which leaves no trace in the buffers."""
        if not distributed.is_distributed():
            return batch_norm(x, None, None, weight, bias, 0.0, self.eps)
        if has_kernels(x, self._group()):
            return self._by_kernels(x, weight, bias, (None, None), 0.0)
        mean, var, _ = self._shared_statistics(x)
        return self._normalise(x, mean, var, weight, bias)

    def _by_kernels(
        self,
        x: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor,
        running: tuple[torch.Tensor | None, torch.Tensor | None],
        factor: float,
    ) -> torch.Tensor:
        constants = {"momentum": factor, "eps": self.eps}
        return sync_batch_norm(x, weight, bias, *running, **constants, group=self._group())

    def _normalise(
        self,
        x: torch.Tensor,
        mean: torch.Tensor,
        var: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor,
    ) -> torch.Tensor:
        scale = weight * torch.rsqrt(var + self.eps)
        shift = bias - mean * scale
        return (x * _per_channel(scale) + _per_channel(shift)).to(x.dtype)

    def _shared_statistics(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Mean and biased variance per channel, and number of values, over the whole group."""
        x = x.to(torch.promote_types(x.dtype, torch.float32))
        count = x.new_full((1,), x.numel() / x.shape[1])
        var, mean = torch.var_mean(x, dim=(0, 2, 3, 4), correction=0)
        sums = torch.cat([mean * count, (var + mean.square()) * count, count])
        sums = _SumOverGroup.apply(sums, self._group())
        count = sums[-1:]
        mean, square = (sums[:-1] / count).chunk(2)
        return mean, (square - mean.square()).clamp(min=0.0), count

    @torch.no_grad()
    def _update_running(self, mean: torch.Tensor, var: torch.Tensor, count: torch.Tensor) -> None:
        factor = _average_factor(self)
        unbiased = var * (count / (count - 1).clamp(min=1))
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), factor)
        self.running_var.lerp_(unbiased.to(self.running_var.dtype), factor)


class _SumOverGroup(torch.autograd.Function):
    """Sum of `values` over the processes of `group`; so is the gradient."""

    @staticmethod
    def forward(ctx, values: torch.Tensor, group: dist.ProcessGroup | None) -> torch.Tensor:
        ctx.group = group
        total = values.clone()
        dist.all_reduce(total, group=group)
        return total

    @staticmethod
    def backward(ctx, grad: torch.Tensor) -> tuple[torch.Tensor, None]:
        total = grad.clone()
        dist.all_reduce(total, group=ctx.group)
        return total, None


def _average_factor(norm: nn.BatchNorm3d) -> float:
    """Count one more batch; its weight in the running statistics (momentum None: plain mean)."""
    norm.num_batches_tracked.add_(1)
    return 1.0 / float(norm.num_batches_tracked) if norm.momentum is None else norm.momentum


def _per_channel(values: torch.Tensor) -> torch.Tensor:
    return values[:, None, None, None]  # C -> C,1,1,1


def _sync_group(num_processes: int) -> dist.ProcessGroup | None:
    """This process's group of `num_processes` consecutive ranks; None stands for all processes."""
    world = distributed.world_size()
    if num_processes >= world:
        return None
    if num_processes < 2 or world % num_processes:
        raise ValueError(
            f"BN.NUM_SYNC_DEVICES: {num_processes} must be at least 2 and divide the number of "
            f"processes, {world}; BN.GLOBAL_SYNC True shares statistics over all of them"
        )
    group, _ = dist.new_subgroups(num_processes)
    return group


def make_norm(name: str, number: int) -> Norm:
    """The batch norm of that BN.NORM_TYPE.

    `number` counts the parts of the batch (sub_batchnorm) or the processes that share statistics
    (sync_batchnorm; all processes must call this).
    """
    if name == "batchnorm":
        return BatchNorm3d
    if name == "sub_batchnorm":
        return partial(SubBatchNorm3d, num_splits=number)
    if name == "sync_batchnorm":
        return partial(SyncBatchNorm3d, group=_sync_group(number))
    allowed = ["batchnorm", "sub_batchnorm", "sync_batchnorm"]
    raise ValueError(f"BN.NORM_TYPE: {name!r} is not one of {allowed}")


def with_constants(norm: Norm, *, eps: float, momentum: float) -> Norm:
    """`norm` with constants other than PyTorch's, those of a paper's code."""

    def make(dim: int) -> nn.BatchNorm3d:
        layer = norm(dim)
        layer.eps, layer.momentum = eps, momentum
        return layer

    return make


def replace_norms(model: nn.Module, norm: Norm) -> None:
    """Turn all batch norms of the model into the kind that `norm` makes, in place.

    Parameters and running statistics stay the same objects, so that an optimizer and
    DistributedDataParallel go on with them. The statistics of a batch's parts are kept where their
    number stays the same.
    """
    for parent in list(model.modules()):
        for name, old in list(parent.named_children()):
            if isinstance(old, nn.BatchNorm3d):
                setattr(parent, name, _converted(old, norm(old.num_features)))


def _converted(old: nn.BatchNorm3d, new: nn.BatchNorm3d) -> nn.BatchNorm3d:
    new.to(old.weight.device, old.weight.dtype)
    # Statistics of a batch's parts are copied where both kinds have them. All else is shared: the
    # optimizer's momentum belongs to these parameter objects, not to their names.
    known = new.state_dict()
    new.load_state_dict({k: v for k, v in old.state_dict().items() if k in known})
    for name in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked"):
        setattr(new, name, getattr(old, name))
    new.eps, new.momentum = old.eps, old.momentum
    return new.train(old.training)


@torch.no_grad()
def norms_of_one_position(
    model: nn.Module, clips: list[torch.Tensor], boxes: torch.Tensor | None = None
) -> list[str]:
    """Names of the batch norms whose map of one clip has a single position.

    Does one pass in evaluation.
    """
    found, was_training = [], model.training
    names = {module: name for name, module in model.named_modules()}

    def look(module: nn.Module, inputs: tuple[torch.Tensor]) -> None:
        if inputs[0].shape[2:].numel() == 1:
            found.append(names[module])

    norms = (module for module in names if isinstance(module, nn.BatchNorm3d))
    handles = [norm.register_forward_pre_hook(look) for norm in norms]
    model.eval()
    try:
        model(clips, boxes)
    finally:
        model.train(was_training)
        for handle in handles:
            handle.remove()
    return found


def build_norm(cfg: ConfigNode) -> Norm:
    """The batch norm that BN.NORM_TYPE names."""
    num_synced = distributed.world_size() if cfg.BN.GLOBAL_SYNC else cfg.BN.NUM_SYNC_DEVICES
    numbers = {"sub_batchnorm": cfg.BN.NUM_SPLITS, "sync_batchnorm": num_synced}
    return make_norm(cfg.BN.NORM_TYPE, numbers.get(cfg.BN.NORM_TYPE, 1))
