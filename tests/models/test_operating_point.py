import pytest
import torch
import torch.nn.functional as F

from slowfast.config.defaults import get_cfg
from slowfast.models.operating_point import (
    OperatingPoint,
    build_full_point,
    build_points,
    reduce_clips,
)


def reduced(clips, *sizes, mode="area", fast_crop=8):
    return reduce_clips(clips, OperatingPoint(*sizes), mode=mode, fast_crop=fast_crop)


@pytest.mark.parametrize("width", [1.0, 0.63, 0.1 + 0.2])
def test_text_and_back(width):
    configuration = OperatingPoint(width, 5, 178)
    assert str(configuration) == f"{width:g},5,178"
    parsed = OperatingPoint.parse(str(configuration))
    assert parsed.width == pytest.approx(width) and (parsed.frames, parsed.crop) == (5, 178)


@pytest.mark.parametrize("text", ["", "0.5", "0.5,8", "0.5,8,224,1", "1.2,8,224", "0,8,9", "a,b,c"])
def test_other_text_is_refused_with_the_form(text):
    with pytest.raises(ValueError, match="WIDTH,FRAMES,CROP"):
        OperatingPoint.parse(text)


def test_whole_clips_stay_the_same_tensors():
    clips = [torch.rand(1, 3, 4, 8, 8), torch.rand(1, 3, 16, 8, 8)]
    assert all(new is old for new, old in zip(reduced(clips, 0.5, 4, 8), clips, strict=True))


@pytest.mark.parametrize("order", [torch.contiguous_format, torch.channels_last_3d])
@pytest.mark.parametrize("mode", ["area", "bilinear"])
def test_clips_keep_their_memory_order(order, mode):
    clip = torch.rand(2, 3, 4, 8, 8).contiguous(memory_format=order)
    for sizes in ((1.0, 2, 8), (1.0, 4, 4), (1.0, 2, 4)):
        assert reduced([clip], *sizes, mode=mode)[0].is_contiguous(memory_format=order)


def test_frames_are_spread_from_the_first_to_the_last():
    clip = torch.arange(8.0).view(1, 1, 8, 1, 1).expand(1, 3, 8, 8, 8)
    (few,) = reduced([clip], 1.0, 5, 8)
    assert few[0, 0, :, 0, 0].tolist() == [0, 1, 3, 5, 7]


def test_area_takes_the_mean_and_bilinear_is_that_of_torch():
    clip = torch.rand(2, 3, 2, 9, 9)
    frames = clip.transpose(1, 2).flatten(0, 1)
    for mode, expected in (
        ("area", F.adaptive_avg_pool2d(frames, 4)),
        ("bilinear", F.interpolate(frames, (4, 4), mode="bilinear", align_corners=False)),
    ):
        (small,) = reduced([clip], 1.0, 2, 4, mode=mode)
        expected = expected.unflatten(0, (2, 2)).transpose(1, 2)
        torch.testing.assert_close(small, expected)


def test_only_the_slow_pathway_is_reduced():
    slow, fast = torch.rand(1, 3, 4, 8, 8), torch.rand(1, 3, 16, 8, 8)
    small, same = reduced([slow, fast], 0.5, 2, 4)
    assert small.shape == (1, 3, 2, 4, 4) and same is fast


def test_a_fast_pathway_of_a_test_crop_gets_the_crop_of_training():
    clips = [torch.rand(1, 3, 4, 12, 12), torch.rand(1, 3, 16, 12, 12)]
    assert reduced(clips, 0.5, 2, 4)[1].shape == (1, 3, 16, 8, 8)
    assert reduced(clips, 1.0, 4, 12)[1] is clips[1]


def test_no_clip_is_enlarged_and_sides_keep_their_proportion():
    clip = torch.rand(1, 3, 2, 8, 16)
    assert reduced([clip], 1.0, 2, 12)[0] is clip
    assert reduced([clip], 1.0, 2, 4)[0].shape == (1, 3, 2, 4, 8)


def test_more_frames_than_there_are_is_an_error():
    with pytest.raises(ValueError, match="the clip has 2 frames"):
        reduced([torch.rand(1, 3, 2, 8, 8)], 1.0, 4, 8)


def test_grid_has_the_full_configuration_of_tests():
    cfg = get_cfg()  # two pathways: 8 frames are 1 of the slow one
    keys = ["DATA.NUM_FRAMES", 32, "ADAPTIVE.FRAMES", [2, 4], "ADAPTIVE.WIDTHS", [0.5, 1.0]]
    cfg.merge_from_list(keys)
    grid = build_points(cfg)
    assert len(grid) == 2 * 2 * 3 + 1
    assert grid[0] == OperatingPoint(0.5, 2, 142)
    assert grid[-1] == build_full_point(cfg, 256) == OperatingPoint(1.0, 4, 256)
