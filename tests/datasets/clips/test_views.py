"""Crops of the views of a test, held against the protocols of the papers."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from slowfast.config.cli import load_cfg
from slowfast.datasets.build import build_frame_sizes, build_loader, build_views
from slowfast.datasets.decoding.convert import short_side_size
from tests.helpers.configs import cfg_with
from tests.helpers.paths import ROOT

CONFIGS = ROOT / "configs"
CENTER = ["TEST.NUM_SPATIAL_CROPS", 1]


def corners(name, *options):
    """(height, width) of the scaled frames of a 256 x 340 video, and (y, x, side) of each crop."""
    views, scaled = build_views(load_cfg(CONFIGS / name, options), "test"), []

    def read(_video, numbers, short_side):
        scaled.append(short_side_size(256, 340, short_side))
        places = torch.from_numpy(np.indices(scaled[0]))  # 2,H,W: the y and x of each pixel
        return places[:, None].expand(-1, len(numbers), -1, -1)

    views.read = read
    clips = views.cut(None, [np.arange(2)]).clips
    return scaled[0], [(*clip[:, 0, 0, 0].tolist(), clip.shape[-1]) for clip in clips]


@pytest.mark.parametrize(
    ("name", "crop", "frame", "corner"),
    [
        # X3D, section 4: K-Center shows the centre 112 gamma_s of a short side of 128 gamma_s.
        ("Kinetics/x3d/X2D.yaml", 112, (128, 170), (8, 29)),
        ("Kinetics/x3d/X3D_XS.yaml", 160, (182, 241), (11, 41)),
        ("Kinetics/x3d/X3D_S.yaml", 160, (182, 241), (11, 41)),
        ("Kinetics/x3d/X3D_M.yaml", 224, (256, 340), (16, 58)),
        ("Kinetics/x3d/X3D_L.yaml", 312, (356, 472), (22, 80)),
        ("Kinetics/slow/SLOW_8x8_R50.yaml", 224, (256, 340), (16, 58)),
        ("UCF101/s3d/S3D_G_finetune.yaml", 224, (256, 340), (16, 58)),
    ],
)
def test_one_crop_is_the_centre_of_frames_as_large_as_in_training(name, crop, frame, corner):
    assert corners(name, *CENTER, "DATA.TEST_CROP_SIZE", crop) == (frame, [(*corner, crop)])


@pytest.mark.parametrize(
    ("name", "frame", "places"),
    [
        ("X3D_S", (182, 241), [0, 30, 59]),
        ("X3D_M", (256, 340), [0, 42, 84]),
        ("X3D_L", (356, 472), [0, 58, 116]),
    ],
)
def test_three_crops_lie_along_frames_of_their_height(name, frame, places):
    expected = [(0, x, frame[0]) for x in places]
    assert corners(f"Kinetics/x3d/{name}.yaml") == (frame, expected)


def test_one_crop_of_other_datasets_has_the_height_of_its_frames():
    assert corners("SSv2/vov3d/vov3d_M_F16.yaml", *CENTER) == ((256, 340), [(0, 42, 256)])


def test_the_short_side_of_the_config_wins():
    options = ["DATA.TEST_CROP_SIZE", 160, "TEST.SHORT_SIDE", 200]
    assert corners("Kinetics/x3d/X3D_S.yaml", *options)[0] == (200, 265)
    assert corners("Kinetics/x3d/X3D_S.yaml", *options, *CENTER)[1] == [(20, 53, 160)]


def test_frames_are_never_smaller_than_the_crop():
    cfg = load_cfg(CONFIGS / "Kinetics/x3d/X3D_S.yaml", [*CENTER, "DATA.TEST_CROP_SIZE", 224])
    assert build_frame_sizes(cfg, "test") == (224, 224)


def test_validation_keeps_the_sizes_of_training():
    cfg = load_cfg(CONFIGS / "Kinetics/x3d/X3D_S.yaml", ["TEST.SHORT_SIDE", 300])
    assert build_frame_sizes(cfg, "val") == (182, 160)


class CountingVideo:
    """Video of noise that counts how often it is read."""

    index = None
    num_reads = 0

    def read(self, numbers, short_side=None):
        self.num_reads += 1
        rng = np.random.default_rng(0)
        return rng.integers(0, 256, (len(numbers), 48, 64, 3), dtype=np.uint8)


@pytest.mark.parametrize("scales", [[], [0.3, 1.0]])
def test_several_clips_of_a_video_come_from_one_read(scales):
    keys = {
        "AUG.NUM_SAMPLE": 3,
        "DATA.TRAIN_CROP_SIZE": 32,
        "DATA.TRAIN_JITTER_SCALES": [40, 64],
        "DATA.TRAIN_JITTER_SCALES_RELATIVE": scales,
        "DATA.TRAIN_JITTER_ASPECT_RELATIVE": scales and [0.75, 1.33],
    }
    views, video = build_views(cfg_with(keys), "train"), CountingVideo()
    views.sampler = SimpleNamespace(random=lambda rng, index: np.arange(8))
    clips = views(video, None, np.random.default_rng(0)).clips
    assert views.num_views == 3 and video.num_reads == 1
    assert [tuple(clip.shape) for clip in clips] == [(3, 8, 32, 32)] * 3
    assert not torch.equal(clips[0], clips[1]) and not torch.equal(clips[1], clips[2])


def test_a_batch_has_all_clips_of_as_many_videos(video_dir, toy_cfg):
    cfg = toy_cfg("AUG.NUM_SAMPLE", 2, "TRAIN.BATCH_SIZE", 3, "DATA_LOADER.NUM_WORKERS", 0)
    batch = next(iter(build_loader(cfg, "train")))
    assert len(batch["clips"][0]) == len(batch["labels"]) == 6
    assert batch["views"].tolist() == [0, 1] * 3
    assert batch["labels"][::2].tolist() == batch["labels"][1::2].tolist()
    assert batch["indices"].unique().numel() == 3
