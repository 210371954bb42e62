"""MViT of torchvision and of pytorchvideo: their weights, in our network, give their logits."""

import warnings

import pytest
import torch
from torch import nn

from slowfast.checkpoint.initialize import load_for_test
from slowfast.checkpoint.layouts import detect_and_rename
from slowfast.config.cli import load_cfg
from slowfast.models import build_model
from tests.helpers.configs import cfg_with
from tests.helpers.paths import ROOT

FIRST_VERSION = {
    "MVIT.SEP_POS_EMBED": True,
    "MVIT.POOL_Q_STRIDE": [[1, 1, 2, 2]],
}
SECOND_VERSION = {
    "MVIT.USE_ABS_POS": False,
    "MVIT.REL_POS_SPATIAL": True,
    "MVIT.REL_POS_TEMPORAL": True,
    "MVIT.DIM_MUL_IN_ATT": True,
    "MVIT.RESIDUAL_POOLING": True,
    "MVIT.POOL_Q_STRIDE": [[0, 1, 1, 1], [1, 1, 2, 2]],
}


def ours(**keys):
    """Two blocks, 16 channels and one head, then 32 and two."""
    return build_model(
        cfg_with(
            {
                "MODEL.MODEL_NAME": "MViT",
                "MODEL.NUM_CLASSES": 5,
                "MODEL.HEAD_ACT": "none",
                "DATA.INPUT_CHANNEL_NUM": [3],
                "DATA.NUM_FRAMES": 8,
                "DATA.TRAIN_CROP_SIZE": 32,
                "MVIT.DEPTH": 2,
                "MVIT.EMBED_DIM": 16,
                "MVIT.PATCH_PADDING": [1, 3, 3],
                "MVIT.DIM_MUL": [[1, 2.0]],
                "MVIT.HEAD_MUL": [[1, 2.0]],
                "MVIT.POOL_KVQ_KERNEL": [3, 3, 3],
                "MVIT.POOL_KV_STRIDE_ADAPTIVE": [1, 4, 4],
                **keys,
            }
        )
    )


def torchvision_network(*, is_second):
    mvit = pytest.importorskip("torchvision.models.video.mvit")
    kernel = [3, 3, 3]
    widths = ((16, 16), (16, 32)) if is_second else ((16, 32), (32, 32))
    blocks = [
        mvit.MSBlockConfig(
            index + 1,
            *widths[index],
            kernel_q=kernel if is_second or index else [],
            kernel_kv=kernel,
            stride_q=[[1, 1, 1] if is_second else [], [1, 2, 2]][index],
            stride_kv=[1, 4 // 2**index, 4 // 2**index],
        )
        for index in range(2)
    ]
    return mvit.MViT(
        (32, 32),
        8,
        blocks,
        residual_pool=is_second,
        residual_with_cls_embed=False,
        rel_pos_embed=is_second,
        proj_after_attn=is_second,
        num_classes=5,
    )


def pytorchvideo_network():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        networks = pytest.importorskip("pytorchvideo.models.vision_transformers")
    return networks.create_multiscale_vision_transformers(
        spatial_size=32,
        temporal_size=8,
        depth=2,
        patch_embed_dim=16,
        embed_dim_mul=[[1, 2.0]],
        atten_head_mul=[[1, 2.0]],
        pool_q_stride_size=[[1, 1, 2, 2]],
        pool_kv_stride_adaptive=[1, 4, 4],
        pool_kvq_kernel=[3, 3, 3],
        head_num_classes=5,
    )


def assert_same_logits(theirs: nn.Module, model: nn.Module, path, layout):
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter.add_(0.2 * torch.randn(parameter.shape))
    theirs.double().eval()
    torch.save(theirs.state_dict(), path)
    model.double().eval()
    report = load_for_test(model, path)
    assert report.layout == layout
    clip = torch.randn(2, 3, 8, 32, 32, dtype=torch.float64)
    with torch.no_grad():
        logits = model([clip])
        torch.testing.assert_close(logits, theirs(clip), rtol=1e-9, atol=1e-9)
    assert logits.std() > 0.01


@pytest.mark.parametrize("is_second", [False, True])
def test_torchvision(is_second, tmp_path):
    model = ours(**(SECOND_VERSION if is_second else FIRST_VERSION))
    theirs = torchvision_network(is_second=is_second)
    assert_same_logits(theirs, model, tmp_path / "weights.pth", "torchvision MViT")


def test_pytorchvideo(tmp_path):
    theirs = pytorchvideo_network()
    for module in theirs.modules():
        if isinstance(module, nn.LayerNorm):
            module.eps = 1e-6  # of pooled tokens it is 1e-5 there
    path = tmp_path / "weights.pth"
    assert_same_logits(theirs, ours(**FIRST_VERSION), path, "pytorchvideo MViT")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "config"), [("mvit_v1_b", "MVIT_B_16x4_CONV"), ("mvit_v2_s", "MVITv2_S_16x4")]
)
def test_published_networks_of_torchvision_have_the_tensors_of_ours(name, config):
    video = pytest.importorskip("torchvision.models.video")
    with torch.device("meta"):
        theirs = getattr(video, name)().state_dict()
        model = build_model(load_cfg(ROOT / f"configs/Kinetics/mvit/{config}.yaml"))
    own = {key: value.shape for key, value in model.state_dict().items()}
    renamed, _ = detect_and_rename(theirs, own)
    assert {key: value.shape for key, value in renamed.items()} == own
