"""Mistakes in single values and between keys, found before anything is built or opened."""

import os
import re
from collections.abc import Iterator
from functools import reduce
from typing import Any

from slowfast.config.budget import parse_budget
from slowfast.config.defaults import get_cfg
from slowfast.config.node import ConfigNode
from slowfast.config.pathways import pathway_strides
from slowfast.config.s3d import FIRST_MIXED, GENERAL_KEYS, NUM_POSITIONS, VARIANTS, temporal_form

# All models halve height and width five times.
MODEL_STRIDE = 32

DETECTION_DATASETS = ("ava", "jhmdb", "ucf101_24")
MULTI_LABEL_DATASETS = ("charades",)
FLOW_DATASETS = ("kinetics", "folder", "ssv1", "ssv2", "ucf101", "hmdb51")
# Those that come as frames or as videos, and those with several official splits.
SOURCE_DATASETS = ("ssv2", "charades", "jhmdb", "ucf101_24")
SPLIT_DATASETS = ("ucf101", "hmdb51", "jhmdb", "ucf101_24")

# DATA.MODALITY -> channels
_CHANNELS = {"rgb": 3, "flow": 2}

CHOICES = {
    "ADAPTIVE.RESIZE": ("area", "bilinear"),
    "AUG.INTERPOLATION": ("nearest", "bilinear", "bicubic"),
    "AUG.RE_MODE": ("pixel", "rand", "const"),
    "AVA.METRIC": ("score_sorted", "pyslowfast", "activitynet"),
    "AVA.TEST_BOXES": ("predicted", "ground_truth"),
    "BN.GROUP_BY": ("type", "name"),
    "BN.NORM_TYPE": ("batchnorm", "sub_batchnorm", "sync_batchnorm"),
    "DATA.ENSEMBLE_METHOD": ("sum", "max"),
    "DATA.MODALITY": tuple(_CHANNELS),
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
    "S3D.VARIANT": ("", *VARIANTS),
    "SOLVER.LR_POLICY": ("cosine", "steps_with_relative_lrs"),
    "SOLVER.OPTIMIZING_METHOD": ("sgd", "adam", "adamw"),
    "TEST.NUM_SPATIAL_CROPS": (1, 3),
    "TRAIN.AMP_DTYPE": ("float16", "bfloat16"),
}

# What cannot be on together with ADAPTIVE.ENABLE, and why.
ADAPTIVE_EXCLUDES = {
    "DATA.MULTI_LABEL": "it is for one label per video",
    "DETECTION.ENABLE": "it is for one label per video",
    "MODEL.FROZEN_BN": "each width has batch-norm statistics of its own",
    "MULTIGRID.LONG_CYCLE": "it chooses frames and crops by itself",
    "MULTIGRID.SHORT_CYCLE": "it chooses frames and crops by itself",
    "TRAIN.COMPILE": "every width would be compiled anew",
    "TRAIN.FREEZE": "frozen batch norms keep the statistics of the full network",
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


_DEFAULTS = get_cfg()


def check_cfg(cfg: ConfigNode) -> None:
    """ValueError with every mistake: the key, its value and what is allowed."""
    mistakes = list(_value_mistakes(cfg))
    if not mistakes:  # the others take single values for granted
        mistakes = [
            *_solver_mistakes(cfg),
            *_pathway_mistakes(cfg),
            *_size_mistakes(cfg),
            *_task_mistakes(cfg),
            *_dataset_mistakes(cfg),
            *_flip_mistakes(cfg),
            *_flow_mistakes(cfg),
            *_s3d_mistakes(cfg),
            *_multigrid_mistakes(cfg),
            *_adaptive_mistakes(cfg),
            *_budget_mistakes(cfg),
            # torchrun's number of processes wins over NUM_GPUS
            *_process_mistakes(cfg, int(os.environ.get("LOCAL_WORLD_SIZE", max(cfg.NUM_GPUS, 1)))),
        ]
    if mistakes:
        raise ValueError("\n".join(mistakes))


def _value_mistakes(cfg: ConfigNode) -> Iterator[str]:
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


def _solver_mistakes(cfg: ConfigNode) -> Iterator[str]:
    solver = cfg.SOLVER
    steps, factors = list(solver.STEPS), list(solver.LRS)
    if solver.LR_POLICY == "steps_with_relative_lrs":
        if not _are_numbers(steps) or steps[:1] != [0] or steps != sorted(set(steps)):
            yield f"SOLVER.STEPS: {steps} must be increasing epochs that start with 0"
        if not _are_numbers(factors) or len(factors) < len(steps):
            yield (
                f"SOLVER.LRS: {factors} must hold a number for each of the {len(steps)} "
                f"SOLVER.STEPS {steps}"
            )
    if solver.WARMUP_EPOCHS > solver.MAX_EPOCH:
        yield (
            f"SOLVER.WARMUP_EPOCHS: {solver.WARMUP_EPOCHS} must be at most "
            f"SOLVER.MAX_EPOCH {solver.MAX_EPOCH}"
        )
    betas = list(solver.BETAS)
    if not _are_numbers(betas) or len(betas) != 2 or not all(0 <= beta < 1 for beta in betas):
        yield f"SOLVER.BETAS: {betas} must be two numbers within 0..1, 1 left out"
    if cfg.MIXUP.ENABLE and not (cfg.MIXUP.ALPHA or cfg.MIXUP.CUTMIX_ALPHA):
        yield "MIXUP.ENABLE: True needs MIXUP.ALPHA or MIXUP.CUTMIX_ALPHA above 0"


def _pathway_mistakes(cfg: ConfigNode) -> Iterator[str]:
    data = cfg.DATA
    channels = list(data.INPUT_CHANNEL_NUM)
    num = _CHANNELS[data.MODALITY]
    if channels not in ([num], [num, num]):
        yield (
            f"DATA.INPUT_CHANNEL_NUM: {channels} must be [{num}] (one pathway) or [{num}, {num}] "
            f"(two) with DATA.MODALITY {data.MODALITY!r}"
        )
        return
    stride = pathway_strides(cfg)[0]
    if data.NUM_FRAMES % stride:
        yield (
            f"DATA.NUM_FRAMES: {data.NUM_FRAMES} must be a multiple of SLOWFAST.ALPHA {stride} "
            f"with the two pathways of DATA.INPUT_CHANNEL_NUM {channels}"
        )
    for key, values in (("DATA.MEAN", data.MEAN), ("DATA.STD", data.STD)):
        if not _are_numbers(values) or len(values) != channels[0]:
            yield f"{key}: {values} must hold {channels[0]} numbers, one per channel"
    if _are_numbers(data.STD) and min(data.STD, default=1) <= 0:
        yield f"DATA.STD: {data.STD} must be above 0"


def _size_mistakes(cfg: ConfigNode) -> Iterator[str]:
    data = cfg.DATA
    for name in ("TRAIN_CROP_SIZE", "TEST_CROP_SIZE"):
        if data[name] < MODEL_STRIDE:
            yield f"DATA.{name}: {data[name]} must be at least {MODEL_STRIDE}, the models' stride"
    scales = list(data.TRAIN_JITTER_SCALES)
    if not _is_range(scales) or scales[0] < data.TRAIN_CROP_SIZE:
        yield (
            f"DATA.TRAIN_JITTER_SCALES: {scales} must be [smallest, largest] short side, from "
            f"DATA.TRAIN_CROP_SIZE {data.TRAIN_CROP_SIZE} up"
        )
    areas = list(data.TRAIN_JITTER_SCALES_RELATIVE)
    ratios = list(data.TRAIN_JITTER_ASPECT_RELATIVE)
    if areas and not (_is_range(areas) and 0 < areas[0] and areas[1] <= 1):
        yield (
            f"DATA.TRAIN_JITTER_SCALES_RELATIVE: {areas} must be [smallest, largest] share of "
            "the frame within 0..1, or [] for DATA.TRAIN_JITTER_SCALES"
        )
    if bool(areas) != bool(ratios) or (ratios and not (_is_range(ratios) and ratios[0] > 0)):
        yield (
            f"DATA.TRAIN_JITTER_ASPECT_RELATIVE: {ratios} must be [smallest, largest] above 0 "
            f"with DATA.TRAIN_JITTER_SCALES_RELATIVE, [] without; that is {areas}"
        )


def _task_mistakes(cfg: ConfigNode) -> Iterator[str]:
    """What detection and multi-label classification need, and what needs them."""
    tasks = {
        "DETECTION.ENABLE": (cfg.DETECTION.ENABLE, DETECTION_DATASETS),
        "DATA.MULTI_LABEL": (cfg.DATA.MULTI_LABEL, MULTI_LABEL_DATASETS),
    }
    for key, (is_on, datasets) in tasks.items():
        for dataset_key, dataset in _used_datasets(cfg).items():
            if is_on and dataset not in datasets:
                yield f"{dataset_key}: {dataset!r} is not one of {list(datasets)} with {key} True"
            elif not is_on and dataset in datasets:
                yield f"{key}: False must be True with {dataset_key} {dataset!r}"
    on = [key for key, (is_on, _) in tasks.items() if is_on]
    if len(on) == 2:
        yield "DATA.MULTI_LABEL: True is for whole videos; with DETECTION.ENABLE it must be False"
    elif on:
        yield from _label_mistakes(cfg, on[0])
    if cfg.DETECTION.ENABLE:
        yield from _detection_mistakes(cfg)


def _dataset_mistakes(cfg: ConfigNode) -> Iterator[str]:
    """Keys of some datasets with others, which do not read them."""
    used = _used_datasets(cfg)
    for key, datasets in (
        ("DATA.SOURCE", SOURCE_DATASETS),
        ("DATA.SPLIT_NUMBER", SPLIT_DATASETS),
    ):
        value = _get(cfg, key)
        if value != _get(_DEFAULTS, key) and used and not set(used.values()) & set(datasets):
            named = ", ".join(f"{name} {dataset!r}" for name, dataset in used.items())
            yield f"{key}: {value!r} has no effect with {named}, only with {list(datasets)}"


def _used_datasets(cfg: ConfigNode) -> dict[str, str]:
    """Value by key."""
    return {f"{name}.DATASET": cfg[name].DATASET for name in ("TRAIN", "TEST") if cfg[name].ENABLE}


def _label_mistakes(cfg: ConfigNode, task: str) -> Iterator[str]:
    model = cfg.MODEL
    if model.HEAD_ACT != "sigmoid":
        yield f"MODEL.HEAD_ACT: {model.HEAD_ACT!r} must be 'sigmoid' with {task} True"
    if model.LOSS_FUNC not in ("bce", "bce_logit"):
        yield f"MODEL.LOSS_FUNC: {model.LOSS_FUNC!r} must be 'bce' or 'bce_logit' with {task} True"
    if model.LABEL_SMOOTHING:
        yield f"MODEL.LABEL_SMOOTHING: {model.LABEL_SMOOTHING} must be 0 with {task} True"
    if cfg.MIXUP.ENABLE:
        yield f"MIXUP.ENABLE: True must be False with {task} True"
    if cfg.DATA.LABEL_AWARE_FLIP:
        yield f"DATA.LABEL_AWARE_FLIP: True must be False with {task} True"


def _detection_mistakes(cfg: ConfigNode) -> Iterator[str]:
    switches = ("AUG.ENABLE", "MULTIGRID.LONG_CYCLE", "MULTIGRID.SHORT_CYCLE", "TEST.REVERSE_TIME")
    for key in switches:
        if _get(cfg, key):
            yield f"{key}: True must be False with DETECTION.ENABLE True"
    if cfg.DATA.TRAIN_JITTER_SCALES_RELATIVE:
        yield (
            f"DATA.TRAIN_JITTER_SCALES_RELATIVE: {list(cfg.DATA.TRAIN_JITTER_SCALES_RELATIVE)} "
            "must be [] with DETECTION.ENABLE True"
        )
    values, vectors = cfg.DATA.TRAIN_PCA_EIGVAL, cfg.DATA.TRAIN_PCA_EIGVEC
    if not _are_three_numbers(values):
        yield f"DATA.TRAIN_PCA_EIGVAL: {values} must be three numbers"
    if len(vectors) != 3 or not all(map(_are_three_numbers, vectors)):
        yield f"DATA.TRAIN_PCA_EIGVEC: {vectors} must be three rows of three numbers"


def _flip_mistakes(cfg: ConfigNode) -> Iterator[str]:
    data = cfg.DATA
    if data.LABEL_AWARE_FLIP and not data.RANDOM_FLIP:
        yield "DATA.LABEL_AWARE_FLIP: True needs DATA.RANDOM_FLIP True"
    if data.FLIP_LABELS_FILE and not data.LABEL_AWARE_FLIP:
        yield (f"DATA.FLIP_LABELS_FILE: {data.FLIP_LABELS_FILE!r} needs DATA.LABEL_AWARE_FLIP True")


def _s3d_mistakes(cfg: ConfigNode) -> Iterator[str]:
    if cfg.MODEL.MODEL_NAME != "S3D":
        return
    s3d, default = cfg.S3D, _DEFAULTS.S3D
    if not s3d.WIDTH_FACTOR > 0:
        yield f"S3D.WIDTH_FACTOR: {s3d.WIDTH_FACTOR} must be above 0"
    if s3d.POSITION >= NUM_POSITIONS:
        yield f"S3D.POSITION: {s3d.POSITION} must be at most {NUM_POSITIONS - 1}"
    if s3d.VARIANT:
        for key in GENERAL_KEYS:
            if s3d[key] != default[key]:
                yield (
                    f"S3D.{key}: {s3d[key]!r} has no effect beside S3D.VARIANT {s3d.VARIANT!r}; an "
                    "empty VARIANT reads it"
                )
    positions = temporal_form(cfg).positions
    if s3d.ALL_BRANCHES and not any(position >= FIRST_MIXED for position in positions):
        yield "S3D.ALL_BRANCHES: True has no effect where no Inception block sees time"
    if s3d.STEM and list(positions) == [0]:
        yield f"S3D.STEM: {s3d.STEM!r} contradicts S3D.POSITION 0, bottom: only the stem sees time"
    is_2d = s3d.STEM == "2d" or (not s3d.STEM and 0 not in positions)
    if is_2d and s3d.STEM_KERNEL_T != default.STEM_KERNEL_T:
        yield f"S3D.STEM_KERNEL_T: {s3d.STEM_KERNEL_T} has no effect on a 2D stem; see S3D.STEM"


def _flow_mistakes(cfg: ConfigNode) -> Iterator[str]:
    """What flow cannot do."""
    if cfg.DATA.MODALITY != "flow":
        return
    for name in ("TRAIN", "TEST"):
        if cfg[name].ENABLE and cfg[name].DATASET not in FLOW_DATASETS:
            yield (
                f"{name}.DATASET: {cfg[name].DATASET!r} is not one of {list(FLOW_DATASETS)} with "
                "DATA.MODALITY 'flow'"
            )
        if cfg[name].ENABLE and cfg[name].DATASET == "folder" and not cfg.DATA.PATH_PREFIX:
            yield (
                f"DATA.PATH_PREFIX: must name the folder of the flow with {name}.DATASET 'folder' "
                "and DATA.MODALITY 'flow'; PATH_TO_DATA_DIR is that of the videos"
            )
    if cfg.TEST.REVERSE_TIME:
        # The way back does not start at the pixel where the way there did.
        yield (
            "TEST.REVERSE_TIME: True must be False with DATA.MODALITY 'flow': played backwards, a "
            "video has another flow; compute that of reversed videos"
        )
    for key in ("DATA.SOURCE", "DATA.INDEX_FILE"):
        if _get(cfg, key) != _get(_DEFAULTS, key):
            yield (
                f"{key}: {_get(cfg, key)!r} has no effect with DATA.MODALITY 'flow', which is read "
                f"from folders of its own; leave it at {_get(_DEFAULTS, key)!r}"
            )
    if cfg.DATA.REVERSE_INPUT_CHANNEL:
        yield "DATA.REVERSE_INPUT_CHANNEL: True must be False with DATA.MODALITY 'flow'"
    if cfg.AUG.ENABLE and cfg.AUG.AA_TYPE:
        yield (
            f"AUG.AA_TYPE: {cfg.AUG.AA_TYPE!r} must be '' with DATA.MODALITY 'flow', which has no "
            "colours and would have to turn with the picture"
        )
    elif cfg.AUG.ENABLE and cfg.AUG.COLOR_JITTER:
        yield f"AUG.COLOR_JITTER: {cfg.AUG.COLOR_JITTER} must be 0 with DATA.MODALITY 'flow'"


def _multigrid_mistakes(cfg: ConfigNode) -> Iterator[str]:
    grid, solver = cfg.MULTIGRID, cfg.SOLVER
    if not (grid.LONG_CYCLE or grid.SHORT_CYCLE):
        return
    if int(solver.MAX_EPOCH * grid.EPOCH_FACTOR) < 1:
        yield (
            f"MULTIGRID.EPOCH_FACTOR: {grid.EPOCH_FACTOR} leaves no epoch of SOLVER.MAX_EPOCH "
            f"{solver.MAX_EPOCH}"
        )
    if grid.LONG_CYCLE and (solver.LR_POLICY != "steps_with_relative_lrs" or len(solver.STEPS) < 2):
        yield (
            "MULTIGRID.LONG_CYCLE: True goes through its shapes between two SOLVER.STEPS, so it "
            f"needs SOLVER.LR_POLICY steps_with_relative_lrs (is {solver.LR_POLICY}) and two steps "
            f"or more (are {list(solver.STEPS)})"
        )
    crops = list(grid.SHORT_CYCLE_FACTORS) if grid.SHORT_CYCLE else []
    pairs = list(grid.LONG_CYCLE_FACTORS) if grid.LONG_CYCLE else []
    if grid.SHORT_CYCLE and not (crops and _are_factors(crops)):
        yield f"MULTIGRID.SHORT_CYCLE_FACTORS: {crops} must be numbers above 0, up to 1"
    elif grid.LONG_CYCLE and not (pairs and all(map(_is_factor_pair, pairs))):
        yield (
            f"MULTIGRID.LONG_CYCLE_FACTORS: {pairs} must be pairs [frames, crop] of numbers above "
            "0, up to 1"
        )
    else:
        frames, more_crops = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
        yield from _multigrid_shape_mistakes(cfg, frames, crops + more_crops)


def _multigrid_shape_mistakes(
    cfg: ConfigNode, frame_factors: list[float], crop_factors: list[float]
) -> Iterator[str]:
    data, stride = cfg.DATA, pathway_strides(cfg)[0]
    crops = [round(factor * data.TRAIN_CROP_SIZE) for factor in crop_factors]
    if min(crops) < MODEL_STRIDE:
        yield (
            f"MULTIGRID: its cycles make crops of {sorted(set(crops))} from DATA.TRAIN_CROP_SIZE "
            f"{data.TRAIN_CROP_SIZE}; all must be at least {MODEL_STRIDE}, the models' stride"
        )
    frames = [round(factor * data.NUM_FRAMES) for factor in frame_factors]
    if any(number < 1 or number % stride for number in frames):
        yield (
            f"MULTIGRID.LONG_CYCLE_FACTORS: makes clips of {sorted(set(frames))} frames from "
            f"DATA.NUM_FRAMES {data.NUM_FRAMES}; all must be multiples of {stride}"
        )


def _adaptive_mistakes(cfg: ConfigNode) -> Iterator[str]:
    sizes, data = cfg.ADAPTIVE, cfg.DATA
    if not sizes.ENABLE:
        return
    if not 0 < sizes.MIN_WIDTH <= 1:
        yield f"ADAPTIVE.MIN_WIDTH: {sizes.MIN_WIDTH} must be above 0 and at most 1"
    widths = list(sizes.WIDTHS)
    if not (widths and _are_numbers(widths) and sizes.MIN_WIDTH <= min(widths) <= max(widths) <= 1):
        yield (
            f"ADAPTIVE.WIDTHS: {widths} must be numbers from ADAPTIVE.MIN_WIDTH {sizes.MIN_WIDTH}, "
            "the smallest that is trained, to 1"
        )
    if not sizes.DISTILL and sizes.TEMPERATURE != 1:
        yield (
            f"ADAPTIVE.TEMPERATURE: {sizes.TEMPERATURE} must be 1 with ADAPTIVE.DISTILL False, "
            "which has no use for it"
        )
    num_frames = data.NUM_FRAMES // pathway_strides(cfg)[0]
    crop = min(data.TRAIN_CROP_SIZE, data.TEST_CROP_SIZE)
    for name, least, most, unit in (
        ("CROPS", MODEL_STRIDE, crop, "pixels (the smaller of DATA.TRAIN_ and TEST_CROP_SIZE)"),
        ("FRAMES", 1, num_frames, "frames of the (slow) pathway"),
    ):
        values = list(sizes[name])
        if not (values and all(type(v) is int and least <= v <= most for v in values)):
            yield f"ADAPTIVE.{name}: {values} must be whole numbers from {least} to {most} {unit}"
    if cfg.MODEL.LOSS_FUNC not in ("cross_entropy", "soft_cross_entropy"):
        yield (
            f"MODEL.LOSS_FUNC: {cfg.MODEL.LOSS_FUNC!r} must be 'cross_entropy' or "
            "'soft_cross_entropy' with ADAPTIVE.ENABLE True"
        )
    if cfg.MODEL.WIDTH != 1:
        yield f"MODEL.WIDTH: {cfg.MODEL.WIDTH} must be 1 with ADAPTIVE.ENABLE True"
    for key, reason in ADAPTIVE_EXCLUDES.items():
        if _get(cfg, key):
            value, off = _get(cfg, key), type(_get(cfg, key))()
            yield f"{key}: {value} must be {off} with ADAPTIVE.ENABLE True: {reason}"


def _budget_mistakes(cfg: ConfigNode) -> Iterator[str]:
    budget, sampled, kept = cfg.TEST.BUDGET, cfg.DATA.SAMPLED_FRAMES, cfg.DATA.NUM_FRAMES
    if sampled and sampled < kept:
        yield f"DATA.SAMPLED_FRAMES: {sampled} must be 0, or at least DATA.NUM_FRAMES {kept}"
    if cfg.TEST.BUDGET_TABLE and not budget:
        yield f"TEST.BUDGET_TABLE: {cfg.TEST.BUDGET_TABLE!r} needs TEST.BUDGET"
    if not budget:
        return
    try:
        parse_budget(budget)
    except ValueError as error:
        yield str(error)
    if cfg.DETECTION.ENABLE:
        yield f"TEST.BUDGET: {budget!r} must be empty with DETECTION.ENABLE True"


def _process_mistakes(cfg: ConfigNode, num_local: int) -> Iterator[str]:
    if cfg.SHARD_ID >= cfg.NUM_SHARDS:
        yield f"SHARD_ID: {cfg.SHARD_ID} must be below NUM_SHARDS {cfg.NUM_SHARDS}"
    for section, is_used in (("TRAIN", cfg.TRAIN.ENABLE), ("TEST", cfg.TEST.ENABLE)):
        size = cfg[section].BATCH_SIZE
        if is_used and size % num_local:
            yield (
                f"{section}.BATCH_SIZE: {size} must be a multiple of {num_local}, the number of "
                "processes on a machine (NUM_GPUS)"
            )
    if not cfg.TRAIN.ENABLE:
        return
    norm, per_process = cfg.BN, cfg.TRAIN.BATCH_SIZE // num_local
    if norm.NORM_TYPE == "sub_batchnorm" and per_process % norm.NUM_SPLITS:
        yield (
            f"BN.NUM_SPLITS: {norm.NUM_SPLITS} must divide the {per_process} clips of a process "
            f"(TRAIN.BATCH_SIZE {cfg.TRAIN.BATCH_SIZE} over {num_local})"
        )
    num_synced, num_total = norm.NUM_SYNC_DEVICES, num_local * cfg.NUM_SHARDS
    if norm.NORM_TYPE == "sync_batchnorm" and not norm.GLOBAL_SYNC and num_synced < num_total:
        if num_synced < 2 or num_total % num_synced:
            yield (
                f"BN.NUM_SYNC_DEVICES: {num_synced} must be at least 2 and divide the "
                f"{num_total} processes; BN.GLOBAL_SYNC True takes all of them"
            )


def _get(cfg: ConfigNode, key: str) -> Any:
    return reduce(getattr, key.split("."), cfg)


def _are_numbers(values: list) -> bool:
    return all(type(value) in (int, float) for value in values)


def _are_factors(values: list) -> bool:
    return _are_numbers(values) and all(0 < value <= 1 for value in values)


def _are_three_numbers(values: Any) -> bool:
    return isinstance(values, list | tuple) and len(values) == 3 and _are_numbers(values)


def _is_factor_pair(values: Any) -> bool:
    return isinstance(values, list | tuple) and len(values) == 2 and _are_factors(values)


def _is_range(values: list) -> bool:
    return len(values) == 2 and _are_numbers(values) and values[0] <= values[1]


def _is_pattern(text: Any) -> bool:
    try:
        re.compile(text)
    except (re.error, TypeError):
        return False
    return True
