import cv2
import numpy as np
import pytest
import torch

from slowfast.config.defaults import get_cfg
from slowfast.datasets.clips.box_views import (
    TrainBoxViews,
    WholeFrameViews,
    build_box_views,
)
from slowfast.datasets.clips.samplers import CenterSampler
from slowfast.datasets.clips.views import CLIP_READERS
from slowfast.datasets.decoding.open import open_frames
from slowfast.datasets.records import KeyFrame, Record, frame_files
from slowfast.datasets.transforms.spatial import flip

SAMPLER = CenterSampler(4, 2, 30)
# x1,y1,x2,y2 in shares; a large one in the middle, a small one, one that reaches outside.
BOXES = [[0.3, 0.25, 0.7, 0.75], [0.05, 0.1, 0.2, 0.3], [0.85, 0.8, 1.3, 1.1]]


@pytest.fixture(params=[(120, 160), (160, 120), (96, 200)], ids="{0[0]}x{0[1]}".format)
def record(request, tmp_path) -> Record:
    """12 equal frames in which box 0 is red, box 1 green and box 2 blue."""
    height, width = request.param
    frame = np.zeros((height, width, 3), np.uint8)
    for number, box in enumerate(BOXES):
        x1, y1, x2, y2 = np.round(np.clip(box, 0, 1) * [width, height, width, height]).astype(int)
        frame[y1:y2, x1:x2, 2 - number] = 255  # cv2 writes BGR: box 0 is red
    paths = [str(tmp_path / f"{number:03d}.png") for number in range(1, 13)]
    for path in paths:
        cv2.imwrite(path, frame)
    key = KeyFrame("v,0902", 6, np.array(BOXES, np.float32), ((0,), (1,), ()))
    return Record(str(tmp_path), frames=frame_files(paths), key=key)


def cut_from(record, views, seed=0):
    with open_frames(record) as video:
        return views(video, record, np.random.default_rng(seed))


def assert_boxes_fit(cut):
    """Each box lies around the pixels of its color, to within 1.5 pixels."""
    (clip,) = cut.clips
    for number, box in zip(cut.box_numbers.tolist(), cut.boxes.tolist(), strict=True):
        hit = (clip[number].float() > 127).all(0)
        rows, columns = hit.any(1).nonzero().flatten(), hit.any(0).nonzero().flatten()
        found = [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]
        np.testing.assert_allclose(box, found, atol=1.5)


@pytest.mark.parametrize("backend", CLIP_READERS)
@pytest.mark.parametrize("size", [64, 120, 256])
def test_whole_frames_keep_boxes_on_their_pixels_at_any_size(record, size, backend):
    read = CLIP_READERS[backend]
    cut = cut_from(record, WholeFrameViews(SAMPLER, size=size, is_flipped=False, read=read))
    assert min(cut.clips[0].shape[-2:]) == size
    assert cut.box_numbers.tolist() == [0, 1, 2]
    assert_boxes_fit(cut)


def test_forced_flips_keep_boxes_on_their_pixels(record):
    cut = cut_from(record, WholeFrameViews(SAMPLER, size=100, is_flipped=True))
    assert cut.is_flipped and cut.boxes[1, 0] > cut.clips[0].shape[-1] / 2
    assert_boxes_fit(cut)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("jitter", [(64, 64, False), (70, 160, False), (70, 160, True)])
def test_training_keeps_boxes_on_their_pixels(record, jitter, seed):
    views = TrainBoxViews(SAMPLER, jitter=jitter, crop_size=64, use_flip=True, colors=[])
    cut = cut_from(record, views, seed)
    assert cut.clips[0].shape == (3, 4, 64, 64) and len(cut.boxes)
    assert_boxes_fit(cut)


@pytest.mark.parametrize("backend", CLIP_READERS)
@pytest.mark.parametrize("split", ["train", "test"])
def test_frames_of_one_size_keep_boxes_on_their_pixels(record, split, backend):
    cfg = get_cfg()
    cfg.merge_from_list(["DETECTION.FRAME_SIZE", [120, 96], "DATA.RESIZE_BACKEND", backend])
    cut = cut_from(record, build_box_views(cfg, SAMPLER, split), seed=1)
    assert cut.clips[0].shape == (3, 4, 120, 96) and cut.box_numbers.tolist() == [0, 1, 2]
    assert_boxes_fit(cut)


def test_flow_of_mirrored_frames_moves_the_other_way(record):
    def negate(clip):
        return 255 - clip.flip(-1)

    def flipped(mirror):
        views = (train_views(use_flip=True, mirror=mirror) for _ in range(20))
        cuts = (cut_from(record, each, seed) for seed, each in enumerate(views))
        return next(cut for cut in cuts if cut.is_flipped)

    plain, other = flipped(flip), flipped(negate)
    assert torch.equal(255 - plain.clips[0], other.clips[0])
    assert torch.equal(plain.boxes, other.boxes)


def train_views(**changes) -> TrainBoxViews:
    settings = dict(jitter=(64, 96, False), crop_size=48, use_flip=False, colors=[])
    return TrainBoxViews(SAMPLER, **settings | changes)


def test_training_drops_boxes_outside_the_crop_and_says_which_are_left(record):
    kept = {tuple(cut_from(record, train_views(), seed).box_numbers.tolist()) for seed in range(12)}
    assert len(kept) > 1 and all(numbers == tuple(sorted(numbers)) for numbers in kept)


def test_half_of_the_training_clips_are_flipped_and_say_so(record):
    flips = [cut_from(record, train_views(use_flip=True), seed).is_flipped for seed in range(40)]
    assert 10 < sum(flips) < 30


def test_colors_change_pixels_but_not_boxes(record):
    def darken(clip, _rng):
        return clip // 2

    plain, dark = cut_from(record, train_views()), cut_from(record, train_views(colors=[darken]))
    assert torch.equal(plain.boxes, dark.boxes)
    assert torch.equal(plain.clips[0] // 2, dark.clips[0])


def test_frames_lie_around_the_key_frame(record):
    assert cut_from(record, train_views()).frames.tolist() == [2, 4, 6, 8]


def test_boxes_are_pixels_in_float32_and_numbers_int64(record):
    cut = cut_from(record, train_views())
    assert cut.boxes.dtype == torch.float32 and cut.box_numbers.dtype == torch.int64


class TestBuild:
    def cfg(self, **keys):
        cfg = get_cfg()
        cfg.DATA.TRAIN_JITTER_SCALES, cfg.DATA.TRAIN_CROP_SIZE = [64, 80], 56
        cfg.DATA.TEST_CROP_SIZE = 72
        for key, value in keys.items():
            cfg.AVA[key] = value
        return cfg

    def test_recipes_jitter_colors_before_lighting(self):
        cfg = self.cfg(TRAIN_USE_COLOR_AUGMENTATION=True, TRAIN_PCA_JITTER_ONLY=False)
        views = build_box_views(cfg, SAMPLER, "train")
        assert [type(step).__name__ for step in views.colors] == ["ColorJitter", "PcaJitter"]

    def test_lighting_alone(self):
        views = build_box_views(self.cfg(TRAIN_USE_COLOR_AUGMENTATION=True), SAMPLER, "train")
        assert [type(step).__name__ for step in views.colors] == ["PcaJitter"]

    def test_colors_are_left_alone_by_default(self):
        assert build_box_views(self.cfg(), SAMPLER, "train").colors == ()

    @pytest.mark.parametrize("split, size", [("val", 56), ("test", 72)])
    def test_evaluation_scales_whole_frames(self, record, split, size):
        cut = cut_from(record, build_box_views(self.cfg(), SAMPLER, split))
        assert min(cut.clips[0].shape[-2:]) == size and not cut.is_flipped

    @pytest.mark.parametrize("short_side", [0, 90])
    def test_a_test_may_see_the_centre_alone(self, record, short_side):
        cfg = self.cfg()
        cfg.DETECTION.TEST_VIEW, cfg.TEST.SHORT_SIDE = "center", short_side
        cut = cut_from(record, build_box_views(cfg, SAMPLER, "test"))
        assert cut.clips[0].shape == (3, 4, 72, 72)
        assert_boxes_fit(cut)
        whole = cut_from(record, build_box_views(cfg, SAMPLER, "val"))
        assert min(whole.clips[0].shape[-2:]) == 56 < max(whole.clips[0].shape[-2:])

    def test_boxes_outside_of_the_centre_are_left_out(self, record):
        cfg = self.cfg()
        cfg.DETECTION.TEST_VIEW, cfg.TEST.SHORT_SIDE = "center", 150
        cut = cut_from(record, build_box_views(cfg, SAMPLER, "test"))
        assert cut.box_numbers.tolist() == [0]

    def test_evaluation_can_flip_all_clips(self, record):
        views = build_box_views(self.cfg(TEST_FORCE_FLIP=True), SAMPLER, "test")
        assert cut_from(record, views).is_flipped
