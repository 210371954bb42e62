import json
from itertools import groupby

import numpy as np
import pytest
import torch

from slowfast.config.defaults import get_cfg
from slowfast.datasets.clips.views import build_train_views
from slowfast.datasets.transforms.spatial import (
    PackPathways,
    RandomCrop,
    TrainTransform,
    crop,
    flip,
    jitter_size,
    multi_scale_crop_box,
    normalize,
    pack_pathways,
    random_crop_offsets,
    random_resized_crop_box,
    resize,
    uniform_crop_offsets,
)
from tests.helpers.paths import GOLDENS

GOLDEN = json.loads((GOLDENS / "transforms.json").read_text())


class ReferenceDraws:
    """The reference's generator: legacy numpy draws that leave out the last offset."""

    def __init__(self):
        self.state = np.random.RandomState(0)

    def uniform(self, *bounds):
        return self.state.uniform(*bounds)

    def integers(self, low, high):
        return self.state.randint(low, high - 1)


def ramp(*shape):
    return torch.arange(int(np.prod(shape))).remainder(256).to(torch.uint8).view(shape)


def rng(seed=0):
    return np.random.default_rng(seed)


@pytest.fixture
def cfg():
    cfg = get_cfg()
    cfg.DATA.INPUT_CHANNEL_NUM = [3]
    cfg.DATA.TRAIN_JITTER_SCALES = [10, 14]
    cfg.DATA.TRAIN_CROP_SIZE = 8
    return cfg


def test_uniform_crop_golden():
    for height, width, size, index, *expected in GOLDEN["uniform_crop"]["rows"]:
        assert list(uniform_crop_offsets(height, width, size, index)) == expected


@pytest.mark.parametrize("kind", ["uniform", "inverse"])
def test_jitter_size_golden(kind):
    golden, draws = GOLDEN["jitter_size"], ReferenceDraws()
    sizes = [jitter_size(draws, *golden["args"], kind == "inverse") for _ in golden[kind]]
    assert sizes == golden[kind]


def test_random_crop_golden():
    for _, rows in groupby(GOLDEN["random_crop"]["rows"], key=lambda row: row[:3]):
        draws = ReferenceDraws()
        for height, width, size, _, *expected in rows:
            assert list(random_crop_offsets(draws, height, width, size)) == expected


def test_random_crop_reaches_every_offset():
    draws = rng()
    offsets = {random_crop_offsets(draws, 6, 5, 4) for _ in range(200)}
    assert offsets == {(y, x) for y in range(3) for x in range(2)}


def test_random_crop_draws_nothing_for_a_fitting_frame():
    used, fresh = rng(), rng()
    assert random_crop_offsets(used, 4, 4, 4) == (0, 0)
    assert used.uniform() == fresh.uniform()


def test_crop_larger_than_the_frame_is_refused():
    with pytest.raises(AssertionError, match="crop 8 does not fit into 6 x 9"):
        uniform_crop_offsets(6, 9, 8, 1)


def test_flip_golden():
    draws, clip = ReferenceDraws(), ramp(3, 1, 2, 2)
    transform = TrainTransform(RandomCrop(2), mirror=flip)
    for expected in GOLDEN["flip_draws"]:
        found, is_flipped = transform(clip, draws)
        assert is_flipped == expected and found.equal(flip(clip) if expected else clip)


def test_pack_pathways_golden():
    for num_frames, stride, index in GOLDEN["pack_pathways"]["rows"]:
        clip = torch.arange(num_frames).view(1, -1, 1, 1)
        slow, fast = pack_pathways(clip, (stride, 1))
        assert slow.flatten().tolist() == index
        assert fast is clip


def test_normalize_golden():
    golden = GOLDEN["normalize"]
    clips = torch.tensor(golden["input"], dtype=torch.uint8).view(1, 1, 3, 1, 1)
    output = normalize(clips, [0.45], [0.225])
    torch.testing.assert_close(output.flatten(), torch.tensor(golden["output"]), rtol=0, atol=0)


def test_normalize_is_per_channel_and_leaves_its_input():
    clips = torch.full((2, 3, 1, 1, 1), 51.0)
    output = normalize(clips, [0.1, 0.2, 0.3], [1.0, 1.0, 0.5])
    torch.testing.assert_close(output[1].flatten(), torch.tensor([0.1, 0.0, -0.2]))
    assert clips.unique().tolist() == [51.0]


def test_crop_takes_the_square():
    clip = ramp(3, 2, 6, 7)
    assert crop(clip, 1, 2, 4).equal(clip[:, :, 1:5, 2:6])


def test_resize_equals_interpolate_per_frame():
    clip = ramp(3, 2, 6, 8)
    expected = torch.nn.functional.interpolate(clip[:, 1][None].float(), (3, 4), mode="bilinear")
    assert resize(clip, (3, 4))[:, 1].equal(expected[0])


def test_resize_to_the_same_size_is_the_clip_itself():
    clip = ramp(3, 2, 6, 8)
    assert resize(clip, (6, 8)) is clip


def test_resized_crop_box_keeps_scale_and_ratio():
    draws = rng()
    for _ in range(200):
        y, x, h, w = random_resized_crop_box(draws, 120, 160, (0.2, 0.8), (0.75, 4 / 3))
        assert 0 <= y <= 120 - h and 0 <= x <= 160 - w
        assert 0.18 < h * w / (120 * 160) < 0.82
        assert 0.72 < w / h < 1.4


def test_resized_crop_box_of_a_long_frame_falls_back_to_the_largest_centred_box():
    box = random_resized_crop_box(rng(), 10, 100, (1.0, 1.0), (0.75, 4 / 3))
    assert box == (0, 43, 10, 13)


def test_train_transform_depends_only_on_the_generator(cfg):
    cfg.AUG.ENABLE = True
    clip, transform = ramp(3, 4, 10, 12), build_train_views(cfg, None).transform
    for seed in range(5):
        assert transform(clip, rng(seed))[0].equal(transform(clip, rng(seed))[0])


def test_train_transform_crops_and_flips(cfg):
    clip, transform, draws = ramp(3, 4, 10, 12), build_train_views(cfg, None).transform, rng()
    windows = [crop(clip, y, x, 8) for y in range(3) for x in range(5)]
    windows = {
        (bytes(w.numpy().tobytes()), is_flipped): 0
        for window in windows
        for w, is_flipped in ((window, False), (flip(window), True))
    }
    for _ in range(400):
        window, is_flipped = transform(clip, draws)
        windows[window.numpy().tobytes(), is_flipped] += 1
    assert len(windows) == 30 and min(windows.values()) > 0


def test_train_transform_without_flip_never_flips(cfg):
    cfg.DATA.RANDOM_FLIP = False
    clip, transform, draws = ramp(3, 1, 8, 8), build_train_views(cfg, None).transform, rng()
    for _ in range(8):
        found, is_flipped = transform(clip, draws)
        assert found.equal(clip) and not is_flipped


def test_relative_jitter_cuts_a_box_and_scales_it(cfg):
    cfg.DATA.TRAIN_JITTER_SCALES_RELATIVE = [0.3, 1.0]
    cfg.DATA.TRAIN_JITTER_ASPECT_RELATIVE = [0.75, 1.3333]
    assert build_train_views(cfg, None).transform(ramp(3, 4, 20, 31), rng())[0].shape == (
        3,
        4,
        8,
        8,
    )


def test_sides_of_a_multi_scale_crop_are_neighbours_among_the_scales():
    draws = rng()
    boxes = {multi_scale_crop_box(draws, 100, 160, (1, 0.875, 0.66)) for _ in range(2000)}
    sides = {(h, w) for _, _, h, w in boxes}
    assert sides == {(a, b) for a in (100, 87, 66) for b in (100, 87, 66)} - {(100, 66), (66, 100)}
    places = {(y, x) for y, x, h, w in boxes if (h, w) == (66, 66)}
    assert places == {
        *((0, 0), (0, 92), (32, 0), (32, 92), (16, 46), (16, 0), (16, 92)),
        *((32, 46), (0, 46), (8, 23), (8, 69), (24, 23), (24, 69)),
    }


def test_multi_scale_crops_come_from_whole_frames(cfg):
    cfg.DATA.TRAIN_CROP_SCALES = [1, 0.66]
    views = build_train_views(cfg, None)
    assert views.jitter is None
    assert views.transform(ramp(3, 4, 20, 31), rng())[0].shape == (3, 4, 8, 8)


def test_pack_reverses_channels_before_packing():
    clip = ramp(3, 8, 2, 2)
    slow, fast = PackPathways([4, 1], reverse_channels=True)(clip)
    assert fast.equal(clip[[2, 1, 0]])
    assert slow.equal(clip[[2, 1, 0]][:, [0, 7]])
