"""tools/expand.py."""

import pytest

from tests.helpers.paths import ROOT
from tools import expand

X2D = ROOT / "configs" / "Kinetics" / "x3d" / "X2D.yaml"


def test_dry_run_prints_the_costs_of_an_order(run_tool):
    words = ["DATA.SAMPLING_RATE", 32]
    code, output = run_tool(expand, "--dry-run", "--order", "b", "tau", *words)
    assert code == 0, output
    lines = [line.split() for line in output.splitlines()]
    assert ["0.02066", "0.041", "0.08021"] == [line[8] for line in lines[-3:]]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--cfg", X2D, "--steps", 1], "--output: a search needs it"),
        (["--output", "x", "--steps", 1], "--cfg: a search needs it"),
        (["--cfg", X2D, "--output", "x"], "--steps, --target: one of them must say"),
        (["--cfg", X2D, "--output", "x", "--target", "5ms"], "--target: '5ms' is not multiply-"),
        (["--cfg", X2D, "--output", "x", "--steps", 1, "--order", "b"], "--order: is for"),
        (
            ["--cfg", X2D, "--dry-run", "--order", "tau"],
            "--order: tau cannot grow in step 1: DATA.SAMPLING_RATE 1 has",
        ),
    ],
)
def test_mistakes_are_one_line(run_tool, words, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, output = run_tool(expand, *words)
    assert code == 1
    assert message in output and "Traceback" not in output


@pytest.mark.slow
def test_start_is_trained_and_tested(run_tool, toy_yaml, tmp_path):
    folder = tmp_path / "found"
    words = ["--cfg", toy_yaml, "--output", folder, "--steps", 0, "--plain"]
    code, output = run_tool(expand, *words, "SOLVER.MAX_EPOCH", 1)
    assert code == 0, output
    assert f"the network: {folder}/step_00/start.yaml" in output
    assert (folder / "expansion.md").read_text() in output
