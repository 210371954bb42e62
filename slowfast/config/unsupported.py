"""Keys and names of PySlowFast and VoV3D that mean nothing here, or have another name: all of them.

A YAML that sets such a key still loads; the value is dropped with one warning. "SECTION.*" covers a
whole section. A key that becomes supported moves from here to `defaults.py`. The name of a model,
dataset, task or loss that is not part of this project is an error.
"""

from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any

_DEFAULT_SHAPE = "it is TRAIN.BATCH_SIZE, DATA.NUM_FRAMES and DATA.TRAIN_CROP_SIZE"
_REVERSIBLE = "reversible MViT is not part of this project"
_SELF_SUPERVISED = "self-supervised training is not part of this project"
_IMAGENET = "ImageNet loaders are not part of this project"
_PATHWAYS = "the number of pathways is the length of DATA.INPUT_CHANNEL_NUM"
_NO_EFFECT = "the reference never reads it either"
_VISUALISATION = "see TENSORBOARD.CONFUSION_MATRIX, CLASS_NAMES_PATH and CATEGORIES_PATH"
_FORMAT = "the kind of file is recognised from its content"
_ONE_CLIP = "every video gives one clip per epoch"
_WHOLE_CSV = "a csv is always read whole"
_BN_CONSTANTS = "batch norms have momentum 0.1 and epsilon 1e-5, in S3D 0.001 both"
_EPIC = "its pickles are lists of time spans here, see DATA.LIST_FORMAT in docs/data/lists.md"

UNSUPPORTED = {
    # whole sections
    "BENCHMARK.*": "tools/benchmark.py takes its settings from its own command line",
    "CONTRASTIVE.*": _SELF_SUPERVISED,
    "DEMO.*": "tools/predict.py does this: --overlay, --boxes, cameras; see docs/predict.md",
    "MASK.*": _SELF_SUPERVISED,
    "MVIT.LAYER_SCALE_INIT_VALUE": "the reference has no layer scale in its blocks either",
    "MVIT.REV.BUFFER_LAYERS": _REVERSIBLE,
    "MVIT.REV.PRE_Q_FUSION": _REVERSIBLE,
    "MVIT.REV.RESPATH_FUSE": _REVERSIBLE,
    "MVIT.REV.RES_PATH": _REVERSIBLE,
    "PREFETCH.*": "set DATA_LOADER.NUM_WORKERS",
    "VIS_MASK.*": _SELF_SUPERVISED,
    # the run
    "DATA_LOADER.ENABLE_MULTI_THREAD_DECODE": "set DATA_LOADER.NUM_WORKERS",
    # earlier versions of PySlowFast, and EPIC-KITCHENS' fork of them
    "BN.EPSILON": _BN_CONSTANTS,
    "BN.MOMENTUM": _BN_CONSTANTS,
    "DATA.CROP_SIZE": f"{_NO_EFFECT}; set DATA.TRAIN_CROP_SIZE and DATA.TEST_CROP_SIZE",
    "EPICKITCHENS.*": _EPIC,
    "TENSORBOARD.CATEGORIES": _VISUALISATION,
    "TENSORBOARD.CLASS_NAMES": _VISUALISATION,
    "TENSORBOARD.CM_SUBSET_CATEGORIES_PATH": _VISUALISATION,
    "TENSORBOARD.FIGSIZE": _VISUALISATION,
    "TRAIN.FINETUNE": "TRAIN.CHECKPOINT_FILE_PATH always starts a run of its own",
    # training and testing
    "TRAIN.CHECKPOINT_EPOCH_RESET": "initialising from a file always starts at epoch 0",
    "TRAIN.CHECKPOINT_INFLATE": "2D weights are inflated wherever the model has 3D ones",
    "TRAIN.CHECKPOINT_IN_INIT": "2D weights are inflated wherever the model has 3D ones",
    "TRAIN.CHECKPOINT_TYPE": _FORMAT,
    "TRAIN.KILL_LOSS_EXPLOSION_FACTOR": "a loss that is not finite stops the run",
    "TEST.CHECKPOINT_TYPE": _FORMAT,
    "TEST.NUM_TEMPORAL_CLIPS": "a test reports the accuracy with fewer clips from the same pass",
    "SOLVER.GAMMA": "SOLVER.LRS lists the factors",
    "SOLVER.LARS_ON": _SELF_SUPERVISED,
    "SOLVER.STEP_SIZE": _NO_EFFECT,
    "SOLVER.WARMUP_FACTOR": f"{_NO_EFFECT}; set SOLVER.WARMUP_START_LR",
    "MULTIGRID.DEFAULT_B": _DEFAULT_SHAPE,
    "MULTIGRID.DEFAULT_S": _DEFAULT_SHAPE,
    "MULTIGRID.DEFAULT_T": _DEFAULT_SHAPE,
    "MULTIGRID.LONG_CYCLE_SAMPLING_RATE": "it follows from the frames of the long cycle",
    # models
    "MODEL.DETACH_FINAL_FC": _SELF_SUPERVISED,
    "MODEL.FP16_ALLREDUCE": "DDP.GRADIENTS bfloat16 sends half as much, with the range of float32",
    "MODEL.MULTI_PATHWAY_ARCH": _PATHWAYS,
    "MODEL.SINGLE_PATHWAY_ARCH": _PATHWAYS,
    "RESNET.INPLACE_RELU": "it never changes a result",
    "VOV3D.BN_LIN5": f"{_NO_EFFECT}; set X3D.BN_LIN5",
    "VOV3D.DIM_C5": f"{_NO_EFFECT}; set X3D.DIM_C5",
    "VOV3D.SPATIAL_STRIDES": f"{_NO_EFFECT}; set RESNET.SPATIAL_STRIDES",
    "VOV3D.TEMPORAL_DILATIONS": _NO_EFFECT,
    # data
    "AVA.IMG_PROC_BACKEND": "clips and boxes are always transformed together, by PyTorch",
    "AUG.GEN_MASK_LOADER": _SELF_SUPERVISED,
    "AUG.MASK_FRAMES": _SELF_SUPERVISED,
    "AUG.MASK_RATIO": _SELF_SUPERVISED,
    "AUG.MASK_TUBE": _SELF_SUPERVISED,
    "AUG.MASK_WINDOW_SIZE": _SELF_SUPERVISED,
    "AUG.MAX_MASK_PATCHES_PER_BLOCK": _SELF_SUPERVISED,
    "AUG.RE_SPLIT": _NO_EFFECT,
    "DATA.COLOR_RND_GRAYSCALE": _SELF_SUPERVISED,
    "DATA.DECODING_BACKEND": "videos are always read with PyAV",
    "DATA.DECODING_SHORT_SIZE": "set DATA.RESIZE_BACKEND",
    "DATA.DUMMY_LOAD": "tools/benchmark.py measures without data",
    "DATA.IN22K_TRAINVAL": _IMAGENET,
    "DATA.IN22k_VAL_IN1K": _IMAGENET,
    "DATA.IN_VAL_CROP_RATIO": _IMAGENET,
    "DATA.LOADER_CHUNK_OVERALL_SIZE": _WHOLE_CSV,
    "DATA.LOADER_CHUNK_SIZE": _WHOLE_CSV,
    "DATA.PATH_TO_PRELOAD_IMDB": _IMAGENET,
    "DATA.SKIP_ROWS": _WHOLE_CSV,
    "DATA.SSL_BLUR_SIGMA_MAX": _SELF_SUPERVISED,
    "DATA.SSL_BLUR_SIGMA_MIN": _SELF_SUPERVISED,
    "DATA.SSL_COLOR_BRI_CON_SAT": _SELF_SUPERVISED,
    "DATA.SSL_COLOR_HUE": _SELF_SUPERVISED,
    "DATA.SSL_COLOR_JITTER": _SELF_SUPERVISED,
    "DATA.SSL_MOCOV2_AUG": _SELF_SUPERVISED,
    "DATA.TIME_DIFF_PROB": _SELF_SUPERVISED,
    "DATA.TRAIN_CROP_NUM_SPATIAL": _ONE_CLIP,
    "DATA.TRAIN_CROP_NUM_TEMPORAL": _ONE_CLIP,
    "DATA.TRAIN_JITTER_FPS": "the frame rate is not jittered",
    "DATA.TRAIN_JITTER_MOTION_SHIFT": _SELF_SUPERVISED,
}

# Keys of other versions -> the key here that means the same.
RENAMED = {
    "AVA.TRAIN_PCA_EIGVAL": "DATA.TRAIN_PCA_EIGVAL",
    "AVA.TRAIN_PCA_EIGVEC": "DATA.TRAIN_PCA_EIGVEC",
    "BN.FREEZE": "MODEL.FROZEN_BN",
}

_TRANSFORMER = "transformers are not part of this project"
_DATASETS = {"imagenet*": _IMAGENET}
# Key -> names of what is not part of this project, as patterns, with the reason.
UNSUPPORTED_NAMES = {
    "MODEL.MODEL_NAME": {
        "MaskMViT": _SELF_SUPERVISED,
        "ContrastiveModel": _SELF_SUPERVISED,
        "[Uu]ni[Ff]ormer*": _TRANSFORMER,
        "*[Vv]i[Tt]_*": _TRANSFORMER,
        "*[Vv]isionTransformer*": _TRANSFORMER,
        "TimeSformer*": _TRANSFORMER,
    },
    "TRAIN.DATASET": _DATASETS,
    "TEST.DATASET": _DATASETS,
    "TASK": {"ssl": _SELF_SUPERVISED},
    "MODEL.LOSS_FUNC": {
        "contrastive_loss": _SELF_SUPERVISED,
        "mse": _SELF_SUPERVISED,
        "multi_mse": _SELF_SUPERVISED,
    },
}

_OTHER_READER = "from the same lists of files"
_PTV = {"ptvkinetics": "kinetics", "ptvcharades": "charades", "ptvssv2": "ssv2"}
_DATASET_NAMES = {name: (ours, _OTHER_READER) for name, ours in _PTV.items()} | {
    "epickitchens": ("kinetics", "with lists of `path start end verb noun` (docs/data/lists.md)"),
}
_SAME_NETWORK = "the same network"
# Key -> name elsewhere, as a pattern, -> the name here, and in which sense it is the same.
RENAMED_NAMES = {
    "MODEL.MODEL_NAME": {
        "PTVCSN": ("CSN", _SAME_NETWORK),
        "PTVR2plus1D": ("R2Plus1D", _SAME_NETWORK),
        "PTVMViT": ("MViT", _SAME_NETWORK),
        "PTVResNet": ("ResNet", _SAME_NETWORK),
        "PTVSlowFast": ("SlowFast", _SAME_NETWORK),
        "PTVX3D": ("X3D", _SAME_NETWORK),
    },
    "BN.NORM_TYPE": {"sync_batchnorm_apex": ("sync_batchnorm", "the same without apex")},
    "MODEL.ARCH": {"slowonly": ("slow", _SAME_NETWORK)},
    "TRAIN.DATASET": _DATASET_NAMES,
    "TEST.DATASET": _DATASET_NAMES,
    "TASK": {"ssl_eval*": ("", "training from weights that TRAIN.CHECKPOINT_FILE_PATH names")},
}


def find_name(table: Mapping[str, Mapping[str, Any]], key: str, name: Any) -> Any:
    """The entry of a name in one of the two tables above; None where it has none."""
    patterns = table.get(key, {}).items()
    return next((entry for pattern, entry in patterns if fnmatchcase(str(name), pattern)), None)


def unsupported_reason(key: str) -> str | None:
    """Reason for which a key such as "MVIT.DEPTH" has no effect; None for every other key."""
    parts = key.split(".")
    sections = [".".join(parts[:length]) + ".*" for length in range(1, len(parts) + 1)]
    return next((UNSUPPORTED[name] for name in [key, *sections] if name in UNSUPPORTED), None)
