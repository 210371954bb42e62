import pytest
import torch
import torch.nn.functional as F
from torch import nn

from slowfast.models.batch_norm import _LEAST, BatchNorm3d, batch_norm


def clips(*shape: int, dtype=torch.float64) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    x = 3 * torch.randn(shape, generator=generator, dtype=dtype) + 2
    return x.to(memory_format=torch.channels_last_3d).requires_grad_()


def pair(dim: int, **kwargs) -> tuple[BatchNorm3d, nn.BatchNorm3d]:
    """Ours and PyTorch's with the same parameters."""
    ours, theirs = BatchNorm3d(dim, **kwargs).double(), nn.BatchNorm3d(dim, **kwargs).double()
    torch.manual_seed(0)
    for parameter in ours.parameters():
        nn.init.normal_(parameter)
    theirs.load_state_dict(ours.state_dict())
    return ours, theirs


# Channels that fill registers after joining 4, 2, 8 and 1 positions; positions that allow fewer.
SHAPES = [(2, 20, 4, 3, 4), (2, 40, 2, 3, 3), (2, 54, 2, 2, 4), (2, 32, 2, 2, 2), (3, 20, 3, 3, 3)]


@pytest.mark.parametrize("shape", SHAPES)
def test_training_equals_batch_norm(shape):
    x = clips(*shape)
    ours, theirs = pair(shape[1])
    y, expected = ours(x), theirs(x)
    grad = torch.randn_like(expected)
    torch.testing.assert_close(y, expected)
    torch.testing.assert_close(
        torch.autograd.grad(y, [x, *ours.parameters()], grad),
        torch.autograd.grad(expected, [x, *theirs.parameters()], grad),
    )
    torch.testing.assert_close(ours.state_dict(), theirs.state_dict())


def test_gradients_numerically():
    ours, _ = pair(2)
    x = clips(2, 2, 2, 2, 2)

    def forward(x, weight, bias):
        return batch_norm(
            x, torch.zeros(2).double(), torch.ones(2).double(), weight, bias, 0.1, 1e-5
        )

    assert torch.autograd.gradcheck(forward, (x, ours.weight, ours.bias))


def test_evaluation_equals_batch_norm():
    x, (ours, theirs) = clips(2, 20, 2, 3, 4), pair(20)
    ours(x), theirs(x)
    torch.testing.assert_close(ours.eval()(x), theirs.eval()(x))


def test_cumulative_average():
    ours, theirs = pair(20, momentum=None)
    for scale in (1, 2, 5):
        x = clips(2, 20, 2, 2, 2) * scale
        ours(x), theirs(x)
    torch.testing.assert_close(ours.state_dict(), theirs.state_dict())


@pytest.mark.parametrize("options", [{"affine": False}, {"track_running_stats": False}])
def test_options_of_batch_norm(options):
    x, (ours, theirs) = clips(2, 20, 2, 2, 2), pair(20, **options)
    torch.testing.assert_close(ours(x), theirs(x))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_lower_precision(dtype):
    x, (ours, theirs) = clips(2, 20, 2, 3, 4, dtype=dtype), pair(20)
    ours, theirs = ours.float(), theirs.double()
    y = ours(x)
    assert y.dtype == dtype
    tolerance = torch.finfo(dtype).eps * 8
    torch.testing.assert_close(y.double(), theirs(x.double()), rtol=tolerance, atol=tolerance)


@pytest.fixture
def packs_small_maps(monkeypatch):
    monkeypatch.setitem(_LEAST, torch.bfloat16, 0)


@pytest.mark.parametrize("shape", SHAPES[:3])
def test_bfloat16_has_statistics_and_sums_in_float32(shape, packs_small_maps):
    x, (ours, theirs) = clips(*shape, dtype=torch.bfloat16), pair(shape[1])
    ours, exact = ours.float(), x.detach().double().requires_grad_()
    y, expected = ours(x), theirs(exact)
    assert y.dtype == torch.bfloat16 and type(y.grad_fn).__name__ == "_BatchNormBackward"
    torch.testing.assert_close(y.double(), expected, rtol=0.01, atol=0.02)
    grad = torch.randn_like(y)
    found = torch.autograd.grad(y, [x, *ours.parameters()], grad)
    right = torch.autograd.grad(expected, [exact, *theirs.parameters()], grad.double())
    torch.testing.assert_close(found[0].double(), right[0], rtol=0.02, atol=0.02)
    for one, other in zip(found[1:], right[1:], strict=True):
        torch.testing.assert_close(one, other.float(), rtol=1e-4, atol=1e-4)
    for name in ("running_mean", "running_var"):
        torch.testing.assert_close(getattr(ours, name), getattr(theirs, name).float())


def test_gradients_of_bfloat16_are_as_near_as_those_of_pytorch(packs_small_maps):
    x, (ours, theirs) = clips(2, 54, 4, 4, 4, dtype=torch.bfloat16), pair(54)
    exact = x.detach().double().requires_grad_()
    grad = torch.randn_like(x)
    (right,) = torch.autograd.grad(theirs(exact), exact, grad.double())
    ours, theirs = ours.float(), theirs.float()
    errors = [
        float((torch.autograd.grad(norm(x), x, grad)[0].double() - right).norm())
        for norm in (ours, theirs)
    ]
    assert errors[0] < 1.5 * errors[1]


def test_output_keeps_the_memory_format_and_may_be_changed_in_place():
    x, (ours, theirs) = clips(2, 20, 2, 3, 4), pair(20)
    y = F.relu(ours(x), inplace=True)
    assert y.is_contiguous(memory_format=torch.channels_last_3d)
    (grad,) = torch.autograd.grad(y.sum(), x)
    assert grad.is_contiguous(memory_format=torch.channels_last_3d)
    torch.testing.assert_close(grad, torch.autograd.grad(F.relu(theirs(x)).sum(), x)[0])


def test_mean_far_from_zero():
    x = (clips(4, 20, 2, 4, 4, dtype=torch.float32) + 1000).detach()
    ours, theirs = pair(20)
    y = ours.float()(x)
    torch.testing.assert_close(y.double(), theirs(x.double()), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("dim", [16, 20])
def test_one_value_per_channel_is_refused_by_the_keys_that_help(dim):
    with pytest.raises(ValueError, match="TRAIN.BATCH_SIZE.*BN.NUM_SPLITS.*MODEL.FROZEN_BN"):
        pair(dim)[0](clips(1, dim, 1, 1, 1))


@pytest.mark.slow
def test_compiled():
    x, (ours, theirs) = clips(2, 20, 2, 3, 4), pair(20)
    compiled = torch.compile(ours, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(compiled(x), theirs(x))
