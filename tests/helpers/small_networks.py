"""Small networks of every family, for tests of facts that hold for all of them."""

import torch
from torch import nn

from slowfast.models import build_model
from tests.helpers.configs import cfg_with


def num_pathways(family):
    return 2 if family == "SlowFast" else 1


def small_cfg(family, **keys):
    values = {
        "MODEL.MODEL_NAME": family,
        "MODEL.ARCH": "i3d",
        "MODEL.NUM_CLASSES": 5,
        "DATA.INPUT_CHANNEL_NUM": [3] * num_pathways(family),
        "DATA.NUM_FRAMES": 4,
        "DATA.TRAIN_CROP_SIZE": 32,
        "RESNET.TRANS_FUNC": "x3d_transform" if family == "X3D" else "bottleneck_transform",
        "RESNET.DEPTH": 18,
        "RESNET.WIDTH_PER_GROUP": 8,
        "CSN.KIND": "ip",
        "MFNET.WIDTH": 8,
        "MFNET.NUM_GROUPS": 4,
        "S3D.VARIANT": "s3d-g",
        "S3D.WIDTH_FACTOR": 0.125,
        "SLOWFAST.ALPHA": 2,
        "SLOWFAST.BETA_INV": 4,
        "X3D.BOTTLENECK_FACTOR": 2.25,
        "X3D.DIM_C5": 16,
        "MVIT.DEPTH": 4,
        "MVIT.EMBED_DIM": 8,
        "MVIT.PATCH_PADDING": [1, 3, 3],
        "MVIT.DIM_MUL": [[1, 2.0], [2, 2.0], [3, 2.0]],
        "MVIT.HEAD_MUL": [[1, 2.0], [2, 2.0], [3, 2.0]],
        "MVIT.POOL_Q_STRIDE": [[block, 1, 2, 2] for block in (1, 2, 3)],
        "MVIT.POOL_KV_STRIDE_ADAPTIVE": [1, 4, 4],
        "MVIT.POOL_KVQ_KERNEL": [3, 3, 3],
        "MVIT.REL_POS_SPATIAL": True,
        "MVIT.REL_POS_TEMPORAL": True,
        "VOV3D.NUM_MODULES": [1, 2, 1, 1],
        "VOV3D.INNER_CH": 8,
        "VOV3D.NUM_CONV": 3,
        **keys,
    }
    return cfg_with(values)


def small_model(family, **keys):
    torch.manual_seed(0)
    return build_model(small_cfg(family, **keys))


def randomize_norms(model):
    """Statistics, weights and biases unlike those at the start; the model is for evaluation."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm3d):
            nn.init.normal_(module.running_mean, std=0.1)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.1)
    return model.eval()


def clips(family, num=2, frames=4, size=32, width=None, channels=3):
    """Clips of `size` squared, or of height `size` and another width."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(num, channels, frames, size, width or size, generator=generator)
    return [x[:, :, ::2], x] if num_pathways(family) == 2 else [x]


class Head(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.conv = nn.Conv3d(4, 4, 1)
        self.projection = nn.Linear(4, num_classes)


class Net(nn.Module):
    """12 tensors without the head's projection, two of them counters."""

    def __init__(self, num_classes=3, norm=nn.BatchNorm3d, dim=4):
        super().__init__()
        self.s1 = nn.Sequential(nn.Conv3d(3, dim, 1, bias=False), norm(dim))
        self.s2 = norm(4)
        self.head = Head(num_classes)
        with torch.no_grad():
            for tensor in self.state_dict().values():
                tensor.copy_(torch.rand(tensor.shape) + 1)
