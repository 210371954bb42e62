"""Arithmetic of a process: as the config says, whatever it was before."""

import os

import pytest
import torch

from slowfast.runtime.device import build_device, set_arithmetic


@pytest.fixture(autouse=True)
def arithmetic_as_before(monkeypatch):
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    yield
    set_arithmetic(has_tf32=True, is_deterministic=False)
    os.environ.pop("CUBLAS_WORKSPACE_CONFIG", None)


def test_tf32_is_on_by_default_in_convolutions_and_products(toy_cfg):
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    build_device(toy_cfg())
    assert torch.backends.cuda.matmul.allow_tf32 and torch.backends.cudnn.allow_tf32


def test_tf32_false_turns_it_off_everywhere(toy_cfg):
    build_device(toy_cfg("TF32", False))
    assert not torch.backends.cuda.matmul.allow_tf32 and not torch.backends.cudnn.allow_tf32


def test_deterministic_asks_torch_cudnn_and_cublas(toy_cfg):
    build_device(toy_cfg("DETERMINISTIC", True))
    assert torch.are_deterministic_algorithms_enabled()
    assert torch.is_deterministic_algorithms_warn_only_enabled()
    assert torch.backends.cudnn.deterministic
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"


def test_the_next_run_of_a_process_is_not_deterministic_by_chance(toy_cfg):
    build_device(toy_cfg("DETERMINISTIC", True))
    build_device(toy_cfg())
    assert not torch.are_deterministic_algorithms_enabled()
    assert not torch.backends.cudnn.deterministic
