"""The published networks, thin: every name and every block, but few channels."""

import torch
from torch import nn

from slowfast.config.cli import load_cfg
from slowfast.models import build_model
from tests.helpers.paths import ROOT

CONFIGS = ROOT / "configs" / "Kinetics"
THIN = {
    "VoV3D-M": ("vov3d/vov3d_M.yaml", ["VOV3D.INNER_CH", 8, "X3D.DIM_C5", 16]),
    "X3D-M": ("x3d/X3D_M.yaml", ["X3D.WIDTH_FACTOR", 0.7, "X3D.DIM_C5", 16]),
    "SlowFast": ("slowfast/SLOWFAST_8x8_R50.yaml", ["RESNET.WIDTH_PER_GROUP", 16]),
    "Slow": ("slow/SLOW_8x8_R50.yaml", ["RESNET.WIDTH_PER_GROUP", 8]),
    "C2D": ("c2d/C2D_8x8_R50.yaml", ["RESNET.WIDTH_PER_GROUP", 8]),
    "I3D": ("i3d/I3D_8x8_R50.yaml", ["RESNET.WIDTH_PER_GROUP", 8]),
    "I3D NLN": ("i3d/I3D_NLN_8x8_R50.yaml", ["RESNET.WIDTH_PER_GROUP", 8]),
}


def build_thin(name: str, *options) -> nn.Module:
    """The network in evaluation mode, every tensor random, batch-norm statistics too.

    Weights small enough that float64 does not overflow in Non-local blocks, which are cubic.
    """
    path, thin = THIN[name]
    options = ["MODEL.NUM_CLASSES", 5, "DATA.TRAIN_CROP_SIZE", 32, *thin, *options]
    model = build_model(load_cfg(CONFIGS / path, options)).eval()
    with torch.no_grad():
        for key, tensor in model.state_dict().items():
            if tensor.ndim > 1:
                tensor.copy_(torch.randn(tensor.shape) * tensor[0].numel() ** -0.5)
                tensor.mul_(0.01 if key.endswith("conv_out.weight") else 1.0)
            elif tensor.ndim == 1:
                tensor.copy_(0.5 + torch.rand(tensor.shape))
    return model


def assert_same_weights(model: nn.Module, source: nn.Module) -> None:
    """Equal tensors under equal names; counters of batches and parts of batch norms left out."""
    found, expected = model.state_dict(), source.state_dict()
    names = [n for n in found if not n.endswith("num_batches_tracked") and "split_" not in n]
    assert names
    assert [n for n in names if not torch.equal(found[n], expected[n])] == []
