"""tools/configs.py."""

import pytest

from slowfast.shipped import recipes
from tools import configs


def test_all_recipes_have_a_line_with_their_title(run_tool):
    code, output = run_tool(configs)
    assert code == 0 and output.count("\n") == len(recipes()) + 1
    assert "Kinetics/x3d/X3D_S  " in output and "  X3D-S (arXiv 2004.04730).\n" in output


def test_a_pattern_shows_path_size_and_results(run_tool):
    code, output = run_tool(configs, "kinetics/*/x3d_s")
    assert code == 0 and output.startswith("Kinetics/x3d/X3D_S\n  ")
    assert "X3D_S.yaml\n" in output and "  Size: 3.79 M" in output and "top-1 73.1" in output


@pytest.mark.parametrize("pattern", ["nowhere", "*nowhere"])
def test_a_pattern_of_nothing_is_named(run_tool, pattern):
    code, output = run_tool(configs, pattern)
    assert code == 1 and f"{pattern}: none of the" in output
