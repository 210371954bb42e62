"""The table at the top of each family's file is the network of the YAML beside it."""

import importlib
import re

import pytest
import torch

from slowfast.config.cli import load_cfg
from slowfast.models import build_model
from slowfast.models.build import build_meta_inputs
from tests.helpers.paths import ROOT
from tests.helpers.slow import slow_but

YAMLS = {
    "blvnet": "../SSv1/blvnet/BLVNET_TAM_50_8x2.yaml",
    "csn": "csn/IP_CSN_152_32x2.yaml",
    "eco": "eco/ECO_LITE_16f.yaml",
    "mfnet": "mfnet/MFNET_16x2.yaml",
    "r3d": "r2plus1d/R2PLUS1D_34_32x1.yaml",
    "tea": "tea/TEA_R50_16f.yaml",
    "resnet": "slow/SLOW_8x8_R50.yaml",
    "s3d": "s3d/S3D_G.yaml",
    "slowfast": "slowfast/SLOWFAST_8x8_R50.yaml",
    "vov3d": "vov3d/vov3d_M.yaml",
    "x3d": "x3d/X3D_M.yaml",
}
_ROW = re.compile(r" {4}(s\d(?:_fuse)?|head) +(\S.*?) +(\d+)  (\d+) x (\d+) x (\d+)")


def drawn(family):
    """(name, blocks, (width, T, H, W)) of every row; blocks are None where there is no "x n"."""
    module = importlib.import_module(f"slowfast.models.families.{family}")
    rows = []
    for line in module.__doc__.splitlines():
        if match := _ROW.fullmatch(line):
            name, layers, *numbers = match.groups()
            blocks = re.search(r"\] x (\d+)$", layers)
            rows.append((name, blocks and int(blocks[1]), tuple(map(int, numbers))))
    return rows


def run(family):
    """The same rows, pathway after pathway, of the network that the YAML describes."""
    cfg = load_cfg(ROOT / "configs" / "Kinetics" / YAMLS[family])
    with torch.device("meta"):
        model = build_model(cfg).eval()
    rows, num_pathways = [[], []], len(cfg.DATA.INPUT_CHANNEL_NUM)

    def keep(name, stage, maps):
        for pathway in range(1 if "fuse" in name else num_pathways):
            names = [child for child, _ in stage.named_children()]
            blocks = sum(child.startswith(f"pathway{pathway}_res") for child in names)
            rows[pathway].append((name, blocks or None, tuple(maps[pathway].shape[1:])))

    for name, stage in model.named_children():
        if name != "head":
            stage.register_forward_hook(lambda m, _, out, name=name: keep(name, m, out))
    shapes = []
    classifier = model.head.projection
    classifier.register_forward_hook(lambda _, inputs, out: shapes.append(inputs[0].shape[1:]))
    model(*build_meta_inputs(cfg, cfg.DATA.TRAIN_CROP_SIZE))
    *positions, width = shapes[0]
    rows[0].append(("head", None, (width, *positions)))
    return [*rows[0], *rows[1]]


@pytest.mark.parametrize("family", slow_but(["resnet", "x3d"], YAMLS))
def test_table_is_the_network(family):
    assert drawn(family) == run(family)


@pytest.mark.parametrize("family", YAMLS)
def test_docstring_names_the_contract_of_released_weights(family):
    module = importlib.import_module(f"slowfast.models.families.{family}")
    assert re.search(r"released weights", module.__doc__)
