"""Device and number type of a run, decided once."""

import os

import torch
from torch import nn

from slowfast.config.derived import precision_of_tests
from slowfast.config.node import ConfigNode
from slowfast.utils.system import processor_name


def set_arithmetic(*, has_tf32: bool, is_deterministic: bool) -> None:
    """Choose how this process computes, for all that follows, whatever was chosen before.

    Operations without a deterministic form are warned about: the ResNets' max pools are among them.
    """
    torch.backends.cuda.matmul.allow_tf32 = has_tf32
    torch.backends.cudnn.allow_tf32 = has_tf32
    if is_deterministic:  # read when cuBLAS begins: nothing was computed on the GPU yet
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    if is_deterministic != torch.are_deterministic_algorithms_enabled():  # it imports a compiler
        torch.use_deterministic_algorithms(is_deterministic, warn_only=True)
    torch.backends.cudnn.deterministic = is_deterministic
    # Else new memory is filled with NaN, which costs time and changes nothing in a sound program.
    torch.utils.deterministic.fill_uninitialized_memory = not is_deterministic


def device_name(device: torch.device) -> str:
    """The GPU, or the processor and how many threads torch uses of it."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    num_threads = torch.get_num_threads()
    return f"{processor_name()}, {num_threads} thread{'s' if num_threads > 1 else ''}"


def clip_layout(device: torch.device, name: str = "auto") -> torch.memory_format:
    """Memory layout of clips and weights: the one of MEMORY_FORMAT's `name`.

    auto: channels_last_3d on the CPU, for its depthwise kernels. On a GPU PyTorch's depthwise
    kernels take contiguous tensors; other layouts are not measured.
    """
    if name == "auto":
        name = "channels_last_3d" if device.type == "cpu" else "contiguous"
    return {
        "channels_last_3d": torch.channels_last_3d,
        "contiguous": torch.contiguous_format,
    }[name]


def place_model(model: nn.Module, device: torch.device, layout: str = "auto") -> nn.Module:
    """The model on the device, its convolutions in the layout of `clip_layout`, named so.

    Those of 1x1x1 are the same in any layout.
    """
    model.to(device)
    for parameter in model.parameters():
        if parameter.ndim == 5 and parameter.shape[2:].numel() > 1:
            parameter.data = parameter.data.contiguous(memory_format=clip_layout(device, layout))
    return model


def build_autocast(cfg: ConfigNode, device: torch.device) -> torch.autocast:
    """The context of training's forward passes; it does nothing without TRAIN.MIXED_PRECISION."""
    dtype = getattr(torch, cfg.TRAIN.AMP_DTYPE)
    return torch.autocast(device.type, dtype=dtype, enabled=cfg.TRAIN.MIXED_PRECISION)


def build_device(cfg: ConfigNode) -> torch.device:
    """This process's GPU, or the CPU with NUM_GPUS 0, with the arithmetic that is asked for."""
    set_arithmetic(has_tf32=cfg.TF32, is_deterministic=cfg.DETERMINISTIC)
    if not cfg.NUM_GPUS:
        return torch.device("cpu")
    return torch.device("cuda", torch.cuda.current_device())


def build_test_autocast(cfg: ConfigNode, device: torch.device) -> torch.autocast:
    """The context of the forward passes of tests and predictions; see TEST.PRECISION."""
    name = precision_of_tests(cfg.TEST.PRECISION, cfg.TRAIN)
    is_lower = name != "float32"
    dtype = getattr(torch, name) if is_lower else None
    return torch.autocast(device.type, dtype=dtype, enabled=is_lower)
