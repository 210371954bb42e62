"""The work of a step against what a GPU can do at most."""

import torch

from slowfast.config.node import ConfigNode
from slowfast.models.complexity import build_complexity
from slowfast.runtime.device import device_name
from slowfast.utils import distributed

# Name of a card (a part of it) -> 1e12 floating-point operations per second on tensor cores without
# sparsity, in 16 bits and in TF32, from the data sheets of NVIDIA. The first that fits counts.
_PEAKS = {
    "H100 PCIe": (756.0, 378.0),
    "H100 NVL": (835.0, 417.0),
    "H100": (989.0, 494.0),
    "H200": (989.0, 494.0),
    "A100": (312.0, 156.0),
    "A10": (125.0, 62.5),
    "A40": (149.7, 74.8),
    "L40S": (362.0, 183.0),
    "L4": (121.0, 60.0),
    "RTX 4090": (165.2, 82.6),
    "RTX 3090": (71.0, 35.6),
}
# Multiply and add; forward, and backward for inputs and weights.
_FLOPS_OF_A_MAC = 2 * 3


def peak_flops(name: str, *, is_half: bool) -> float | None:
    """Operations per second that a GPU of this name can do at most; None for one unknown."""
    words = f" {name} ".replace("-", " ")
    if "Laptop" in words or "Max Q" in words:  # with less power than the card of that name
        return None
    for card, (half, tf32) in _PEAKS.items():
        if f" {card} " in words:
            return 1e12 * (half if is_half else tf32)
    return None


def build_clip_load(cfg: ConfigNode, device: torch.device) -> float:
    """Seconds that all GPUs at their peak would need to learn from a clip; 0 where that is unknown.

    It is so on the CPU, for cards that are not in the table, in full float32, and where the passes
    of a step are not those of one network on clips of one shape. What is computed twice counts
    once.
    """
    is_half = cfg.TRAIN.MIXED_PRECISION
    is_other = cfg.ADAPTIVE.ENABLE or cfg.MULTIGRID.LONG_CYCLE or cfg.MULTIGRID.SHORT_CYCLE
    if device.type != "cuda" or is_other or not (is_half or cfg.TF32):
        return 0.0
    peak = peak_flops(device_name(device), is_half=is_half)
    if peak is None:
        return 0.0
    return _FLOPS_OF_A_MAC * build_complexity(cfg).macs_train / (peak * distributed.world_size())
