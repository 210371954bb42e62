"""Devices of tests: each test of a folder that computes runs on the CPU, with --gpu on CUDA, too.

A test takes part by the fixture `device`, directly or through `toy_yaml`, whose configs then have
NUM_GPUS 1. Those with several processes stay on the CPU. Those marked `gpu` need CUDA.
"""

import pytest
import torch

FOLDERS = ("engine", "models", "tasks", "adaptive", "solver")


def pytest_addoption(parser):
    parser.addoption(
        "--gpu", action="store_true", help="run the tests of engine, models and tasks on CUDA, too"
    )


def pytest_generate_tests(metafunc):
    """Ids of tests stay as they are without --gpu."""
    names = set(metafunc.fixturenames)
    is_asked = metafunc.config.getoption("--gpu") and names >= {"device"} and "forked" not in names
    if is_asked and metafunc.definition.path.parent.name in FOLDERS:
        metafunc.parametrize("device", ["cpu", "cuda"], indirect=True)


def pytest_collection_modifyitems(config, items):
    if config.getoption("--gpu"):
        return
    left_out = [item for item in items if item.get_closest_marker("gpu")]
    items[:] = [item for item in items if item not in left_out]
    config.hook.pytest_deselected(items=left_out)


@pytest.fixture
def cuda():
    """The GPU; float32 is not TF32 there."""
    yield from _ready("cuda")


@pytest.fixture
def device(request):
    """Device of a test; on CUDA float32 is not TF32, so that numbers are those of the CPU."""
    yield from _ready(getattr(request, "param", "cpu"))


def _ready(kind):
    if kind == "cuda" and not torch.cuda.is_available():
        pytest.skip("--gpu: this machine has no CUDA device")
    with pytest.MonkeyPatch.context() as patch:
        if kind == "cuda":
            patch.setattr(torch.backends.cudnn, "allow_tf32", False)
            patch.setattr(torch.backends.cuda.matmul, "allow_tf32", False)
        yield torch.device(kind)


@pytest.fixture
def device_keys(device):
    """Keys of a config on the device: equal numbers are wanted everywhere."""
    if device.type == "cpu":
        return {"NUM_GPUS": 0}
    return {"NUM_GPUS": 1, "TF32": False, "DETERMINISTIC": True}
