"""Device and number type of a run, decided once."""

import platform
from pathlib import Path

import torch
from torch import nn

from slowfast.config.node import ConfigNode


def build_device(cfg: ConfigNode) -> torch.device:
    """This process's GPU, or the CPU with NUM_GPUS 0."""
    return (
        torch.device("cuda", torch.cuda.current_device()) if cfg.NUM_GPUS else torch.device("cpu")
    )


def device_name(device: torch.device) -> str:
    """The GPU, or the processor and how many threads torch uses of it."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    num_threads = torch.get_num_threads()
    return f"{_processor()}, {num_threads} thread{'s' if num_threads > 1 else ''}"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(
            line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")
        )
    except (OSError, StopIteration):  # not Linux, or a processor without a name
        return platform.processor() or platform.machine()


def clip_layout(device: torch.device) -> torch.memory_format:
    """Memory layout of clips and weights: channels_last_3d on the CPU, for its depthwise kernels.

    On a GPU PyTorch's depthwise kernels take contiguous tensors; other layouts are not measured.
    """
    return torch.channels_last_3d if device.type == "cpu" else torch.contiguous_format


def place_model(model: nn.Module, device: torch.device) -> nn.Module:
    """The model on the device, its convolutions in the layout of `clip_layout`.

    Those of 1x1x1 are the same in any layout.
    """
    model.to(device)
    for parameter in model.parameters():
        if parameter.ndim == 5 and parameter.shape[2:].numel() > 1:
            parameter.data = parameter.data.contiguous(memory_format=clip_layout(device))
    return model


def build_autocast(cfg: ConfigNode, device: torch.device) -> torch.autocast:
    """The context of every forward pass; it does nothing without TRAIN.MIXED_PRECISION."""
    dtype = getattr(torch, cfg.TRAIN.AMP_DTYPE)
    return torch.autocast(device.type, dtype=dtype, enabled=cfg.TRAIN.MIXED_PRECISION)
