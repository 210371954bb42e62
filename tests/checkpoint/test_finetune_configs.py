"""The configs that start from weights: what the file that they name fills of the model."""

import pytest
import torch
import torchvision

from slowfast.checkpoint.initialize import convert_file
from slowfast.config.cli import load_cfg
from slowfast.models import build_model
from tests.helpers.paths import ROOT
from tests.helpers.slow import slow_but

CONFIGS = ROOT / "configs"
# The files that the configs name -> the config whose weights they hold.
SOURCES = {
    "pretrained/SLOWFAST_8x8_R50.pkl": "Kinetics/c2/SLOWFAST_8x8_R50.yaml",
    "pretrained/SLOW_4x16_R50.pkl": "Kinetics/c2/SLOW_4x16_R50.yaml",
    "pretrained/x3d_m.pyth": "Kinetics/x3d/X3D_M.yaml",
    "pretrained/vov3d_M_k400.pth": "Kinetics/vov3d/vov3d_M.yaml",
    "pretrained/vov3d_L_k400.pth": "Kinetics/vov3d/vov3d_L.yaml",
    "pretrained/s3d_g_k400.pth": "Kinetics/s3d/S3D_G.yaml",
    "pretrained/A3D_SLOW_8x8_R50_06.pyth": "Kinetics/a3d/A3D_SLOW_8x8_R50_06.yaml",
    "pretrained/A3D_SLOWFAST_4x16_R50_06.pyth": "Kinetics/a3d/A3D_SLOWFAST_4x16_R50_06.yaml",
}
IMAGENET = "pretrained/R50_IN1K.pyth"


FILES = [
    path.relative_to(CONFIGS).as_posix()
    for path in sorted(CONFIGS.rglob("*.yaml"))
    if load_cfg(path).TRAIN.CHECKPOINT_FILE_PATH
]
# One of each layout of weights and family.
FAST = [
    "AVA/a3d/A3D_SLOW_8x8_R50.yaml",
    "AVA/x3d/X3D_M.yaml",
    "HMDB51/s3d/S3D_G_finetune.yaml",
    "Kinetics/c2d/C2D_NLN_8x8_R50_IN1K.yaml",
    "SSv2/vov3d/vov3d_M_F32_finetune.yaml",
]


def _meta_model(name):
    with torch.device("meta"):
        return build_model(load_cfg(CONFIGS / name))


def _meta_source(weights):
    if weights == IMAGENET:
        with torch.device("meta"):
            return torchvision.models.resnet50()
    return _meta_model(SOURCES[weights])


@pytest.mark.parametrize("name", slow_but(FAST, FILES))
def test_config_starts_from_the_file_that_it_names(name, tmp_path):
    train = load_cfg(CONFIGS / name).TRAIN
    # Tensors of one stored number each.
    state = {
        key: torch.zeros((), dtype=tensor.dtype).expand(tensor.shape)
        for key, tensor in _meta_source(train.CHECKPOINT_FILE_PATH).state_dict().items()
    }
    file = tmp_path / "weights.pyth"
    torch.save(state, file)
    least = train.CHECKPOINT_MIN_COVERAGE
    _, report = convert_file(_meta_model(name), file, min_coverage=least)
    assert not report.mismatched and not report.unexpected and len(report.replaced) == 2
    assert all("nonlocal" in key for key in report.missing)
