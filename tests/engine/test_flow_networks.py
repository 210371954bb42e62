"""Networks for optical flow, from scratch and from RGB weights."""

import json

import numpy as np
import pytest
import torch

from slowfast.checkpoint.initialize import initialize_from
from slowfast.curation.flow import write_flow
from slowfast.datasets.decoding.flow import DESCRIPTION
from slowfast.engine.test import test as run_test
from slowfast.engine.train import train
from slowfast.models import build_model

FLOW = ("DATA.MODALITY", "flow", "DATA.MEAN", "[0.5, 0.5]", "DATA.STD", "[0.1, 0.1]")


@pytest.fixture(scope="module")
def flow_set(tmp_path_factory):
    """Lists and flow of videos that move right, left or down."""
    folder = tmp_path_factory.mktemp("flow_set")
    ways = np.array([[4, 0], [-4, 0], [0, 4]])
    rng = np.random.default_rng(0)
    for split, count in (("train", 8), ("val", 4), ("test", 5)):
        lines = []
        for index in range(count):
            place = folder / split / f"{index}"
            place.mkdir(parents=True)
            write_flow(ways[index % 3] + rng.normal(0, 1, (8, 36, 40, 2)), place)
            (place / DESCRIPTION).write_text(json.dumps({"num_frames": 8, "fps": 30.0}))
            lines.append(f"{split}/{index}.mp4 {index % 3}\n")
        (folder / f"{split}.csv").write_text("".join(lines))
    return folder


@pytest.mark.slow
def test_a_flow_network_trains_and_is_tested(flow_set, toy_cfg, tmp_path):
    cfg = toy_cfg(
        *(*FLOW, "DATA.INPUT_CHANNEL_NUM", "[2]", "DATA.PATH_TO_DATA_DIR", flow_set),
        *("SOLVER.MAX_EPOCH", 1),
    )
    train(cfg)
    results = run_test(cfg)
    assert results["num_videos"] == 5 and results["num_unreadable"] == 0
    with np.load(tmp_path / "run/test_scores.npz") as scores:
        assert scores["paths"][0].endswith("test/0.mp4") and scores["seen"].all()


FAMILIES = {
    "VoV3D": "s1.pathway0_stem.conv_xy.weight",
    "X3D": "s1.pathway0_stem.conv_xy.weight",
    "S3D": "s1.pathway0_stem.conv.weight",
    "ResNet": "s1.pathway0_stem.conv.weight",
    "SlowFast": "s1.pathway1_stem.conv.weight",
}


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_takes_flow_and_starts_from_rgb_weights(family, toy_cfg, tmp_path, caplog):
    num = 2 if family == "SlowFast" else 1
    options = ("MODEL.MODEL_NAME", family, "MODEL.ARCH", "slow", "RESNET.DEPTH", 18)
    options += ("RESNET.WIDTH_PER_GROUP", 8, "SLOWFAST.ALPHA", 2, "SLOWFAST.BETA_INV", 4)
    options += ("X3D.BOTTLENECK_FACTOR", 2.25, "S3D.WIDTH_FACTOR", 0.125)
    if family == "X3D":
        options += ("RESNET.TRANS_FUNC", "x3d_transform")
    rgb = build_model(toy_cfg(*options, "DATA.INPUT_CHANNEL_NUM", [3] * num))
    flow = build_model(toy_cfg(*options, *FLOW, "DATA.INPUT_CHANNEL_NUM", [2] * num))
    torch.save({"model_state": rgb.state_dict()}, tmp_path / "rgb.pyth")
    with caplog.at_level("INFO"):
        report = initialize_from(flow, tmp_path / "rgb.pyth")
    assert report.coverage == 1 and len(report.averaged) == num and not report.mismatched
    name = FAMILIES[family]
    assert name in report.averaged and f"averaged   {num:>5}" in caplog.text
    theirs, ours = rgb.state_dict()[name], flow.state_dict()[name]
    expected = theirs.mean(1, keepdim=True).expand(-1, 2, -1, -1, -1)
    torch.testing.assert_close(ours, expected)
    clips = [torch.rand(1, 2, 4 // (2 if num == 2 and not i else 1), 32, 32) for i in range(num)]
    assert flow.eval()(clips).shape == (1, 3)
