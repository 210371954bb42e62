import copy

import pytest
import torch
from torch import nn

from slowfast.config.defaults import get_cfg
from slowfast.models.norm import (
    SubBatchNorm3d,
    SyncBatchNorm3d,
    build_norm,
    make_norm,
    replace_norms,
)


def clips(num=4, dim=3, dtype=torch.float64):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(num, dim, 2, 3, 3, generator=generator, dtype=dtype)
    return x * 2.0 + torch.arange(num, dtype=dtype)[:, None, None, None, None]


def sub_batch_norm(num_splits=2):
    norm = SubBatchNorm3d(3, num_splits).double()
    with torch.no_grad():
        norm.weight.copy_(torch.tensor([0.5, 1.0, 2.0]))
        norm.bias.copy_(torch.tensor([0.1, 0.2, 0.3]))
    return norm


def test_sub_batch_norm_normalises_each_part_like_a_batch_norm_of_its_own():
    x, norm = clips(), sub_batch_norm()
    plain = [nn.BatchNorm3d(3).double() for _ in range(2)]
    for part in plain:
        part.load_state_dict({k: v for k, v in norm.state_dict().items() if "split" not in k})
    expected = [part(values) for part, values in zip(plain, x.chunk(2), strict=True)]
    torch.testing.assert_close(norm(x), torch.cat(expected))
    means = torch.cat([part.running_mean for part in plain])
    torch.testing.assert_close(norm.split_running_mean, means)
    variances = torch.cat([part.running_var for part in plain])
    torch.testing.assert_close(norm.split_running_var, variances)


def test_sub_batch_norm_joins_the_statistics_of_its_parts():
    norm = sub_batch_norm()
    norm.momentum = 1.0
    norm(clips())
    parts = [part.transpose(0, 1).flatten(1) for part in clips().chunk(2)]
    means = torch.stack([part.mean(1) for part in parts])
    variances = torch.stack([part.var(1) for part in parts])
    torch.testing.assert_close(norm.running_mean, means.mean(0))
    expected = variances.mean(0) + means.var(0, correction=0)
    torch.testing.assert_close(norm.running_var, expected)


def test_sub_batch_norm_evaluates_like_a_batch_norm_with_its_state():
    norm, plain = sub_batch_norm(), nn.BatchNorm3d(3).double()
    norm(clips())
    plain.load_state_dict({k: v for k, v in norm.state_dict().items() if "split" not in k})
    torch.testing.assert_close(norm.eval()(clips(3)), plain.eval()(clips(3)))


@pytest.mark.parametrize("num_splits", [1, 2, 4])
def test_sub_batch_norm_loads_states_without_parts_or_with_others(num_splits):
    source = sub_batch_norm(num_splits)
    source(clips())
    state = source.state_dict()
    norm = sub_batch_norm(2)
    if num_splits == 1:
        state = {key: value for key, value in state.items() if "split" not in key}
    norm.load_state_dict(state)
    if num_splits == 2:
        torch.testing.assert_close(norm.split_running_var, source.split_running_var)
    else:
        torch.testing.assert_close(norm.split_running_var, source.running_var.repeat(2))
    torch.testing.assert_close(norm.running_var, source.running_var)


def test_sub_batch_norm_keeps_channels_last():
    x = clips().to(memory_format=torch.channels_last_3d)
    out = sub_batch_norm()(x)
    assert out.is_contiguous(memory_format=torch.channels_last_3d)


def test_sub_batch_norm_refuses_a_batch_that_does_not_split():
    with pytest.raises(ValueError, match="BN.NUM_SPLITS: 2 .* 3 clips"):
        sub_batch_norm()(clips(3))


def test_sync_batch_norm_is_plain_in_one_process():
    norm, plain = SyncBatchNorm3d(3).double(), nn.BatchNorm3d(3).double()
    torch.testing.assert_close(norm(clips()), plain(clips()))
    torch.testing.assert_close(norm.state_dict(), plain.state_dict())


def outputs_and_gradients(norm, x):
    """Of a loss that weighs every value differently."""
    x = x.clone().requires_grad_()
    out = norm(x)
    factors = torch.linspace(0, 1, x[0].numel(), dtype=x.dtype).view_as(x[0]).roll(1)
    (out.square() * factors).sum().backward()
    return out.detach(), x.grad, norm.weight.grad, norm.bias.grad


def sync_process(rank, results):
    """One process of two, with half of the clips."""
    cfg = get_cfg()
    cfg.BN.NORM_TYPE, cfg.BN.NUM_SYNC_DEVICES = "sync_batchnorm", 2
    norm = copy.deepcopy(build_norm(cfg)(3).double())
    out = outputs_and_gradients(norm, clips().chunk(2)[rank])
    torch.save([*out, norm.running_mean, norm.running_var], f"{results}/{rank}.pt")
    cfg.BN.NUM_SYNC_DEVICES = 1
    with pytest.raises(ValueError, match="BN.NUM_SYNC_DEVICES: 1"):
        build_norm(cfg)


@pytest.mark.slow
def test_sync_batch_norm_in_two_processes_equals_batch_norm_in_one(run_in_two, tmp_path):
    run_in_two(sync_process, tmp_path)
    parts = [torch.load(tmp_path / f"{rank}.pt") for rank in range(2)]
    plain = nn.BatchNorm3d(3).double()
    out, grad, weight_grad, bias_grad = outputs_and_gradients(plain, clips())
    torch.testing.assert_close(torch.cat([part[0] for part in parts]), out)
    torch.testing.assert_close(torch.cat([part[1] for part in parts]), grad)
    torch.testing.assert_close(parts[0][2] + parts[1][2], weight_grad)
    torch.testing.assert_close(parts[0][3] + parts[1][3], bias_grad)
    for part in parts:
        torch.testing.assert_close(part[4], plain.running_mean)
        torch.testing.assert_close(part[5], plain.running_var)


KINDS = [("batchnorm", 1), ("sub_batchnorm", 2), ("sub_batchnorm", 4), ("sync_batchnorm", 2)]


def small_network(kind):
    """Used a little, so that parts have statistics of their own."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv3d(3, 3, 1), make_norm(*kind)(3), nn.ReLU()).double()
    network[1].eps, network[1].momentum = 1e-3, 0.3
    network(clips())
    return network


@pytest.mark.parametrize("new", KINDS)
@pytest.mark.parametrize("old", KINDS)
def test_replaced_norms_keep_parameters_statistics_and_settings(old, new):
    network = small_network(old)
    shared = [*network.parameters(), network[1].running_mean, network[1].running_var]
    state = copy.deepcopy(network.state_dict())
    expected = copy.deepcopy(network).eval()(clips())
    replace_norms(network, make_norm(*new))
    assert type(network[1]) is type(make_norm(*new)(3))
    found = [*network.parameters(), network[1].running_mean, network[1].running_var]
    assert all(ours is theirs for ours, theirs in zip(found, shared, strict=True))
    for name, value in state.items():
        if old == new or "split" not in name:
            assert torch.equal(network.state_dict()[name], value), name
    assert (network[1].eps, network[1].momentum) == (1e-3, 0.3)
    assert network.training and network[1].training
    torch.testing.assert_close(network.eval()(clips()), expected)


def test_replaced_norms_take_the_new_number_of_parts():
    network = small_network(("sub_batchnorm", 2))
    replace_norms(network, make_norm("sub_batchnorm", 4))
    whole = network[1].running_var.clone()
    assert torch.equal(network[1].split_running_var, whole.repeat(4))
    network(clips())
    assert not torch.equal(network[1].split_running_var, whole.repeat(4))


def test_replaced_norms_stay_in_evaluation_mode():
    network = small_network(("batchnorm", 1))
    network[1].eval()
    replace_norms(network, make_norm("sub_batchnorm", 2))
    assert network.training and not network[1].training


def test_unknown_norm_names_the_key():
    cfg = get_cfg()
    cfg.BN.NORM_TYPE = "layernorm"
    with pytest.raises(ValueError, match="BN.NORM_TYPE: 'layernorm' .*sub_batchnorm"):
        build_norm(cfg)
