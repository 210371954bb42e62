"""From the config to datasets and loaders."""

from torch.utils.data import DataLoader

from slowfast.config.node import ConfigNode
from slowfast.datasets.clip_dataset import (
    ClipDataset,
    ClipShape,
    EvalViews,
    FrameLoader,
    TrainViews,
)
from slowfast.datasets.kinetics import build_kinetics
from slowfast.datasets.loader import ShardedBatchSampler, make_loader
from slowfast.datasets.transforms import build_pack, build_train_transform
from slowfast.utils import distributed
from slowfast.utils.registry import Registry

# Builders `(cfg, split) -> (records, class names or None)`.
DATASETS = Registry("TRAIN.DATASET or TEST.DATASET")
DATASETS.register("kinetics")(build_kinetics)


def build_frame_loader(cfg: ConfigNode) -> FrameLoader:
    """Reads frames, scaled by what DATA.RESIZE_BACKEND names."""
    backend = cfg.DATA.RESIZE_BACKEND
    if backend not in ("swscale", "torch"):
        raise ValueError(f"DATA.RESIZE_BACKEND: {backend!r} is not one of ['swscale', 'torch']")
    return FrameLoader(scale_while_decoding=backend == "swscale")


def build_train_views(cfg: ConfigNode) -> TrainViews:
    """The random clip of training."""
    scales = cfg.DATA.TRAIN_JITTER_SCALES
    return TrainViews(
        build_clip_shape(cfg),
        build_frame_loader(cfg),
        jitter=None
        if cfg.DATA.TRAIN_JITTER_SCALES_RELATIVE
        else (scales[0], scales[1], cfg.DATA.INV_UNIFORM_SAMPLE),
        transform=build_train_transform(cfg),
    )


def build_val_views(cfg: ConfigNode) -> EvalViews:
    """The centre clip and centre crop of validation."""
    short_side, crop_size = cfg.DATA.TRAIN_JITTER_SCALES[0], cfg.DATA.TRAIN_CROP_SIZE
    if short_side < crop_size:
        raise ValueError(
            f"DATA.TRAIN_JITTER_SCALES: {list(cfg.DATA.TRAIN_JITTER_SCALES)} goes below "
            f"DATA.TRAIN_CROP_SIZE {crop_size}"
        )
    return EvalViews(
        build_clip_shape(cfg),
        build_frame_loader(cfg),
        num_clips=1,
        num_crops=1,
        short_side=short_side,
        crop_size=crop_size,
    )


def build_test_views(cfg: ConfigNode) -> EvalViews:
    """TEST.NUM_ENSEMBLE_VIEWS clips times TEST.NUM_SPATIAL_CROPS crops."""
    num_clips, num_crops = cfg.TEST.NUM_ENSEMBLE_VIEWS, cfg.TEST.NUM_SPATIAL_CROPS
    if num_clips < 1:
        raise ValueError(f"TEST.NUM_ENSEMBLE_VIEWS: {num_clips} is not 1 or more")
    if num_crops not in (1, 3):
        raise ValueError(f"TEST.NUM_SPATIAL_CROPS: {num_crops} is not one of [1, 3]")
    return EvalViews(
        build_clip_shape(cfg),
        build_frame_loader(cfg),
        num_clips=num_clips,
        num_crops=num_crops,
        short_side=cfg.DATA.TEST_CROP_SIZE,
        crop_size=cfg.DATA.TEST_CROP_SIZE,
        reach_end=cfg.DATA.USE_OFFSET_SAMPLING,
        reverse_time=cfg.TEST.REVERSE_TIME,
    )


def build_clip_shape(cfg: ConfigNode) -> ClipShape:
    """Length and step of a clip."""
    return ClipShape(cfg.DATA.NUM_FRAMES, cfg.DATA.SAMPLING_RATE, cfg.DATA.TARGET_FPS)


def build_dataset(cfg: ConfigNode, split: str) -> ClipDataset:
    """The "train", "val" or "test" split of TRAIN.DATASET (test: TEST.DATASET)."""
    name = cfg.TEST.DATASET if split == "test" else cfg.TRAIN.DATASET
    records, class_names = DATASETS.get(name)(cfg, split)
    build_views = {"train": build_train_views, "val": build_val_views, "test": build_test_views}
    return ClipDataset(
        records,
        build_views[split](cfg),
        pack=build_pack(cfg),
        replace_unreadable=split == "train",
        seed=cfg.RNG_SEED,
        class_names=class_names,
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
    """Batches (see `collate`) of a split; its batch_sampler is a ShardedBatchSampler."""
    dataset = build_dataset(cfg, split)
    return make_loader(
        dataset,
        build_batch_sampler(cfg, split, dataset),
        num_workers=cfg.DATA_LOADER.NUM_WORKERS,
        pin_memory=cfg.DATA_LOADER.PIN_MEMORY and cfg.NUM_GPUS > 0,
    )
