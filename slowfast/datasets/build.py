"""From the config to datasets and loaders."""

from collections.abc import Callable
from dataclasses import dataclass

from torch.utils.data import DataLoader

from slowfast.config.node import ConfigNode
from slowfast.datasets.annotations.ava import build_ava
from slowfast.datasets.annotations.charades import build_charades
from slowfast.datasets.annotations.folder import build_folder
from slowfast.datasets.annotations.hmdb51 import build_hmdb51
from slowfast.datasets.annotations.kinetics import build_kinetics
from slowfast.datasets.annotations.something_something import build_ssv1, build_ssv2
from slowfast.datasets.annotations.tubes import build_jhmdb, build_ucf101_24
from slowfast.datasets.annotations.ucf101 import build_ucf101
from slowfast.datasets.clip_dataset import ClipDataset, Views
from slowfast.datasets.clips.box_views import build_train_box_views, build_whole_frame_views
from slowfast.datasets.clips.samplers import (
    ClipSampler,
    ThinnedSampler,
    build_center_sampler,
    build_segment_sampler,
    build_span_sampler,
    build_stride_sampler,
)
from slowfast.datasets.clips.views import build_eval_views, build_train_views
from slowfast.datasets.decoding.index_file import build_index
from slowfast.datasets.labels import BoxLabels, build_label_rule
from slowfast.datasets.loader import ShardedBatchSampler, collate, collate_by_size, make_loader
from slowfast.datasets.records import Annotations
from slowfast.datasets.transforms.spatial import PackPathways, build_pack
from slowfast.utils import distributed
from slowfast.utils.registry import Registry


@dataclass(frozen=True)
class DatasetParts:
    """What makes a dataset different from others.

    build_annotations: (cfg, split) -> Annotations. build_sampler: cfg -> which frames make a clip.
    is_bgr_in_reference: the order of channels in the reference's images, see `build_pack`.
    """

    build_annotations: Callable[[ConfigNode, str], Annotations]
    build_sampler: Callable[[ConfigNode], ClipSampler]
    is_bgr_in_reference: bool = False


DATASETS = Registry("TRAIN.DATASET or TEST.DATASET")
for _name, _parts in {
    "kinetics": DatasetParts(build_kinetics, build_span_sampler),
    "folder": DatasetParts(build_folder, build_span_sampler),
    "ucf101": DatasetParts(build_ucf101, build_span_sampler),
    "hmdb51": DatasetParts(build_hmdb51, build_span_sampler),
    "ssv1": DatasetParts(build_ssv1, build_segment_sampler, is_bgr_in_reference=True),
    "ssv2": DatasetParts(build_ssv2, build_segment_sampler, is_bgr_in_reference=True),
    "charades": DatasetParts(build_charades, build_stride_sampler, is_bgr_in_reference=True),
    "ava": DatasetParts(build_ava, build_center_sampler),
    "jhmdb": DatasetParts(build_jhmdb, build_center_sampler),
    "ucf101_24": DatasetParts(build_ucf101_24, build_center_sampler),
}.items():
    DATASETS.register(_name)(_parts)


def build_parts(cfg: ConfigNode, split: str) -> DatasetParts:
    """Those of TEST.DATASET for the "test" split, else of TRAIN.DATASET."""
    return DATASETS.get(cfg.TEST.DATASET if split == "test" else cfg.TRAIN.DATASET)


def build_views(cfg: ConfigNode, split: str) -> Views:
    """What the "train", "val" or "test" split cuts from a video."""
    sampler = build_parts(cfg, split).build_sampler(cfg)
    if cfg.DATA.SAMPLED_FRAMES:
        whole = sampler.resized(cfg.DATA.SAMPLED_FRAMES)
        sampler = ThinnedSampler(whole, cfg.DATA.NUM_FRAMES)
    if split == "train":
        build = build_train_box_views if cfg.DETECTION.ENABLE else build_train_views
        return build(cfg, sampler)
    build = build_whole_frame_views if cfg.DETECTION.ENABLE else build_eval_views
    return build(cfg, sampler, split)


def build_clip_pack(cfg: ConfigNode, split: str) -> PackPathways:
    """Clips of a split to the model's pathways, with the channels in the order of its dataset."""
    return build_pack(cfg, is_bgr_in_reference=build_parts(cfg, split).is_bgr_in_reference)


def build_dataset(cfg: ConfigNode, split: str) -> ClipDataset:
    """The "train", "val" or "test" split of TRAIN.DATASET (test: TEST.DATASET)."""
    annotations = build_parts(cfg, split).build_annotations(cfg, split)
    return ClipDataset(
        annotations,
        build_views(cfg, split),
        label=build_label_rule(cfg, split, annotations),
        pack=build_clip_pack(cfg, split),
        replace_unreadable=split == "train",
        seed=cfg.RNG_SEED,
        box_labels=BoxLabels(cfg.MODEL.NUM_CLASSES) if cfg.DETECTION.ENABLE else None,
        index_file=build_index(cfg, annotations.records),
    )


def build_batch_sampler(cfg: ConfigNode, split: str, dataset: ClipDataset) -> ShardedBatchSampler:
    """This process's batches: BATCH_SIZE counts clips per machine; in testing, whole videos."""
    key = "TEST.BATCH_SIZE" if split == "test" else "TRAIN.BATCH_SIZE"
    per_machine = cfg.TEST.BATCH_SIZE if split == "test" else cfg.TRAIN.BATCH_SIZE
    world_size, num_local = distributed.world_size(), distributed.local_size(cfg.NUM_SHARDS)
    batch_size = per_machine // num_local
    if batch_size < 1:
        raise ValueError(
            f"{key}: {per_machine} is less than one clip for each of {num_local} processes"
        )
    if split == "train" and len(dataset) < batch_size * world_size:
        raise ValueError(
            f"TRAIN.BATCH_SIZE: {per_machine} needs {batch_size * world_size} clips for one step, "
            f"but the training list holds {len(dataset)} videos"
        )
    return ShardedBatchSampler(
        len(dataset),
        max(1, batch_size // dataset.num_views),
        shuffle=split == "train",
        seed=cfg.RNG_SEED,
        rank=distributed.rank(),
        world_size=world_size,
    )


def build_loader(cfg: ConfigNode, split: str) -> DataLoader:
    """Batches (see `collate`) of a split; its batch_sampler is a ShardedBatchSampler.

    Whole frames differ in size: in val and test of detection, an item is a list of batches.
    """
    dataset = build_dataset(cfg, split)
    return make_loader(
        dataset,
        build_batch_sampler(cfg, split, dataset),
        num_workers=cfg.DATA_LOADER.NUM_WORKERS,
        pin_memory=cfg.DATA_LOADER.PIN_MEMORY and cfg.NUM_GPUS > 0,
        collate=collate_by_size if cfg.DETECTION.ENABLE and split != "train" else collate,
    )
