import pytest
import torch
import torch.nn.functional as F
from torch import nn

from slowfast.models.conv import Conv3d, conv3d, max_pool3d

KERNELS = [(1, 3, 3), (3, 1, 1), (5, 1, 1), (3, 3, 3), (3, 1, 3), (2, 3, 3), (1, 1, 1)]
STRIDES = [1, (1, 2, 2), (2, 1, 1), (2, 2, 2), (3, 2, 1)]


def clips(*shape: int, dtype=torch.float64) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(shape, generator=generator, dtype=dtype)
    return x.to(memory_format=torch.channels_last_3d).requires_grad_()


def depthwise(kernel, *, dim=4, **kwargs) -> nn.Conv3d:
    torch.manual_seed(0)
    return conv3d(dim, dim, kernel, groups=dim, **kwargs).double()


def plain(conv: nn.Conv3d, x: torch.Tensor) -> torch.Tensor:
    return F.conv3d(
        x, conv.weight, conv.bias, conv.stride, conv.padding, conv.dilation, conv.groups
    )


def assert_like_plain(conv: nn.Conv3d, x: torch.Tensor) -> None:
    """Output and gradients of input and parameters are those of F.conv3d."""
    expected = plain(conv, x)
    grad = torch.randn_like(expected)
    y = conv(x)
    torch.testing.assert_close(y, expected)
    inputs = [x, *conv.parameters()]
    torch.testing.assert_close(
        torch.autograd.grad(y, inputs, grad), torch.autograd.grad(expected, inputs, grad)
    )


@pytest.mark.parametrize("stride", STRIDES)
@pytest.mark.parametrize("kernel", KERNELS)
def test_depthwise_equals_plain_convolution(kernel, stride):
    assert_like_plain(depthwise(kernel, stride=stride), clips(2, 4, 5, 6, 7))


@pytest.mark.parametrize("padding", [0, 1, (1, 0, 1), (0, 1, 2)])
@pytest.mark.parametrize("kernel", KERNELS)
def test_any_padding(kernel, padding):
    assert_like_plain(depthwise(kernel, padding=padding), clips(2, 4, 5, 6, 7))


@pytest.mark.parametrize("kernel", [(1, 3, 3), (3, 1, 1), (3, 3, 3)])
def test_bias(kernel):
    assert_like_plain(depthwise(kernel, bias=True), clips(2, 4, 3, 4, 5))


@pytest.mark.parametrize("kernel", [(1, 3, 3), (5, 1, 1), (3, 3, 3)])
@pytest.mark.parametrize("shape", [(1, 4, 1, 5, 4), (3, 4, 1, 5, 4), (2, 4, 2, 1, 1)])
def test_clips_shorter_or_smaller_than_the_kernel(kernel, shape):
    assert_like_plain(depthwise(kernel), clips(*shape))


def test_kernel_much_longer_than_the_clip():
    assert_like_plain(depthwise((7, 3, 3)), clips(1, 4, 2, 3, 3))


@pytest.mark.parametrize("kernel", [(1, 3, 3), (3, 1, 1), (3, 3, 3)])
def test_batch_without_clips(kernel):
    assert depthwise(kernel)(clips(0, 4, 3, 4, 5)).shape == (0, 4, 3, 4, 5)


@pytest.mark.parametrize("kernel", [(1, 3, 3), (3, 1, 1), (3, 3, 3)])
def test_gradients_numerically(kernel):
    conv = depthwise(kernel, dim=2)
    x = clips(2, 2, 2, 3, 3)
    assert torch.autograd.gradcheck(
        lambda x, weight: _with_weight(conv, weight)(x), (x, conv.weight)
    )


def _with_weight(conv: nn.Conv3d, weight: torch.Tensor):
    return lambda x: torch.func.functional_call(conv, {"weight": weight}, (x,))


@pytest.mark.parametrize("is_channels_last", [True, False])
@pytest.mark.parametrize("kernel", [(1, 3, 3), (3, 1, 1), (3, 3, 3)])
def test_output_is_channels_last(kernel, is_channels_last):
    x = clips(2, 4, 3, 4, 5, dtype=torch.float32)
    x = x if is_channels_last else x.contiguous()
    y = depthwise(kernel, stride=(1, 2, 2)).float()(x)
    assert y.is_contiguous(memory_format=torch.channels_last_3d)


@pytest.mark.skipif(
    torch.__version__.startswith("2.6."), reason="torch 2.6 has another order, which takes longer"
)
@pytest.mark.parametrize("kernel", [(1, 3, 3), (3, 1, 1), (3, 3, 3)])
def test_gradient_of_the_input_is_channels_last(kernel):
    x = clips(2, 4, 3, 4, 5, dtype=torch.float32)
    (grad,) = torch.autograd.grad(depthwise(kernel).float()(x).sum(), x)
    assert grad.is_contiguous(memory_format=torch.channels_last_3d)


def test_gradient_in_other_memory_order():
    conv, x = depthwise(3), clips(2, 4, 3, 4, 5)
    grad = torch.randn(2, 5, 4, 3, 4, dtype=torch.float64).permute(0, 4, 3, 2, 1)
    torch.testing.assert_close(
        torch.autograd.grad(conv(x), x, grad), torch.autograd.grad(plain(conv, x), x, grad)
    )


@pytest.mark.parametrize("kernel", [(1, 3, 3), (3, 1, 1), (3, 3, 3)])
def test_autocast(kernel):
    conv, x = depthwise(kernel).float(), clips(2, 4, 3, 4, 5, dtype=torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        y = conv(x)
    y.float().sum().backward()
    assert y.dtype == torch.bfloat16
    assert conv.weight.grad.dtype == x.grad.dtype == torch.float32
    torch.testing.assert_close(y.float(), plain(conv, x), rtol=0.02, atol=0.02)
    torch.testing.assert_close(
        conv.weight.grad,
        torch.autograd.grad(plain(conv, x).sum(), conv.weight)[0],
        rtol=0.05,
        atol=0.3,
    )


@pytest.mark.parametrize("stride", [(1, 2, 2), (2, 2, 2)])
def test_strided_gradients_in_bfloat16(stride):
    """Not those of PyTorch's depthwise Conv2d, which are slow."""
    conv, x = depthwise((1, 3, 3), stride=stride).float(), clips(2, 4, 4, 5, 6, dtype=torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        y = conv(x)
    assert "DepthwiseConv3d" in type(y.grad_fn).__name__
    grad = torch.randn_like(y)
    expected = torch.autograd.grad(plain(conv, x), [x, conv.weight], grad.float())
    found = torch.autograd.grad(y, [x, conv.weight], grad)
    torch.testing.assert_close(found, expected, rtol=0.02, atol=0.1)


@pytest.mark.parametrize("kernel", [(1, 3, 3), (3, 1, 1), (3, 3, 3)])
def test_output_may_be_changed_in_place(kernel):
    conv, x = depthwise(kernel), clips(2, 4, 3, 4, 5)
    y = F.relu(conv(x), inplace=True)
    torch.testing.assert_close(
        torch.autograd.grad(y.sum(), x), torch.autograd.grad(F.relu(plain(conv, x)).sum(), x)
    )


@pytest.mark.parametrize("kernel", [(1, 3, 3), (3, 1, 1), (3, 3, 3)])
def test_same_numbers_without_gradients(kernel):
    conv, x = depthwise(kernel), clips(2, 4, 3, 4, 5)
    with torch.no_grad():
        torch.testing.assert_close(conv(x), plain(conv, x))


def test_frozen_weight():
    conv, x = depthwise(3).requires_grad_(False), clips(2, 4, 3, 4, 5)
    conv(x).sum().backward()
    assert x.grad is not None and conv.weight.grad is None


def test_second_derivative_of_a_3x3x3_kernel_is_refused():
    x = clips(1, 4, 3, 3, 3)
    (grad,) = torch.autograd.grad(depthwise(3)(x).square().sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        grad.sum().backward()


@pytest.mark.parametrize("options", [{"dilation": 2}, {"padding_mode": "circular"}])
def test_what_has_no_fast_way_is_nn_conv3d(options):
    torch.manual_seed(0)
    fast = Conv3d(4, 4, 3, padding=1, groups=4, **options).double()
    slow = nn.Conv3d(4, 4, 3, padding=1, groups=4, **options).double()
    slow.load_state_dict(fast.state_dict())
    x = clips(2, 4, 5, 6, 7)
    torch.testing.assert_close(fast(x), slow(x))


def test_clip_without_batch():
    conv, x = depthwise(3), clips(2, 4, 5, 6, 7)
    torch.testing.assert_close(conv(x[0].contiguous()), conv(x)[0])


def test_meta_device():
    conv = depthwise(3, stride=(1, 2, 2)).to("meta")
    assert conv(torch.empty(1, 4, 3, 8, 8, device="meta", dtype=torch.float64)).shape == (
        1,
        4,
        3,
        4,
        4,
    )


@pytest.mark.slow
@pytest.mark.parametrize("kernel", [(1, 3, 3), (3, 1, 1), (3, 3, 3)])
def test_compiled(kernel):
    conv, x = depthwise(kernel), clips(2, 4, 3, 4, 5)
    y = torch.compile(conv, backend="aot_eager", fullgraph=True)(x)
    torch.testing.assert_close(
        torch.autograd.grad(y.sum(), conv.weight), torch.autograd.grad(conv(x).sum(), conv.weight)
    )


def test_names_and_shapes_are_those_of_nn_conv3d():
    shapes = {
        name: tensor.shape for name, tensor in depthwise((1, 3, 3), bias=True).state_dict().items()
    }
    assert shapes == {"weight": (4, 1, 1, 3, 3), "bias": (4,)}


@pytest.mark.parametrize(
    ("dim_in", "dim_out", "groups"), [(4, 6, 1), (4, 8, 4), (4, 4, 2), (1, 1, 1)]
)
@pytest.mark.parametrize("kernel", [1, (1, 3, 3), (3, 1, 1), 3])
@pytest.mark.parametrize("stride", [1, (1, 2, 2), (2, 1, 1)])
def test_other_groups_equal_plain_convolution(dim_in, dim_out, groups, kernel, stride):
    torch.manual_seed(0)
    conv = conv3d(dim_in, dim_out, kernel, stride=stride, groups=groups, bias=True).double()
    assert_like_plain(conv, clips(2, dim_in, 3, 4, 5))


@pytest.mark.parametrize(
    ("kernel", "dilation"), [((1, 3, 3), (1, 2, 2)), ((3, 1, 1), (2, 1, 1)), ((3, 3, 3), (1, 2, 2))]
)
def test_dilation_equals_plain_convolution(kernel, dilation):
    conv = conv3d(4, 6, kernel, dilation=dilation, groups=2).double()
    x = clips(2, 4, 5, 6, 7)
    assert conv(x).shape == (2, 6, 5, 6, 7)
    assert_like_plain(conv, x)


@pytest.mark.parametrize(
    ("kernel", "stride", "padding"),
    [
        ((1, 3, 3), (1, 2, 2), (0, 1, 1)),
        ((2, 1, 1), (2, 1, 1), (0, 0, 0)),
        ((2, 2, 2), (2, 2, 2), (0, 0, 0)),
        ((1, 1, 1), (1, 1, 1), (0, 0, 0)),
    ],
)
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last_3d])
def test_max_pool_equals_plain_max_pool(kernel, stride, padding, layout):
    x = clips(2, 4, 5, 6, 7).detach().contiguous(memory_format=layout).requires_grad_()
    y = max_pool3d(x, kernel, stride=stride, padding=padding)
    expected = F.max_pool3d(x, kernel, stride, padding)
    grad = torch.randn_like(expected)
    torch.testing.assert_close(y, expected)
    torch.testing.assert_close(
        torch.autograd.grad(y, x, grad), torch.autograd.grad(expected, x, grad)
    )
    assert y.is_contiguous(memory_format=layout)


@pytest.fixture
def one_thread():
    num_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(num_threads)


@pytest.mark.parametrize("stride", [1, (1, 2, 2)])
def test_pointwise_convolution_on_one_thread_keeps_channels_last(one_thread, stride):
    conv, x = conv3d(4, 8, 1, stride=stride), clips(2, 4, 3, 4, 5, dtype=torch.float32)
    assert conv(x).is_contiguous(memory_format=torch.channels_last_3d)
    assert_like_plain(conv.double(), x.detach().double().requires_grad_())


@pytest.mark.slow
def test_compiled_pointwise_convolution_on_one_thread(one_thread):
    conv, x = conv3d(4, 8, 1), clips(2, 4, 3, 4, 5, dtype=torch.float32)
    compiled = torch.compile(conv, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(compiled(x), conv(x))


def test_sizes():
    conv = conv3d(3, 8, (1, 3, 5), stride=2)
    assert (conv.kernel_size, conv.stride, conv.padding) == ((1, 3, 5), (2, 2, 2), (0, 1, 2))
    assert conv.bias is None


@pytest.mark.parametrize("dim_in", [4, 16])
@pytest.mark.parametrize("size", [(6, 8), (5, 7), (1, 1)])
def test_strided_1x1x1_of_few_or_many_channels_equals_plain_convolution(dim_in, size):
    conv = conv3d(dim_in, 8, 1, stride=(1, 2, 2), bias=True).double()
    assert_like_plain(conv, clips(2, dim_in, 3, *size))


def test_narrow_strided_1x1x1_keeps_to_its_memory():
    conv = conv3d(8, 8, 1, stride=(1, 2, 2))
    conv(clips(2, 8, 2, 56, 56, dtype=torch.float32)).sum().backward()  # PyTorch's own crashes
    assert conv.weight.grad.isfinite().all()
