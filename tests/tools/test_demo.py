import json
from functools import partial

import pytest

from slowfast.datasets.synthetic import DESCRIPTION
from tools import demo


@pytest.fixture
def run(run_tool):
    """Function (words) -> (exit code, all that was printed)."""
    return partial(run_tool, demo)


@pytest.mark.parametrize(
    "name, content, message",
    [
        ("thesis.txt", "mine", "did not make"),
        (DESCRIPTION, json.dumps({"version": 0}), "other settings"),
        (DESCRIPTION, "[1, 2]", "did not make"),
    ],
    ids=["foreign", "outdated", "foreign description"],
)
def test_folder_of_something_else_is_named_in_one_line(run, tmp_path, name, content, message):
    (tmp_path / name).write_text(content)
    code, output = run("--data", tmp_path, "--output", tmp_path / "out")
    assert code == 1 and message in output and output.count("\n") == 1
    assert f"ValueError: --data: {str(tmp_path)!r}" in output and "--output" not in output
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_file_in_place_of_the_folder_is_named_in_one_line(run, tmp_path):
    path = tmp_path / "data"
    path.write_text("mine")
    code, output = run("--data", path, "--output", tmp_path / "out")
    assert code == 1 and "ValueError: --data: " in output and str(path) in output
    assert output.count("\n") == 1
