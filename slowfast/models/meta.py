"""Inputs that have a shape and nothing else."""

import torch

from slowfast.config.node import ConfigNode
from slowfast.config.pathways import pathway_strides


def build_meta_inputs(cfg: ConfigNode, crop: int) -> tuple:
    """What a network takes: one clip, a tensor 1,C,T,crop,crop for each pathway, and its boxes.

    A detection network gets one box, every other none.
    """
    clips = [
        torch.empty(1, channels, cfg.DATA.NUM_FRAMES // stride, crop, crop, device="meta")
        for channels, stride in zip(cfg.DATA.INPUT_CHANNEL_NUM, pathway_strides(cfg), strict=True)
    ]
    return (clips, torch.empty(1, 5, device="meta") if cfg.DETECTION.ENABLE else None)
