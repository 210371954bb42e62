import copy
import pickle

import pytest
from torch import nn

from slowfast.models.conv import conv3d
from slowfast.models.widths import FixedWidth, parts_of, slim_width
from slowfast.utils.clip_shapes import evenly_spaced


@pytest.mark.parametrize("channels", [1, 3, 18, 33, 54, 432])
def test_full_width_keeps_all_and_no_width_asks_for_more(channels):
    assert slim_width(channels, 1.0) == channels
    for share in range(1, 100):
        assert 1 <= slim_width(channels, share / 100) <= channels


def test_less_than_nine_tenths_are_rounded_up():
    assert slim_width(24, 0.8) == 24  # 19.2 would become 16


def test_fixed_width_stays_whole_with_its_parts_and_copies():
    fixed = FixedWidth(16)
    for dim in (fixed, fixed // 2, copy.deepcopy(fixed), pickle.loads(pickle.dumps(fixed))):
        assert slim_width(dim, 0.5) == dim
    assert (fixed, fixed // 2, repr(fixed)) == (16, 8, "16")


def test_a_number_is_one_part():
    assert parts_of(64) == parts_of(FixedWidth(64)) == (64,)
    assert parts_of([64, 16]) == (64, 16)


def test_a_convolution_of_a_concatenation_is_a_convolution():
    conv = conv3d((4, FixedWidth(2)), 8, 1)
    assert (conv.in_channels, conv.dims_in) == (6, (4, 2))
    assert repr(conv) == repr(nn.Conv3d(6, 8, (1, 1, 1), bias=False))


@pytest.mark.parametrize(
    ("num_frames", "count", "expected"),
    [
        (8, 8, list(range(8))),
        (8, 5, [0, 1, 3, 5, 7]),
        (4, 3, [0, 1, 3]),
        (4, 1, [0]),
        (1, 2, [0, 0]),
    ],
)
def test_frames_are_evenly_spread(num_frames, count, expected):
    assert evenly_spaced(num_frames, count) == expected
