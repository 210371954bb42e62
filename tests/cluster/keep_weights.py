"""For IMPORTS: at its end a process saves its network and optimizer to the file KEEP_WEIGHTS."""

import atexit
import os

import torch
from torch.nn.modules.module import register_module_forward_hook
from torch.optim.optimizer import register_optimizer_step_post_hook

from slowfast.models.network import VideoNetwork

KEPT = {}


def keep_network(module: torch.nn.Module, *_args: object) -> None:
    """Remember the network that ran last."""
    if isinstance(module, VideoNetwork):
        KEPT["network"] = module


def keep_optimizer(optimizer: torch.optim.Optimizer, *_args: object) -> None:
    """Remember the optimizer that stepped last."""
    KEPT["optimizer"] = optimizer


def save() -> None:
    """Save the states of both."""
    states = {name: item.state_dict() for name, item in KEPT.items()}
    torch.save(states, os.environ["KEEP_WEIGHTS"])


if "KEEP_WEIGHTS" in os.environ:
    register_module_forward_hook(keep_network)
    register_optimizer_step_post_hook(keep_optimizer)
    atexit.register(save)
