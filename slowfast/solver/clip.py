"""Gradient clipping."""

from collections.abc import Iterable

import torch
from torch import nn


def clip_gradients(
    parameters: Iterable[nn.Parameter], *, value: float | None, norm: float | None
) -> torch.Tensor:
    """Clip in place each gradient value to +-`value`, then their joint L2 norm to `norm`.

    None leaves that part out. Returns the L2 norm before any clipping, 0-d, for the log; it is not
    finite when a gradient is not.
    """
    parameters = [p for p in parameters if p.grad is not None]
    total_norm = nn.utils.get_total_norm([p.grad for p in parameters])
    if value is not None:
        nn.utils.clip_grad_value_(parameters, value)
    if norm is not None:
        nn.utils.clip_grad_norm_(parameters, norm)
    return total_norm
