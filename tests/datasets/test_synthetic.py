import json
import os
import subprocess
import sys

import av
import numpy as np
import pytest

from slowfast.datasets import synthetic as motion
from slowfast.datasets.synthetic import (
    CLASSES,
    MotionSettings,
    draw_clip,
    make_dataset,
    write_video,
)
from tests.helpers.paths import ROOT

SMALL = {"train": 8, "val": 2, "test": 0, "size": 32, "frames": 4}


def rng(seed=0):
    return np.random.default_rng(seed)


def decode(path):
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


def moving_pixels(clip):
    """Where each frame differs from what most frames show: T,H,W."""
    return np.abs(clip.astype(float) - np.median(clip, axis=0)).max(-1) > 40


@pytest.fixture(scope="module")
def small_set(tmp_path_factory):
    folder = tmp_path_factory.mktemp("motion") / "set"
    make_dataset(folder, MotionSettings(**SMALL))
    return folder


@pytest.mark.parametrize("pair", range(4))
def test_second_class_of_a_pair_is_the_first_played_backwards(pair):
    first = draw_clip(2 * pair, rng(), size=32, frames=6)
    second = draw_clip(2 * pair + 1, rng(), size=32, frames=6)
    assert not np.array_equal(first, second)
    assert np.array_equal(first, second[::-1])


@pytest.mark.parametrize(("label", "axis"), [(0, 1), (2, 0)])
def test_shapes_move_right_and_down(label, axis):
    clip = draw_clip(label, rng(1), size=64, frames=33).astype(float)
    # Frame 16 is frame 12 rolled forward, where the shape is: a forward roll fits better.
    residual = {
        step: np.abs(np.roll(clip[12], step, axis)[moving] - clip[16][moving]).mean()
        for moving in [moving_pixels(clip)[12:17].all(0)]
        for step in range(-8, 9)
    }
    assert 2 <= min(residual, key=residual.get) <= 7


def test_rotation_is_clockwise_on_the_screen():
    blob = motion.draw_blob(rng(), 10)
    black = np.zeros((1, 64, 64, 3), np.float32)
    still, turned = (
        motion.paint_blob(black, blob, x=31.5, y=31.5, angle=angle, scale=1)[0]
        for angle in (0, np.pi / 2)
    )
    np.testing.assert_allclose(np.rot90(still, -1), turned, atol=1)


def test_growing_shape_covers_more_and_more():
    clip = draw_clip(6, rng(2), size=64, frames=9)
    change = [np.abs(clip[t].astype(float) - clip[0]).max(-1) > 20 for t in range(1, 9)]
    assert np.all(np.diff([c.sum() for c in change]) > 0)


@pytest.mark.slow
@pytest.mark.parametrize("label", [0, 2, 4])
def test_first_and_last_frames_have_the_same_distribution(label):
    clips = np.stack([draw_clip(label, rng(seed), size=32, frames=2) for seed in range(150)])
    halves = clips.astype(float).mean(-1)  # N,2,H,W
    first, last = halves[:, 0], halves[:, 1]
    spread = np.sqrt((first.var(0) + last.var(0)) / len(clips))
    z = (first.mean(0) - last.mean(0)) / spread
    assert np.abs(z).mean() < 1 and np.abs(z).max() < 4.5


def test_every_class_takes_its_turn(small_set):
    lines = (small_set / "train.csv").read_text().splitlines()
    assert [line.rsplit(" ", 1)[1] for line in lines] == [str(label) for label in range(8)]
    assert (small_set / "classes.txt").read_text().split() == list(CLASSES)


def test_paths_of_the_csv_are_h264_videos_of_the_set(small_set):
    for line in (small_set / "val.csv").read_text().splitlines():
        path = small_set / line.rsplit(" ", 1)[0]
        with av.open(str(path)) as container:
            assert container.streams.video[0].codec_context.name == "h264"
        assert decode(path).shape == (4, 32, 32, 3)


def test_encoded_clip_is_close_to_the_drawn_one(small_set):
    item = motion._split_items(MotionSettings(**SMALL), "train")[1]
    drawn = draw_clip(item.label, rng(item.seed), size=32, frames=4).astype(float)
    assert np.abs(decode(small_set / item.path) - drawn).mean() < 12


@pytest.mark.slow
def test_equal_settings_make_equal_files_with_any_number_of_workers(small_set, tmp_path):
    assert make_dataset(tmp_path / "again", MotionSettings(**SMALL), workers=2) == 10
    names = sorted(p.relative_to(small_set) for p in small_set.rglob("*") if p.is_file())
    assert names == sorted(
        p.relative_to(tmp_path / "again") for p in (tmp_path / "again").rglob("*") if p.is_file()
    )
    for name in names:
        assert (tmp_path / "again" / name).read_bytes() == (small_set / name).read_bytes()


def test_splits_and_seeds_share_no_clip():
    seeds = [
        item.seed
        for seed in (0, 1)
        for split in motion.SPLITS
        for item in motion._split_items(MotionSettings(seed=seed), split)
    ]
    assert len(set(seeds)) == len(seeds)


def test_complete_set_is_left_alone_and_a_partial_one_completed(tmp_path):
    settings = MotionSettings(**SMALL)
    assert make_dataset(tmp_path, settings) == 10
    assert make_dataset(tmp_path, settings) == 0
    (tmp_path / "train" / CLASSES[3] / "00003.mp4").unlink()
    (tmp_path / "val.csv").unlink()
    assert make_dataset(tmp_path, settings) == 1
    assert len((tmp_path / "val.csv").read_text().splitlines()) == 2


def test_other_settings_need_force(tmp_path):
    make_dataset(tmp_path, MotionSettings(**SMALL))
    other = MotionSettings(**SMALL | {"train": 1, "val": 0, "seed": 3})
    with pytest.raises(ValueError, match="--output.*train 8, not 1.*seed 0, not 3.*--force"):
        make_dataset(tmp_path, other)
    assert make_dataset(tmp_path, other, force=True) == 1
    assert len(list(tmp_path.rglob("*.mp4"))) == 1
    assert json.loads((tmp_path / "description.json").read_text())["seed"] == 3


def test_folder_with_other_files_is_never_touched(tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(ValueError, match="--output.*did not make"):
        make_dataset(tmp_path, MotionSettings(**SMALL), force=True)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize(("name", "value"), [("size", 33), ("size", 16), ("train", 0), ("fps", 0)])
def test_wrong_setting_names_its_option(name, value):
    with pytest.raises(ValueError, match=f"--{name}: {value} is not"):
        MotionSettings(**{name: value})


def test_failed_encoding_leaves_no_file(tmp_path):
    frames = [np.zeros((32, 32, 3), np.uint8), np.zeros((32, 32), np.uint8)]
    with pytest.raises(ValueError):
        write_video(tmp_path / "clip.mp4", frames)
    assert list(tmp_path.iterdir()) == []


def test_numbered_frames_survive_the_encoder(video_dir, frame_number):
    assert [frame_number(frame) for frame in decode(video_dir / "video5.mp4")] == list(range(25))


@pytest.mark.slow
def test_tool_writes_the_set_and_reports_a_wrong_option(tmp_path):
    tool = ROOT / "tools" / "make_motion_dataset.py"

    def run(*args):
        command = [sys.executable, str(tool), "--output", str(tmp_path / "set"), *args]
        env = os.environ | {"PYTHONPATH": str(tool.parents[1])}
        return subprocess.run(command, capture_output=True, text=True, env=env)

    options = [f"--{name}={value}" for name, value in SMALL.items()]
    done = run(*options, "--workers=1")
    assert done.returncode == 0 and "10 videos made now" in done.stdout
    wrong = run("--size=31")
    assert wrong.returncode == 1 and "--size: 31" in wrong.stderr
