"""A family from outside the package: parts, a network, `build_tsm(cfg)` and one row."""

from functools import partial

import pytest
import torch

from slowfast.config.defaults import get_cfg
from slowfast.models import MODELS, build_model
from slowfast.models.blocks import BottleneckBranch
from slowfast.models.complexity import build_complexity
from slowfast.models.families.resnet import C2D, build_pathway, resnet_blocks, resnet_stages
from slowfast.models.heads import AveragePool, MeanLogitsHead, build_classifier, build_pool
from slowfast.models.network import assemble, build_init, refuse_nonlocal, single_pathway_channels
from slowfast.models.norm import build_norm


class ShiftedBranch(BottleneckBranch):
    """A bottleneck that sees an eighth of its channels one frame ahead, an eighth one behind."""

    def forward(self, x):
        fold = x.shape[1] // 8
        shifted = torch.zeros_like(x)
        shifted[:, :fold, :-1] = x[:, :fold, 1:]
        shifted[:, fold : 2 * fold, 1:] = x[:, fold : 2 * fold, :-1]
        shifted[:, 2 * fold :] = x[:, 2 * fold :]
        return super().forward(shifted)


def build_tsm(cfg):
    """TSM (arXiv 1811.08383): a ResNet of frames whose features are shifted in time."""
    name, norm = cfg.MODEL.MODEL_NAME, build_norm(cfg)
    refuse_nonlocal(cfg.NONLOCAL.LOCATION, model=name)
    dim_clip = single_pathway_channels(cfg.DATA.INPUT_CHANNEL_NUM, model=name)
    pathway = build_pathway(cfg, C2D, dim_clip)
    make_branch = partial(ShiftedBranch, groups=1, strides_first=False, norm=norm)
    stages = resnet_stages(
        [pathway],
        partial(resnet_blocks, make_branch=make_branch, make_nonlocal=None, norm=norm),
        norm=norm,
        drop_connect_rate=cfg.MODEL.DROPCONNECT_RATE,
    )
    pool = build_pool(cfg, AveragePool((1, 7, 7)), map_stride=pathway.map_stride)
    head = MeanLogitsHead(pool, build_classifier(cfg, pathway.dim_out))
    return assemble(stages, head, build_init(cfg))


@pytest.fixture
def cfg(monkeypatch):
    monkeypatch.setattr(MODELS, "_entries", dict(MODELS._entries))  # the row is for this test
    MODELS.register("MyTSM")(build_tsm)
    cfg = get_cfg()
    cfg.MODEL.MODEL_NAME = "MyTSM"
    cfg.DATA.INPUT_CHANNEL_NUM = [3]
    cfg.MODEL.NUM_CLASSES = 174
    return cfg


def test_a_row_is_enough_for_counts(cfg):
    """Those of a ResNet-50 of 8 frames: published are 24.3 M (400 classes) and 33 G."""
    size = build_complexity(cfg)
    assert size.params == 23_864_558
    assert size.macs_train / 1e9 == pytest.approx(32.70, abs=0.01)


@pytest.mark.slow
def test_it_trains_and_tests_and_runs_narrow(cfg):
    cfg.RESNET.WIDTH_PER_GROUP = 16
    cfg.MODEL.WIDTH = 0.5
    torch.manual_seed(0)
    model, clips = build_model(cfg), [torch.randn(2, 3, 8, 64, 64)]
    model(clips).square().sum().backward()
    assert all(p.grad is not None for p in model.parameters())
    scores = model.eval()(clips)
    assert scores.shape == (2, 174)
    torch.testing.assert_close(scores.sum(1), torch.ones(2))
    assert not torch.allclose(model([clips[0].flip(2)]), scores)  # time has a direction
