"""Folding batch norms into convolutions changes how a network computes, and not what."""

import pytest
import torch
from torch import nn

from slowfast.config.cli import load_cfg
from slowfast.models import build_model
from slowfast.models.build import build_meta_inputs
from slowfast.models.fold import batch_norms_after_convs, fold_batch_norm
from tests.helpers.configs import cfg_with
from tests.helpers.paths import ROOT
from tests.helpers.slow import slow_but
from tests.helpers.small_networks import randomize_norms

_RESNET = {
    "MODEL.MODEL_NAME": "ResNet",
    "RESNET.DEPTH": 18,
    "RESNET.WIDTH_PER_GROUP": 8,
    "RESNET.TRANS_FUNC": "basic_transform",
}
_NONLOCAL = {
    "RESNET.TRANS_FUNC": "bottleneck_transform",
    "NONLOCAL.LOCATION": [[[]], [[1]], [[0]], [[]]],
}
CONFIGS = ROOT / "configs"

NETWORKS = {
    "slow": {**_RESNET, "MODEL.ARCH": "slow"},
    "c2d": {**_RESNET, "MODEL.ARCH": "c2d", "RESNET.TRANS_FUNC": "bottleneck_transform"},
    "i3d nonlocal": {**_RESNET, "MODEL.ARCH": "i3d", **_NONLOCAL},
    "slowfast": {
        **_RESNET,
        "MODEL.MODEL_NAME": "SlowFast",
        "DATA.INPUT_CHANNEL_NUM": [3, 3],
        "SLOWFAST.ALPHA": 2,
        "SLOWFAST.BETA_INV": 2,
    },
    "tsm": {**_RESNET, "MODEL.MODEL_NAME": "TSM"},
    "vov3d": {"MODEL.MODEL_NAME": "VoV3D"},
    "vov3d dw3d": {"MODEL.MODEL_NAME": "VoV3D", "VOV3D.TRANS_FUNC": "t_osa_dw3d_transform"},
    "vov3d dense": {"MODEL.MODEL_NAME": "VoV3D", "VOV3D.TRANS_FUNC": "t_osa_r2plus1_transform"},
    "x3d": {"MODEL.MODEL_NAME": "X3D"},
    "x3d bn_lin5": {"MODEL.MODEL_NAME": "X3D", "X3D.BN_LIN5": True},
    "x3d no se": {"MODEL.MODEL_NAME": "X3D", "X3D.SE_RATIO": 0.0},
    "x3d no swish": {"MODEL.MODEL_NAME": "X3D", "X3D.SWISH_INNER": False},
    "x3d dense": {"MODEL.MODEL_NAME": "X3D", "X3D.CHANNELWISE_3x3x3": False},
    "sub_bn": {"MODEL.MODEL_NAME": "X3D", "BN.NORM_TYPE": "sub_batchnorm", "BN.NUM_SPLITS": 2},
    "sync_bn": {"MODEL.MODEL_NAME": "VoV3D", "BN.NORM_TYPE": "sync_batchnorm"},
}


def folded_for_test(cfg, model):
    return fold_batch_norm(model, *build_meta_inputs(cfg, cfg.DATA.TEST_CROP_SIZE))


def small_cfg(keys):
    values = {
        "MODEL.NUM_CLASSES": 5,
        "MODEL.HEAD_ACT": "none",
        "DATA.INPUT_CHANNEL_NUM": [3],
        "DATA.NUM_FRAMES": 4,
        "DATA.TRAIN_CROP_SIZE": 32,
        "DATA.TEST_CROP_SIZE": 32,
        "RESNET.TRANS_FUNC": "x3d_transform",
        "X3D.BOTTLENECK_FACTOR": 2.25,
        "X3D.DIM_C5": 16,
        "VOV3D.NUM_MODULES": [1, 1, 1, 1],
        "VOV3D.INNER_CH": 8,
        "VOV3D.NUM_CONV": 2,
        **keys,
    }
    return cfg_with(values)


def random_model(cfg):
    torch.manual_seed(0)
    return randomize_norms(build_model(cfg))


def random_clips(cfg):
    generator = torch.Generator().manual_seed(1)
    meta, _ = build_meta_inputs(cfg, cfg.DATA.TEST_CROP_SIZE)
    return [torch.randn(2, *clip.shape[1:], generator=generator) for clip in meta]


def norms(model):
    return [name for name, module in model.named_modules() if isinstance(module, nn.BatchNorm3d)]


@pytest.mark.parametrize("keys", NETWORKS.values(), ids=NETWORKS)
@torch.no_grad()
def test_folded_network_gives_the_same_without_batch_norms(keys):
    cfg = small_cfg(keys)
    model, clips = random_model(cfg), random_clips(cfg)
    folded = folded_for_test(cfg, model)
    assert norms(folded) == []
    expected = model(clips)
    torch.testing.assert_close(
        folded(clips), expected, rtol=1e-5, atol=1e-5 * float(expected.abs().max())
    )


@pytest.mark.slow
@torch.no_grad()
def test_folded_network_is_as_exact_in_bfloat16():
    errors = {"model": 0.0, "folded": 0.0}
    for name in ("x3d", "vov3d", "slow", "slowfast"):
        cfg = small_cfg(NETWORKS[name])
        model, clips = random_model(cfg), random_clips(cfg)
        folded, exact = folded_for_test(cfg, model), model(clips)
        with torch.autocast("cpu", torch.bfloat16):
            for key, net in (("model", model), ("folded", folded)):
                errors[key] += float((net(clips) - exact).norm() / exact.norm())
    assert errors["folded"] < 1.5 * errors["model"]


@torch.no_grad()
def test_the_network_itself_stays_as_it_was():
    cfg = small_cfg(NETWORKS["x3d"])
    model = random_model(cfg).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    folded = folded_for_test(cfg, model)
    assert model.training and not folded.training
    torch.testing.assert_close(model.state_dict(), before, rtol=0, atol=0)
    assert all(parameter.requires_grad for parameter in model.parameters())


RECIPES = [
    "Kinetics/x3d/X3D_XL",
    "Kinetics/vov3d/vov3d_L",
    "Kinetics/slowfast/SLOWFAST_8x8_R50",
    "AVA/slowfast/SLOWFAST_32x2_R50_SHORT",
    "AVA/x3d/X3D_M",
]


@pytest.mark.parametrize("name", slow_but(["AVA/x3d/X3D_M"], RECIPES))
def test_every_batch_norm_of_a_recipe_is_folded(name):
    cfg = load_cfg(CONFIGS / f"{name}.yaml", ["NUM_GPUS", 0])
    with torch.device("meta"):
        model = build_model(cfg)
    pairs = batch_norms_after_convs(model, *build_meta_inputs(cfg, cfg.DATA.TEST_CROP_SIZE))
    assert sorted(norm for _, norm in pairs) == sorted(norms(model))


class Odd(nn.Module):
    """What must stay: a shared convolution, one changed in place, a norm of something else."""

    def __init__(self):
        super().__init__()
        self.shared, self.changed, self.biased = (nn.Conv3d(3, 3, 1) for _ in range(3))
        self.plain = nn.BatchNorm3d(3, affine=False)
        self.norms = nn.ModuleList(nn.BatchNorm3d(3) for _ in range(4))

    def forward(self, clips, _boxes=None):
        first, second, third, last = self.norms
        x = first(clips[0])
        x = second(self.shared(x)) + self.shared(x)
        x = third(torch.relu_(self.changed(x)))
        return last(x) + self.plain(self.biased(x))


@torch.no_grad()
def test_only_a_norm_right_after_its_own_convolution_is_folded():
    torch.manual_seed(0)
    model = Odd().eval()
    nn.init.uniform_(model.plain.running_var, 0.5, 1.5)
    nn.init.normal_(model.plain.running_mean)
    clips = [torch.randn(2, 3, 2, 4, 4)]
    assert batch_norms_after_convs(model, clips) == [("biased", "plain")]
    torch.testing.assert_close(fold_batch_norm(model, clips)(clips), model(clips))


class _Shared(nn.Module):
    """The output of the convolution goes around its batch norm, too, before or after it."""

    def __init__(self, *, is_read_first):
        super().__init__()
        self.conv, self.bn = nn.Conv3d(3, 3, 1), nn.BatchNorm3d(3)
        self.is_read_first = is_read_first

    def forward(self, clips, boxes=None):
        x = self.conv(clips[0])
        if self.is_read_first:
            y = 2 * x
            return y + self.bn(x)
        return self.bn(x) + x.mean((2, 3, 4), keepdim=True)


@pytest.mark.parametrize("is_read_first", [True, False])
def test_a_convolution_whose_output_is_read_elsewhere_stays(is_read_first):
    model = _Shared(is_read_first=is_read_first).eval()
    model.bn.running_mean.fill_(3.0)
    clips = [torch.randn(1, 3, 2, 4, 4)]
    folded = fold_batch_norm(model, clips)
    torch.testing.assert_close(folded(clips), model(clips), rtol=0, atol=0)


@torch.no_grad()
def test_a_folded_weight_keeps_its_memory_order():
    cfg = small_cfg(NETWORKS["x3d"])
    model = random_model(cfg).to(memory_format=torch.channels_last_3d)
    weight = folded_for_test(cfg, model).s2.pathway0_res0.branch2.b.weight
    assert weight.is_contiguous(memory_format=torch.channels_last_3d)
