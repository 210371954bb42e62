"""Triton kernels of depthwise convolutions, on a GPU or in Triton's interpreter.

The interpreter has to be asked for before triton is imported: one test runs this file anew with
TRITON_INTERPRET=1. Another compiles the kernels for GPUs that need not be there.
"""

import importlib.util
import math
import os
import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F

from slowfast.config.defaults import get_cfg
from slowfast.models import build_model
from slowfast.models.build import check_depthwise
from slowfast.models.conv import conv3d, set_depthwise
from slowfast.models.depthwise import launch
from slowfast.models.slimmable import make_slimmable, width

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
has_triton = pytest.mark.skipif(
    importlib.util.find_spec("triton") is None, reason="triton is not installed"
)
runs = pytest.mark.skipif(bool(launch.missing(DEVICE)), reason=launch.missing(DEVICE))
NOT_INTERPRETED = pytest.mark.skipif(
    os.environ.get("TRITON_INTERPRET") == "1", reason="this is the interpreter"
)
ON_CPU = pytest.mark.skipif(DEVICE != "cpu", reason="a fact about machines without a GPU")

# Those of the networks in the table of models (3x3x3 not of strides 4, 8), padded by kernel // 2.
IN_USE = [
    ((3, 3, 3), (1, 1, 1)),
    ((3, 3, 3), (1, 2, 2)),
    ((3, 3, 3), (2, 2, 2)),
    ((1, 3, 3), (1, 1, 1)),
    ((1, 3, 3), (1, 2, 2)),
    ((1, 5, 5), (1, 4, 4)),
    ((1, 9, 9), (1, 8, 8)),
    ((3, 1, 1), (1, 1, 1)),
    ((5, 1, 1), (1, 1, 1)),
]
TOLERANCES = {torch.float32: 1e-5, torch.float16: 2e-3, torch.bfloat16: 1.6e-2}


def parts(kernel, *, dtype=torch.float32, dim=3, size=(3, 4, 5)):
    """A clip, a weight and a bias."""
    generator = torch.Generator().manual_seed(0)
    shapes = (1, dim, *size), (dim, 1, *kernel), (dim,)
    tensors = [torch.randn(shape, generator=generator).to(DEVICE) for shape in shapes]
    tensors[0] = tensors[0].to(dtype).contiguous(memory_format=torch.channels_last_3d)
    return [tensor.requires_grad_() for tensor in tensors]


def assert_like_float64(tensors, stride, padding):
    """Output and gradients are those of F.conv3d in float64, up to the rounding of their type."""
    x, weight, bias = tensors
    exact = [tensor.detach().double().requires_grad_() for tensor in tensors]
    expected = F.conv3d(*exact, stride, padding, groups=x.shape[1])
    y = launch.convolve(x, weight, bias, stride, padding)
    grad = torch.randn(y.shape, generator=torch.Generator().manual_seed(1)).to(y)
    tolerance = TOLERANCES[x.dtype]
    found = [y, *torch.autograd.grad(y, tensors, grad)]
    wanted = [expected, *torch.autograd.grad(expected, exact, grad.double())]
    for ours, theirs in zip(found, wanted, strict=True):
        torch.testing.assert_close(ours.double(), theirs, rtol=tolerance, atol=tolerance)
    assert y.dtype == x.dtype and y.is_contiguous(memory_format=torch.channels_last_3d)


@runs
@pytest.mark.parametrize(("kernel", "stride"), IN_USE)
def test_kernels_in_use_equal_float64(kernel, stride):
    size = (3, 5, 4) if kernel[0] > 1 else (1, 5, 9)
    assert_like_float64(parts(kernel, size=size), stride, tuple(k // 2 for k in kernel))


@runs
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize(
    ("kernel", "stride"), [((3, 1, 1), (1, 1, 1)), ((1, 3, 3), (1, 2, 2)), ((5, 1, 1), (1, 1, 1))]
)
def test_short_types_equal_float64(kernel, stride, dtype):
    tensors = parts(kernel, dtype=dtype)
    assert_like_float64(tensors, stride, tuple(k // 2 for k in kernel))


@runs
@pytest.mark.parametrize(
    ("kernel", "stride", "padding"),
    [
        ((3, 3, 3), (1, 1, 1), (0, 1, 0)),
        ((7, 1, 1), (1, 1, 1), (3, 0, 0)),
        ((2, 3, 1), (1, 1, 2), (0, 1, 0)),
        ((3, 1, 1), (2, 1, 1), (1, 0, 0)),
    ],
)
def test_other_kernels_and_paddings(kernel, stride, padding):
    assert_like_float64(parts(kernel, size=(4, 4, 5)), stride, padding)


@runs
@pytest.mark.parametrize("dim", [17, 70])
def test_channels_of_several_programs(dim):
    assert_like_float64(parts((3, 1, 1), dim=dim, size=(2, 1, 33)), (1, 1, 1), (1, 0, 0))


@runs
@pytest.mark.parametrize("size", [(1, 4, 4), (2, 1, 1)])
def test_clip_smaller_than_the_kernel(size):
    assert_like_float64(parts((3, 3, 3), size=size), (1, 1, 1), (1, 1, 1))


@runs
def test_batch_without_clips():
    x, weight, bias = parts((3, 1, 1))
    y = launch.convolve(x[:0], weight, bias, (1, 1, 1), (1, 0, 0))
    y.sum().backward()
    assert y.shape == (0, *x.shape[1:]) and not weight.grad.any()


def layer(*, dim=8, **options):
    torch.manual_seed(0)
    conv = conv3d(dim, dim, (3, 1, 1), groups=dim, **options)
    assert set_depthwise(conv, "triton") == 1
    return conv.to(DEVICE)


def calls_of(conv, x, monkeypatch):
    """Output of the layer, and how often it called our kernels."""
    calls, convolve = [], launch.convolve
    monkeypatch.setattr(launch, "convolve", lambda *args: calls.append(1) or convolve(*args))
    return conv(x), len(calls)


@runs
def test_layer_takes_the_kernels(monkeypatch):
    conv, x = layer(bias=True), parts((1, 1, 1), dim=8)[0]
    y, num_calls = calls_of(conv, x, monkeypatch)
    torch.testing.assert_close(y, F.conv3d(x, conv.weight, conv.bias, 1, (1, 0, 0), groups=8))
    assert num_calls == 1


@runs
@pytest.mark.parametrize("make", [lambda x: x.double(), lambda x: x.to("meta")])
def test_other_tensors_do_not_reach_the_kernels(make, monkeypatch):
    x = make(parts((1, 1, 1), dim=8)[0])
    y, num_calls = calls_of(layer().to(x.device, x.dtype), x, monkeypatch)
    assert (y.shape, num_calls) == (x.shape, 0)


@runs
def test_dilated_layer_does_not_reach_the_kernels(monkeypatch):
    conv = conv3d(8, 8, (3, 1, 1), groups=8, dilation=(2, 1, 1)).to(DEVICE)
    conv.depthwise = "triton"
    assert calls_of(conv, parts((1, 1, 1), dim=8)[0], monkeypatch)[1] == 0


@runs
def test_narrow_layer_takes_the_leading_channels():
    conv, x = make_slimmable(layer(dim=16)), parts((1, 1, 1), dim=16)[0]
    with width(conv, 0.5):
        y = conv(x[:, :8])
    torch.testing.assert_close(y, conv(x)[:, :8])
    y.sum().backward()
    assert conv.weight.grad[:8].all() and not conv.weight.grad[8:].any()


@runs
def test_autocast():
    conv, x = layer(), parts((1, 1, 1), dim=8)[0]
    with torch.autocast(DEVICE, torch.bfloat16):
        y = conv(x)
    y.float().sum().backward()
    assert y.dtype == torch.bfloat16
    assert conv.weight.grad.dtype == x.grad.dtype == torch.float32


@runs
def test_second_derivative_is_refused():
    x = parts((1, 1, 1), dim=8)[0]
    (grad,) = torch.autograd.grad(layer()(x).square().sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        grad.sum().backward()


@runs
def test_frozen_weight():
    conv, x = layer().requires_grad_(False), parts((1, 1, 1), dim=8)[0]
    conv(x).sum().backward()
    assert x.grad is not None and conv.weight.grad is None


@runs
def test_gradient_in_other_memory_order():
    conv, x = layer(), parts((1, 1, 1), dim=8)[0]
    grad = torch.randn(x.shape, device=DEVICE)  # contiguous
    expected = F.conv3d(x, conv.weight, None, 1, (1, 0, 0), groups=8)
    torch.testing.assert_close(
        torch.autograd.grad(conv(x), [x, conv.weight], grad),
        torch.autograd.grad(expected, [x, conv.weight], grad),
    )


@runs
def test_compiled():
    conv, x = layer(), parts((1, 1, 1), dim=8)[0]
    y = torch.compile(conv, backend="aot_eager", fullgraph=True)(x)
    torch.testing.assert_close(
        torch.autograd.grad(y.sum(), conv.weight), torch.autograd.grad(conv(x).sum(), conv.weight)
    )


@has_triton
@ON_CPU
@NOT_INTERPRETED
@pytest.mark.slow
def test_this_file_passes_in_the_interpreter():
    env = {**os.environ, "TRITON_INTERPRET": "1"}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", __file__]
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-4000:]
    assert " passed" in done.stdout and "it needs a GPU" not in done.stdout


class AbsentGpu:
    """Triton's driver of an H100, as far as compiling needs it."""

    def get_current_target(self):
        from triton.backends.compiler import GPUTarget

        return GPUTarget("cuda", 90, 32)

    def get_current_device(self):
        return 0

    def get_current_stream(self, device):
        return 0


@has_triton
@ON_CPU
@NOT_INTERPRETED
@pytest.mark.slow
def test_kernels_compile_for_a_gpu_that_is_not_there(tmp_path, monkeypatch):
    from triton.runtime import driver
    from triton.runtime.jit import JITFunction

    names, run = [], JITFunction.run

    def compile_only(function, *args, warmup, **kwargs):
        names.append(run(function, *args, warmup=True, **kwargs).name)

    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(JITFunction, "run", compile_only)
    monkeypatch.setattr(driver, "_active", AbsentGpu())
    for kernel, stride in [((3, 1, 1), (1, 1, 1)), ((1, 3, 3), (1, 2, 2))]:
        x, weight = torch.zeros(1, 54, 4, 8, 8, dtype=torch.bfloat16), torch.zeros(54, 1, *kernel)
        x.requires_grad_(), weight.requires_grad_()
        launch.convolve(x, weight, None, stride, tuple(k // 2 for k in kernel)).sum().backward()
    first, second = ["convolve_window"] * 2, ["convolve"] * 2
    assert names == [*first, "weight_gradient", *second, "weight_gradient"]


@pytest.mark.parametrize("num_channels", [1, 24, 54, 108, 216, 432, 630])
def test_less_than_a_fifth_of_a_programs_channels_is_idle(num_channels):
    block = launch.tile_of(56, 56, num_channels)[2]
    assert block <= 16 or math.ceil(num_channels / block) * block < 1.35 * num_channels


@ON_CPU
def test_triton_without_a_gpu_is_refused(monkeypatch):
    monkeypatch.setattr(launch, "_HAS_TRITON", True)
    monkeypatch.setattr(launch, "_IS_INTERPRETED", False)
    assert "TRITON_INTERPRET=1" in next(check_depthwise("triton", 0))
    assert [*check_depthwise("triton", 1), *check_depthwise("fold", 0)] == []


def test_triton_that_is_not_installed_is_refused(monkeypatch):
    monkeypatch.setattr(launch, "_HAS_TRITON", False)
    assert "not installed" in next(check_depthwise("triton", 1))


def test_network_without_depthwise_convolutions_is_refused():
    cfg = get_cfg()
    cfg.MODEL.MODEL_NAME, cfg.MODEL.ARCH, cfg.MODEL.DEPTHWISE = "ResNet", "slow", "torch"
    cfg.RESNET.DEPTH, cfg.DATA.INPUT_CHANNEL_NUM = 50, [3]
    with torch.device("meta"), pytest.raises(ValueError, match="MODEL.DEPTHWISE: torch must be"):
        build_model(cfg)


@pytest.mark.parametrize("kernel", [(1, 3, 3), (3, 1, 1), (3, 3, 3)])
@pytest.mark.parametrize("way", ["torch", "fold"])
def test_other_ways_give_the_same_numbers(way, kernel):
    conv = conv3d(4, 4, kernel, groups=4).to(DEVICE)
    set_depthwise(conv, way)
    x = torch.randn(2, 4, 3, 4, 5, device=DEVICE)
    expected = F.conv3d(x, conv.weight, None, 1, conv.padding, groups=4)
    torch.testing.assert_close(conv(x), expected)


@ON_CPU
def test_torch_keeps_the_memory_order_of_nn_conv3d():
    conv = conv3d(4, 4, (1, 3, 3), groups=4)
    set_depthwise(conv, "torch")
    assert conv(torch.randn(2, 4, 3, 4, 5)).is_contiguous()
