"""The commands that the readme of VoV3D prints, word for word."""

import shlex

import pytest

from slowfast.config.cli import load_cfg, load_cfg_from_args, parse_args
from tests.helpers.paths import ROOT

# A backslash before a space, as the readme has one, is a blank word.
COMMANDS = {
    "from scratch": "--cfg configs/Kinetics/vov3d/vov3d_L.yaml DATA.PATH_TO_DATA_DIR "
    "path/to/your/kinetics NUM_GPUS 8 TRAIN.BATCH_SIZE 64",
    "defaults": "--cfg configs/Kinetics/vov3d/vov3d_L.yaml",
    "SSv1": "--cfg configs/SSv1/vov3d/vov3d_L_F16.yaml DATA.PATH_TO_DATA_DIR path/to/your/ssv1 "
    "' ' DATA.PATH_PREFIX path/to/your/ssv1",
    "fine-tuning": "--cfg configs/SSv2/vov3d/finetune/vov3d_L_F16.yaml "
    "TRAIN.CHECKPOINT_FILE_PATH path/to/the/pretrained/vov3d_L_k400_weight.pth "
    "DATA.PATH_TO_DATA_DIR path/to/your/ssv2 DATA.PATH_PREFIX path/to/your/ssv2",
    "test": "--cfg configs/Kinetics/vov3d/vov3d_L.yaml TRAIN.ENABLE False "
    "TEST.CHECKPOINT_FILE_PATH path_to_your_checkpoint",
    "one view": "--cfg configs/Kinetics/vov3d/vov3d_L.yaml TRAIN.ENABLE False "
    "TEST.CHECKPOINT_FILE_PATH path_to_your_checkpoint TEST.NUM_ENSEMBLE_VIEWS 1 "
    "TEST.NUM_SPATIAL_CROPS 1",
}


@pytest.mark.parametrize("name", COMMANDS)
def test_command_is_understood_as_printed(name, monkeypatch, caplog):
    monkeypatch.chdir(ROOT)
    cfg = load_cfg_from_args(parse_args(shlex.split(COMMANDS[name])))
    assert cfg.MODEL.MODEL_NAME == "VoV3D" and not caplog.records


@pytest.mark.parametrize("dataset", ["SSv1", "SSv2"])
@pytest.mark.parametrize("size", ["M", "L"])
@pytest.mark.parametrize("frames", ["F16", "F32", "F32_finetune"])
def test_fine_tuning_has_the_paths_of_the_readme_and_of_the_authors(dataset, size, frames):
    folder = ROOT / "configs" / dataset / "vov3d" / "finetune"
    cfg = load_cfg(folder / f"vov3d_{size}_{frames}.yaml")
    assert cfg.TRAIN.DATASET == dataset.lower()
    assert cfg.DATA.NUM_FRAMES == (16 if frames == "F16" else 32)
    assert cfg.TRAIN.CHECKPOINT_FILE_PATH == f"pretrained/vov3d_{size}_k400.pth"
