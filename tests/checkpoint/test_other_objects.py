"""Python objects beside weights, networks pickled whole, TorchScript and safetensors."""

import argparse
import datetime
import enum
import pickle
import sys
from collections import Counter, OrderedDict, defaultdict, deque
from pathlib import PurePosixPath

import numpy as np
import pytest
import torch
from torch import nn

from slowfast.checkpoint import files
from slowfast.checkpoint.convert import find_model_state
from slowfast.checkpoint.files import CheckpointError
from slowfast.checkpoint.initialize import load_for_test
from slowfast.checkpoint.pickled import UnknownObject
from tests.helpers.small_networks import Net


class Kind(enum.Enum):
    A = 1


class Own:
    def __init__(self):
        self.value = 3


class Config(dict):
    """As yacs and others have it: a dictionary with attributes."""


class Options(list):
    pass


ODDS = {f"bfloat{number}": torch.ones(2, dtype=torch.bfloat16) * number for number in range(2)}
WEIGHTS = {"a.weight": torch.arange(6.0).view(2, 3), "a.bias": torch.arange(6.0)[1:3], **ODDS}
PLAIN = [
    (np.float64(71.5), 71.5),
    (np.bool_(True), True),
    (argparse.Namespace(lr=0.5, path=PurePosixPath("/a/b")), {"lr": 0.5, "path": "/a/b"}),
    (defaultdict(list, a=[1]), {"a": [1]}),
    (Counter("aab"), {"a": 2, "b": 1}),
    (torch.Size([1, 2]), (1, 2)),
    (torch.device("cuda", 1), "cuda:1"),
    ({1, 2}, {1, 2}),
    (2 + 3j, 2 + 3j),
    (b"bytes", b"bytes"),
    ([np.int64(3), (np.float32(0.5), OrderedDict(a=1))], [3, (0.5, {"a": 1})]),
]
UNKNOWN = [
    (Kind.A, "Kind"),
    (Own(), "Own"),
    (Own, "Own"),
    (Options([1, 2]), "Options"),
    (Config(a=1), "Config"),
    (deque([1]), "collections.deque"),
    (slice(1, 2), "slice"),
    (datetime.datetime(2026, 1, 1), "datetime.datetime"),
    (datetime.timedelta(1), "datetime.timedelta"),
    (np.array([None, "a"], dtype=object), "numpy"),
    (np.array(["a"]), "numpy"),
    (np.datetime64("2026-01-01"), "numpy"),
    (np.mean, "mean"),
]
FORMATS = [{}, {"_use_new_zipfile_serialization": False}, {"pickle_protocol": 4}]


def _load_beside(tmp_path, value, **how):
    torch.save({"state_dict": WEIGHTS, "other": value, "own": Own()}, tmp_path / "a.pth", **how)
    content = files.load(tmp_path / "a.pth")
    found = find_model_state(content)
    assert found.keys() == WEIGHTS.keys()
    assert all(torch.equal(found[name], value) for name, value in WEIGHTS.items())
    return content["other"]


@pytest.mark.parametrize("how", FORMATS)
@pytest.mark.parametrize(("value", "plain"), PLAIN)
def test_plain_values_beside_the_weights_are_read(tmp_path, value, plain, how):
    assert _load_beside(tmp_path, value, **how) == plain


@pytest.mark.parametrize("how", FORMATS)
@pytest.mark.parametrize(("value", "name"), UNKNOWN)
def test_other_objects_are_left_out_by_name(tmp_path, value, name, how, caplog):
    found = _load_beside(tmp_path, value, **how)
    assert isinstance(found, UnknownObject) and name in found.name
    assert "2 Python objects beside the weights are left out" in caplog.text
    assert pickle.loads(pickle.dumps(found)) == found


def test_a_class_that_is_not_installed_is_not_imported(tmp_path, monkeypatch):
    module = type(sys)("gone_module")
    monkeypatch.setitem(sys.modules, "gone_module", module)
    module.Thing = type("Thing", (), {"__module__": "gone_module"})
    torch.save({"state_dict": WEIGHTS, "other": module.Thing()}, tmp_path / "a.pth")
    monkeypatch.delitem(sys.modules, "gone_module")
    assert files.load(tmp_path / "a.pth")["other"] == UnknownObject("gone_module.Thing")


@pytest.mark.parametrize("module", ["numpy.core.multiarray", "numpy._core.multiarray"])
def test_scalars_of_old_and_new_numpy_are_read(tmp_path, module):
    value = pickle.dumps({"blobs": {"w": np.ones(2)}, "lr": np.float64(0.5)}, protocol=2)
    name = b"numpy.core.multiarray" if b"numpy.core.multi" in value else b"numpy._core.multiarray"
    (tmp_path / "a.pkl").write_bytes(value.replace(name, module.encode()))
    assert files.load(tmp_path / "a.pkl")["lr"] == 0.5


@pytest.mark.parametrize("how", FORMATS[:2])
@pytest.mark.parametrize("wrap", [lambda net: net, lambda net: {"model": net, "epoch": 3}])
def test_a_network_that_was_pickled_whole_gives_its_tensors(tmp_path, wrap, how, caplog):
    source, model = Net(), Net()
    source.register_buffer("fleeting", torch.ones(2), persistent=False)
    torch.save(wrap(source), tmp_path / "a.pt", **how)
    load_for_test(model, tmp_path / "a.pt")
    assert torch.equal(model.s1[0].weight, source.s1[0].weight)
    assert "holds a whole network" in caplog.text


@pytest.mark.filterwarnings("ignore:.*torch.jit.script:FutureWarning")
def test_a_torchscript_archive_gives_its_tensors(tmp_path):
    net = nn.Sequential(nn.Conv3d(3, 4, 1), nn.BatchNorm3d(4))
    torch.jit.script(net).save(tmp_path / "a.pt")
    state = find_model_state(files.load(tmp_path / "a.pt"))
    wanted = net.state_dict()
    assert state.keys() == wanted.keys()
    assert all(torch.equal(state[name], value) for name, value in wanted.items())


def test_weights_in_an_unknown_object_are_an_error(tmp_path):
    torch.save({"model": Own(), "optimizer": {"state": WEIGHTS}}, tmp_path / "a.pth")
    with pytest.raises(CheckpointError, match=r"'model' is a Python object \(.*Own\)"):
        load_for_test(Net(), tmp_path / "a.pth")


def test_weights_of_safetensors_are_read_with_their_classes(tmp_path):
    pytest.importorskip("safetensors")
    source, model = Net(), Net()
    names = {"class_names": ["jump", "run", "walk"], "class_counts": [3]}
    files.save_safetensors(tmp_path / "a.safetensors", source.state_dict(), names)
    report = load_for_test(model, tmp_path / "a.safetensors")
    assert torch.equal(model.s1[0].weight, source.s1[0].weight)
    assert report.class_names == names["class_names"]


def test_a_truncated_safetensors_file_is_damaged(tmp_path):
    pytest.importorskip("safetensors")
    files.save_safetensors(tmp_path / "a.bin", WEIGHTS, {})
    content = (tmp_path / "a.bin").read_bytes()
    for size in (len(content) - 1, len(content) // 2):
        (tmp_path / "a.bin").write_bytes(content[:size])
        with pytest.raises(CheckpointError, match="a.bin: is truncated, damaged"):
            files.load(tmp_path / "a.bin")


def test_safetensors_without_the_package_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "safetensors", None)
    (tmp_path / "a.safetensors").write_bytes((2).to_bytes(8, "little") + b"{}")
    with pytest.raises(CheckpointError, match="a.safetensors: .* pip install safetensors"):
        files.load(tmp_path / "a.safetensors")


@pytest.mark.parametrize(
    ("head", "kind"),
    [(b"\x1f\x8b", "a gzip archive; unpack"), (b"\x89HDF\r\n", "HDF5"), (b"\x93NUMPY", "numpy")],
)
def test_files_of_other_kinds_are_named(tmp_path, head, kind):
    (tmp_path / "a.pth").write_bytes(head + bytes(300))
    with pytest.raises(CheckpointError, match=f"a.pth: is .*{kind}"):
        files.load(tmp_path / "a.pth")


def test_a_zip_of_other_files_is_named(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.ones(2))
    with pytest.raises(CheckpointError, match=r"a zip archive of other files \(x.npy\)"):
        files.load(tmp_path / "a.npz")
