"""The YAML files of configs/."""

import functools
import itertools
import json
import re
from pathlib import Path

import pytest
import yaml

from slowfast.config.cli import load_cfg
from slowfast.config.defaults import get_cfg
from slowfast.config.node import ConfigNode
from tests.helpers.paths import GOLDENS, ROOT

FILES = sorted((ROOT / "configs").rglob("*.yaml"))
RECIPES = json.loads((GOLDENS / "recipes.json").read_text())
COMPLEXITY = json.loads((GOLDENS / "complexity.json").read_text())

# Keys that ours states otherwise than the recipe, because they name a run's own files.
LOCAL = {"OUTPUT_DIR", "TRAIN.CHECKPOINT_FILE_PATH", "TENSORBOARD.ENABLE"}
# What the SSv recipes of X3D lack.
SSV_X3D = {
    "DATA.INV_UNIFORM_SAMPLE": True,
    "DATA.RANDOM_FLIP": False,
    "DATA.REVERSE_INPUT_CHANNEL": True,
    "DATA.TEST_CROP_SIZE": 256,
    "SOLVER.BASE_LR_SCALE_NUM_SHARDS": True,
    "TEST.NUM_ENSEMBLE_VIEWS": 2,
    "TEST.NUM_SPATIAL_CROPS": 3,
}
BN_BY_NAME = {"BN.GROUP_BY": "name"}
# How the reference always draws the short side for AVA.
AVA = {"DATA.INV_UNIFORM_SAMPLE": True}
# From here on the defaults, where the recipe sets what has no effect.
SEGMENTS = {"DATA.SAMPLING_RATE": 8}
LONG_CYCLE = {
    "BN.NORM_TYPE": "batchnorm",
    "BN.NUM_SYNC_DEVICES": 1,
    "TRAIN.EVAL_PERIOD": 10,
    "TRAIN.CHECKPOINT_PERIOD": 10,
}
NOT_RESNET = {
    "MODEL.ARCH": "slowfast",
    "RESNET.NUM_BLOCK_TEMP_KERNEL": [[3], [4], [6], [3]],
    "RESNET.SPATIAL_STRIDES": [[1], [2], [2], [2]],
}
# One value for all pathways, where the recipes repeat it for each.
REPEATED = (
    "RESNET.SPATIAL_STRIDES",
    "RESNET.SPATIAL_DILATIONS",
    "NONLOCAL.GROUP",
    "NONLOCAL.POOL",
)
# A 2D ResNet-50 has no weights for them.
NEW_NONLOCAL = {"TRAIN.CHECKPOINT_MIN_COVERAGE": 0.8}


def recipe_of(path: Path) -> str | None:
    """The published recipe that a YAML file goes back to."""
    dataset, family, *folders, name = path.relative_to(ROOT / "configs").parts
    folder = f"{family}/finetune" if "finetune" in name or folders else family
    names = [
        f"vov3d:configs/{dataset}/{folder}/{name}",
        f"pyslowfast:configs/{dataset}/{family}/{name}",
        f"pyslowfast:configs/{dataset}/{name}",
    ]
    return next((name for name in names if name in RECIPES), None)


def theirs_of(path: Path) -> ConfigNode:
    """The defaults with the values of that recipe, as far as we know its keys."""
    cfg = get_cfg()
    cfg.merge_from_list([word for item in RECIPES[recipe_of(path)].items() for word in item])
    return cfg


def mends_of(path: Path) -> dict:
    """Values that we chose instead of the recipe's."""
    dataset, family, *_, name = path.relative_to(ROOT / "configs").parts
    mends = BN_BY_NAME if family == "vov3d" else {}
    if family in ("vov3d", "x3d"):
        mends = mends | NOT_RESNET
    if dataset == "AVA":
        mends = mends | AVA
    if dataset.startswith("SSv"):
        mends = mends | (SSV_X3D if family == "x3d" else {}) | SEGMENTS
    if "multigrid" in name:
        mends = mends | LONG_CYCLE
    if "NLN" in name and "IN1K" in name:
        mends = mends | NEW_NONLOCAL
    return mends


def without_repetition(table: list) -> list:
    return [row[:1] if all(value == row[0] for value in row) else row for row in table]


def differences(ours: ConfigNode, theirs: ConfigNode, prefix: str = "") -> dict:
    found = {}
    for name, value in ours.items():
        if isinstance(value, ConfigNode):
            found |= differences(value, theirs[name], f"{prefix}{name}.")
        elif value != theirs[name]:
            found[prefix + name] = value
    return found


@functools.cache
def load(path: Path) -> ConfigNode:
    return load_cfg(path)


def names(paths):
    return [str(path.relative_to(ROOT / "configs")) for path in paths]


@pytest.mark.parametrize("path", FILES, ids=names(FILES))
def test_config_loads_without_a_warning(path, caplog):
    load_cfg(path)
    assert caplog.records == []


@pytest.mark.parametrize("path", FILES, ids=names(FILES))
def test_config_starts_with_its_command(path):
    lines = path.read_text().splitlines()
    header = "\n".join(itertools.takewhile(lambda line: line.startswith("#"), lines))
    assert f"--cfg {path.relative_to(ROOT)}" in header


PUBLISHED = [path for path in FILES if not {"demo", "tiny"} & set(path.parts)]


@pytest.mark.parametrize("path", PUBLISHED, ids=names(PUBLISHED))
def test_config_states_its_size_and_the_published_result(path):
    text = path.read_text()
    assert "# Size: " in text and "# Published: " in text


SIZE = re.compile(
    r"# Size: (?P<params>[\d.]+) M parameters(?: \(.*?\))?, (?P<train>[\d.]+) GMACs at "
    r"(?P<train_crop>\d+(?: x \d+)?)"
    r"(?:, (?P<test>[\d.]+) at (?P<test_crop>\d+)(?: on (?P<frames>\d+) frames)?)?\.\n"
)


@pytest.mark.parametrize("path", PUBLISHED, ids=names(PUBLISHED))
def test_config_states_its_size_as_it_was_counted(path):
    data, counted = load(path).DATA, COMPLEXITY[path.relative_to(ROOT).as_posix()]
    stated = SIZE.search(path.read_text())
    assert float(stated["params"]) * 1e6 == pytest.approx(counted["params"], abs=5001)
    assert float(stated["train"]) * 1e9 == pytest.approx(counted["macs_train"], rel=2e-3)
    whole_frame = " x ".join(map(str, load(path).DETECTION.FRAME_SIZE))
    assert stated["train_crop"] == (whole_frame or str(data.TRAIN_CROP_SIZE))
    assert float(stated["test"] or stated["train"]) * 1e9 == pytest.approx(
        counted["macs_test"], rel=2e-3
    )
    assert (stated["test_crop"] or stated["train_crop"]) == (
        whole_frame or str(data.TEST_CROP_SIZE)
    )
    whole_video = load(path).TEST.WHOLE_VIDEO
    assert int(stated["frames"] or data.NUM_FRAMES) == (whole_video or data.NUM_FRAMES)


@pytest.mark.parametrize(
    ("name", "params", "gmacs_224", "gmacs_256"),
    [
        ("Kinetics/c2d/C2D_8x8_R50", 24_327_632, 19.493, 25.463),
        ("Kinetics/i3d/I3D_8x8_R50", 28_043_472, 28.408, 37.106),
        ("Kinetics/i3d/I3D_NLN_8x8_R50", 35_401_936, 36.535, 48.917),
        ("Kinetics/slow/SLOW_4x16_R50", 32_454_096, 20.871, 27.262),
        ("Kinetics/slow/SLOW_8x8_R50", 32_454_096, 41.741, 54.521),
        ("Kinetics/slow/SLOW_NLN_8x8_R50", 39_812_560, 63.976, 88.344),
        ("Kinetics/slowfast/SLOWFAST_4x16_R50", 34_480_216, 27.639, 36.102),
        ("Kinetics/slowfast/SLOWFAST_8x8_R50", 34_566_488, 50.309, 65.712),
        ("SSv2/slowfast/SLOWFAST_16x8_R50", 34_045_558, 100.616, 131.418),
    ],
)
def test_resnet_config_has_the_published_size(name, params, gmacs_224, gmacs_256):
    counted = COMPLEXITY[f"configs/{name}.yaml"]
    assert counted["params"] == params
    assert counted["macs_train"] / 1e9 == pytest.approx(gmacs_224, abs=5.1e-4)
    assert counted["macs_test"] / 1e9 == pytest.approx(gmacs_256, abs=5.1e-4)


def is_other_name(path: Path) -> bool:
    """Whether a file is another name of the one that it begins with."""
    return set(yaml.safe_load(path.read_text())) == {"_BASE_"}


@pytest.mark.slow
def test_runs_do_not_share_a_folder():
    paths = [path for path in FILES if not is_other_name(path)]
    assert len({load(path).OUTPUT_DIR for path in paths}) == len(paths)


OTHER_NAMES = [path for path in FILES if is_other_name(path)]


@pytest.mark.parametrize("path", OTHER_NAMES, ids=names(OTHER_NAMES))
def test_other_name_is_the_same_run(path):
    base = path.parent / yaml.safe_load(path.read_text())["_BASE_"]
    assert load(path) == load_cfg(base)


DERIVED = [path for path in PUBLISHED if recipe_of(path)]


# The fork's copy of a recipe of PySlowFast.
_SSV2 = "configs/SSv2/SLOWFAST_16x8_R50.yaml"
COPIES = {f"vov3d:{_SSV2}": f"pyslowfast:{_SSV2}"}


def test_all_recipes_are_there():
    assert {recipe_of(path) for path in DERIVED} == set(RECIPES) - set(COPIES)


@pytest.mark.parametrize("copy", COPIES)
def test_recipe_without_an_own_file_is_a_copy(copy):
    assert RECIPES[copy] == RECIPES[COPIES[copy]]


@pytest.mark.parametrize("path", DERIVED, ids=names(DERIVED))
def test_config_is_the_published_recipe_but_for_what_was_mended(path):
    ours, theirs = load(path), theirs_of(path)
    found = {key: value for key, value in differences(ours, theirs).items() if key not in LOCAL}
    if "SOLVER.LRS" in found:  # rates beyond the last step are never reached
        assert found.pop("SOLVER.LRS") == theirs.SOLVER.LRS[: len(ours.SOLVER.STEPS)]
    if not has_nonlocal(theirs):
        found = {key: value for key, value in found.items() if not key.startswith("NONLOCAL.")}
    mends = mends_of(path)
    for key in found.keys() & set(REPEATED) - mends.keys():
        section, name = key.split(".")
        assert found.pop(key) == without_repetition(theirs[section][name])
    assert {key: mends.get(key) for key in found} == found


def has_nonlocal(cfg: ConfigNode) -> bool:
    return any(blocks for stage in cfg.NONLOCAL.LOCATION for blocks in stage)


@pytest.mark.parametrize("path", DERIVED, ids=names(DERIVED))
def test_config_has_nonlocal_blocks_where_the_recipe_has_them(path):
    assert has_nonlocal(load(path)) == has_nonlocal(theirs_of(path))
