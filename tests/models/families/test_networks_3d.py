"""Facts about R(2+1)D, R3D, MC3, CSN and MF-Net, built small or without memory."""

import pytest
import torch
from torch import nn

from slowfast.checkpoint.initialize import load_for_test
from slowfast.config.checks import check_cfg
from slowfast.config.cli import load_cfg
from slowfast.models import build_model
from slowfast.models.complexity import build_complexity
from slowfast.models.fold import fold_batch_norm
from slowfast.models.slimmable import make_slimmable, narrow, width
from tests.helpers.paths import ROOT
from tests.helpers.small_networks import clips, small_cfg, small_model

KINETICS = ROOT / "configs" / "Kinetics"
VARIANTS = ["torchvision", "vmz", "mmaction2", "pytorchvideo"]
KINDS = {
    **{f"R2Plus1D {name}": ("R2Plus1D", {"R2PLUS1D.VARIANT": name}) for name in VARIANTS},
    **{"R3D": ("R3D", {}), "MC3": ("MC3", {})},
    **{f"{kind}-CSN": ("CSN", {"CSN.KIND": kind, "CSN.VARIANT": "vmz"}) for kind in ("ip", "ir")},
}
kinds = pytest.mark.parametrize(("family", "keys"), KINDS.values(), ids=KINDS)


def on_meta(path, *options):
    with torch.device("meta"):
        return build_model(load_cfg(KINETICS / path, options))


def randomise(model):
    """Statistics and weights of batch norms that are not those of a new network."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm3d):
            module.running_mean.normal_(std=0.1)
            module.running_var.uniform_(0.5, 1.5)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.1)
    return model


def constants(model):
    """(eps, momentum) of all batch norms -> how many have them."""
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm3d)]
    pairs = [(norm.eps, norm.momentum) for norm in norms]
    return {pair: pairs.count(pair) for pair in set(pairs)}


@pytest.mark.slow
@torch.no_grad()
@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("r2plus1d_18", "r2plus1d/R2PLUS1D_18_16x2.yaml"),
        ("r3d_18", "r3d/R3D_18_16x2.yaml"),
        ("mc3_18", "r3d/MC3_18_16x2.yaml"),
    ],
)
def test_logits_of_torchvision_s_weights_are_torchvision_s(name, path, tmp_path):
    video = pytest.importorskip("torchvision.models.video", reason="torchvision has the networks")
    torch.manual_seed(0)
    theirs = randomise(getattr(video, name)()).double().eval()
    torch.save(theirs.state_dict(), tmp_path / f"{name}.pth")
    cfg = load_cfg(KINETICS / path, ["MODEL.HEAD_ACT", "none", "NUM_GPUS", 0])
    ours = build_model(cfg).double().eval()
    report = load_for_test(ours, tmp_path / f"{name}.pth")
    assert report.coverage == 1 and not report.unexpected
    clip = torch.randn(1, 3, 8, 32, 48, dtype=torch.float64)
    torch.testing.assert_close(ours([clip]), theirs(clip), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(("depth", "gmacs"), [(50, "11.9"), (101, "15.9")])
def test_ip_csn_on_8_frames_costs_what_the_text_of_x3d_prints(depth, gmacs):
    path = KINETICS / f"csn/IP_CSN_{depth}_32x2.yaml"
    counted = build_complexity(load_cfg(path, ["DATA.NUM_FRAMES", 8, "NUM_GPUS", 0]))
    assert f"{counted.macs_train / 1e9:.1f}" == gmacs


@pytest.mark.parametrize(
    ("path", "options", "expected"),
    [
        ("r2plus1d/R2PLUS1D_18_16x2.yaml", [], {(1e-5, 0.1): 37}),
        ("r2plus1d/R2PLUS1D_34_8x1.yaml", [], {(1e-3, 0.1): 69}),
        ("r2plus1d/R2PLUS1D_34_8x8.yaml", [], {(1e-3, 0.1): 36, (1e-5, 0.1): 36}),
        ("r2plus1d/R2PLUS1D_16x4_R50.yaml", [], {(1e-5, 0.1): 69}),
        ("csn/IP_CSN_50_32x2.yaml", [], {(1e-3, 0.1): 69}),
        ("csn/CSN_32x2_R101.yaml", [], {(1e-5, 0.1): 104}),
        ("mfnet/MFNET_16x2.yaml", [], {(1e-5, 0.1): 70}),
    ],
)
def test_batch_norms_have_the_constants_of_the_public_code(path, options, expected):
    assert constants(on_meta(path, *options)) == expected


@pytest.mark.parametrize(
    ("text", "ours"),
    [
        ("MODEL: {MODEL_NAME: PTVCSN, ARCH: csn}\nRESNET: {DEPTH: 101}\n", "csn/CSN_32x2_R101"),
        (
            "MODEL: {MODEL_NAME: PTVR2plus1D, ARCH: r2plus1d}\nRESNET: {DEPTH: 50}\n",
            "r2plus1d/R2PLUS1D_16x4_R50",
        ),
    ],
)
def test_pyslowfast_s_configs_build_pytorchvideo_s_network(text, ours, tmp_path):
    common = "TRAIN: {DATASET: ptvkinetics}\nTEST: {DATASET: ptvkinetics}\n"
    (tmp_path / "x.yaml").write_text(f"{common}DATA: {{INPUT_CHANNEL_NUM: [3]}}\n{text}")
    with torch.device("meta"):
        found = build_model(load_cfg(tmp_path / "x.yaml"))
    expected = on_meta(f"{ours}.yaml")
    assert constants(found) == constants(expected)
    shapes = [
        {n: value.shape for n, value in model.state_dict().items()} for model in (found, expected)
    ]
    assert shapes[0] == shapes[1]


@pytest.mark.parametrize(
    ("path", "size"),
    [("csn/CSN_32x2_R101.yaml", (4, 7, 7)), ("r2plus1d/R2PLUS1D_16x4_R50.yaml", (4, 7, 7))],
)
def test_head_of_pytorchvideo_averages_windows_as_large_as_maps_of_training(path, size):
    (pool,) = on_meta(path).head.pools
    assert pool.size == size
    (pool,) = on_meta(path, "MULTIGRID.SHORT_CYCLE", True).head.pools
    assert pool.size is None


@kinds
@torch.no_grad()
def test_a_narrow_network_is_the_leading_channels_of_the_whole(family, keys):
    model = randomise(small_model(family, **{"RESNET.WIDTH_PER_GROUP": 16, **keys})).eval()
    x = clips(family)
    whole = make_slimmable(model)(x)
    with width(model, 0.5):
        found = model(x)
    torch.testing.assert_close(narrow(model, 0.5)(x), found)
    assert not torch.allclose(found, whole)


@kinds
@torch.no_grad()
def test_folded_batch_norms_change_nothing(family, keys):
    model = randomise(small_model(family, **{"MODEL.HEAD_ACT": "none", **keys})).eval()
    x = clips(family)
    folded = fold_batch_norm(model, x)
    assert not any(isinstance(module, nn.BatchNorm3d) for module in folded.modules())
    torch.testing.assert_close(folded(x), model(x), rtol=1e-4, atol=1e-4)


@pytest.mark.slow
@torch.no_grad()
def test_some_batch_norms_of_mf_net_stay_as_no_convolution_is_before_them():
    model = randomise(small_model("MFNet", **{"MODEL.HEAD_ACT": "none"})).eval()
    x = clips("MFNet")
    folded = fold_batch_norm(model, x)
    torch.testing.assert_close(folded(x), model(x), rtol=1e-4, atol=1e-4)
    assert isinstance(folded.s1.pathway0_stem.bn, nn.Identity)
    assert isinstance(folded.s3.pathway0_res1.i1.bn, nn.BatchNorm3d)


@pytest.mark.parametrize(
    ("family", "keys", "message"),
    [
        ("MFNet", {"MODEL.WIDTH": 0.5}, "MODEL.WIDTH: 0.5 must be 1 with MFNet: its conv"),
        ("MFNet", {"ADAPTIVE.ENABLE": True}, "ADAPTIVE.ENABLE: True must be False with MFNet"),
        ("MFNet", {"MFNET.NUM_GROUPS": 3}, "MFNET.NUM_GROUPS: 3 must divide the stem's width 16"),
        ("MFNet", {"MFNET.WIDTH": 6, "MFNET.NUM_GROUPS": 2}, "MFNET.WIDTH: 6 must be a multiple"),
        ("MFNet", {"RESNET.ZERO_INIT_FINAL_BN": True}, "RESNET.ZERO_INIT_FINAL_BN: True must be F"),
        ("MFNet", {"MODEL.DROPCONNECT_RATE": 0.1}, "MODEL.DROPCONNECT_RATE: 0.1 must be 0 for MFN"),
        ("R3D", {"RESNET.TRANS_FUNC": "basic_transform"}, "RESNET.TRANS_FUNC: .* no effect on R3D"),
        ("CSN", {"RESNET.NUM_GROUPS": 32}, "RESNET.NUM_GROUPS: 32 has no effect on CSN"),
        ("CSN", {"RESNET.DEPTH": 20}, "RESNET.DEPTH: 20 is not one of"),
        ("R2Plus1D", {"NONLOCAL.LOCATION": [[[]], [[1]], [[]], [[]]]}, "NONLOCAL.* R2Plus1D does"),
        ("R2Plus1D", {"DATA.INPUT_CHANNEL_NUM": [3, 3]}, "DATA.INPUT_CHANNEL_NUM: .*R2Plus1D"),
    ],
)
def test_a_mistake_in_the_config_names_value_and_key(family, keys, message):
    with pytest.raises(ValueError, match=message):
        cfg = small_cfg(family, **keys)
        check_cfg(cfg)
        build_model(cfg)


@pytest.mark.parametrize(("name", "map_stride"), [("R3D", 16), ("CSN", 32), ("MFNet", 32)])
def test_detection_takes_boxes_on_the_last_map(name, map_stride):
    keys = {"DETECTION.ENABLE": True, "DETECTION.SPATIAL_SCALE_FACTOR": map_stride}
    model = small_model(name, **keys, **{"MODEL.HEAD_ACT": "sigmoid"}).eval()
    boxes = torch.tensor([[0.0, 2, 3, 20, 21], [1.0, 0, 0, 31, 31], [1.0, 4, 4, 9, 9]])
    assert model(clips(name), boxes).shape == (3, 5)
