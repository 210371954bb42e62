"""The table of models."""

from torch import nn

from slowfast.config.node import ConfigNode
from slowfast.models.vov3d import build_vov3d
from slowfast.models.x3d import build_x3d
from slowfast.utils.registry import Registry

MODELS = Registry("MODEL.MODEL_NAME")
MODELS.register("VoV3D")(build_vov3d)
MODELS.register("X3D")(build_x3d)


def build_model(cfg: ConfigNode) -> nn.Module:
    """The model that MODEL.MODEL_NAME names, with initial weights, on the default device."""
    return MODELS.get(cfg.MODEL.MODEL_NAME)(cfg)
