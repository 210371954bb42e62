import json
from collections import defaultdict
from dataclasses import asdict

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from slowfast.config.cli import load_cfg
from slowfast.models.complexity import build_complexity, count_macs, count_parameters
from slowfast.models.network import VideoNetwork
from tests.helpers.paths import ROOT

GOLDEN = ROOT / "tests" / "golden" / "complexity.json"
EXPECTED = json.loads(GOLDEN.read_text(encoding="utf-8"))
# One of each family; the others are counted in the slow tests.
FAMILIES = [
    "configs/AVA/slow/SLOW_8x8_R50_SHORT.yaml",
    "configs/Kinetics/a3d/A3D_SLOW_8x8_R50_06.yaml",
    "configs/Kinetics/c2d/C2D_8x8_R50.yaml",
    "configs/Kinetics/i3d/I3D_8x8_R50.yaml",
    "configs/Kinetics/s3d/S3D_G.yaml",
    "configs/Kinetics/slow/SLOW_8x8_R50.yaml",
    "configs/Kinetics/slowfast/SLOWFAST_8x8_R50.yaml",
    "configs/Kinetics/vov3d/vov3d_M.yaml",
    "configs/Kinetics/x3d/X3D_M.yaml",
]
CONFIGS = sorted(path.relative_to(ROOT).as_posix() for path in ROOT.glob("configs/**/*.yaml"))


class FoldedConv(nn.Conv3d):
    """A 1x1x1 convolution computed in another way."""

    def forward(self, x):
        return F.conv2d(x.flatten(2, 3), self.weight.squeeze(2)).unflatten(2, x.shape[2:4])


class Attention(nn.Module):
    """Matrix products outside of layers, before and after one."""

    def __init__(self):
        super().__init__()
        self.project = nn.Linear(4, 4)

    def forward(self, maps, _boxes):
        rows = maps[0].flatten(2).transpose(1, 2)  # N,THW,C
        weights = torch.einsum("npc,nqc->npq", rows, rows)
        return self.project(weights @ rows).mean(1)


def network():
    conv = nn.Conv3d(4, 4, 3, padding=1, groups=2)
    stage = nn.ModuleList([conv, FoldedConv(4, 4, 1, bias=False)])
    stage.forward = lambda maps: [stage[1](stage[0](maps[0]))]
    return VideoNetwork({"s1": stage}, Attention())


def test_macs_count_layers_by_shape_and_matrix_products_by_operator():
    positions = 2 * 3 * 3
    layers = positions * (4 * 2 * 27 + 4 * 4)
    attention = 2 * positions * positions * 4 + positions * 4 * 4
    macs = count_macs(network(), [torch.randn(1, 4, 2, 3, 3)])
    assert macs == {"s1": layers, "head": attention}


def test_macs_on_the_meta_device_are_the_same():
    expected = count_macs(network(), [torch.randn(1, 4, 2, 3, 3)])
    model = network().to("meta")
    assert count_macs(model, [torch.empty(1, 4, 2, 3, 3, device="meta")]) == expected


def test_counting_leaves_the_model_as_it_was():
    model = network()
    count_macs(model, [torch.randn(1, 4, 2, 3, 3)])
    assert model.training
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


def test_parameters_are_counted_per_top_module():
    assert count_parameters(network()) == {"s1": 4 * 2 * 27 + 4 + 16, "head": 16 + 4}


def test_every_config_has_its_numbers():
    advice = "run: python tools/model_info.py configs --output tests/golden/complexity.json"
    assert sorted(EXPECTED) == CONFIGS, advice


NETWORK = (
    "MODEL RESNET NONLOCAL SEGMENTS TSM TPN GST X3D VOV3D R2PLUS1D CSN MFNET S3D BLVNET".split()
)
NETWORK += "TRN MVIT SLOWFAST DETECTION ADAPTIVE USER".split()
SHAPES = "NUM_FRAMES TRAIN_CROP_SIZE TEST_CROP_SIZE INPUT_CHANNEL_NUM MODALITY".split()
COUNTED = {}
# Folder of a family's recipes, below any dataset -> the recipes, which share networks.
OF_FAMILY = defaultdict(list)
for path in CONFIGS:
    OF_FAMILY[path.split("/")[2]].append(path)


def complexity_of(cfg):
    """Complexity of a config, counted once for all configs of the same network and clips."""
    sections = [str(cfg[name]) for name in NETWORK]
    shapes = (str(cfg.DATA[name]) for name in SHAPES)
    key = (*sections, *shapes, cfg.TEST.WHOLE_VIDEO, cfg.MULTIGRID.SHORT_CYCLE)
    if key not in COUNTED:
        COUNTED[key] = asdict(build_complexity(cfg))
    return COUNTED[key]


@pytest.mark.parametrize("name", FAMILIES)
def test_config_has_the_stored_size(name):
    assert complexity_of(load_cfg(ROOT / name)) == EXPECTED[name]


@pytest.mark.slow
@pytest.mark.parametrize("folder", sorted(OF_FAMILY))
def test_all_configs_of_a_family_have_the_stored_sizes(folder):
    found = {name: complexity_of(load_cfg(ROOT / name)) for name in OF_FAMILY[folder]}
    assert found == {name: EXPECTED[name] for name in OF_FAMILY[folder]}


@pytest.mark.slow
def test_a_test_on_the_whole_video_costs_what_its_frames_cost():
    name = ROOT / "configs/Kinetics/x3d/X3D_XS.yaml"
    whole = ["TEST.WHOLE_VIDEO", 8, "TEST.NUM_ENSEMBLE_VIEWS", 1]
    longer, found = (
        build_complexity(load_cfg(name, words)) for words in (["DATA.NUM_FRAMES", 8], whole)
    )
    assert found.macs_test == pytest.approx(longer.macs_test, rel=0.02)
    assert found.macs_train == pytest.approx(longer.macs_train / 2, rel=0.02)
