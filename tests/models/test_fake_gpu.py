"""Networks and losses make every tensor on the device of their inputs: on a GPU that computes not.

Fake tensors have shapes, types and devices; an operation that mixes devices fails as on a GPU.
"""

import contextlib

import numpy as np
import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from slowfast.models import MODELS, build_model
from slowfast.tasks import build_task
from tests.helpers.slow import slow_but
from tests.helpers.small_networks import num_pathways, small_cfg

pytestmark = pytest.mark.skipif(
    torch.__version__.startswith("2.6."), reason="torch 2.6 asks for a real GPU, and aborts"
)

# TRN reads numbers that it draws, and fake tensors have none.
FAMILIES = sorted(set(MODELS) - {"external", "TRN"})
KEYS = {"bLVNet": {"RESNET.DEPTH": 50}}
BOXES = {
    "DETECTION.ENABLE": True,
    "DETECTION.SPATIAL_SCALE_FACTOR": 32,
    "MODEL.LOSS_FUNC": "bce",
    "MODEL.HEAD_ACT": "sigmoid",
}


@contextlib.contextmanager
def half_precision():
    """Autocast of CUDA; torch.autocast would turn itself off without one."""
    previous = torch.is_autocast_enabled("cuda"), torch.get_autocast_dtype("cuda")
    torch.set_autocast_enabled("cuda", True)
    torch.set_autocast_dtype("cuda", torch.bfloat16)
    torch.autocast_increment_nesting()
    try:
        yield
    finally:
        torch.autocast_decrement_nesting()
        torch.clear_autocast_cache()
        torch.set_autocast_enabled("cuda", previous[0])
        torch.set_autocast_dtype("cuda", previous[1])


def moved(model):
    """The model with empty parameters and buffers on the GPU."""
    for module in model.modules():
        for name, p in module.named_parameters(recurse=False):
            empty = torch.empty(p.shape, dtype=p.dtype, device="cuda")
            setattr(module, name, nn.Parameter(empty))
        for name, b in module.named_buffers(recurse=False):
            setattr(module, name, torch.empty(b.shape, dtype=b.dtype, device="cuda"))
    return model


def devices_of_loss(family, **keys):
    """Devices of the loss and of its sums."""
    cfg = small_cfg(family, **KEYS.get(family, {}), **keys)
    model, task, rng = build_model(cfg), build_task(cfg), np.random.default_rng(0)
    frames = [2, 4] if num_pathways(family) == 2 else [4]
    with FakeTensorMode(), half_precision():
        batch = {
            "clips": [torch.zeros(2, 3, num, 32, 32, device="cuda") for num in frames],
            "labels": torch.zeros(2, dtype=torch.long, device="cuda"),
            "boxes": torch.zeros(3, 5, device="cuda"),
            "box_labels": torch.zeros(3, 5, device="cuda"),
        }
        loss, sums = task.loss(moved(model).train(), batch, rng)
    return {value.device.type for value in (loss, *sums.values())}


@pytest.mark.slow
@pytest.mark.parametrize("family", slow_but(["SlowFast", "VoV3D"], FAMILIES))
def test_family_stays_on_the_gpu(family):
    assert devices_of_loss(family) == {"cuda"}


@pytest.mark.slow
@pytest.mark.parametrize(
    "keys",
    [{"BN.NORM_TYPE": "sub_batchnorm", "BN.NUM_SPLITS": 2}, {"MIXUP.ENABLE": True}, BOXES],
)
def test_options_stay_on_the_gpu(keys):
    assert devices_of_loss("X3D", **keys) == {"cuda"}


def test_a_tensor_of_the_cpu_is_noticed():
    with FakeTensorMode(), pytest.raises(RuntimeError, match="[Dd]evice"):
        torch.zeros(2, 2, device="cuda") + torch.zeros(2, 2)
