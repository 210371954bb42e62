import pytest
import torch

from slowfast.runtime import peak
from slowfast.runtime.peak import build_clip_load, peak_flops


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("NVIDIA H100 80GB HBM3", 989),
        ("NVIDIA H100 PCIe", 756),
        ("NVIDIA A100-SXM4-80GB", 312),
        ("NVIDIA A10", 125),
        ("NVIDIA L4", 121),
        ("NVIDIA L40S", 362),
        ("NVIDIA GeForce RTX 4090", 165.2),
    ],
)
def test_cards_are_known_by_their_name(name, expected):
    assert peak_flops(name, is_half=True) == expected * 1e12


def test_an_unknown_card_has_no_peak():
    assert peak_flops("NVIDIA GeForce RTX 4090 Laptop GPU", is_half=True) is None
    assert peak_flops("Radeon", is_half=False) is None


def test_load_of_a_clip_is_six_operations_for_each_multiply_add(toy_cfg, monkeypatch):
    monkeypatch.setattr(peak, "device_name", lambda _device: "NVIDIA H100 80GB HBM3")
    cfg, device = toy_cfg(), torch.device("cuda")
    macs = peak.build_complexity(cfg).macs_train
    assert build_clip_load(cfg, device) == pytest.approx(6 * macs / 494e12)
    assert build_clip_load(toy_cfg("TF32", False), device) == 0
    assert build_clip_load(cfg, torch.device("cpu")) == 0
