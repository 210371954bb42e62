import json

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from slowfast.checkpoint.initialize import initialize_from, load_for_test
from slowfast.config.checks import check_cfg
from slowfast.models import build_model
from slowfast.models.complexity import count_by_module, count_macs
from slowfast.models.families.mvit_attention import relative_positions
from tests.helpers.configs import cfg_with
from tests.helpers.fills import golden_value
from tests.helpers.paths import GOLDENS
from tests.helpers.small_networks import clips, small_model

GOLDEN = json.loads((GOLDENS / "mvit_kinds.json").read_text())
BOXES = torch.tensor([[0.0, 0, 0, 40, 40], [1.0, 5, 8, 30, 31]])
SEPARATE = {"MVIT.SEP_POS_EMBED": True}
SINES = {"MVIT.EMBED_DIM": 16, "MVIT.USE_FIXED_SINCOS_POS": True}


@torch.no_grad()
@pytest.mark.parametrize("kind", GOLDEN["kinds"], ids=lambda kind: str(kind["keys"])[:80])
def test_kinds_of_attention_and_positions_are_those_of_the_reference(kind):
    cfg = cfg_with({"MODEL.MODEL_NAME": "MViT", **GOLDEN["keys"], **kind["keys"]})
    check_cfg(cfg)
    model = build_model(cfg).double().eval()
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            parameter.copy_(torch.from_numpy(np.asarray(golden_value(name, parameter.shape))))
    shape = (2, 3, cfg.DATA.NUM_FRAMES, cfg.DATA.TRAIN_CROP_SIZE, cfg.DATA.TRAIN_CROP_SIZE)
    logits = model([torch.from_numpy(np.random.RandomState(0).standard_normal(shape))])
    torch.testing.assert_close(logits.tolist(), kind["logits"], rtol=1e-10, atol=1e-10)


def test_weights_start_as_in_the_reference():
    model = small_model("MViT", **{"MVIT.HEAD_INIT_SCALE": 0.5, "MODEL.NUM_CLASSES": 200})
    spread = [model.cls_token, model.pos_embed, model.patch_embed.proj.weight]
    spread += [model.blocks[3].attn.qkv.weight, model.blocks[3].attn.rel_pos_h]
    for values in spread:
        ratio = values.std().item() / 0.02
        assert ratio == pytest.approx(1, abs=4 / values.numel() ** 0.5)
        assert values.abs().max() < 0.1
    assert model.head.projection.weight.std().item() == pytest.approx(0.01, rel=0.1)
    biases = [module.bias for module in model.modules() if isinstance(module, nn.LayerNorm)]
    assert all((bias == 0.02).all() for bias in biases)
    assert (model.blocks[0].mlp.fc1.bias == 0.02).all()


@pytest.mark.slow
def test_recomputed_blocks_have_the_same_gradients():
    gradients = []
    for recomputes in (False, True):
        model = small_model("MViT", **{"MODEL.ACT_CHECKPOINT": recomputes})
        torch.manual_seed(0)  # of dropped branches
        model(clips("MViT")).square().sum().backward()
        gradients.append([parameter.grad for parameter in model.parameters()])
    torch.testing.assert_close(*gradients)


@pytest.mark.parametrize("keys", [{}, SEPARATE, SINES])
def test_positions_of_another_crop_are_interpolated(keys):
    model = small_model("MViT", **keys).eval()
    positions = model._positions((4, 16, 16))
    own = model._positions(model.tokens.grid)
    assert positions.shape[1] == 1 + 4 * 16 * 16
    torch.testing.assert_close(positions[:, 0], own[:, 0])
    maps = own[0, 1:].T.unflatten(1, model.tokens.grid)
    resized = F.interpolate(maps[None], (4, 16, 16), mode="trilinear")
    torch.testing.assert_close(positions[0, 1:].T, resized[0].flatten(1))


def test_relative_positions_of_pooled_keys_count_in_steps_of_the_queries():
    table = torch.arange(7.0)[:, None]
    found = relative_positions(table, 4, 2)[..., 0]
    assert found.tolist() == [[2, 0], [3, 1], [4, 2], [5, 3]]


@pytest.mark.parametrize("keys", [{}, SEPARATE, {"MVIT.CLS_EMBED_ON": False}])
def test_weights_of_another_crop_and_length_start_a_training(keys, tmp_path, caplog):
    source = small_model("MViT", **keys, **{"DATA.TRAIN_CROP_SIZE": 64, "DATA.NUM_FRAMES": 8})
    torch.save(source.state_dict(), tmp_path / "weights.pyth")
    model = small_model("MViT", **keys)
    report = initialize_from(model, tmp_path / "weights.pyth")
    assert report.coverage == 1 and report.identities == () and not report.mismatched
    assert "4 attentions had their relative positions resized" in caplog.text
    assert "1 network had its positions resized" in caplog.text
    # Scores of clips that both can see differ by what is lost in between.
    found, expected = (m.blocks[0].attn.rel_pos_h for m in (model, source))
    torch.testing.assert_close(
        found, F.interpolate(expected.T[None], len(found), mode="linear")[0].T
    )


@pytest.mark.slow
def test_weights_of_the_reference_are_recognised(tmp_path):
    source = small_model("MViT")
    torch.save({"model_state": source.state_dict()}, tmp_path / "weights.pyth")
    assert load_for_test(small_model("MViT"), tmp_path / "weights.pyth").layout == "PySlowFast"


def test_boxes_are_classified():
    keys = {"DETECTION.ENABLE": True, "DETECTION.SPATIAL_SCALE_FACTOR": 32}
    model = small_model("MViT", **keys, **{"MODEL.HEAD_ACT": "sigmoid"})
    logits = model(clips("MViT", size=64), BOXES)
    assert logits.shape == (2, 5)
    logits.square().sum().backward()
    assert all(p.grad is not None for n, p in model.named_parameters() if n != "cls_token")


@pytest.mark.slow
def test_macs_are_the_same_on_a_device_as_without_one():
    model, x = small_model("MViT"), clips("MViT", num=1)
    counted = sum(count_macs(model, x).values())
    assert counted == sum(count_macs(model.to("meta"), [x[0].to("meta")]).values())
    assert counted == count_by_module(small_model("MViT"), x)[0].macs


def test_heads_must_share_the_channels():
    with pytest.raises(ValueError, match="block 0 would share 9 channels among 2 heads"):
        small_model("MViT", **{"MVIT.EMBED_DIM": 9, "MVIT.NUM_HEADS": 2})
