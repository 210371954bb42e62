import numpy as np
import pytest
import torch

from slowfast.config.checks import DETECTION_DATASETS, MULTI_LABEL_DATASETS
from slowfast.config.defaults import get_cfg
from slowfast.datasets import build
from slowfast.datasets.clips.samplers import (
    CenterSampler,
    SegmentSampler,
    SpanSampler,
    StrideSampler,
)
from slowfast.datasets.records import Annotations, KeyFrame, Record
from slowfast.datasets.synthetic import write_video

SAMPLERS = {
    SpanSampler: ["folder", "hmdb51", "kinetics", "ucf101"],
    SegmentSampler: ["ssv1", "ssv2"],
    StrideSampler: MULTI_LABEL_DATASETS,
    CenterSampler: DETECTION_DATASETS,
}


def test_every_dataset_has_its_kind_of_clips():
    cfg = get_cfg()
    found = {name: type(build.DATASETS.get(name).build_sampler(cfg)) for name in build.DATASETS}
    assert found == {name: kind for kind, names in SAMPLERS.items() for name in names}


def test_charades_counts_in_frames_of_its_own_rate():
    sampler = build.DATASETS.get("charades").build_sampler(get_cfg())
    assert sampler.target_fps == 24


def test_offset_sampling_reaches_the_end():
    cfg = get_cfg()
    cfg.DATA.USE_OFFSET_SAMPLING = True
    assert build.DATASETS.get("kinetics").build_sampler(cfg).reach_end


@pytest.fixture
def detection_cfg(tmp_path, monkeypatch):
    """Two videos of different sizes, the same two boxes in each."""
    records = []
    boxes = np.array([[0, 0, 0.5, 1], [0.2, 0.2, 0.8, 0.8]], np.float32)
    for name, width in (("a.mp4", 64), ("b.mp4", 80)):
        write_video(tmp_path / name, np.zeros((8, 48, width, 3), np.uint8))
        key = KeyFrame(f"{name},1", 4, boxes, ((0,), (1, 2)))
        records.append(Record(str(tmp_path / name), key=key))
    parts = build.DatasetParts(lambda cfg, split: Annotations(records), build.build_center_sampler)
    monkeypatch.setattr(build.DATASETS, "get", lambda name: parts)
    cfg = get_cfg()
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


def test_detection_batches_do_not_depend_on_the_number_of_workers(detection_cfg):
    batches = []
    for num_workers in (0, 2):
        detection_cfg.DATA_LOADER.NUM_WORKERS = num_workers
        (batch,) = build.build_loader(detection_cfg, "train")
        batches.append(batch)
    for name in ("boxes", "box_labels", "box_indices", "box_numbers", "labels", "indices"):
        assert torch.equal(batches[0][name], batches[1][name])
    assert torch.equal(batches[0]["clips"][0], batches[1]["clips"][0])
