import pytest
import torch
from torch import nn

from slowfast.models.layers import NonLocal


def block(*, pool=(1, 2, 2), instantiation="softmax", num_groups=1, dim=4):
    torch.manual_seed(0)
    return NonLocal(
        dim, pool=pool, instantiation=instantiation, num_groups=num_groups, norm=nn.BatchNorm3d
    ).eval()


def maps(*shape, dim=4):
    return torch.randn(2, dim, *shape, generator=torch.Generator().manual_seed(1))


def attention(model, x, pool):
    """The block written out position by position; batch norm starts as (almost) the identity."""
    pooled = nn.functional.max_pool3d(x, pool)
    query, key, value = model.conv_theta(x), model.conv_phi(pooled), model.conv_g(pooled)
    weights = torch.einsum("ncthw,ncxyz->nthwxyz", query, key)
    if model.instantiation == "softmax":
        weights = (weights / query.shape[1] ** 0.5).flatten(4).softmax(-1).view_as(weights)
    else:
        weights = weights / key[0, 0].numel()
    out = torch.einsum("nthwxyz,ncxyz->ncthw", weights, value)
    return x + model.bn(model.conv_out(out))


@pytest.mark.parametrize("instantiation", ["softmax", "dot_product"])
@pytest.mark.parametrize("pool", [(1, 1, 1), (1, 2, 2), (2, 2, 2)])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last_3d])
def test_every_position_attends_to_the_pooled_map(instantiation, pool, layout):
    model, x = block(pool=pool, instantiation=instantiation), maps(4, 5, 6)
    y = model(x.contiguous(memory_format=layout))
    torch.testing.assert_close(y, attention(model, x, pool))


def test_groups_are_runs_of_frames_that_attend_to_themselves():
    x = maps(4, 4, 4)
    expected = torch.cat([block()(x[:, :, :2]), block()(x[:, :, 2:])], 2)
    torch.testing.assert_close(block(num_groups=2)(x), expected)


def test_groups_that_do_not_divide_the_frames_are_named():
    with pytest.raises(ValueError, match="NONLOCAL.GROUP: 3 does not divide the 4 frames"):
        block(num_groups=3)(maps(4, 4, 4))


def test_pool_shrinks_to_a_map_that_is_smaller():
    assert block(pool=(2, 2, 2))(maps(1, 1, 3)).shape == (2, 4, 1, 1, 3)


def test_unknown_instantiation_names_the_key():
    with pytest.raises(ValueError, match="NONLOCAL.INSTANTIATION: 'gaussian' is not one of"):
        block(instantiation="gaussian")


def test_names_are_those_of_released_weights():
    names = [name for name, _ in block().named_parameters()]
    convs = ["conv_theta", "conv_phi", "conv_g", "conv_out"]
    expected = [f"{conv}.{kind}" for conv in convs for kind in ("weight", "bias")]
    assert names == [*expected, "bn.weight", "bn.bias"]


def test_output_stays_channels_last():
    x = maps(4, 4, 4, dim=8).contiguous(memory_format=torch.channels_last_3d)
    for num_groups in (1, 2):
        y = block(dim=8, num_groups=num_groups)(x)
        assert y.is_contiguous(memory_format=torch.channels_last_3d)
