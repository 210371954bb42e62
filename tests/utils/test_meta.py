import pytest
import torch
import torch.nn.functional as F

from slowfast.utils.meta import OPERATORS, PRODUCTS, QuickShapes

TABLE = OPERATORS | PRODUCTS


def _rand(*shape):
    return torch.rand(shape)


CALLS = [
    (F.conv3d, (_rand(2, 4, 5, 9, 8), _rand(6, 2, 3, 3, 1), None, (1, 2, 3), 1, 1, 2), {}),
    (F.conv2d, (_rand(2, 4, 9, 8), _rand(6, 4, 3, 3)), {"padding": (2, 0), "dilation": 2}),
    (F.batch_norm, (_rand(2, 3, 4), _rand(3), _rand(3)), {}),
    (F.layer_norm, (_rand(2, 3, 4), (4,)), {}),
    (F.silu, (_rand(2, 3),), {}),
    (F.gelu, (_rand(2, 3),), {}),
    (torch.sigmoid, (_rand(2, 3),), {}),
    (torch.softmax, (_rand(2, 3), 1), {}),
    (torch.Tensor.softmax, (_rand(2, 3), -1), {}),
    (torch.Tensor.add, (_rand(2, 1, 4), _rand(3, 1)), {}),
    (torch.Tensor.sub, (_rand(2), 3.0), {}),
    (torch.Tensor.mul, (_rand(1, 4), _rand(2, 3, 1)), {}),
    (torch.Tensor.div, (_rand(2, 3), 2), {}),
    (F.max_pool3d, (_rand(1, 2, 5, 8, 9), (1, 3, 2), (1, 2, 2), (0, 1, 1)), {}),
    (F.max_pool3d, (_rand(1, 2, 5, 8, 7), 3), {"stride": 2, "ceil_mode": True}),
    (F.max_pool2d, (_rand(1, 2, 8, 9), 2), {"padding": 1, "ceil_mode": True}),
    (F.avg_pool3d, (_rand(1, 2, 4, 8, 9), (4, 3, 3)), {"stride": 1}),
    (F.avg_pool2d, (_rand(1, 2, 8, 9), 3, 2, 1), {}),
    (torch.Tensor.mean, (_rand(2, 3, 4, 5), (2, -1)), {}),
    (torch.Tensor.mean, (_rand(2, 3, 4), 1, True), {}),
    (torch.cat, ([_rand(2, 3, 4), _rand(2, 5, 4)],), {"dim": 1}),
    (F.linear, (_rand(2, 3, 4), _rand(5, 4), _rand(5)), {}),
    (torch.bmm, (_rand(2, 3, 4), _rand(2, 4, 5)), {}),
    (F.scaled_dot_product_attention, (_rand(1, 2, 3, 4), _rand(1, 2, 5, 4), _rand(1, 2, 5, 4)), {}),
]


@pytest.mark.parametrize("function, args, kwargs", CALLS)
def test_shapes_are_those_that_torch_computes(function, args, kwargs):
    args_on_meta = torch.utils._pytree.tree_map_only(torch.Tensor, lambda x: x.to("meta"), args)
    with torch.no_grad():
        found = TABLE[function](*args_on_meta, **kwargs)
        expected = function(*args, **kwargs)
    assert found.is_meta and found.dtype == expected.dtype
    assert found.shape == expected.shape


def test_every_operator_is_compared():
    assert {function for function, _, _ in CALLS} | {F.conv1d} == set(TABLE)


def test_shapes_that_do_not_fit_get_the_message_of_torch():
    x, weight = torch.rand(1, 3, 4, 4, device="meta"), torch.rand(2, 5, 1, 1, device="meta")
    with torch.no_grad(), QuickShapes(TABLE), pytest.raises(RuntimeError):
        F.conv2d(x, weight)


def test_an_activation_in_place_gives_the_same_tensor_changed_once_more():
    x = torch.rand(2, 3, device="meta")
    with torch.no_grad(), QuickShapes(TABLE):
        y = F.silu(x, inplace=True)
    assert y is x and x._version == 1
