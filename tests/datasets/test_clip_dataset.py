import numpy as np
import pytest
import torch
from PIL import Image

from slowfast.config.defaults import get_cfg
from slowfast.datasets import build, clip_dataset
from slowfast.datasets.annotations.kinetics import build_kinetics
from slowfast.datasets.clip_dataset import ClipDataset, NoReadableVideo
from slowfast.datasets.clips import frame_math
from slowfast.datasets.clips import samplers as frame_orders
from slowfast.datasets.clips.views import JointViews
from slowfast.datasets.decoding.video import VideoReader
from slowfast.datasets.labels import BoxLabels, ClassLabel, ClipLabels
from slowfast.datasets.loader import collate
from slowfast.datasets.records import (
    Annotations,
    KeyFrame,
    Record,
    SampledClips,
    TimedLabels,
    frame_files,
)
from slowfast.datasets.synthetic import write_video
from slowfast.datasets.transforms.spatial import uniform_crop_offsets
from slowfast.utils.clip_shapes import BatchShape
from tests.helpers.videos import read_frames


@pytest.fixture
def cfg(video_dir):
    cfg = get_cfg()
    cfg.DATA.PATH_TO_DATA_DIR = str(video_dir)
    cfg.DATA.INPUT_CHANNEL_NUM = [3]
    cfg.DATA.NUM_FRAMES, cfg.DATA.SAMPLING_RATE = 4, 2
    cfg.DATA.TRAIN_JITTER_SCALES = [32, 40]
    cfg.DATA.TRAIN_CROP_SIZE = cfg.DATA.TEST_CROP_SIZE = 32
    cfg.DATA.RANDOM_FLIP = False
    cfg.MODEL.NUM_CLASSES = 4
    cfg.TEST.NUM_ENSEMBLE_VIEWS, cfg.TEST.NUM_SPATIAL_CROPS = 3, 3
    return cfg


def first_of(dataset, *bad_files):
    """The dataset with unreadable files in front of its records."""
    dataset.records = [Record(str(path), 0) for path in bad_files] + dataset.records
    return dataset


def numbers(clip, frame_number):
    return [frame_number(frame) for frame in clip.permute(1, 2, 3, 0).numpy()]


def test_training_sample(cfg):
    sample = build.build_dataset(cfg, "train")[1]
    (clips,) = sample.clips
    assert clips.shape == (1, 3, 4, 32, 32) and clips.dtype == torch.uint8
    assert clips.is_contiguous(memory_format=torch.channels_last_3d)
    assert (sample.label, sample.index, sample.failures) == (1, 1, [])


def test_sample_depends_on_seed_epoch_and_index_alone(cfg):
    dataset = build.build_dataset(cfg, "train")
    (first,) = dataset[(3, 2)].clips
    for key in [(3, 1), (0, 2), (3, 5)]:
        dataset[key]
    assert torch.equal(dataset[(3, 2)].clips[0], first)
    assert not torch.equal(dataset[(4, 2)].clips[0], first)
    cfg.RNG_SEED = 2
    assert not torch.equal(build.build_dataset(cfg, "train")[(3, 2)].clips[0], first)


def test_a_plain_index_is_epoch_0(cfg):
    dataset = build.build_dataset(cfg, "train")
    assert torch.equal(dataset[2].clips[0], dataset[(0, 2)].clips[0])


@pytest.mark.parametrize("jitter", ["short side", "relative"])
def test_shape_in_the_key_sets_frames_and_crop(cfg, jitter):
    if jitter == "relative":
        cfg.DATA.TRAIN_JITTER_SCALES_RELATIVE = [0.5, 1.0]
        cfg.DATA.TRAIN_JITTER_ASPECT_RELATIVE = [0.75, 1.33]
    dataset = build.build_dataset(cfg, "train")
    (clips,) = dataset[(0, 1, BatchShape(5, 2, 16))].clips
    assert clips.shape == (1, 3, 2, 16, 16)
    assert dataset[(0, 1)].clips[0].shape == (1, 3, 4, 32, 32)


def test_the_default_shape_in_the_key_changes_nothing(cfg):
    dataset = build.build_dataset(cfg, "train")
    (clips,) = dataset[(2, 1, BatchShape(5, 4, 32))].clips
    assert torch.equal(clips, dataset[(2, 1)].clips[0])


def test_shorter_clips_cover_up_to_the_span_of_whole_ones(cfg, frame_number):
    """Half of the frames, 2 to 4 frames apart: the second frame is one to seven frames later."""
    cfg.DATA.NUM_FRAMES, cfg.DATA.TRAIN_JITTER_SCALES, cfg.DATA.TRAIN_CROP_SIZE = 4, [48, 48], 48
    dataset, frames = build.build_dataset(cfg, "train"), []
    replace_crop(dataset.views, frames)
    for epoch in range(20):
        dataset[(epoch, 0, BatchShape(1, 2, 48))]
    pairs = [numbers(clip, frame_number) for clip in frames]
    # The span is the step times 2 frames, and the last frame lies at its end.
    assert {last - first for first, last in pairs} == {3, 5, 7}


def test_smaller_crops_come_from_smaller_frames(cfg):
    cfg.DATA.TRAIN_JITTER_SCALES = [40, 44]
    dataset, frames = build.build_dataset(cfg, "train"), []
    replace_crop(dataset.views, frames)
    for epoch in range(20):
        dataset[(epoch, 0, BatchShape(1, 4, 16))]
    heights = [clip.shape[-2] for clip in frames]
    assert 20 <= min(heights) < 32 <= max(heights) <= 44


def test_one_tensor_per_pathway(cfg):
    cfg.DATA.INPUT_CHANNEL_NUM, cfg.SLOWFAST.ALPHA = [3, 3], 4
    slow, fast = build.build_dataset(cfg, "train")[0].clips
    assert (slow.shape, fast.shape) == ((1, 3, 1, 32, 32), (1, 3, 4, 32, 32))
    assert torch.equal(slow[:, :, 0], fast[:, :, 0])


def test_relative_jitter_cuts_from_the_whole_frame(cfg):
    cfg.DATA.TRAIN_JITTER_SCALES_RELATIVE = [0.5, 1.0]
    cfg.DATA.TRAIN_JITTER_ASPECT_RELATIVE = [0.75, 1.33]
    assert build.build_dataset(cfg, "train")[0].clips[0].shape == (1, 3, 4, 32, 32)


def test_validation_shows_the_centre(cfg, video_dir, frame_number):
    cfg.DATA.TRAIN_JITTER_SCALES = [48, 60]  # the videos' own size: nothing is scaled
    (clips,) = build.build_dataset(cfg, "val")[0].clips
    indices = frame_math.clip_indices((26 - 8) / 2, 8.0, 4, 26)
    frames = read_frames(video_dir / "video6.mp4", indices)
    expected = torch.from_numpy(frames[:, 8:40, 16:48]).permute(3, 0, 1, 2)
    assert torch.equal(clips[0], expected)


def test_validation_does_not_depend_on_the_epoch(cfg):
    dataset = build.build_dataset(cfg, "val")
    assert torch.equal(dataset[(0, 1)].clips[0], dataset[(5, 1)].clips[0])


def test_test_views_are_clips_times_crops(cfg, video_dir):
    cfg.DATA.TEST_CROP_SIZE = 48
    dataset = build.build_dataset(cfg, "test")
    (clips,) = dataset[0].clips
    assert dataset.num_views == 9 and clips.shape == (9, 3, 4, 48, 48)
    for view, clip in enumerate(clips):
        start = frame_math.uniform_start(26, 8.0, view // 3, 3)
        frames = read_frames(video_dir / "video6.mp4", frame_math.clip_indices(start, 8.0, 4, 26))
        y, x = uniform_crop_offsets(48, 64, 48, view % 3)
        expected = torch.from_numpy(frames[:, y : y + 48, x : x + 48]).permute(3, 0, 1, 2)
        assert torch.equal(clip, expected)


@pytest.mark.parametrize("backend", ["swscale", "torch"])
def test_frames_may_be_squeezed_to_squares(cfg, tmp_path, backend):
    """A disc of 36 x 36 in 48 x 64 is 36 high and 27 wide in 48 x 48, in all splits."""
    y, x = np.mgrid[:48, :64]
    disc = np.repeat(255 * ((y - 23.5) ** 2 + (x - 31.5) ** 2 < 18**2)[..., None], 3, 2)
    write_video(tmp_path / "a.mp4", [disc.astype(np.uint8)] * 8)
    for split in ("train", "val", "test"):
        (tmp_path / f"{split}.csv").write_text("a.mp4 0\n")
    cfg.DATA.KEEP_ASPECT, cfg.DATA.RESIZE_BACKEND = False, backend
    cfg.DATA.PATH_TO_DATA_DIR = str(tmp_path)
    cfg.DATA.TRAIN_JITTER_SCALES, cfg.TEST.NUM_SPATIAL_CROPS = [48, 48], 1
    cfg.DATA.TRAIN_CROP_SIZE = cfg.DATA.TEST_CROP_SIZE = 48
    for split in ("train", "val", "test"):
        is_bright = build.build_dataset(cfg, split)[0].clips[0][0, 0, 0] > 127
        height, width = (int(is_bright.any(axis).sum()) for axis in (1, 0))
        assert abs(height - 36) <= 1 and abs(width - 27) <= 1


def test_the_whole_video_is_one_clip(cfg, video_dir):
    cfg.TEST.WHOLE_VIDEO, cfg.TEST.NUM_ENSEMBLE_VIEWS, cfg.TEST.NUM_SPATIAL_CROPS = 30, 1, 1
    cfg.DATA.TRAIN_JITTER_SCALES = [48, 48]
    (clips,) = build.build_dataset(cfg, "test")[0].clips
    frames = read_frames(video_dir / "video6.mp4", [*range(26), 0, 1, 2, 3])[:, 8:40, 16:48]
    assert torch.equal(clips[0], torch.from_numpy(frames).permute(3, 0, 1, 2))


def test_the_whole_of_a_part_is_one_clip(cfg, tmp_path, numbered_frames, frame_number):
    write_video(tmp_path / "a.mp4", numbered_frames(30))
    cfg.TEST.WHOLE_VIDEO, cfg.TEST.NUM_ENSEMBLE_VIEWS, cfg.TEST.NUM_SPATIAL_CROPS = 8, 1, 1
    cfg.DATA.TRAIN_JITTER_SCALES, cfg.DATA.TEST_CROP_SIZE = [48, 48], 48
    dataset, frames = build.build_dataset(cfg, "test"), []
    dataset.records = [Record(str(tmp_path / "a.mp4"), 0, part=(0.5, 0.7))]
    read = dataset.views.read
    dataset.views.read = lambda *given: frames.append(read(*given)) or frames[0]
    assert dataset[0].clips[0].shape == (1, 3, 8, 48, 48)
    assert numbers(frames[0], frame_number) == [15, 16, 17, 18, 19, 20]


def test_one_crop_is_the_centre(cfg):
    (three,) = build.build_dataset(cfg, "test")[0].clips
    cfg.TEST.NUM_SPATIAL_CROPS = 1
    (one,) = build.build_dataset(cfg, "test")[0].clips
    assert torch.equal(one, three[1::3])


def test_all_views_come_from_one_pass(cfg, monkeypatch):
    calls = []
    read = VideoReader.read
    monkeypatch.setattr(
        VideoReader,
        "read",
        lambda *args, **how: calls.append(args) or read(*args, **how),
    )
    build.build_dataset(cfg, "test")[0]
    assert len(calls) == 1 and len(set(calls[0][1])) == len(calls[0][1])


def test_reversed_time_in_testing_only(cfg):
    forward = {split: build.build_dataset(cfg, split)[0].clips[0] for split in ("val", "test")}
    cfg.TEST.REVERSE_TIME = True
    assert torch.equal(build.build_dataset(cfg, "test")[0].clips[0], forward["test"].flip(2))
    assert torch.equal(build.build_dataset(cfg, "val")[0].clips[0], forward["val"])


def test_orders_of_frames(cfg, frame_number):
    dataset = build.build_dataset(cfg, "test")
    views = dataset.views
    (normal,) = dataset[0].clips

    def shown(order):
        dataset.views = views.in_order(order)
        return dataset[0].clips[0]

    assert torch.equal(shown(frame_orders.middle_repeated), normal[:, :, [2, 2, 2, 2]])
    first = [numbers(clip, frame_number) for clip in shown(frame_orders.shuffled)]
    again = [numbers(clip, frame_number) for clip in shown(frame_orders.shuffled)]
    expected = [numbers(clip, frame_number) for clip in normal]
    assert first == again != expected
    assert [sorted(clip) for clip in first] == expected


def test_joint_views_are_those_of_each_from_one_pass(cfg, monkeypatch):
    dataset = build.build_dataset(cfg, "test")
    parts = [dataset.views.in_order(frame_orders.backwards), dataset.views.stretched(1.5)]
    expected = []
    for views in parts:
        dataset.views = views
        expected.append(dataset[0].clips[0])
    calls = []
    read = VideoReader.read
    monkeypatch.setattr(
        VideoReader,
        "read",
        lambda *args, **how: calls.append(args) or read(*args, **how),
    )
    dataset.views = JointViews(parts)
    (joint,) = dataset[0].clips
    assert torch.equal(joint, torch.cat(expected)) and len(calls) == 1
    assert dataset.views.numbers() == [range(9), range(9, 18)]


def test_torch_scales_to_float(cfg, tmp_path):
    cfg.DATA.RESIZE_BACKEND = "torch"
    cfg.DATA.TEST_CROP_SIZE = 24
    (clips,) = build.build_dataset(cfg, "test")[0].clips
    assert clips.dtype == torch.float32 and clips.shape == (9, 3, 4, 24, 24)
    assert 0 <= clips.min() and 100 < clips.max() <= 255


def test_both_ways_of_scaling_show_the_same(cfg, tmp_path):
    y, x = np.mgrid[:96, :128] / 20
    smooth = 127 + 120 * np.stack([np.sin(x), np.cos(y), np.sin(x + y)], -1)
    smooth = smooth.astype(np.uint8)
    write_video(tmp_path / "a.mp4", [smooth] * 6)
    (tmp_path / "test.csv").write_text("a.mp4 0\n")
    cfg.DATA.PATH_TO_DATA_DIR = str(tmp_path)
    (by_swscale,) = build.build_dataset(cfg, "test")[0].clips
    cfg.DATA.RESIZE_BACKEND = "torch"
    (by_torch,) = build.build_dataset(cfg, "test")[0].clips
    assert (by_swscale - by_torch).abs().mean() < 6


def test_reversed_channels(cfg):
    (rgb,) = build.build_dataset(cfg, "val")[0].clips
    cfg.DATA.REVERSE_INPUT_CHANNEL = True
    assert torch.equal(build.build_dataset(cfg, "val")[0].clips[0], rgb.flip(1))


def test_video_shorter_than_the_clip_repeats_its_last_frame(
    cfg, tmp_path, numbered_frames, frame_number
):
    write_video(tmp_path / "a.mp4", numbered_frames(3))
    (tmp_path / "val.csv").write_text("a.mp4 0\n")
    cfg.DATA.PATH_TO_DATA_DIR = str(tmp_path)
    cfg.DATA.TRAIN_JITTER_SCALES, cfg.DATA.TRAIN_CROP_SIZE = [48, 48], 48
    dataset = build.build_dataset(cfg, "val")
    frames = []
    dataset.views = replace_crop(dataset.views, frames)
    dataset[0]
    assert [frame_number(frame) for frame in frames[0].permute(1, 2, 3, 0).numpy()] == [0, 2]


def replace_crop(views, seen):
    """The views with a reader that keeps the whole frames it read."""
    read = views.read
    views.read = lambda *args: seen.append(read(*args)) or seen[-1]
    return views


def test_unreadable_training_video_is_replaced_and_named(cfg, tmp_path):
    (tmp_path / "bad.mp4").write_bytes(b"text")
    dataset = first_of(build.build_dataset(cfg, "train"), tmp_path / "bad.mp4")
    sample = dataset[0]
    assert sample.clips and sample.index > 0
    assert sample.label == dataset.records[sample.index].label
    assert sample.failures == [(0, "InvalidDataError: Invalid data found when processing input")]


def test_replacement_is_drawn_anew_in_each_epoch(cfg, tmp_path):
    dataset = first_of(build.build_dataset(cfg, "train"), tmp_path / "missing.mp4")
    assert len({dataset[(epoch, 0)].index for epoch in range(12)}) > 2
    assert dataset[(3, 0)].index == dataset[(3, 0)].index


def test_unreadable_test_video_is_never_replaced(cfg, tmp_path):
    dataset = first_of(build.build_dataset(cfg, "test"), tmp_path / "missing.mp4")
    sample = dataset[0]
    assert (sample.clips, sample.index) == ([], 0)
    assert sample.failures == [(0, "FileNotFoundError: No such file or directory")]


def test_nothing_readable_names_the_videos(cfg, tmp_path):
    dataset = build.build_dataset(cfg, "train")
    dataset.records = [Record(str(tmp_path / f"bad{number}.mp4"), 0) for number in range(3)]
    with pytest.raises(
        NoReadableVideo, match="(?s)^3 videos in a row.*bad1.mp4: FileNotFoundError: No such file"
    ):
        dataset[1]


def test_training_labels_are_those_of_the_frames_that_are_shown(cfg, frame_number):
    """Class n holds in frame n: the labels are the numbers from the first frame to the last."""
    cfg.DATA.TRAIN_JITTER_SCALES, cfg.DATA.TRAIN_CROP_SIZE = [48, 48], 48
    dataset, frames = build.build_dataset(cfg, "train"), []
    spans = TimedLabels(tuple((number, number, number) for number in range(20)))
    dataset.records, dataset.label = [Record(dataset.records[0].path, spans=spans)], ClipLabels(30)
    replace_crop(dataset.views, frames)
    for epoch in range(5):
        label = dataset[(epoch, 0)].label
        shown = numbers(frames[epoch], frame_number)
        assert label.nonzero().flatten().tolist() == list(range(shown[0], shown[-1] + 1))


@pytest.fixture
def sided_cfg(cfg, register_dataset):
    """The config of the same videos with names of their classes."""
    annotations = build_kinetics(cfg, "train")
    annotations = Annotations(annotations.records, ["up", "left", "right", "down"])
    traits = build.DatasetTraits(lambda _cfg, _split: annotations, build.build_span_sampler)
    register_dataset("kinetics", traits)
    cfg.DATA.RANDOM_FLIP = cfg.DATA.LABEL_AWARE_FLIP = True
    return cfg


def test_a_mirrored_clip_has_the_mirrored_label(sided_cfg):
    sided_cfg.DATA.RANDOM_FLIP = False
    plain = build.build_dataset(sided_cfg, "train")
    sided_cfg.DATA.RANDOM_FLIP = True
    mirrored, labels = build.build_dataset(sided_cfg, "train"), []
    for epoch in range(12):
        clips, sample = plain[(epoch, 1)].clips[0], mirrored[(epoch, 1)]
        # The flip is drawn after place and crop: both datasets show the same part of the video.
        labels.append(1 if sample.clips[0].equal(clips) else 2)
        assert sample.label == labels[-1]
        assert sample.clips[0].equal(clips if sample.label == 1 else clips.flip(-1))
    assert set(labels) == {1, 2}


def test_labels_follow_the_flip_in_training_alone_where_it_is_asked_for(sided_cfg):
    found = [build.build_dataset(sided_cfg, split).label for split in ("train", "val", "test")]
    assert [rule.flip_labels for rule in found] == [(0, 2, 1, 3), None, None]
    sided_cfg.DATA.LABEL_AWARE_FLIP = False
    assert build.build_dataset(sided_cfg, "train").label.flip_labels is None


def test_boxes_come_with_their_labels(video_dir):
    class OneBox:
        num_views = 1

        def __call__(self, video, record, _rng):
            clip = torch.from_numpy(video.read([0])).permute(3, 0, 1, 2)
            box = torch.from_numpy(record.key.boxes[1:]).float()
            return SampledClips([clip], np.array([0]), boxes=box, box_numbers=torch.tensor([1]))

    key = KeyFrame("video0,0", 0, np.array([[0, 0, 1, 1], [1, 2, 3, 4]]), ((0,), (1, 2)))
    dataset = ClipDataset(
        Annotations([Record(str(video_dir / "video0.mp4"), key=key)], ["a", "b", "c"]),
        OneBox(),
        label=ClassLabel(),
        pack=lambda clip: [clip],
        replace_unreadable=False,
        seed=0,
        box_labels=BoxLabels(3),
    )
    sample = dataset[0]
    assert sample.boxes.tolist() == [[1, 2, 3, 4]] and sample.box_numbers.tolist() == [1]
    assert sample.box_labels.tolist() == [[0, 1, 1]]


def test_lost_images_are_counted(cfg, tmp_path, numbered_frames):
    for number, picture in enumerate(numbered_frames(8)):
        Image.fromarray(picture).save(tmp_path / f"{number}.png")
    (tmp_path / "4.png").unlink()
    dataset = build.build_dataset(cfg, "val")
    files = frame_files([str(tmp_path / f"{number}.png") for number in range(8)])
    dataset.records = [dataset.records[0], Record(str(tmp_path), 0, files)]
    assert [dataset[index].num_broken for index in range(2)] == [0, 1]
    assert collate([dataset[0], dataset[1]])["damaged"] == [(1, 1, 8)]


def test_unknown_dataset_is_named(cfg):
    cfg.TEST.DATASET = "kinetix"
    with pytest.raises(ValueError, match="TEST.DATASET"):
        build.build_dataset(cfg, "test")


def test_of_many_videos_a_replacement_is_drawn_too(cfg, monkeypatch):
    monkeypatch.setattr(clip_dataset, "_MANY", 30)
    dataset = build.build_dataset(cfg, "train")
    dataset.records = list(dataset.records) * 30
    tried = list(dataset._candidates(5, np.random.default_rng(0)))
    assert tried[0] == 5 and len(set(tried)) == len(tried) == 20
