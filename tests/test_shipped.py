"""Recipes by their names."""

import pytest

from slowfast.config.cli import load_cfg
from slowfast.shipped import CONFIGS, config_argument, config_path, recipe_header, recipes
from slowfast.utils.cli import looks_like_key

X3D_S = CONFIGS / "Kinetics" / "x3d" / "X3D_S.yaml"


def test_names_are_paths_without_ending():
    assert recipes()["Kinetics/x3d/X3D_S"] == X3D_S


@pytest.mark.parametrize(
    "name",
    [
        "X3D_S",
        "x3d_s.yaml",
        "x3d/X3D_S",
        "Kinetics/x3d/X3D_S",
        "configs/Kinetics/x3d/X3D_S.yaml",
        r"x3d\X3D_S",
    ],
)
def test_a_recipe_is_found_by_the_end_of_its_name(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert config_path(name) == X3D_S
    assert config_argument(name) == str(X3D_S)


def test_a_file_comes_before_a_recipe(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "X3D_S.yaml").write_text("NUM_GPUS: 0\n")
    assert str(config_path("X3D_S.yaml")) == config_argument("X3D_S.yaml") == "X3D_S.yaml"


def test_a_name_of_several_recipes_lists_them():
    with pytest.raises(ValueError, match="vov3d_M: several .* AVA/vov3d/vov3d_M, Kinetics/vov3d/"):
        config_path("vov3d_M")


def test_a_wrong_name_is_answered_by_near_ones():
    with pytest.raises(ValueError, match="there is no such file.*did you mean Kinetics/x3d/X3D_S"):
        config_path("Kinetics/x3d/X3D_SS.yaml")


def test_words_that_name_nothing_stay():
    assert config_argument("gone.yaml") == "gone.yaml"


@pytest.mark.parametrize("word", ["X3D_S", "X3D_M"])
def test_a_name_among_inputs_is_no_config_key(word):
    assert not looks_like_key(word) and looks_like_key("NUM_GPUS")


def test_a_config_is_loaded_by_name():
    assert load_cfg("Kinetics/x3d/X3D_S", ["NUM_GPUS", 0]) == load_cfg(X3D_S, ["NUM_GPUS", 0])


def test_a_base_may_be_a_recipe(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("_BASE_: Kinetics/x3d/X3D_S\nNUM_GPUS: 0\n")
    assert load_cfg(path) == load_cfg(X3D_S, ["NUM_GPUS", 0])


def test_header_is_the_comment_at_the_top(tmp_path):
    path = tmp_path / "x.yaml"
    path.write_text("# Title.\n#\n#   indented\nA: 1\n# no header\n")
    assert recipe_header(path) == ["Title.", "", "  indented"]
