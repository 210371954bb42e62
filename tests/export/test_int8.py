"""Networks of eight bits."""

import pytest

from slowfast.checkpoint import files
from slowfast.config.cli import load_cfg
from slowfast.models import build_model
from tools import export


@pytest.mark.slow
def test_quantised_network_is_tested_beside_the_one_that_it_is_made_of(
    run_tool, toy_yaml, tmp_path
):
    weights, file = tmp_path / "weights.pyth", tmp_path / "net.xml"
    files.save(weights, {"model_state": build_model(load_cfg(toy_yaml)).state_dict()})
    words = ["--to", "openvino", "--output", file, "--int8", 2, "--cfg", toy_yaml]
    code, output = run_tool(export, *words, "--checkpoint", weights)
    assert code == 0 and "calibrated on clips of 2 training videos" in output, output
    assert "float32    int8" in output and "top1_acc" in output
    text = file.read_text()
    assert "FakeQuantize" in text and '"i8"' in text
