import json

import pytest
import torch
from torch import nn

from slowfast.config.defaults import get_cfg
from slowfast.models import build_model
from slowfast.models.norm import SubBatchNorm3d, SyncBatchNorm3d
from slowfast.solver.optimizer import (
    build_optimizer,
    param_groups,
    set_learning_rate,
    without_compiler,
)
from tests.helpers.paths import GOLDENS
from tests.helpers.slow import slow_but

GOLDEN = json.loads((GOLDENS / "optimizer_groups.json").read_text())


class Net(nn.Module):
    """Batch norm under names with "bn" and without; a convolution whose name has "bn"."""

    def __init__(self, norm=nn.BatchNorm3d):
        super().__init__()
        self.conv = nn.Conv3d(3, 4, 1)
        self.bn = norm(4)
        self.block = nn.Sequential(nn.Conv3d(4, 4, 1, bias=False), norm(4))
        self.bn_conv = nn.Conv3d(4, 4, 1, bias=False)


def _names(model, **settings):
    """Parameter names per group, and the groups' weight decays."""
    settings = {
        "weight_decay": 0.1,
        "bn_weight_decay": 0.0,
        "group_by": "type",
        "zero_wd_1d": False,
        "head_lr_factor": 1.0,
        **settings,
    }
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    groups = param_groups(model, **settings)
    return [([names[id(p)] for p in g["params"]], g["weight_decay"]) for g in groups]


@pytest.mark.parametrize(
    "norm", [nn.BatchNorm3d, SyncBatchNorm3d, lambda dim: SubBatchNorm3d(dim, 2)]
)
def test_by_type_finds_every_batch_norm(norm):
    batch_norm = ["bn.weight", "bn.bias", "block.1.weight", "block.1.bias"]
    rest = ["conv.weight", "conv.bias", "block.0.weight", "bn_conv.weight"]
    assert _names(Net(norm)) == [(batch_norm, 0.0), (rest, 0.1)]


def test_by_name_takes_what_has_bn_in_its_name():
    (batch_norm, _), (rest, _) = _names(Net(), group_by="name")
    assert batch_norm == ["bn.weight", "bn.bias", "bn_conv.weight"]
    assert "block.1.weight" in rest


def test_1d_parameters_can_go_without_decay():
    groups = _names(Net(), zero_wd_1d=True, bn_weight_decay=0.2)
    assert groups[0][1] == 0.2
    assert groups[2] == (["conv.bias"], 0.0)


def test_frozen_parameters_and_empty_groups_are_left_out():
    model = Net()
    model.bn.requires_grad_(False)
    model.block.requires_grad_(False)
    assert _names(model) == [(["conv.weight", "conv.bias", "bn_conv.weight"], 0.1)]


def test_a_shared_parameter_is_in_one_group():
    model = Net()
    model.bn_conv.weight = model.block[0].weight
    assert sum(len(names) for names, _ in _names(model)) == 7


class NetWithHead(nn.Module):
    def __init__(self):
        super().__init__()
        self.backbone = Net()
        self.head = nn.Module()
        self.head.conv_5 = nn.Conv3d(4, 4, 1, bias=False)
        self.head.projection = nn.Linear(4, 3)


def test_a_factor_for_the_head_puts_the_classifier_into_groups_of_its_own():
    (_, bn_decay), (rest, decay), (classifier, head_decay) = _names(
        NetWithHead(), head_lr_factor=10.0
    )
    assert (bn_decay, decay, head_decay) == (0.0, 0.1, 0.1)
    assert classifier == ["head.projection.weight", "head.projection.bias"]
    assert "head.conv_5.weight" in rest and not set(rest) & set(classifier)


def test_the_classifier_keeps_its_two_kinds_of_decay():
    groups = _names(NetWithHead(), head_lr_factor=10.0, zero_wd_1d=True)
    assert groups[3:] == [(["head.projection.weight"], 0.1), (["head.projection.bias"], 0.0)]


def test_factor_one_leaves_the_groups_as_they_are():
    assert [len(names) for names, _ in _names(NetWithHead())] == [4, 7]


def test_learning_rate_of_the_classifier_follows_its_factor():
    cfg = get_cfg()
    cfg.SOLVER.HEAD_LR_FACTOR = 10.0
    model = NetWithHead()
    optimizer = build_optimizer(cfg, model)
    set_learning_rate(optimizer, 0.02)
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([0.02, 0.02, 0.2])
    set_learning_rate(optimizer, 0.01)
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([0.01, 0.01, 0.1])


def test_factor_zero_trains_all_but_the_classifier():
    cfg = get_cfg()
    cfg.SOLVER.HEAD_LR_FACTOR = 0.0
    model = NetWithHead()
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    optimizer = build_optimizer(cfg, model)
    set_learning_rate(optimizer, 0.1)
    sum(p.square().sum() + p.sum() for p in model.parameters()).backward()
    optimizer.step()
    kept = {name for name, p in model.named_parameters() if torch.equal(p, before[name])}
    assert kept == {"head.projection.weight", "head.projection.bias"}


def test_unknown_rule_names_the_key():
    with pytest.raises(ValueError, match="BN.GROUP_BY: 'kind' is not one of"):
        _names(Net(), group_by="kind")


@pytest.mark.parametrize("rule", ["name", "type"])
@pytest.mark.parametrize("name", slow_but(["vov3d_M", "I3D_NLN_8x8_R50_sub_batchnorm"], GOLDEN))
def test_groups_of_the_published_models(name, rule):
    golden = GOLDEN[name]
    cfg = get_cfg()
    cfg.merge_from_list([part for item in golden["opts"].items() for part in item])
    cfg.BN.GROUP_BY = rule
    with torch.device("meta"):
        model = build_model(cfg)
    groups = build_optimizer(cfg, model).param_groups
    by_reference = rule == golden["reference_rule"]
    expected = golden["reference_groups"] if by_reference else golden["type_groups"]
    sizes = [(len(g["params"]), sum(p.numel() for p in g["params"])) for g in groups]
    assert sizes == [(g["n_tensors"], g["n_scalars"]) for g in expected]
    assert [g["weight_decay"] for g in groups] == [0.0, golden["opts"]["SOLVER.WEIGHT_DECAY"]]
    if by_reference:
        names = {id(p): n for n, p in model.named_parameters()}
        for group, reference in zip(groups, expected, strict=True):
            found = [names[id(p)] for p in group["params"]]
            assert found[:6] == reference["first_names"]
            assert found[-4:] == reference["last_names"]


@pytest.mark.parametrize(
    ("method", "kind"),
    [("sgd", torch.optim.SGD), ("adam", torch.optim.Adam), ("adamw", torch.optim.AdamW)],
)
def test_method_chooses_the_optimizer(method, kind):
    cfg = get_cfg()
    cfg.SOLVER.OPTIMIZING_METHOD = method
    optimizer = build_optimizer(cfg, Net())
    assert isinstance(optimizer, kind) and type(optimizer).__name__ == kind.__name__


def test_adamw_takes_its_betas():
    cfg = get_cfg()
    cfg.SOLVER.OPTIMIZING_METHOD, cfg.SOLVER.BETAS = "adamw", (0.8, 0.95)
    assert build_optimizer(cfg, Net()).defaults["betas"] == (0.8, 0.95)


def test_sgd_defaults_are_the_reference_ones():
    defaults = build_optimizer(get_cfg(), Net()).defaults
    assert (defaults["momentum"], defaults["dampening"], defaults["nesterov"]) == (0.9, 0.0, True)


@pytest.mark.parametrize(("key", "value"), [("MOMENTUM", 0.0), ("DAMPENING", 0.1)])
def test_nesterov_error_names_the_keys(key, value):
    cfg = get_cfg()
    cfg.SOLVER[key] = value
    with pytest.raises(ValueError, match=rf"SOLVER.NESTEROV.*SOLVER.{key}[^,]*{value}"):
        build_optimizer(cfg, Net())


def test_unknown_method_names_the_key():
    cfg = get_cfg()
    cfg.SOLVER.OPTIMIZING_METHOD = "lion"
    with pytest.raises(ValueError, match="SOLVER.OPTIMIZING_METHOD: 'lion'.*adamw"):
        build_optimizer(cfg, Net())


def test_nothing_to_train_is_refused():
    with pytest.raises(ValueError, match="TRAIN.FREEZE"):
        build_optimizer(get_cfg(), Net().requires_grad_(False))


def _mvit(*overrides):
    torch.manual_seed(0)
    cfg = get_cfg()
    small = ["MVIT.DEPTH", 2, "MVIT.EMBED_DIM", 8, "MODEL.NUM_CLASSES", 3]
    small += ["MODEL.MODEL_NAME", "MViT", "DATA.INPUT_CHANNEL_NUM", [3]]
    small += ["DATA.TRAIN_CROP_SIZE", 32, "SOLVER.OPTIMIZING_METHOD", "adamw"]
    cfg.merge_from_list([*small, "SOLVER.ZERO_WD_1D_PARAM", True, *overrides])
    return cfg, build_model(cfg)


def _groups_by_name(cfg, model):
    groups = build_optimizer(cfg, model).param_groups
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    return {names[id(p)]: group for group in groups for p in group["params"]}


@pytest.mark.parametrize("is_decayed", [False, True])
def test_positions_and_class_token_may_go_without_decay(is_decayed):
    keys = ["MVIT.ZERO_DECAY_POS_CLS", not is_decayed, "MVIT.REL_POS_TEMPORAL", True]
    groups = _groups_by_name(*_mvit(*keys))
    decayed = {name for name, group in groups.items() if group["weight_decay"]}
    positions = {"cls_token", "pos_embed", "blocks.0.attn.rel_pos_t", "blocks.1.attn.rel_pos_t"}
    assert positions & decayed == (positions if is_decayed else set())
    assert {"patch_embed.proj.weight", "head.projection.weight"} <= decayed
    assert not {"norm.weight", "blocks.0.attn.qkv.bias", "head.projection.bias"} & decayed


def test_learning_rates_fall_from_layer_to_layer():
    cfg, model = _mvit("SOLVER.LAYER_DECAY", 0.5, "SOLVER.HEAD_LR_FACTOR", 10.0)
    optimizer = build_optimizer(cfg, model)
    set_learning_rate(optimizer, 0.8)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    rates = {names[id(p)]: group["lr"] for group in optimizer.param_groups for p in group["params"]}
    assert set(rates) == set(names.values())
    expected = {"cls_token": 0.1, "patch_embed.proj.bias": 0.1, "blocks.0.norm1.weight": 0.2}
    expected |= {"blocks.1.mlp.fc1.weight": 0.4, "norm.weight": 0.8, "head.projection.weight": 8}
    assert {name: rates[name] for name in expected} == pytest.approx(expected)


def test_layers_of_other_networks_have_one_learning_rate():
    cfg = get_cfg()
    cfg.SOLVER.LAYER_DECAY = 0.5
    with pytest.raises(ValueError, match="SOLVER.LAYER_DECAY: 0.5 must be 1 for a NetWithHead"):
        build_optimizer(cfg, NetWithHead())


@pytest.mark.parametrize("kind", [torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW])
def test_an_optimizer_without_compiler_takes_the_same_steps(kind):
    weights = [torch.nn.Parameter(torch.ones(3)) for _ in range(2)]
    options = {"lr": 0.1, **({"momentum": 0.9} if kind is torch.optim.SGD else {})}
    plain, quick = kind(weights[:1], **options), without_compiler(kind)(weights[1:], **options)
    for _ in range(2):
        for weight in weights:
            weight.grad = weight.detach() ** 2
        plain.step()
        quick.step()
    assert isinstance(quick, kind) and torch.equal(*weights)
    torch.testing.assert_close(plain.state_dict(), quick.state_dict())
