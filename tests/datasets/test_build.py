import numpy as np
import pytest
import torch

from slowfast.config.defaults import get_cfg
from slowfast.datasets import build
from slowfast.datasets.build import DATASETS, DatasetTraits
from slowfast.datasets.clips.samplers import (
    CenterSampler,
    SegmentSampler,
    SpanSampler,
    SparseSampler,
    StrideSampler,
    WindowSampler,
)
from slowfast.datasets.records import Annotations, KeyFrame, Record, TimedLabels
from slowfast.datasets.synthetic import write_video
from slowfast.tasks import build_evaluator
from slowfast.utils.box_table import BoxTable, BoxTruth
from tests.helpers.configs import cfg_with

SAMPLERS = {
    SpanSampler: ["kinetics", "folder", "ucf101", "hmdb51"],
    SegmentSampler: ["ssv1", "ssv2"],
    StrideSampler: ["charades"],
    CenterSampler: ["ava", "jhmdb", "ucf101_24"],
}


def test_every_dataset_has_its_kind_of_clips():
    cfg = get_cfg()
    found = {name: type(DATASETS.get(name).build_sampler(cfg)) for name in DATASETS}
    assert found == {name: kind for kind, names in SAMPLERS.items() for name in names}


@pytest.mark.parametrize(
    ("dataset", "sampling", "kind"),
    [
        ("ssv1", "auto", SegmentSampler),
        ("ssv1", "dense", SpanSampler),
        ("ssv2", "dense", SpanSampler),
        ("ssv1", "segments", SparseSampler),
        ("kinetics", "segments", SparseSampler),
        ("folder", "segments", SparseSampler),
        ("ucf101", "segments", SparseSampler),
        ("hmdb51", "window", WindowSampler),
        ("charades", "segments", SparseSampler),
    ],
)
@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_the_config_may_choose_another_kind_of_clips(dataset, sampling, kind, split):
    cfg = cfg_with({"TRAIN.DATASET": dataset, "TEST.DATASET": dataset, "DATA.SAMPLING": sampling})
    assert type(build.build_sampler(cfg, split)) is kind


def test_only_a_test_takes_the_whole_video():
    cfg = cfg_with({"TEST.WHOLE_VIDEO": 250, "DATA.NUM_FRAMES": 64})
    lengths = [build.build_sampler(cfg, split).num_frames for split in ("train", "val", "test")]
    assert lengths == [64, 64, 250]


def test_charades_counts_in_frames_of_its_own_rate():
    sampler = DATASETS.get("charades").build_sampler(get_cfg())
    assert sampler.target_fps == 24


def test_offset_sampling_reaches_the_end():
    cfg = get_cfg()
    cfg.DATA.USE_OFFSET_SAMPLING = True
    assert DATASETS.get("kinetics").build_sampler(cfg).reach_end


@pytest.mark.parametrize(
    "dataset, options, is_bgr",
    [
        ("kinetics", [], False),
        ("kinetics", ["DATA.REVERSE_INPUT_CHANNEL", True], True),
        ("ssv2", [], True),
        ("ssv2", ["DATA.REVERSE_INPUT_CHANNEL", True], False),
        ("ssv2", ["AVA.BGR", True], True),
        ("ava", [], False),
        ("ava", ["AVA.BGR", True], True),
        ("ava", ["AVA.BGR", True, "DATA.REVERSE_INPUT_CHANNEL", True], False),
        ("ssv2", ["DATA.MODALITY", "flow"], False),
    ],
)
def test_channels_come_in_the_order_of_the_reference(dataset, options, is_bgr):
    cfg = get_cfg()
    cfg.merge_from_list(["DATA.INPUT_CHANNEL_NUM", [3], "TRAIN.DATASET", dataset, *options])
    clip = torch.arange(3).view(3, 1, 1, 1)
    (packed,) = build.build_clip_pack(cfg, "train")(clip)
    assert packed.equal(clip.flip(0) if is_bgr else clip)


def test_the_row_says_by_what_detections_are_judged(detection_cfg, register_dataset):
    def build_annotations(_cfg, _split):
        table = BoxTable(np.array(["a,0"]), np.zeros((1, 4)), np.array([0]))
        return Annotations([], truth=BoxTruth(table, {0: "run"}))

    for metric in ("ava", "frame_map"):
        traits = {"build_sampler": build.build_center_sampler, "task": "detection"}
        register_dataset("boxes", DatasetTraits(build_annotations, **traits, metric=metric))
        assert build.build_dataset(detection_cfg, "test").truth.metric == metric
    assert [DATASETS.get(name).metric for name in SAMPLERS[CenterSampler]] == [
        *("ava", "frame_map", "frame_map")
    ]


@pytest.fixture
def detection_cfg(tmp_path, register_dataset):
    """Two videos of different sizes, the same two boxes in each."""
    records = []
    boxes = np.array([[0, 0, 0.5, 1], [0.2, 0.2, 0.8, 0.8]], np.float32)
    for name, width in (("a.mp4", 64), ("b.mp4", 80)):
        write_video(tmp_path / name, np.zeros((8, 48, width, 3), np.uint8))
        key = KeyFrame(f"{name},1", 4, boxes, ((0,), (1, 2)))
        records.append(Record(str(tmp_path / name), key=key))
    traits = DatasetTraits(
        lambda _cfg, _split: Annotations(records), build.build_center_sampler, task="detection"
    )
    register_dataset("boxes", traits)
    cfg = get_cfg()
    cfg.TRAIN.DATASET = cfg.TEST.DATASET = "boxes"
    cfg.DETECTION.ENABLE, cfg.MODEL.NUM_CLASSES = True, 3
    cfg.DATA.INPUT_CHANNEL_NUM, cfg.DATA.NUM_FRAMES, cfg.DATA.SAMPLING_RATE = [3], 2, 2
    cfg.DATA.TRAIN_JITTER_SCALES = [32, 36]
    cfg.DATA.TRAIN_CROP_SIZE = cfg.DATA.TEST_CROP_SIZE = 32
    cfg.TRAIN.BATCH_SIZE = cfg.TEST.BATCH_SIZE = 2
    cfg.NUM_GPUS = 0
    return cfg


@pytest.mark.parametrize("split", ["val", "test"])
def test_whole_frames_of_different_sizes_come_in_one_item(detection_cfg, split):
    detection_cfg.DATA_LOADER.NUM_WORKERS = 0
    ((first, second),) = build.build_loader(detection_cfg, split)
    assert [batch["clips"][0].shape[-2:] for batch in (first, second)] == [(32, 42), (32, 53)]
    assert first["boxes"][0].tolist() == [0, 0, 0, 21, 32]
    assert second["box_indices"].tolist() == [1, 1]


@pytest.mark.slow
def test_detection_batches_do_not_depend_on_the_number_of_workers(detection_cfg):
    batches = []
    for num_workers in (0, 2):
        detection_cfg.DATA_LOADER.NUM_WORKERS = num_workers
        (batch,) = build.build_loader(detection_cfg, "train")
        batches.append(batch)
    for name in ("boxes", "box_labels", "box_indices", "box_numbers", "labels", "indices"):
        assert torch.equal(batches[0][name], batches[1][name])
    assert torch.equal(batches[0]["clips"][0], batches[1]["clips"][0])


class TestOwnDatasets:
    """Datasets that the package does not know, of each task, from the config to batches."""

    @pytest.fixture
    def make_loader(self, toy_cfg, toy_set, register_dataset):
        """Function (row but for its builder, record, options) -> batches of training and test."""

        def make(traits, record, *options):
            def build_annotations(_cfg, split):
                count = {"train": 8, "val": 5, "test": 5}[split]
                paths = [str(toy_set / f"{split}_{index}.mp4") for index in range(count)]
                return Annotations([record(path, index) for index, path in enumerate(paths)])

            register_dataset("mine", DatasetTraits(build_annotations, **traits))
            names = ["TRAIN.DATASET", "mine", "TEST.DATASET", "mine"]
            cfg = toy_cfg(*names, *options)
            return [next(iter(build.build_loader(cfg, split))) for split in ("train", "test")]

        return make

    SIGMOID = ["MODEL.LOSS_FUNC", "bce_logit", "MODEL.HEAD_ACT", "sigmoid"]

    def test_one_label(self, make_loader):
        traits = {"build_sampler": build.build_span_sampler}
        train, test = make_loader(traits, lambda path, index: Record(path, index % 3))
        assert train["clips"][0].shape == (4, 3, 4, 32, 32)
        assert train["labels"].tolist() == [index % 3 for index in train["indices"].tolist()]
        assert test["labels"].tolist() == [0] * 6

    def test_several_labels(self, make_loader):
        spans = TimedLabels(((0, 0, 5), (2, 0, 11)))
        traits = {"build_sampler": build.build_stride_sampler, "task": "multi_label"}
        options = [*self.SIGMOID, "DATA.MULTI_LABEL", True]
        train, test = make_loader(traits, lambda path, _: Record(path, spans=spans), *options)
        assert train["labels"].shape == (4, 3) and test["labels"][0].tolist() == [1, 0, 1]

    def test_boxes(self, make_loader):
        def record(path, index):
            boxes = np.array([[0, 0, 1, 1]], np.float32)
            return Record(path, key=KeyFrame(f"{index},0", 4, boxes, ((index % 3,),)))

        traits = {"build_sampler": build.build_center_sampler, "task": "detection"}
        train, (test,) = make_loader(traits, record, *self.SIGMOID, "DETECTION.ENABLE", True)
        labels = [index % 3 for index in train["box_indices"].tolist()]
        assert train["box_labels"].argmax(1).tolist() == labels
        assert test["clips"][0].shape[-2:] == (32, 42) and test["boxes"].shape == (4, 5)


def test_results_name_the_parts_of_a_file(video_dir, toy_cfg, tmp_path):
    path = video_dir / "video7.mp4"
    (tmp_path / "test.csv").write_text(f"{path} 0.0 0.3 1\n{path} 0.5 0.8 2\n{path} 2.0 3.0 2\n")
    cfg = toy_cfg("DATA.PATH_TO_DATA_DIR", tmp_path)
    dataset = build.build_dataset(cfg, "test")
    names = build_evaluator(cfg, dataset).videos.paths
    assert names == [f"{path} [0, 0.3]", f"{path} [0.5, 0.8]", f"{path} [2, 3]"]
    first, second, outside = (dataset[number] for number in range(3))
    assert not torch.equal(first.clips[0], second.clips[0])
    assert "NoSuchPart" in outside.failures[0][1]


def test_unknown_split_is_named(toy_cfg):
    with pytest.raises(ValueError, match="'training' is not one of"):
        build.build_dataset(toy_cfg(), "training")
