import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from benchmarks import against_reference, one_network

DEFAULTS = """
import types
from fvcore.common.config import CfgNode

def get_cfg():
    return CfgNode({"WIDTH": 2})
"""
MODELS = """
import torch
from nowhere.layers import Swish

def build_model(cfg):
    net = torch.nn.Conv3d(3, cfg.WIDTH, 1)
    net.forward = lambda clips: torch.nn.Conv3d.forward(net, clips[0]).mean((2, 3, 4))
    return net
"""


def make_checkout(folder: Path) -> Path:
    """A package `slowfast` that is not ours, and asks for a package that nobody has."""
    for name, text in (("config", ""), ("models", MODELS), ("", "")):
        path = folder / "slowfast" / name / "__init__.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (folder / "slowfast/config/defaults.py").write_text(DEFAULTS)
    (folder / "net.yaml").write_text("WIDTH: 3\n")
    return folder


@pytest.mark.slow
def test_a_checkout_of_the_same_name_runs_in_its_own_process(tmp_path):
    folder = make_checkout(tmp_path)
    task = {"path": [str(folder)], "package": "slowfast", "config": str(folder / "net.yaml")}
    task |= {"overrides": [], "threads": 1, "is_bf16": False}
    with against_reference.Process(task) as process:
        process.ask("clips", [[2, 3, 1, 4, 4]])
        assert len(process.ask("scores")[0]) == 3
        assert all(seconds > 0 for seconds in process.ask("train"))


def test_what_a_checkout_lacks_fails_where_it_is_used():
    module = one_network._stand_in("nowhere.layers")
    with pytest.raises(ImportError, match="nowhere.layers.Swish"):
        module.Swish()


def test_difference_is_relative_to_the_largest_score():
    assert against_reference.relative_difference([[1.0, -4.0]], [[2.0, -4.0]]) == 0.25


def test_settled_statistics_are_those_of_the_clips():
    net = torch.nn.Sequential(torch.nn.BatchNorm3d(3))
    net.forward = lambda clips: net[0](clips[0])
    worker = one_network.Worker(net, layout=torch.contiguous_format, is_bf16=False)
    worker.clips([[2, 3, 1, 4, 4]])
    worker.settle()
    torch.testing.assert_close(net[0].running_mean, worker._clips[0].mean((0, 2, 3, 4)))
    assert net[0].momentum == 0.1


def test_help_needs_no_torch():
    code = "import sys; sys.modules['torch'] = None; import runpy; sys.argv = ['x', '-h']; "
    code += f"runpy.run_path({against_reference.__file__!r}, run_name='__main__')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0 and "--reference" in done.stdout, json.dumps(done.stderr)


@pytest.mark.slow
def test_an_exported_network_gives_the_scores_of_the_folded_one():
    class Network(torch.nn.Conv3d):
        def forward(self, clips):
            return super().forward(clips[0]).mean((2, 3, 4))

    network, clips = Network(3, 5, 1), [torch.rand(2, 3, 2, 4, 4)]
    with torch.no_grad():
        scores = one_network.Exported(network, "openvino", "float32")(clips)
        torch.testing.assert_close(scores, network(clips))
