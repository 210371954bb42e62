"""Facts about slimmable networks, small ones; every family builds its own here."""

import copy
from contextlib import nullcontext

import pytest
import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from slowfast.models import build_model
from slowfast.models.complexity import count_macs, count_parameters
from slowfast.models.conv import Conv3d, conv3d, resample
from slowfast.models.layers import Linear
from slowfast.models.norm import make_norm, replace_norms
from slowfast.models.slimmable import (
    SlimLayer,
    load_norm_statistics,
    make_slimmable,
    narrow,
    norm_statistics,
    width,
)
from slowfast.models.widths import slim_width
from slowfast.solver.ema import ModelEma
from tests.helpers.configs import cfg_with
from tests.helpers.slow import slow_but

WIDTHS = (0.5, 0.63, 0.73, 0.83, 0.9)
RESNET = {"RESNET.DEPTH": 18, "RESNET.WIDTH_PER_GROUP": 32}
NONLOCAL = {"NONLOCAL.LOCATION": [[[]], [[1]], [[]], [[]]], "NONLOCAL.POOL": [[[1, 2, 2]]] * 4}
MODELS = {
    "c2d": {"MODEL.MODEL_NAME": "ResNet", "MODEL.ARCH": "c2d", **RESNET},
    "i3d": {"MODEL.MODEL_NAME": "ResNet", "MODEL.ARCH": "i3d", **RESNET},
    "i3d_nln": {
        "MODEL.MODEL_NAME": "ResNet",
        "MODEL.ARCH": "i3d",
        **RESNET,
        **NONLOCAL,
        "NONLOCAL.INSTANTIATION": "dot_product",
    },
    "i3d_softmax_nln": {
        "MODEL.MODEL_NAME": "ResNet",
        "MODEL.ARCH": "i3d",
        **RESNET,
        **NONLOCAL,
        "NONLOCAL.INSTANTIATION": "softmax",
    },
    "resnext": {
        "MODEL.MODEL_NAME": "ResNet",
        "MODEL.ARCH": "slow",
        "RESNET.DEPTH": 18,
        "RESNET.NUM_GROUPS": 32,
        "RESNET.WIDTH_PER_GROUP": 1,
    },
    "s3d_g": {"MODEL.MODEL_NAME": "S3D", "S3D.VARIANT": "s3d-g", "S3D.WIDTH_FACTOR": 0.25},
    "slow": {"MODEL.MODEL_NAME": "ResNet", "MODEL.ARCH": "slow", **RESNET},
    "slowfast": {"MODEL.MODEL_NAME": "SlowFast", **RESNET},
    "slowfast_18": {
        "MODEL.MODEL_NAME": "SlowFast",
        "RESNET.DEPTH": 18,
        "RESNET.TRANS_FUNC": "basic_transform",
        "RESNET.WIDTH_PER_GROUP": 32,
    },
    "tsm": {"MODEL.MODEL_NAME": "TSM", **RESNET},
    "vov3d": {"MODEL.MODEL_NAME": "VoV3D", "VOV3D.TRANS_FUNC": "t_osa_2plus1_transform"},
    "vov3d_dense": {"MODEL.MODEL_NAME": "VoV3D", "VOV3D.TRANS_FUNC": "t_osa_3d_transform"},
    "x3d": {"MODEL.MODEL_NAME": "X3D", "RESNET.TRANS_FUNC": "x3d_transform"},
}
# One network of each kind of block; the others are slow.
FAST = ["i3d_nln", "vov3d", "x3d"]


def small_cfg(name, **keys):
    num_pathways = 2 if name.startswith("slowfast") else 1
    values = {
        "MODEL.NUM_CLASSES": 5,
        "MODEL.DROPOUT_RATE": 0.0,
        "MODEL.FC_INIT_STD": 0.3,
        "MODEL.HEAD_ACT": "none",
        "DATA.INPUT_CHANNEL_NUM": [3] * num_pathways,
        "DATA.NUM_FRAMES": 4,
        "DATA.TRAIN_CROP_SIZE": 32,
        "SLOWFAST.ALPHA": 2,
        "SLOWFAST.BETA_INV": 4,
        "X3D.WIDTH_FACTOR": 1.0,
        "X3D.DEPTH_FACTOR": 1.0,
        "X3D.DIM_C1": 12,
        "X3D.BOTTLENECK_FACTOR": 2.25,
        "X3D.DIM_C5": 48,
        "VOV3D.NUM_MODULES": [1, 2, 1, 1],
        "VOV3D.INNER_CH": 24,
        "VOV3D.NUM_CONV": 3,
        **MODELS[name],
        **keys,
    }
    return cfg_with(values)


def randomise(model):
    """Weights and statistics unlike those at the start, so that none of them hides a mistake."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.BatchNorm3d):
                module.weight.uniform_(0.5, 1.5, generator=generator)
                module.bias.normal_(std=0.3, generator=generator)
                module.running_mean.normal_(std=0.3, generator=generator)
                module.running_var.uniform_(0.5, 1.5, generator=generator)
            elif getattr(module, "bias", None) is not None:
                module.bias.normal_(std=0.3, generator=generator)
    return model


def plain(name, **keys):
    torch.manual_seed(0)
    model = randomise(build_model(small_cfg(name, **keys)))
    return model.double().to(memory_format=torch.channels_last_3d)


def slim(name, **keys):
    return make_slimmable(plain(name, **keys))


def clips(name, num=2, frames=4, size=32):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(num, 3, frames, size, size, generator=generator, dtype=torch.float64)
    x = x.to(memory_format=torch.channels_last_3d)
    return [x[:, :, ::2], x] if name.startswith("slowfast") else [x]


def with_zeros_for_the_rest(model, share):
    """A copy whose trailing outputs are 0 everywhere: it computes what its leading channels do.

    It knows nothing of concatenations.
    """
    model = copy.deepcopy(model)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, Conv3d):
                num = slim_width(module.dim_out, share)
            elif isinstance(module, nn.BatchNorm3d):
                num = slim_width(module.num_features, share)
            else:
                continue
            for values in (module.weight, module.bias):
                if values is not None:
                    values[num:] = 0
    return model


@pytest.mark.slow
@pytest.mark.parametrize("name", slow_but(FAST, MODELS))
def test_full_width_is_the_plain_model_bit_for_bit(name):
    model, other = plain(name), slim(name)
    for is_training in (True, False):
        outs = [net.train(is_training)(clips(name)) for net in (model, other)]
        assert torch.equal(*outs)
        for net, out in zip((model, other), outs, strict=True):
            net.zero_grad()
            out.square().sum().backward()
        for p, q in zip(model.parameters(), other.parameters(), strict=True):
            assert torch.equal(p.grad, q.grad)
    assert all(map(torch.equal, model.buffers(), other.buffers()))


@pytest.mark.slow
@pytest.mark.parametrize("share", slow_but([0.73], [0.5, 0.73]))
@pytest.mark.parametrize("name", slow_but(FAST, [n for n in MODELS if n != "i3d_softmax_nln"]))
def test_a_width_computes_what_its_leading_channels_do(name, share):
    """The softmax of a Non-local block is left out: its scale knows the inner width."""
    model = slim(name).eval()
    expected = with_zeros_for_the_rest(plain(name).eval(), share)(clips(name))
    with torch.no_grad(), width(model, share):
        torch.testing.assert_close(model(clips(name)), expected, rtol=1e-9, atol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("name", slow_but(["c2d", "slowfast", "x3d"], MODELS))
def test_the_narrow_model_equals_the_sliced_one(name):
    model = slim(name)
    for share in WIDTHS:
        cut = narrow(model, share)
        assert not any(isinstance(module, SlimLayer) for module in cut.modules())
        assert list(cut.state_dict()) == list(model.state_dict())
        for is_training in (False, True):  # training moves the statistics of the narrow one
            with torch.no_grad(), width(model, share):
                expected = model.train(is_training)(clips(name))
            out = cut.train(is_training)(clips(name))
            torch.testing.assert_close(out, expected, rtol=1e-6, atol=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("name", slow_but(FAST, MODELS))
def test_model_width_builds_what_narrow_cuts_out(name):
    cut = narrow(plain(name), 0.63)
    model = build_model(small_cfg(name, **{"MODEL.WIDTH": 0.63})).double()
    model.load_state_dict(cut.state_dict())
    torch.testing.assert_close(model.eval()(clips(name)), cut.eval()(clips(name)))


@pytest.mark.parametrize("name", slow_but(["vov3d"], ["slowfast", "vov3d", "x3d"]))
def test_model_width_starts_with_weights_of_its_own_spread(name):
    model = build_model(small_cfg(name, **{"MODEL.WIDTH": 0.5}))
    for module in model.modules():
        if isinstance(module, nn.Conv3d):
            std = (2 / (module.out_channels * module.weight[0, 0].numel())) ** 0.5
            ratio = module.weight.std().item() / std
            assert ratio == pytest.approx(1, abs=4 / module.weight.numel() ** 0.5)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["slowfast", "vov3d", "x3d"])
def test_conversion_keeps_names_order_and_objects(name):
    model = plain(name)
    state = model.state_dict(keep_vars=True)
    text = str(model)
    assert make_slimmable(make_slimmable(model)) is model
    converted = model.state_dict(keep_vars=True)
    assert list(converted) == list(state)
    assert all(converted[key] is state[key] for key in state)
    assert str(model).replace("Slim", "") == text
    plain(name).load_state_dict(converted)
    model.load_state_dict(plain(name).state_dict())


@pytest.mark.slow
def test_gradients_reach_the_leading_channels_only():
    model = slim("vov3d")
    with width(model, 0.5):
        model(clips("vov3d")).square().sum().backward()
    stem = model.s1.pathway0_stem
    assert stem.conv_xy.weight.shape[0] == 12
    assert stem.conv_xy.weight.grad[:8].any() and not stem.conv_xy.weight.grad[8:].any()
    branch = model.s3.pathway0_res1.branch2
    reached = branch.c.weight.grad.flatten(2).any(2).any(0)
    expected = torch.tensor(([True] * 16 + [False] * 8) * 4)
    assert branch.c.dims_in == (24, 24, 24, 24)
    assert torch.equal(reached, expected)


@pytest.mark.slow
@pytest.mark.parametrize("name", slow_but(FAST, MODELS))
def test_a_sandwich_step_gives_every_parameter_a_gradient(name):
    model = slim(name)
    shares = [1.0, 0.77, 0.5]
    for share in shares:
        with width(model, share):
            model(clips(name)).square().sum().backward()
    assert [key for key, p in model.named_parameters() if p.grad is None] == []


@pytest.mark.parametrize("kind", [("batchnorm", 1), ("sub_batchnorm", 2), ("sync_batchnorm", 1)])
def test_a_narrow_training_pass_moves_no_statistics(kind):
    model = plain("x3d")
    replace_norms(model, make_norm(*kind))
    make_slimmable(model)
    before = copy.deepcopy(model.state_dict())
    with width(model, 0.5):
        model(clips("x3d"))
    with width(model, 1.0, moves_statistics=False):
        still = model(clips("x3d"))
    torch.testing.assert_close(dict(model.state_dict()), dict(before), rtol=0, atol=0)
    with width(model, 1.0):
        torch.testing.assert_close(model(clips("x3d")), still)
    norm = model.s1.pathway0_stem.bn
    assert not torch.equal(norm.running_mean, before["s1.pathway0_stem.bn.running_mean"])


@pytest.mark.parametrize("kind", [("sub_batchnorm", 2), ("sync_batchnorm", 1)])
def test_other_batch_norms_are_cut_too(kind):
    model = plain("x3d")
    replace_norms(model, make_norm(*kind))
    cut = narrow(model, 0.5)
    make_slimmable(model)
    for is_training in (False, True):
        with width(model, 0.5):
            expected = model.train(is_training)(clips("x3d"))
        torch.testing.assert_close(cut.train(is_training)(clips("x3d")), expected)


def test_width_blocks_nest_and_restore():
    model = slim("x3d").eval()
    outs = {}
    with torch.no_grad():
        for share in (1.0, 0.5, 0.9):
            with width(model, share):
                outs[share] = model(clips("x3d"))
        with width(model, 0.5):
            with pytest.raises(KeyError), width(model, 0.9):
                assert torch.equal(model(clips("x3d")), outs[0.9])
                raise KeyError
            assert torch.equal(model(clips("x3d")), outs[0.5])
        assert torch.equal(model(clips("x3d")), outs[1.0])


@pytest.mark.slow
def test_statistics_of_a_width_are_used_in_its_block_only():
    model = slim("slowfast").eval()
    state, x = copy.deepcopy(model.state_dict()), clips("slowfast")
    with torch.no_grad(), width(model, 0.5):
        before, own = model(x), norm_statistics(model)
        load_norm_statistics(model, {key: values + 0.1 for key, values in own.items()})
        after = model(x)
        torch.testing.assert_close(
            norm_statistics(model)["s1_fuse.bn.running_mean"][0].item(),
            (own["s1_fuse.bn.running_mean"][0] + 0.1).item(),
        )
        with width(model, 0.5):
            assert torch.equal(model(x), before)
        assert torch.equal(model(x), after)
        assert not torch.allclose(before, after)
    with torch.no_grad(), width(model, 0.5):
        assert torch.equal(model(x), before)
    torch.testing.assert_close(dict(model.state_dict()), dict(state), rtol=0, atol=0)
    cut = narrow(model, 0.5, {key: values + 0.1 for key, values in own.items()})
    torch.testing.assert_close(cut(x), after)


@pytest.mark.parametrize(
    "change",
    [{"s1.pathway0_stem.bn.running_var": torch.ones(3)}, {"other.running_var": torch.ones(3)}],
)
def test_statistics_of_another_width_are_refused(change):
    model = slim("x3d")
    statistics = {**norm_statistics(model), **change}
    with pytest.raises(ValueError, match="statistics"):
        load_norm_statistics(model, statistics)


@pytest.mark.slow
def test_full_width_may_have_statistics_too():
    model = slim("x3d").eval()
    shifted = {key: values * 1.5 for key, values in norm_statistics(model).items()}
    other = plain("x3d").eval()
    other.load_state_dict(shifted, strict=False)
    with width(model, 1.0):
        load_norm_statistics(model, shifted)
        assert torch.equal(model(clips("x3d")), other(clips("x3d")))


def test_a_copy_of_a_slimmable_model_is_one_of_its_own():
    model = slim("x3d").eval()
    other = copy.deepcopy(model)
    with width(model, 0.5):
        assert torch.equal(other(clips("x3d")), plain("x3d").eval()(clips("x3d")))
        expected = model(clips("x3d"))
    with width(other, 0.5):
        assert torch.equal(other(clips("x3d")), expected)


@pytest.mark.slow
def test_macs_at_a_width_are_those_of_the_narrow_model():
    with torch.device("meta"):
        model = make_slimmable(build_model(small_cfg("vov3d")))
    x = [torch.empty(1, 3, 4, 64, 64, device="meta")]
    cut = narrow(model, 0.5)
    with width(model, 0.5):
        assert count_macs(model, x) == count_macs(cut, x)
    full = sum(count_parameters(model).values())
    assert 0.2 * full < sum(count_parameters(cut).values()) < 0.5 * full


def test_features_stay_channels_last_at_a_width():
    model, x = slim("vov3d"), clips("vov3d", size=64)
    with width(model, 0.63):
        (features,) = model.forward_features(x)
    assert features.is_contiguous(memory_format=torch.channels_last_3d)
    assert narrow(model, 0.63).s3.pathway0_res0.branch2.c.weight.is_contiguous(
        memory_format=torch.channels_last_3d
    )


def test_groups_that_would_be_cut_are_refused():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = conv3d(48, 48, 1, groups=4)

        def forward(self, x):
            return self.conv(x)

    model = make_slimmable(Net())
    with pytest.raises(ValueError, match="groups of 12"), width(model, 0.67):
        model(torch.randn(1, 32, 1, 1, 1))


def test_an_input_that_is_another_concatenation_is_found():
    model = make_slimmable(nn.Sequential(conv3d(40, 8, 1)))
    with pytest.raises(AssertionError, match="concatenation"), width(model, 0.5):
        model(torch.randn(1, 16 + 16, 1, 1, 1))


def test_a_layer_without_slimmable_kind_is_named():
    model = nn.Sequential(conv3d(3, 8, 1), nn.GroupNorm(2, 8))
    with pytest.raises(ValueError, match="1: a GroupNorm"):
        make_slimmable(model)


@pytest.mark.parametrize("share", [0.0, -1.0, 1.1])
def test_a_width_is_a_share(share):
    with pytest.raises(ValueError, match="width"), width(slim("x3d"), share):
        pass


def test_a_width_needs_a_slimmable_model():
    with pytest.raises(AssertionError, match="make_slimmable"), width(plain("x3d"), 0.5):
        pass


@pytest.mark.slow
def test_only_the_slow_pathway_of_slowfast_slims():
    cut = narrow(plain("slowfast"), 0.5)
    fast, whole = cut.s3.pathway1_res0.branch2, plain("slowfast").s3.pathway1_res0.branch2
    assert str(fast) == str(whole)
    assert str(cut.s2_fuse) == str(plain("slowfast").s2_fuse)
    assert cut.s3.pathway0_res0.branch2.a.dims_in == (64, 64)
    assert cut.head.projection.dims_in == (512, 256)
    assert cut.head.projection.out_features == 5


@pytest.mark.slow
def test_slowfast_takes_slow_clips_that_are_smaller_and_shorter():
    model = slim("slowfast", **{"DATA.NUM_FRAMES": 8, "DATA.TRAIN_CROP_SIZE": 64}).eval()
    slow, fast = clips("slowfast", frames=8, size=64)
    assert model([slow[:, :, :3, :36, :36], fast]).shape == (2, 5)
    with width(model, 0.5):
        assert model([slow[:, :, :3, :36, :36], fast]).shape == (2, 5)


def test_resampling_takes_spread_frames_and_means_of_areas():
    x = torch.arange(2.0 * 3 * 4 * 4 * 4).reshape(2, 3, 4, 4, 4)
    out = resample(x, (3, 2, 2))
    expected = nn.functional.avg_pool3d(x[:, :, [0, 1, 3]], (1, 2, 2))
    torch.testing.assert_close(out, expected)
    last = x.to(memory_format=torch.channels_last_3d)
    assert resample(last, (3, 4, 4)).is_contiguous(memory_format=torch.channels_last_3d)


def test_linear_of_a_concatenation_is_linear():
    assert Linear((4, 2), 3).in_features == 6


def test_a_moving_average_of_a_slimmable_model_is_slimmable():
    model = slim("x3d").eval()
    ema = ModelEma(model, decay=0.9)
    with torch.no_grad():
        model.head.projection.bias.add_(torch.arange(5.0))
    with width(model, 0.5):
        ema.update(model)
    with width(ema.module, 0.5), width(model, 0.5), torch.no_grad():
        assert not torch.equal(ema.module(clips("x3d")), model(clips("x3d")))
        model.head.projection.bias.copy_(ema.module.head.projection.bias)
        assert torch.equal(ema.module(clips("x3d")), model(clips("x3d")))


def sandwich_gradients(model, network, x, no_sync):
    """Full, middle, smallest: gradients of the sum over the batch."""
    network.train()
    for share in (1.0, 0.77, 0.5):
        with nullcontext() if share == 0.5 else no_sync(), width(network, share):
            network(x).square().sum().backward()
    return {name: p.grad for name, p in model.named_parameters()}


def ddp_process(rank, out_dir):
    model = plain("x3d")
    replace_norms(model, make_norm("sync_batchnorm", 2))
    network = DistributedDataParallel(make_slimmable(model))
    grads = sandwich_gradients(
        model, network, [clips("x3d", num=4)[0].chunk(2)[rank]], network.no_sync
    )
    torch.save(grads, out_dir / f"{rank}.pt")


@pytest.mark.slow
def test_a_sandwich_step_of_two_processes_equals_that_of_one(run_in_two, tmp_path):
    run_in_two(ddp_process, tmp_path)
    model = slim("x3d")
    expected = sandwich_gradients(model, model, clips("x3d", num=4), nullcontext)
    for rank in range(2):
        grads = torch.load(tmp_path / f"{rank}.pt")
        for name, grad in expected.items():  # DDP gives the mean over processes
            torch.testing.assert_close(2 * grads[name], grad, rtol=1e-6, atol=1e-8)
