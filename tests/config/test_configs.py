"""The YAML files of configs/."""

import json
from pathlib import Path

import pytest

from slowfast.config.cli import load_cfg
from slowfast.config.defaults import get_cfg
from slowfast.config.node import ConfigNode

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "configs").rglob("*.yaml"))
RECIPES = json.loads((ROOT / "tests/golden/recipes.json").read_text())

# Keys that ours states otherwise than the recipe, because only a run's own folders are meant.
LOCAL = {"OUTPUT_DIR", "TRAIN.CHECKPOINT_FILE_PATH", "TENSORBOARD.ENABLE"}
# What the SSv recipes of X3D lack.
SSV_X3D = {
    "DATA.INV_UNIFORM_SAMPLE": True,
    "DATA.RANDOM_FLIP": False,
    "DATA.REVERSE_INPUT_CHANNEL": True,
    "DATA.SAMPLING_RATE": 8,  # the default: sampling by segments does not use it
    "DATA.TEST_CROP_SIZE": 256,
    "SOLVER.BASE_LR_SCALE_NUM_SHARDS": True,
    "TEST.NUM_ENSEMBLE_VIEWS": 2,
    "TEST.NUM_SPATIAL_CROPS": 3,
}
BN_BY_NAME = {"BN.GROUP_BY": "name"}


def recipe_of(path: Path) -> str | None:
    """The published recipe that a YAML file goes back to."""
    dataset, family, name = path.relative_to(ROOT / "configs").parts[-3:]
    folder = f"{family}/finetune" if "finetune" in name else family
    names = [f"vov3d:configs/{dataset}/{folder}/{name}", f"pyslowfast:configs/{dataset}/{name}"]
    return next((name for name in names if name in RECIPES), None)


def differences(ours: ConfigNode, theirs: ConfigNode, prefix: str = "") -> dict:
    found = {}
    for name, value in ours.items():
        if isinstance(value, ConfigNode):
            found |= differences(value, theirs[name], f"{prefix}{name}.")
        elif value != theirs[name]:
            found[prefix + name] = value
    return found


def names(paths):
    return [str(path.relative_to(ROOT / "configs")) for path in paths]


@pytest.mark.parametrize("path", FILES, ids=names(FILES))
def test_config_loads_without_a_warning(path, caplog):
    load_cfg(path)
    assert caplog.records == []


@pytest.mark.parametrize("path", FILES, ids=names(FILES))
def test_config_starts_with_its_command(path):
    header = path.read_text().split("\nMODEL:")[0]
    assert f"--cfg {path.relative_to(ROOT)}" in header
    assert all(line.startswith("#") for line in header.splitlines())


PUBLISHED = [path for path in FILES if "demo" not in path.parts]


@pytest.mark.parametrize("path", PUBLISHED, ids=names(PUBLISHED))
def test_config_states_its_size_and_the_published_result(path):
    text = path.read_text()
    assert "# Size: " in text and "# Published: " in text


def test_runs_do_not_share_a_folder():
    folders = [load_cfg(path).OUTPUT_DIR for path in FILES]
    assert len(set(folders)) == len(FILES)


DERIVED = [path for path in PUBLISHED if recipe_of(path)]


def test_all_recipes_of_vov3d_and_x3d_are_there():
    wanted = {name for name in RECIPES if "vov3d_" in name.lower() or "x3d_" in name.lower()}
    assert {recipe_of(path) for path in DERIVED} == wanted


@pytest.mark.parametrize("path", DERIVED, ids=names(DERIVED))
def test_config_is_the_published_recipe_but_for_what_was_mended(path):
    ours, theirs = load_cfg(path), get_cfg()
    theirs.merge_from_list([word for item in RECIPES[recipe_of(path)].items() for word in item])
    mended = SSV_X3D if path.parts[-3].startswith("SSv") and path.parts[-2] == "x3d" else {}
    mended = mended | (BN_BY_NAME if path.parts[-2] == "vov3d" else {})
    found = {key: value for key, value in differences(ours, theirs).items() if key not in LOCAL}
    if "finetune" in path.name:  # rates beyond the last step are never reached
        assert found.pop("SOLVER.LRS") == theirs.SOLVER.LRS[: len(ours.SOLVER.STEPS)]
    assert {key: mended.get(key) for key in found} == found
