import pytest
import torch

from slowfast.models.layers import (
    FeatureGate,
    OverlappingMaxPool3d,
    SqueezeExcitation,
    drop_connect,
    round_width,
)
from slowfast.models.network import drop_connect_rates


@pytest.mark.parametrize(
    ("width", "factor", "rounded"),
    [
        *((12, 2.9, 32), (24, 2.9, 72), (48, 2.9, 136), (96, 2.9, 280)),
        *((40, 0.0625, 8), (80, 0.0625, 8), (160, 0.0625, 16), (320, 0.0625, 24)),
    ],
)
def test_width_is_rounded_to_eights_and_not_far_down(width, factor, rounded):
    assert round_width(width, factor) == rounded


def test_squeeze_excitation_scales_channels_by_a_gate_between_0_and_1():
    x = torch.rand(2, 16, 2, 3, 3) + 0.1
    gate = SqueezeExcitation(16, 0.0625)(x) / x
    assert gate.min() > 0 and gate.max() < 1
    torch.testing.assert_close(gate, gate[:, :, :1, :1, :1].expand_as(gate))


def test_feature_gate_is_a_sigmoid_of_a_linear_map_of_the_means():
    torch.manual_seed(0)
    gate = FeatureGate(4)
    x = torch.randn(2, 4, 3, 2, 5)
    weight, bias = gate.fc.weight.flatten(1), gate.fc.bias
    expected = torch.sigmoid(x.mean((2, 3, 4)) @ weight.T + bias)
    torch.testing.assert_close(gate(x), x * expected[:, :, None, None, None])


@pytest.mark.parametrize("value", [-200.0, 200.0])
def test_feature_gate_of_large_bias_is_closed_or_open(value):
    gate = FeatureGate(4)
    torch.nn.init.constant_(gate.fc.bias, value)
    x = torch.randn(2, 4, 3, 2, 5)
    torch.testing.assert_close(gate(x), x * (value > 0))


def test_overlapping_windows_start_half_a_window_early():
    x = torch.tensor([[3.0, 1.0, 0.0, 2.0, 1.0]])[:, None, :, None, None]
    assert OverlappingMaxPool3d((3, 3, 3), stride=(2, 2, 2))(x).flatten().tolist() == [3, 2, 2]
    assert OverlappingMaxPool3d((3, 1, 1), stride=(1, 1, 1))(x).flatten().tolist() == [
        3,
        3,
        2,
        2,
        2,
    ]
    assert OverlappingMaxPool3d((1, 3, 3), stride=(1, 2, 2))(x).flatten().tolist() == [
        3,
        1,
        0,
        2,
        1,
    ]


def test_drop_connect_drops_whole_samples_and_keeps_the_mean():
    torch.manual_seed(0)
    x = drop_connect(torch.ones(4000, 2, 1, 1, 1), 0.25)
    rows = x.flatten(1)
    assert torch.equal(rows[:, 0], rows[:, 1])
    torch.testing.assert_close(rows.unique(), torch.tensor([0.0, 1 / 0.75]))
    assert rows.mean().item() == pytest.approx(1.0, abs=0.05)


def test_drop_connect_rates_grow_linearly_to_the_last_block():
    rates = drop_connect_rates([1, 2, 1], 0.4)
    assert [[round(rate, 9) for rate in stage] for stage in rates] == [[0.1], [0.2, 0.3], [0.4]]


@pytest.mark.parametrize("rate", [-0.1, 1.0])
def test_drop_connect_rate_out_of_range_names_the_key(rate):
    with pytest.raises(ValueError, match="MODEL.DROPCONNECT_RATE"):
        drop_connect_rates([1], rate)
