"""Clips that have a shape and nothing else."""

import torch

from slowfast.config.node import ConfigNode
from slowfast.config.pathways import pathway_strides


def build_meta_clips(cfg: ConfigNode, crop: int) -> list[torch.Tensor]:
    """One clip without content, a tensor 1,C,T,crop,crop for each pathway."""
    return [
        torch.empty(1, channels, cfg.DATA.NUM_FRAMES // stride, crop, crop, device="meta")
        for channels, stride in zip(cfg.DATA.INPUT_CHANNEL_NUM, pathway_strides(cfg), strict=True)
    ]
