"""The configs that start from weights: what the file that they name fills of the model."""

import pytest
import torch

from slowfast.checkpoint.initialize import convert_file
from slowfast.config.cli import load_cfg
from slowfast.config.yaml_file import read_entries
from slowfast.models import build_model
from tests.helpers.paths import ROOT
from tests.helpers.slow import slow_but

CONFIGS = ROOT / "configs"
# The files that the configs name -> the config whose weights they hold.
SOURCES = {
    "pretrained/SLOWFAST_8x8_R50.pkl": "Kinetics/c2/SLOWFAST_8x8_R50.yaml",
    "pretrained/SLOW_4x16_R50.pkl": "Kinetics/c2/SLOW_4x16_R50.yaml",
    "pretrained/SLOW_8x8_R50.pkl": "Kinetics/c2/SLOW_8x8_R50.yaml",
    "pretrained/MViTv2_S_16x4_k400.pyth": "Kinetics/mvit/MVITv2_S_16x4.yaml",
    "pretrained/MViTv2_B_32x3_k400.pyth": "Kinetics/mvit/MVITv2_B_32x3.yaml",
    "pretrained/MViTv2_L_40x3_k400.pyth": "Kinetics/mvit/MVITv2_L_40x3.yaml",
    "pretrained/x3d_m_k400.pyth": "Kinetics/x3d/X3D_M.yaml",
    "pretrained/x3d_xl_k400.pyth": "Kinetics/x3d/X3D_XL.yaml",
    "pretrained/x3d_m_k600.pyth": "Kinetics600/x3d/X3D_M.yaml",
    "pretrained/x3d_xl_k600.pyth": "Kinetics600/x3d/X3D_XL.yaml",
    "pretrained/x3d_M_k400.pth": "Kinetics/x3d/X3D_M_256e.yaml",
    "pretrained/x3d_L_k400.pth": "Kinetics/x3d/X3D_L_256scale_256e.yaml",
    "pretrained/vov3d_M_k400.pth": "Kinetics/vov3d/vov3d_M.yaml",
    "pretrained/vov3d_L_k400.pth": "Kinetics/vov3d/vov3d_L.yaml",
    "pretrained/s3d_g_k400.pth": "Kinetics/s3d/S3D_G.yaml",
    "pretrained/A3D_SLOW_8x8_R50_06.pyth": "Kinetics/a3d/A3D_SLOW_8x8_R50_06.yaml",
    "pretrained/A3D_SLOWFAST_4x16_R50_06.pyth": "Kinetics/a3d/A3D_SLOWFAST_4x16_R50_06.yaml",
}
NETWORK = (
    "MODEL RESNET NONLOCAL SEGMENTS TSM TPN GST X3D VOV3D R2PLUS1D CSN MFNET S3D BLVNET".split()
)
NETWORK += "TRN MVIT SLOWFAST DETECTION ADAPTIVE".split()
FRESH = ("nonlocal", ".b_t.", "neck.", "head.")  # no file has these
IMAGENET = {
    "pretrained/R50_IN1K.pyth": "resnet50",
    "pretrained/resnet50.pth": "resnet50",
    "pretrained/resnet101.pth": "resnet101",
}


def _by_tensors() -> dict[tuple, str]:
    """The first config of each network and file of weights; clips change no tensor."""
    chosen: dict[tuple, str] = {}
    for path in sorted(CONFIGS.rglob("*.yaml")):
        values = {entry.key: entry.value for entry in read_entries(path)}
        if file := values.get("TRAIN.CHECKPOINT_FILE_PATH"):
            coverage = values.get("TRAIN.CHECKPOINT_MIN_COVERAGE")
            network = {key: v for key, v in values.items() if key.partition(".")[0] in NETWORK}
            key = (file, coverage, repr(sorted(network.items())))
            chosen.setdefault(key, path.relative_to(CONFIGS).as_posix())
    return chosen


FILES = list(_by_tensors().values())
# One of each layout of weights and family.
FAST = [
    "AVA/a3d/A3D_SLOW_8x8_R50.yaml",
    "AVA/x3d/X3D_M.yaml",
    "HMDB51/s3d/S3D_G_finetune.yaml",
    "Kinetics/c2d/C2D_NLN_8x8_R50_IN1K.yaml",
    "SSv1/vov3d/finetune/vov3d_M_F16.yaml",
]


def _meta_model(name):
    with torch.device("meta"):
        return build_model(load_cfg(CONFIGS / name))


def _meta_source(weights):
    if weights in IMAGENET:
        import torchvision

        with torch.device("meta"):
            return getattr(torchvision.models, IMAGENET[weights])()
    return _meta_model(SOURCES[weights])


@pytest.mark.slow
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
    assert all(any(part in key for part in FRESH) for key in report.missing)
