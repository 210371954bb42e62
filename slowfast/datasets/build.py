"""Table of datasets; from the config to datasets and loaders."""

import logging
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import cast

from slowfast.config.derived import kind_of_labels, pathway_strides
from slowfast.config.node import ConfigNode
from slowfast.datasets.annotations.ava import build_ava
from slowfast.datasets.annotations.charades import build_charades
from slowfast.datasets.annotations.flip_labels import find_flip_labels
from slowfast.datasets.annotations.folder import build_folder
from slowfast.datasets.annotations.hmdb51 import build_hmdb51
from slowfast.datasets.annotations.kinetics import build_kinetics
from slowfast.datasets.annotations.list_files import look_for_files, report_missing
from slowfast.datasets.annotations.something_something import build_ssv1, build_ssv2
from slowfast.datasets.annotations.tubes import build_jhmdb, build_ucf101_24
from slowfast.datasets.annotations.ucf101 import build_ucf101
from slowfast.datasets.balance import build_order
from slowfast.datasets.clip_dataset import ClipDataset, Views
from slowfast.datasets.clips.box_views import build_box_views
from slowfast.datasets.clips.samplers import (
    ClipSampler,
    KeyFrameSampler,
    ThinnedSampler,
    WholeVideoSampler,
    build_center_sampler,
    build_segment_sampler,
    build_span_sampler,
    build_sparse_sampler,
    build_stride_sampler,
    build_window_sampler,
)
from slowfast.datasets.clips.views import FrameSizes, build_eval_views, build_train_views
from slowfast.datasets.decoding.images import import_opencv
from slowfast.datasets.decoding.index_file import open_index
from slowfast.datasets.decoding.open import open_frames
from slowfast.datasets.decoding.ranges import build_range_reader
from slowfast.datasets.labels import BoxLabels, choose_label_rule
from slowfast.datasets.loader import ShardedBatchSampler, collate, collate_by_size, make_loader
from slowfast.datasets.read_once import read_once
from slowfast.datasets.reading import WatchedLoader
from slowfast.datasets.records import Annotations
from slowfast.datasets.traits import DATASETS, DatasetTraits
from slowfast.datasets.transforms.spatial import PackPathways
from slowfast.datasets.windows import add_windows, comes_over_network
from slowfast.utils import distributed

logger = logging.getLogger(__name__)

# Traits that several datasets share.
_labelled = partial(
    DatasetTraits, build_sampler=build_span_sampler, has_flow=True, is_one_crop_of_jitter=True
)
_something = partial(
    DatasetTraits, build_sampler=build_segment_sampler, has_flow=True, is_bgr_in_reference=True
)
_boxes = partial(DatasetTraits, build_sampler=build_center_sampler, task="detection")
_tubes = partial(_boxes, metric="frame_map", has_sources=True, num_splits=3, has_flow=True)

DATASETS.register("kinetics")(
    _labelled(build_kinetics, other_tasks=("multi_label", "several_targets"), has_plain_lists=True)
)
DATASETS.register("folder")(
    _labelled(build_folder, other_tasks=("multi_label",), needs_flow_prefix=True)
)
DATASETS.register("ssv1")(_something(build_ssv1))
DATASETS.register("ssv2")(_something(build_ssv2, has_sources=True))
DATASETS.register("ucf101")(_labelled(build_ucf101, num_splits=3))
DATASETS.register("hmdb51")(_labelled(build_hmdb51, num_splits=3))
DATASETS.register("charades")(
    DatasetTraits(
        build_charades,
        build_stride_sampler,
        task="multi_label",
        has_sources=True,
        is_bgr_in_reference=True,
    )
)
DATASETS.register("ava")(_boxes(build_ava, metric="ava"))
DATASETS.register("jhmdb")(_tubes(build_jhmdb))
DATASETS.register("ucf101_24")(_tubes(build_ucf101_24))

# DATA.SAMPLING -> the sampler in place of the dataset's own.
_SAMPLERS: dict[str, Callable[[ConfigNode], ClipSampler]] = {
    "dense": build_span_sampler,
    "segments": build_sparse_sampler,
    "window": build_window_sampler,
}
# Section of the config whose DATASET a split is of.
SECTIONS = {"train": "TRAIN", "val": "TRAIN", "test": "TEST"}


def build_sampler(cfg: ConfigNode, split: str) -> ClipSampler:
    """Chooses the frames of the clips of a split."""
    if split == "test" and cfg.TEST.WHOLE_VIDEO:
        return WholeVideoSampler(cfg.TEST.WHOLE_VIDEO)
    traits = DATASETS.get(cfg[SECTIONS[split]].DATASET)
    sampler = _SAMPLERS.get(cfg.DATA.SAMPLING, traits.build_sampler)(cfg)
    if cfg.DATA.SAMPLED_FRAMES:
        whole = sampler.resized(cfg.DATA.SAMPLED_FRAMES)  # with more frames the rate stays
        sampler = ThinnedSampler(whole, cfg.DATA.NUM_FRAMES)
    return sampler


def build_frame_sizes(cfg: ConfigNode, split: str) -> FrameSizes:
    """Sizes of the frames of whole videos and of the crops of "val" or "test".

    One crop of a Kinetics test is the centre of larger frames, as in the reference and in the
    papers' "K-Center" (X3D-S: 160 of 182); three crops lie along frames of their own height.
    """
    data = cfg.DATA
    if split == "val":
        return FrameSizes(data.TRAIN_JITTER_SCALES[0], data.TRAIN_CROP_SIZE)
    crop, short_side = data.TEST_CROP_SIZE, cfg.TEST.SHORT_SIDE
    is_like_training = DATASETS.get(cfg.TEST.DATASET).is_one_crop_of_jitter
    if not short_side and is_like_training and cfg.TEST.NUM_SPATIAL_CROPS == 1:
        short_side = data.TRAIN_JITTER_SCALES[0]
    return FrameSizes(max(short_side, crop), crop)


def build_views(cfg: ConfigNode, split: str) -> Views:
    """Views that the "train", "val" or "test" split cuts from a video."""
    traits, sampler = DATASETS.get(cfg[SECTIONS[split]].DATASET), build_sampler(cfg, split)
    if traits.task == "detection":
        return build_box_views(cfg, cast(KeyFrameSampler, sampler), split)
    if split == "train":
        return build_train_views(cfg, sampler)
    return build_eval_views(cfg, sampler, split, sizes=build_frame_sizes(cfg, split))


def build_clip_pack(cfg: ConfigNode, split: str) -> PackPathways:
    """The transform from a finished C,T,H,W clip to the model's list of pathways.

    Clips of flow stay x, y; others are RGB. Released weights want the order that the reference
    feeds them, and where its images are BGR, DATA.REVERSE_INPUT_CHANNEL makes them RGB.
    """
    traits = DATASETS.get(cfg[SECTIONS[split]].DATASET)
    is_bgr = cfg.AVA.BGR if traits.task == "detection" else traits.is_bgr_in_reference
    reverse = is_bgr != cfg.DATA.REVERSE_INPUT_CHANNEL and cfg.DATA.MODALITY == "rgb"
    return PackPathways(pathway_strides(cfg), reverse_channels=reverse)


def build_annotations(cfg: ConfigNode, split: str) -> Annotations:
    """Annotations of a split, with the places of members of tars."""
    annotations = DATASETS.get(cfg[SECTIONS[split]].DATASET).build_annotations(cfg, split)
    records = add_windows(annotations.records, seconds=cfg.DATA.READ_TIMEOUT)
    return replace(annotations, records=records)


def build_dataset(cfg: ConfigNode, split: str) -> ClipDataset:
    """The "train", "val" or "test" split of TRAIN.DATASET (test: TEST.DATASET)."""
    if split not in SECTIONS:
        raise ValueError(f"split: {split!r} is not one of {list(SECTIONS)}")
    traits, num_classes = DATASETS.get(cfg[SECTIONS[split]].DATASET), cfg.MODEL.NUM_CLASSES
    kind = kind_of_labels(cfg.DETECTION.ENABLE, cfg.DATA.MULTI_LABEL, num_classes)
    annotations, is_training = read_once(lambda: build_annotations(cfg, split)), split == "train"
    if cfg.DATA.CACHE_DIR and not comes_over_network(annotations.records):
        logger.warning(
            "DATA.CACHE_DIR: %r has no effect on the %s split, which is on disks",
            *(cfg.DATA.CACHE_DIR, split),
        )
    if any(record.is_flow or record.frames is not None for record in annotations.records[:1]):
        import_opencv()  # where it is missing, a sentence now, not a traceback of a loader process
    if annotations.truth is not None:
        truth = replace(annotations.truth, metric=traits.metric)
        annotations = replace(annotations, truth=truth)
    flip_labels = None
    if is_training and cfg.DATA.LABEL_AWARE_FLIP:
        names, path = annotations.class_names, cfg.DATA.FLIP_LABELS_FILE
        flip_labels = find_flip_labels(names, path, num_classes=num_classes)
    return ClipDataset(
        annotations,
        build_views(cfg, split),
        label=choose_label_rule(
            kind, num_classes, is_training=is_training, flip_labels=flip_labels
        ),
        pack=build_clip_pack(cfg, split),
        replace_unreadable=is_training,
        seed=cfg.RNG_SEED,
        box_labels=BoxLabels(num_classes) if kind == "detection" else None,
        open_record=partial(
            open_frames,
            index_file=open_index(cfg.DATA.INDEX_FILE, annotations.records),
            max_pixels=cfg.DATA.MAX_PIXELS,
            ranges=build_range_reader(cfg),
        ),
    )


def build_batch_sampler(cfg: ConfigNode, split: str, dataset: ClipDataset) -> ShardedBatchSampler:
    """This process's batches: BATCH_SIZE counts videos of a machine, in evaluation their clips."""
    section = SECTIONS[split]
    per_machine = cfg[section].BATCH_SIZE
    world_size, num_local = distributed.world_size(), distributed.local_size(cfg.NUM_SHARDS)
    batch_size = per_machine // num_local
    if batch_size < 1:
        raise ValueError(
            f"{section}.BATCH_SIZE: {per_machine} is less than one clip for each of {num_local} "
            "processes"
        )
    if split == "train" and len(dataset) < batch_size * world_size:
        raise ValueError(
            f"TRAIN.BATCH_SIZE: {per_machine} needs {batch_size * world_size} clips for one step, "
            f"but the training list holds {len(dataset)} videos"
        )
    return ShardedBatchSampler(
        len(dataset),
        batch_size if split == "train" else max(1, batch_size // dataset.num_views),
        shuffle=split == "train",
        seed=cfg.RNG_SEED,
        rank=distributed.rank(),
        world_size=world_size,
        order=build_order(cfg, dataset) if split == "train" else None,
    )


def build_whole_batches(cfg: ConfigNode, split: str, dataset: ClipDataset) -> ShardedBatchSampler:
    """The batches of one process that trains alone, of which each process takes its part."""
    if len(dataset) < cfg.TRAIN.BATCH_SIZE:
        raise ValueError(
            f"TRAIN.BATCH_SIZE: {cfg.TRAIN.BATCH_SIZE} needs as many clips, but the {split} list "
            f"holds {len(dataset)} videos"
        )
    order = build_order(cfg, dataset)
    options = {"shuffle": True, "seed": cfg.RNG_SEED, "order": order}
    sampler = ShardedBatchSampler(len(dataset), cfg.TRAIN.BATCH_SIZE, **options)
    sampler.take_every(distributed.world_size(), distributed.rank())
    return sampler


def _count_missing(
    dataset: ClipDataset, split: str, *, max_share: float, folder: str, seconds: float
) -> None:
    """`look_for_files` in one process, and tell all of what is missing."""
    look = partial(look_for_files, dataset.records, folder, dataset.list_path, seconds=seconds)
    with distributed.main_process_alone() as is_main:
        found = look() if is_main else None
    found = distributed.gather_objects(found)[0]
    report_missing(found, len(dataset), split, max_share=max_share)


def build_loader(
    cfg: ConfigNode,
    split: str,
    *,
    build_batches: Callable[..., ShardedBatchSampler] = build_batch_sampler,
) -> WatchedLoader:
    """Batches (see `collate`) of a split; its batch_sampler is a ShardedBatchSampler.

    Whole frames differ in size: in val and test of detection, an item is a list of batches.
    """
    dataset = build_dataset(cfg, split)
    _count_missing(
        dataset,
        split,
        max_share=cfg.DATA.MAX_UNREADABLE_SHARE,
        folder=cfg.OUTPUT_DIR,
        seconds=cfg.DATA.READ_TIMEOUT,
    )
    has_sizes = split != "train" and dataset.box_labels is not None
    return make_loader(
        dataset,
        build_batches(cfg, split, dataset),
        num_workers=cfg.DATA_LOADER.NUM_WORKERS,
        pin_memory=cfg.DATA_LOADER.PIN_MEMORY and cfg.NUM_GPUS > 0,
        collate=collate_by_size if has_sizes else collate,
        read_timeout=cfg.DATA.READ_TIMEOUT,
    )
