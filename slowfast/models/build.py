"""Table of models, one row a family; other packages add rows with `MODELS.register`."""

from functools import partial

import torch
from torch import nn

from slowfast.config.checks import register_names
from slowfast.config.derived import pathway_strides
from slowfast.config.node import ConfigNode
from slowfast.models.families.resnet import build_resnet
from slowfast.models.families.s3d import build_s3d
from slowfast.models.families.slowfast import build_slowfast
from slowfast.models.families.vov3d import build_vov3d
from slowfast.models.families.x3d import build_x3d
from slowfast.models.network import build_init
from slowfast.models.slimmable import narrow
from slowfast.utils.registry import Registry

MODELS = Registry("MODEL.MODEL_NAME")
register_names("MODEL.MODEL_NAME", MODELS)
MODELS.register("ResNet")(build_resnet)
MODELS.register("ResNet_nopool")(partial(build_resnet, has_pool=False))
MODELS.register("S3D")(build_s3d)
MODELS.register("SlowFast")(build_slowfast)
MODELS.register("VoV3D")(build_vov3d)
MODELS.register("X3D")(build_x3d)


def build_meta_inputs(cfg: ConfigNode, crop: int, *, num_frames: int = 0) -> tuple:
    """Inputs of the network on the meta device: 1,C,T,crop,crop for each pathway, and boxes.

    A detection network gets one box, every other None. num_frames: of the clip; 0: those of
    training.
    """
    length = num_frames or cfg.DATA.NUM_FRAMES
    clips = [
        torch.empty(1, channels, length // stride, crop, crop, device="meta")
        for channels, stride in zip(cfg.DATA.INPUT_CHANNEL_NUM, pathway_strides(cfg), strict=True)
    ]
    return (clips, torch.empty(1, 5, device="meta") if cfg.DETECTION.ENABLE else None)


def build_model(cfg: ConfigNode) -> nn.Module:
    """The model that MODEL.MODEL_NAME names, with initial weights, on the default device."""
    model = MODELS.get(cfg.MODEL.MODEL_NAME)(cfg)
    if cfg.MODEL.WIDTH < 1.0:
        model = narrow(model, cfg.MODEL.WIDTH)
        build_init(cfg)(model)  # again: their variance follows the number of channels
    return model
