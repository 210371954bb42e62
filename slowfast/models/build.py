"""The table of models."""

from functools import partial

from torch import nn

from slowfast.config.node import ConfigNode
from slowfast.models.network import build_initial_weights
from slowfast.models.resnet import build_resnet
from slowfast.models.s3d import build_s3d
from slowfast.models.slimmable import narrow
from slowfast.models.slowfast import build_slowfast
from slowfast.models.vov3d import build_vov3d
from slowfast.models.x3d import build_x3d
from slowfast.utils.registry import Registry

MODELS = Registry("MODEL.MODEL_NAME")
MODELS.register("ResNet")(build_resnet)
MODELS.register("ResNet_nopool")(partial(build_resnet, has_pool=False))
MODELS.register("S3D")(build_s3d)
MODELS.register("SlowFast")(build_slowfast)
MODELS.register("VoV3D")(build_vov3d)
MODELS.register("X3D")(build_x3d)


def build_model(cfg: ConfigNode) -> nn.Module:
    """The model that MODEL.MODEL_NAME names, with initial weights, on the default device."""
    model = MODELS.get(cfg.MODEL.MODEL_NAME)(cfg)
    if cfg.MODEL.WIDTH < 1.0:
        model = narrow(model, cfg.MODEL.WIDTH)
        build_initial_weights(cfg, model)
    return model
