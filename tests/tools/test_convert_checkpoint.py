import os
import pickle
import re

import pytest
import torch
import torchvision

from slowfast.checkpoint import files
from slowfast.checkpoint.initialize import load_for_test
from slowfast.config.cli import load_cfg
from slowfast.models import build_model
from tools import convert_checkpoint

RESNET_18 = ["MODEL.MODEL_NAME", "ResNet", "MODEL.ARCH", "c2d", "RESNET.DEPTH", "18"]
RESNET_18 += ["RESNET.TRANS_FUNC", "basic_transform"]


@pytest.fixture
def convert(run_tool, toy_yaml, tmp_path):
    """Function (source, overrides, code=0, suffix) -> (path of the result, what was printed)."""

    def call(source, *overrides, code=0, suffix=".pyth"):
        target = tmp_path / "converted" / f"ours{suffix}"
        words = [source, "--cfg", toy_yaml, "--output", target, *overrides]
        found, output = run_tool(convert_checkpoint, *words)
        assert found == code
        return target, output

    return call


@pytest.mark.slow
def test_a_2d_network_of_torchvision_becomes_ours(convert, toy_yaml, tmp_path):
    source = torchvision.models.resnet18(num_classes=3)
    torch.save({"state_dict": source.state_dict()}, tmp_path / "resnet18.pth")
    target, printed = convert(tmp_path / "resnet18.pth", *RESNET_18)
    assert "(torchvision names)" in printed and "100.0% of the backbone" in printed
    assert f"wrote {target}: 122 tensors" in printed
    model = build_model(load_cfg(toy_yaml, RESNET_18))
    load_for_test(model, target)
    kernel = model.s5.pathway0_res1.branch2.b.weight
    assert torch.equal(kernel[:, :, 0], source.layer4[1].conv2.weight)


def test_the_result_can_be_tested(convert, toy_yaml, tmp_path):
    cfg = load_cfg(toy_yaml)
    source, model = build_model(cfg), build_model(cfg)
    arrays = {f"module.{n}": v.numpy() for n, v in source.state_dict().items()}
    (tmp_path / "arrays.pkl").write_bytes(pickle.dumps({"model": arrays}))
    target, printed = convert(tmp_path / "arrays.pkl")
    load_for_test(model, target)
    assert torch.equal(model.s1.pathway0_stem.conv.weight, source.s1.pathway0_stem.conv.weight)
    assert "(PySlowFast names)" in printed


def test_safetensors_are_written_with_the_classes_and_read_again(convert, toy_yaml, tmp_path):
    pytest.importorskip("safetensors")
    source = build_model(load_cfg(toy_yaml)).state_dict()
    names = [f"class of {number}" for number in range(len(source["head.projection.bias"]))]
    torch.save({"net": source, "class_names": names}, tmp_path / "net.pth")
    target, _ = convert(tmp_path / "net.pth", suffix=".safetensors")
    content = files.load(target)
    assert content["class_names"] == names and content["model_state"].keys() == source.keys()
    again, _ = convert(target)
    assert files.load(again)["class_names"] == names


def test_another_number_of_classes_keeps_the_classifier_of_the_file(convert, toy_yaml, tmp_path):
    source = build_model(load_cfg(toy_yaml, ["MODEL.NUM_CLASSES", "7"]))
    torch.save(source.state_dict(), tmp_path / "seven.pth")
    target, printed = convert(tmp_path / "seven.pth")
    assert files.load(target)["model_state"]["head.projection.bias"].shape == (7,)
    assert "head.projection.bias ((7,) -> (3,))" in printed


class Malicious:
    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.system, (f"touch {self.marker}",)


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("weights.pkl", lambda value, path: path.write_bytes(pickle.dumps(value, 2))),
        ("weights.pyth", torch.save),
    ],
)
def test_a_malicious_file_is_refused_and_does_nothing(convert, tmp_path, name, write):
    marker = tmp_path / "marker"
    write({"blobs": {"pred_w": Malicious(marker)}}, tmp_path / name)
    _, printed = convert(tmp_path / name, code=1)
    assert re.search(f"{name}: holds a Python object .*would run code", printed)
    assert not marker.exists() and not (tmp_path / "converted").exists()


def test_a_file_of_another_model_is_refused(convert, tmp_path):
    torch.save({"s1.pathway0_stem.conv.weight": torch.ones(2)}, tmp_path / "other.pth")
    _, printed = convert(tmp_path / "other.pth", code=1)
    assert re.search("(?s)TRAIN.CHECKPOINT_MIN_COVERAGE.*mismatched", printed)
    assert not (tmp_path / "converted").exists()


@pytest.mark.slow
def test_class_names_stay_and_an_incomplete_file_is_called_so(convert, toy_yaml, tmp_path):
    state, names = build_model(load_cfg(toy_yaml)).state_dict(), ["run", "eat", "sleep"]
    files.save(tmp_path / "whole.pyth", {"model_state": state, "class_names": names})
    target, printed = convert(tmp_path / "whole.pyth")
    assert files.load(target)["class_names"] == names and "not complete" not in printed
    del state["s1.pathway0_stem.conv.weight"]
    files.save(tmp_path / "part.pyth", {"model_state": state})
    assert "not complete: 1 of the model's tensors" in convert(tmp_path / "part.pyth")[1]
