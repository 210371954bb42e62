import numpy as np
import pytest
import torch

from slowfast.datasets.transforms.rand_augment import RandAugment, parse_rand_augment

NAMES = (
    "AutoContrast Equalize Invert Posterize Solarize SolarizeAdd Color Contrast Brightness "
    "Sharpness Rotate ShearX ShearY TranslateX TranslateY"
).split()


def rng(seed=0):
    return np.random.default_rng(seed)


def noise(*shape):
    return torch.from_numpy(rng().integers(0, 256, shape, dtype=np.uint8))


def augment(**changes):
    settings = {
        "magnitude": 9,
        "num_ops": 2,
        "magnitude_std": 0.5,
        "increasing": True,
        "interpolation": "bilinear",
        "fill": (10, 20, 30),
    }
    return RandAugment(**settings | changes)


def test_parse_all_parts():
    assert parse_rand_augment("rand-m7-n4-mstd0.5-inc1") == {
        "magnitude": 7,
        "num_ops": 4,
        "magnitude_std": 0.5,
        "increasing": True,
    }


def test_parse_defaults():
    assert parse_rand_augment("rand") == {
        "magnitude": 10,
        "num_ops": 2,
        "magnitude_std": 0,
        "increasing": False,
    }


@pytest.mark.parametrize("text", ["rand-mstdinf", "rand-mstd101"])
def test_parse_infinite_deviation(text):
    assert parse_rand_augment(text)["magnitude_std"] == float("inf")


@pytest.mark.parametrize(
    "text", ["augmix-m5", "rand-x3", "rand-m", "rand-m11", "rand-n0", "rand-n1.5", "rand--m9", "m9"]
)
def test_parse_errors_name_key_and_value(text):
    with pytest.raises(ValueError, match=f"AUG.AA_TYPE: '{text}'"):
        parse_rand_augment(text)


def test_operations_are_the_fifteen():
    assert sorted(augment().operations()) == sorted(NAMES)


@pytest.mark.parametrize("increasing", [True, False])
@pytest.mark.parametrize("name", NAMES)
def test_operation_treats_all_frames_alike(name, increasing):
    frames = (noise(1, 3, 20, 30) // 4 * 3 + 20).expand(4, 3, 20, 30)
    output = augment(increasing=increasing).apply(name, frames, 7.0, -1)
    assert output.dtype == torch.uint8 and output.shape == frames.shape
    assert not output[0].equal(frames[0])
    assert all(frame.equal(output[0]) for frame in output)


@pytest.mark.parametrize("interpolation", ["nearest", "bilinear", "bicubic"])
@pytest.mark.parametrize("name", NAMES[4:])
def test_increasing_operation_at_level_zero_is_the_identity(name, interpolation):
    frames = noise(2, 3, 8, 10)
    output = augment(interpolation=interpolation).apply(name, frames, 0.0, 1)
    assert output.equal(frames)


@pytest.mark.parametrize(
    "name", ["Posterize", "Solarize", "SolarizeAdd", "Color", "Contrast", "Brightness", "Sharpness"]
)
def test_increasing_operation_changes_more_with_the_level(name):
    frames = noise(2, 3, 16, 16)
    change = [
        (augment().apply(name, frames, level, 1).float() - frames).abs().mean()
        for level in (2.5, 5.0, 10.0)
    ]
    assert change[0] < change[1] < change[2]


def test_translate_shifts_by_its_share_and_fills():
    frames = noise(1, 3, 4, 20)
    output = augment(interpolation="nearest").apply("TranslateX", frames, 10.0, 1)
    assert output[..., :11].equal(frames[..., 9:])
    assert output[0, :, :, 11:].flatten(1).unique(dim=1).flatten().tolist() == [10, 20, 30]


def test_rotation_keeps_its_angle_on_a_wide_frame():
    # A dot 20 px to the right of the centre ends 30 degrees further round at the same distance.
    frames = torch.zeros(1, 3, 41, 81, dtype=torch.uint8)
    frames[..., 19:22, 59:62] = 200
    output = augment(fill=(0, 0, 0)).apply("Rotate", frames, 10.0, 1)[0, 0].double()
    y, x = torch.meshgrid(torch.arange(41.0) - 20, torch.arange(81.0) - 40, indexing="ij")
    centre = [float((axis * output).sum() / output.sum()) for axis in (x, y)]
    np.testing.assert_allclose(centre, [20 * 3**0.5 / 2, -10], atol=0.1)


def test_solarize_and_posterize_by_hand():
    frames = torch.tensor([0, 100, 127, 128, 255], dtype=torch.uint8).view(1, 1, 1, 5)
    half = augment().apply("Solarize", frames, 5.0, 1)
    assert half.flatten().tolist() == [0, 100, 127, 127, 0]
    added = augment().apply("SolarizeAdd", frames, 10.0, 1)
    assert added.flatten().tolist() == [110, 210, 237, 128, 255]
    two_bits = augment().apply("Posterize", frames, 5.0, 1)
    assert two_bits.flatten().tolist() == [0, 64, 64, 128, 192]


def test_each_operation_is_done_half_of_the_time():
    clip, draws, transform = noise(3, 2, 4, 4), rng(), augment(num_ops=1, magnitude_std=0.0)
    unchanged = sum(transform(clip, draws).equal(clip) for _ in range(400))
    assert 170 < unchanged < 230


def test_infinite_deviation_draws_levels_up_to_the_magnitude():
    transform, draws = augment(magnitude=4, magnitude_std=float("inf")), rng()
    levels = [transform._draw_level(draws) for _ in range(200)]
    assert 0 <= min(levels) < 0.2 and 3.8 < max(levels) <= 4


def test_float_clip_is_rounded_to_uint8():
    output = augment()(noise(3, 2, 4, 4).float() + 0.25, rng(3))
    assert output.dtype == torch.uint8 and output.shape == (3, 2, 4, 4)
