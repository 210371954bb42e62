"""Networks compute on a GPU what they compute on the CPU, in float64."""

import copy

import pytest
import torch
import torch.nn.functional as F

from slowfast.models import MODELS
from slowfast.models.conv import conv3d
from slowfast.models.norm import SyncBatchNorm3d
from slowfast.runtime.device import place_model
from slowfast.runtime.peers import free_address, meet
from tests.helpers.small_networks import clips, small_model

pytestmark = pytest.mark.gpu

BOXES = torch.tensor([[0.0, 2, 3, 20, 30], [1, 4, 4, 28, 25], [1, 0, 0, 31, 31]])
DETECTION = {"DETECTION.ENABLE": True, "DETECTION.SPATIAL_SCALE_FACTOR": 32}
WHOLE = {"MODEL.DROPOUT_RATE": 0.0, "MODEL.DROPCONNECT_RATE": 0.0}


def outputs_and_gradients(model, inputs, device):
    torch.manual_seed(0)  # TRN draws on the CPU
    model = place_model(copy.deepcopy(model), device).train()
    clips, *boxes = inputs
    clips = [clip.to(device, torch.float64) for clip in clips]
    logits = model(clips, *(box.to(device, torch.float64) for box in boxes))
    logits = logits if isinstance(logits, torch.Tensor) else logits.logits
    F.cross_entropy(logits, torch.arange(len(logits), device=device)).backward()
    found = {"logits": logits.detach()}
    found |= {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    found |= {n: b for n, b in model.named_buffers() if b.is_floating_point()}
    return {name: value.cpu() for name, value in found.items()}


def assert_same(model, inputs, cuda):
    model.double()
    expected = outputs_and_gradients(model, inputs, torch.device("cpu"))
    found = outputs_and_gradients(model, inputs, cuda)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        scale = float(value.abs().max())
        torch.testing.assert_close(found[name], value, rtol=1e-6, atol=1e-8 + 1e-7 * scale)


@pytest.mark.parametrize("family", sorted(set(MODELS) - {"external"}))
def test_family_learns_alike(family, cuda):
    depth = {"RESNET.DEPTH": 50} if family == "bLVNet" else {}
    assert_same(small_model(family, **WHOLE, **depth), (clips(family),), cuda)


@pytest.mark.parametrize("family", ["ResNet", "SlowFast", "X3D"])
def test_boxes_are_classified_alike(family, cuda):
    assert_same(small_model(family, **WHOLE, **DETECTION), (clips(family), BOXES), cuda)


@pytest.mark.parametrize("stride", [1, (1, 2, 2), (2, 1, 1)])
@pytest.mark.parametrize("kernel", [(1, 3, 3), (3, 1, 1), (3, 3, 3), (1, 1, 1)])
@pytest.mark.parametrize("groups", [1, 4])
def test_convolution_is_alike(kernel, stride, groups, cuda):
    torch.manual_seed(0)
    conv = conv3d(4, 4, kernel, stride=stride, groups=groups).double()
    x = torch.randn(2, 4, 5, 6, 7, dtype=torch.float64)
    expected = conv(x)
    torch.testing.assert_close(copy.deepcopy(conv).to(cuda)(x.to(cuda)).cpu(), expected)


@pytest.fixture
def nccl():
    meet("nccl", free_address(), rank=0, world_size=1, gpu=0, minutes=1)
    yield
    torch.distributed.destroy_process_group()


@pytest.mark.parametrize("order", [torch.contiguous_format, torch.channels_last_3d])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_kernels_of_sync_batch_norm_compute_a_batch_norm(dtype, order, cuda, nccl):
    torch.manual_seed(0)
    x = torch.randn(3, 6, 2, 5, 4, device=cuda).to(dtype).contiguous(memory_format=order)
    grad, found = torch.randn_like(x), []
    for kind in (SyncBatchNorm3d, torch.nn.BatchNorm3d):
        norm, own = kind(6).to(cuda), x.clone().requires_grad_()
        y = norm(own)
        y.backward(grad)
        found.append([y, own.grad, norm.weight.grad, norm.bias.grad, norm.running_var])
    close = 1e-4 if dtype == torch.float32 else 2e-2
    torch.testing.assert_close(*found, rtol=close, atol=close)
