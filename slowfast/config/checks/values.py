"""Limits of single values."""

import re
from collections.abc import Iterator
from functools import reduce
from typing import Any

from slowfast.config.node import ConfigNode

CHOICES = {
    "ADAPTIVE.RESIZE": ("area", "bilinear"),
    "AUG.INTERPOLATION": ("nearest", "bilinear", "bicubic"),
    "AUG.RE_MODE": ("pixel", "rand", "const"),
    "AVA.METRIC": ("score_sorted", "pyslowfast", "activitynet"),
    "AVA.TEST_BOXES": ("predicted", "ground_truth"),
    "BN.GROUP_BY": ("type", "name"),
    "BN.NORM_TYPE": ("batchnorm", "sub_batchnorm", "sync_batchnorm"),
    "DATA.ENSEMBLE_METHOD": ("sum", "max"),
    "DATA.MODALITY": ("rgb", "flow"),
    "DATA.RESIZE_BACKEND": ("swscale", "torch"),
    "DATA.SOURCE": ("auto", "frames", "videos"),
    "DATA.SPLIT_NUMBER": (1, 2, 3),
    "DIST_BACKEND": ("nccl", "gloo"),
    "MODEL.HEAD_ACT": ("softmax", "sigmoid", "none"),
    "MODEL.LOSS_FUNC": ("cross_entropy", "soft_cross_entropy", "bce", "bce_logit"),
    "NONLOCAL.INSTANTIATION": ("dot_product", "softmax"),
    "S3D.STEM": ("", "2d", "3d", "separable"),
    "S3D.STEM_KERNEL_T": (3, 5, 7),
    "S3D.TEMPORAL_END": ("top", "bottom"),
    "S3D.VARIANT": ("", "i3d", "i2d", "s3d", "s3d-g", "fast-s3d"),
    "SOLVER.LR_POLICY": ("cosine", "steps_with_relative_lrs"),
    "SOLVER.OPTIMIZING_METHOD": ("sgd", "adam", "adamw"),
    "TEST.NUM_SPATIAL_CROPS": (1, 3),
    "TRAIN.AMP_DTYPE": ("float16", "bfloat16"),
}

# Smallest value of these keys.
AT_LEAST = {
    "ADAPTIVE.NUM_RANDOM": 0,
    "AUG.COLOR_JITTER": 0,
    "AUG.RE_COUNT": 1,
    "AVA.VIDEO_START_SECOND": 0,
    "BN.NUM_BATCHES_PRECISE": 1,
    "BN.NUM_SPLITS": 1,
    "BN.NUM_SYNC_DEVICES": 1,
    "BN.WEIGHT_DECAY": 0,
    "DATA.NUM_FRAMES": 1,
    "DATA.SAMPLING_RATE": 1,
    "DATA.TARGET_FPS": 1,
    "DATA_LOADER.NUM_WORKERS": 0,
    "DETECTION.ROI_XFORM_RESOLUTION": 1,
    "DETECTION.SPATIAL_SCALE_FACTOR": 1,
    "LOG_PERIOD": 1,
    "MIXUP.ALPHA": 0,
    "MIXUP.CUTMIX_ALPHA": 0,
    "MODEL.FC_INIT_STD": 0,
    "MODEL.NUM_CLASSES": 1,
    "MULTIGRID.BN_BASE_SIZE": 1,
    "MULTIGRID.EVAL_FREQ": 1,
    "NUM_GPUS": 0,
    "NUM_SHARDS": 1,
    "RESNET.NUM_GROUPS": 1,
    "RESNET.WIDTH_PER_GROUP": 1,
    "S3D.POSITION": 0,
    "SHARD_ID": 0,
    "SLOWFAST.ALPHA": 1,
    "SLOWFAST.BETA_INV": 1,
    "SLOWFAST.FUSION_CONV_CHANNEL_RATIO": 1,
    "SLOWFAST.FUSION_KERNEL_SZ": 1,
    "SOLVER.BASE_LR": 0,
    "SOLVER.COSINE_END_LR": 0,
    "SOLVER.HEAD_LR_FACTOR": 0,
    "SOLVER.MAX_EPOCH": 1,
    "SOLVER.MOMENTUM": 0,
    "SOLVER.WARMUP_EPOCHS": 0,
    "SOLVER.WARMUP_START_LR": 0,
    "SOLVER.WEIGHT_DECAY": 0,
    "TEST.BATCH_SIZE": 1,
    "TEST.NUM_ENSEMBLE_VIEWS": 1,
    "TRAIN.ACCUMULATION_STEPS": 1,
    "TRAIN.BATCH_SIZE": 1,
    "TRAIN.CHECKPOINT_PERIOD": 1,
    "TRAIN.EVAL_PERIOD": 1,
    "TRAIN.KEEP_CHECKPOINTS": 0,
}

# Probabilities and shares, 0 to 1.
SHARES = (
    "AUG.RE_PROB",
    "AVA.DETECTION_SCORE_THRESH",
    "DATA.MAX_UNREADABLE_SHARE",
    "DATA.VAL_SHARE",
    "MIXUP.LABEL_SMOOTH_VALUE",
    "MIXUP.PROB",
    "MIXUP.SWITCH_PROB",
    "MODEL.DROPCONNECT_RATE",
    "MODEL.DROPOUT_RATE",
    "MODEL.LABEL_SMOOTHING",
    "TRAIN.CHECKPOINT_MIN_COVERAGE",
    "TRAIN.EMA_DECAY",
)


def value_mistakes(cfg: ConfigNode) -> Iterator[str]:
    """Values outside their limits."""
    for key, allowed in CHOICES.items():
        if _get(cfg, key) not in allowed:
            yield f"{key}: {_get(cfg, key)!r} is not one of {list(allowed)}"
    for key, least in AT_LEAST.items():
        if not _get(cfg, key) >= least:
            yield f"{key}: {_get(cfg, key)} must be at least {least}"
    for key in SHARES:
        if not 0 <= _get(cfg, key) <= 1:
            yield f"{key}: {_get(cfg, key)} must lie within 0..1"
    if not 0 < cfg.MODEL.WIDTH <= 1:
        yield f"MODEL.WIDTH: {cfg.MODEL.WIDTH} must be above 0 and at most 1"
    if not cfg.ADAPTIVE.TEMPERATURE > 0:
        yield f"ADAPTIVE.TEMPERATURE: {cfg.ADAPTIVE.TEMPERATURE} must be above 0"
    for key in ("SOLVER.CLIP_GRAD_VAL", "SOLVER.CLIP_GRAD_L2NORM"):
        if _get(cfg, key) is not None and not _get(cfg, key) > 0:
            yield f"{key}: {_get(cfg, key)} must be above 0, or None for no clipping"
    for key in ("OUTPUT_DIR", "DATA.PATH_LABEL_SEPARATOR"):
        if not _get(cfg, key):
            yield f"{key}: must not be empty"
    for pattern in cfg.TRAIN.CHECKPOINT_CLEAR_NAME_PATTERN:
        if not _is_pattern(pattern):
            yield f"TRAIN.CHECKPOINT_CLEAR_NAME_PATTERN: {pattern!r} is not a regular expression"


def _get(cfg: ConfigNode, key: str) -> Any:
    return reduce(getattr, key.split("."), cfg)


def are_numbers(values: list) -> bool:
    """True if all are whole or decimal numbers."""
    return all(type(value) in (int, float) for value in values)


def are_factors(values: list) -> bool:
    """True if all are numbers above 0, up to 1."""
    return are_numbers(values) and all(0 < value <= 1 for value in values)


def _is_pattern(text: Any) -> bool:
    try:
        re.compile(text)
    except (re.error, TypeError):
        return False
    return True
