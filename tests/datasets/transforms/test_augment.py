import numpy as np
import pytest
import torch

from slowfast.config.defaults import get_cfg
from slowfast.datasets.transforms.augment import (
    BatchMix,
    ColorJitter,
    PcaJitter,
    RandomErasing,
    build_augmentations,
    build_mix,
    cutmix_box,
    random_box,
    smooth_labels,
)
from slowfast.datasets.transforms.rand_augment import RandAugment

MEAN, STD = [0.4, 0.5, 0.6], [0.2, 0.2, 0.2]


def rng(seed=0):
    return np.random.default_rng(seed)


def noise(*shape):
    return torch.from_numpy(rng().integers(0, 256, shape, dtype=np.uint8))


def erasing(mode, probability=1.0, count=1):
    return RandomErasing(probability, mode, count=count, mean=MEAN, std=STD)


def mix(clips, labels, seed=0, **changes):
    settings = {
        "class_counts": [4],
        "alpha": 0.8,
        "cutmix_alpha": 1.0,
        "prob": 1.0,
        "switch_prob": 0.5,
        "smoothing": 0.0,
    }
    return BatchMix(**settings | changes)(clips, labels, rng(seed))


def constant_clips(labels, num_frames=2):
    """Clips whose every value is their label."""
    return labels.float().view(-1, 1, 1, 1, 1).expand(-1, 3, num_frames, 8, 8).contiguous()


def test_color_jitter_treats_all_frames_alike():
    clip = noise(3, 1, 6, 6).expand(3, 4, 6, 6)
    output = ColorJitter(0.4)(clip, rng())
    assert output.dtype == torch.uint8 and not output.equal(clip)
    assert all(output[:, t].equal(output[:, 0]) for t in range(4))


def test_color_jitter_of_strength_zero_changes_nothing():
    clip = noise(3, 2, 6, 6)
    assert ColorJitter(0.0)(clip, rng()).equal(clip)


def test_color_jitter_of_grey_keeps_it_grey_within_the_strength():
    clip, draws = torch.full((3, 1, 2, 2), 100, dtype=torch.uint8), rng()
    values = torch.stack([ColorJitter(0.4)(clip, draws) for _ in range(50)])
    assert values.flatten(1).unique(dim=1).shape[1] == 1
    assert 59 <= values.min() < 75 and 125 < values.max() <= 140


def test_random_box_lies_inside_and_keeps_the_area():
    draws = rng()
    for _ in range(200):
        y, x, h, w = random_box(draws, 40, 60, (0.1, 0.3))
        assert 0 <= y <= 40 - h and 0 <= x <= 60 - w
        assert 0.08 < h * w / 2400 < 0.33


def test_random_box_gives_up_when_nothing_fits():
    assert random_box(rng(), 1, 1, (0.1, 0.3)) is None


@pytest.mark.parametrize("mode", ["pixel", "rand", "const"])
def test_erasing_changes_one_box_in_all_frames(mode):
    clip = torch.full((3, 4, 20, 20), 255, dtype=torch.uint8)
    output = erasing(mode)(clip, rng(1))
    changed = (output != clip).any(0)
    rows, columns = changed[0].any(1).nonzero().flatten(), changed[0].any(0).nonzero().flatten()
    box = changed[:, rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    assert box.float().mean() > 0.95 and changed.sum() == box.sum()
    assert clip.min() == 255


def test_constant_erasing_fills_with_the_mean():
    output = erasing("const")(torch.zeros(3, 2, 20, 20), rng())
    assert [channel.unique().tolist() for channel in output] == [[0, 102], [0, 127 + 1], [0, 153]]


def test_random_erasing_fills_with_one_colour_per_box():
    output = erasing("rand")(torch.full((3, 2, 20, 20), -1.0), rng())
    assert [len(channel.unique()) for channel in output] == [2, 2, 2]


def test_pixel_noise_has_the_pixels_distribution():
    output = erasing("pixel")(torch.full((3, 8, 64, 64), -1.0), rng(2))
    values = output.flatten(1)[:, (output >= 0).all(0).flatten()]
    np.testing.assert_allclose(values.mean(1), [102, 127.5, 153], atol=3)
    np.testing.assert_allclose(values.std(1), [51, 51, 51], atol=3)


def test_erasing_follows_its_probability():
    clip, transform, draws = noise(3, 1, 8, 8), erasing("pixel", 0.25), rng()
    unchanged = sum(transform(clip, draws) is clip for _ in range(400))
    assert 270 < unchanged < 330


def test_erasing_shares_the_area_among_its_boxes():
    clip = torch.full((3, 1, 64, 64), -1.0)
    for seed in range(20):
        assert (erasing("const", count=3)(clip, rng(seed)) >= 0).float().mean() < 0.34


def test_smooth_labels_by_hand():
    targets = smooth_labels(torch.tensor([1, 0]), 4, 0.2)
    expected = torch.tensor([[0.05, 0.85, 0.05, 0.05], [0.85, 0.05, 0.05, 0.05]])
    torch.testing.assert_close(targets, expected)


def test_mixup_blends_clips_and_labels_with_the_same_share():
    labels = torch.tensor([0, 1, 2, 3])
    clips, targets = mix([constant_clips(labels)], labels, cutmix_alpha=0.0)
    expected = (targets * labels).sum(1)
    torch.testing.assert_close(clips[0].amax((1, 2, 3, 4)), expected)
    torch.testing.assert_close(clips[0].amin((1, 2, 3, 4)), expected)
    assert 0 < targets[0, 3] < 1


def test_cutmix_labels_follow_the_pasted_area_in_every_frame():
    labels = torch.tensor([0, 1, 2, 3])
    for seed in range(10):
        clips, targets = mix([constant_clips(labels)], labels, seed, alpha=0.0)
        torch.testing.assert_close(
            clips[0].mean((1, 3, 4)), (targets * labels).sum(1)[:, None].expand(4, 2)
        )
        assert set(clips[0].unique().tolist()) <= {0.0, 1.0, 2.0, 3.0}


@pytest.mark.parametrize("kind", [{"alpha": 0.0}, {"cutmix_alpha": 0.0}])
def test_pathways_are_mixed_alike(kind):
    labels = torch.tensor([0, 1, 2])
    (slow, fast), _ = mix([constant_clips(labels, 1), constant_clips(labels, 4)], labels, **kind)
    assert slow.expand(-1, -1, 4, -1, -1).equal(fast)


def test_targets_sum_to_one_with_smoothing():
    labels = torch.tensor([0, 1, 2, 3])
    _, targets = mix([constant_clips(labels)], labels, smoothing=0.1)
    torch.testing.assert_close(targets.sum(1), torch.ones(4))
    assert targets.min() == pytest.approx(0.025)


def test_unmixed_batch_keeps_clips_and_smooths_labels():
    labels = torch.tensor([0, 1])
    clips = [constant_clips(labels)]
    output, targets = mix(clips, labels, prob=0.0, smoothing=0.2)
    assert output is clips
    assert targets.equal(smooth_labels(labels, 4, 0.2))


def test_switch_probability_chooses_between_the_kinds():
    labels = torch.tensor([0, 1])
    blended = 0
    for seed in range(200):
        clips, _ = mix([constant_clips(labels)], labels, seed, switch_prob=0.25)
        blended += len(clips[0][0].unique()) == 1 and clips[0].unique().frac().any().item()
    assert 125 < blended < 175


def test_cutmix_box_share_is_what_stays():
    for seed in range(50):
        (y0, y1, x0, x1), share = cutmix_box(rng(seed), 8, 6, 0.4)
        assert 0 <= y0 <= y1 <= 8 and 0 <= x0 <= x1 <= 6
        assert share == pytest.approx(1 - (y1 - y0) * (x1 - x0) / 48)


def test_augmentations_are_off_by_default():
    assert build_augmentations(get_cfg()) == []


def test_rand_augment_replaces_color_jitter():
    cfg = get_cfg()
    cfg.AUG.ENABLE = True
    assert [type(step) for step in build_augmentations(cfg)] == [RandAugment, RandomErasing]
    cfg.AUG.AA_TYPE = ""
    assert [type(step) for step in build_augmentations(cfg)] == [ColorJitter, RandomErasing]
    cfg.AUG.COLOR_JITTER = cfg.AUG.RE_PROB = 0.0
    assert build_augmentations(cfg) == []


def test_mix_is_built_from_its_section():
    cfg = get_cfg()
    assert build_mix(cfg) is None
    cfg.MIXUP.ENABLE = True
    labels = torch.tensor([3, 5])
    _, targets = build_mix(cfg)([constant_clips(labels)], labels, rng())
    assert targets.shape == (2, 400)


def test_a_component_moves_red_green_and_blue_by_its_column():
    """The reference adds row 2 - i of the vectors to channel i of a BGR image."""
    vectors = np.array([[0.1, 0, 0], [0.2, 0, 0], [0.4, 0, 0]])
    lit = PcaJitter([1, 0, 0], vectors, std=0.1)(
        torch.full((3, 1, 2, 2), 128.0), np.random.default_rng(3)
    )
    alpha = np.random.default_rng(3).normal(0, 0.1, 3)[0]
    expected = 128 + 255 * alpha * np.array([0.1, 0.2, 0.4])
    torch.testing.assert_close(lit[:, 0, 0, 0], torch.tensor(expected, dtype=torch.float32))


def test_all_frames_are_lit_alike():
    clip = torch.full((3, 4, 5, 5), 100, dtype=torch.uint8)
    lit = PcaJitter([0.9] * 3, np.eye(3))(clip, np.random.default_rng(0))
    assert lit.dtype == torch.uint8 and (lit == lit[:, :1, :1, :1]).all() and (lit != clip).any()


def test_lit_pixels_stay_within_their_range():
    clip = torch.tensor([0, 255], dtype=torch.uint8).expand(3, 1, 1, 2)
    lit = PcaJitter([5.0] * 3, np.eye(3))(clip, np.random.default_rng(0))
    assert lit.dtype == torch.uint8 and lit[..., 0].max() <= lit[..., 1].min()
