"""tools/export.py, and tools/predict.py on its files."""

import json
from functools import partial

import pytest
import torch

from slowfast.checkpoint import files
from slowfast.config.cli import load_cfg
from slowfast.models import build_model
from tests.helpers.small_networks import randomize_norms
from tools import export, predict

WAYS = {
    "onnx": ("onnx", "onnxruntime"),
    "openvino": ("xml", "openvino"),
    "pt2": ("pt2", "torch"),
    "torchscript": ("torchscript", "torch"),
}


@pytest.fixture
def words(toy_yaml, tmp_path):
    """--cfg and --checkpoint of a small network with random weights and names of classes."""
    torch.manual_seed(0)
    weights = tmp_path / "weights.pyth"
    model = randomize_norms(build_model(load_cfg(toy_yaml)))
    names = ["run", "eat", "sit"]
    files.save(weights, {"model_state": model.state_dict(), "class_names": names})
    return "--cfg", toy_yaml, "--checkpoint", weights


@pytest.fixture
def run(run_tool, words):
    """Function (words) -> (exit code, all that the export printed)."""
    return partial(run_tool, export, *words)


def scores(run_tool, words, video, tmp_path, *options):
    path = tmp_path / "found.json"
    code, output = run_tool(predict, *words, video, "--output", path, *options)
    assert code == 0, output
    (found,) = json.loads(path.read_text())["videos"]
    return {each["name"]: each["score"] for each in found["predictions"]}


@pytest.mark.slow
@pytest.mark.parametrize("to", WAYS)
def test_predictions_of_an_exported_file_are_those_of_its_weights(
    run, run_tool, words, toy_set, tmp_path, to
):
    suffix, backend = WAYS[to]
    file, video = tmp_path / f"net.{suffix}", toy_set / "test_0.mp4"
    how = ["--batch", 2] if to == "torchscript" else ["--dynamic"]
    code, output = run("--to", to, "--output", file, *how)
    assert code == 0 and "2 clips of the test set" in output, output
    expected = scores(run_tool, words, video, tmp_path)
    words = (*words[:3], file)
    found = scores(run_tool, words, video, tmp_path, "--backend", backend)
    assert found == pytest.approx(expected, rel=1e-4)
    assert set(found) == {"run", "eat", "sit"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--to", "onnx", "--output", "net.pt"], "must end in .onnx"),
        (["--to", "torchscript", "--output", "n.torchscript", "--dynamic"], "say --batch N"),
        (["--to", "pt2", "--output", "net.pt2", "TEST.BUDGET", "1G"], "tools/budget.py extract"),
        (["--to", "pt2", "--output", "net.pt2", "--int8", "2"], "--int8: is for --to openvino"),
        (["--to", "pt2", "--output", "net.pt2", "--video", "nowhere.mp4"], "nowhere.mp4"),
    ],
)
def test_mistakes_are_one_line(run, options, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, output = run(*options)
    assert code and message in output and "Traceback" not in output
    assert not list(tmp_path.glob("n*"))


def test_a_missing_package_is_named_with_what_installs_it(run, tmp_path, monkeypatch):
    monkeypatch.setattr("slowfast.export.formats.importlib.util.find_spec", lambda name: None)
    code, output = run("--to", "openvino", "--output", tmp_path / "net.xml")
    assert code == 1 and "needs the package openvino: pip install" in output


def test_weights_are_no_file_for_another_backend(run_tool, words, toy_set):
    code, output = run_tool(predict, *words, toy_set / "test_0.mp4", "--backend", "openvino")
    assert code == 1 and "--backend openvino reads .xml, which tools/export.py writes" in output
