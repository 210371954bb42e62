"""Values of a run that follow from the videos, the machine and the network."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from slowfast.datasets.annotations.flip_labels import mirror_classes
from slowfast.own.choices import Choices
from slowfast.own.measure import Lengths, Machine
from slowfast.own.network import StepCost, frozen_stages
from slowfast.own.videos import OwnVideos
from slowfast.utils.words import counted, shorten

_GB = 1024**3
_MANY = 5000  # training videos from which a whole network is fine-tuned
_RARE = 3  # largest class over the smallest from which classes are balanced
_LARGE = 1_000_000  # parameters from which a network needs strong augmentation
# Batches of which the learning rates are, and steps in which networks learn.
_BASE_BATCH = 16
_MOST_CLIPS = {"cpu": 16, "gpu": 32}


@dataclass(frozen=True)
class Recipe:
    """Numbers that differ between training from scratch and fine-tuning, and by optimizer."""

    title: str
    lr: float
    num_steps: int
    most_epochs: int
    weight_decay: float


_SCRATCH, _TUNING = ("from scratch", 1500, 100), ("fine-tuning", 500, 40)
_OF_SGD = {_SCRATCH: (0.1, 5e-5), _TUNING: (0.02, 1e-4)}
_OF_ADAM = {_SCRATCH: (5e-4, 0.05), _TUNING: (1e-4, 0.05)}


def find_recipe(optimizer: str, *, is_scratch: bool) -> Recipe:
    """The numbers for SGD, or for adam and adamw."""
    kind = _SCRATCH if is_scratch else _TUNING
    lr, weight_decay = (_OF_SGD if optimizer == "sgd" else _OF_ADAM)[kind]
    title, num_steps, most_epochs = kind
    return Recipe(title, lr, num_steps, most_epochs, weight_decay)


def choose_data(choices: Choices, videos: OwnVideos, lists: str) -> None:
    """Set the places of lists and videos, and what their classes ask for."""
    names, counts = videos.class_names, videos.counts("train")
    choices.pick("TRAIN.DATASET", "kinetics", "lists of paths and classes")
    choices.pick("TEST.DATASET", "kinetics", "the same")
    choices.pick("DATA.PATH_TO_DATA_DIR", lists, "the split, as csv")
    choices.pick("DATA.PATH_PREFIX", str(videos.root), "paths in the lists start here")
    choices.pick("DATA.PATH_LABEL_SEPARATOR", ",", "the lists are csv")
    choices.pick("DATA.LIST_FORMAT", "labels", "a path and its labels")
    choices.pick("MODEL.NUM_CLASSES", len(names), f"classes: {shorten(names, 60)}")
    if videos.is_multi_label:
        choices.pick("DATA.MULTI_LABEL", True, "some videos have several labels")
        choices.pick("MODEL.HEAD_ACT", "sigmoid", "several labels may hold at once")
        choices.pick("MODEL.LOSS_FUNC", "bce_logit", "the same")
    least = min(count for count in counts if count)
    if max(counts) >= _RARE * least:
        why = f"{least} to {max(counts)} training videos in a class"
        if videos.is_multi_label:
            choices.pick("TRAIN.CLASS_WEIGHTS", "balanced", why)
        else:
            choices.pick("DATA.SAMPLER", "balanced", why)
    choices.pick(
        "DATA.MAX_UNREADABLE_SHARE", 1.0, "unreadable videos are named and never stop the run"
    )


def choose_clip(
    choices: Choices, values: Mapping[str, Any], lengths: Lengths, *, is_scratch: bool
) -> None:
    """Frames and stride of a clip, and the views of a test. values: of the network, by key."""
    fps = choices.given.get("DATA.TARGET_FPS", values["DATA.TARGET_FPS"])
    sampling = choices.given.get("DATA.SAMPLING", values["DATA.SAMPLING"])
    frames = choices.given.get("DATA.NUM_FRAMES", values["DATA.NUM_FRAMES"])
    if is_scratch:
        fitting = 16 if lengths.short * fps >= 16 else 8
        frames = choices.pick("DATA.NUM_FRAMES", fitting, "videos are long enough for so many")
    else:
        frames = choices.pick("DATA.NUM_FRAMES", frames, "as the network has them")
    if sampling == "segments":
        choices.pick("TEST.NUM_ENSEMBLE_VIEWS", 2, "a clip has frames of the whole video")
    else:
        longest = 8 if is_scratch else values["DATA.SAMPLING_RATE"]
        stride = max(1, min(longest, int(lengths.short * fps / frames)))
        why = (
            f"{frames * stride / fps:.1f} s a clip; nine of ten videos have "
            f"{lengths.short:.1f} s or more, the median is {lengths.median:.1f} s"
        )
        stride = choices.pick("DATA.SAMPLING_RATE", stride, why)
        span = frames * stride / fps
        views = 1 if lengths.median < 1.5 * span else min(10, round(2 * lengths.median / span))
        choices.pick("TEST.NUM_ENSEMBLE_VIEWS", views, f"clips of {span:.1f} s over a video")
    choices.pick("TEST.NUM_SPATIAL_CROPS", 3, "left, middle and right of a video")


def choose_device(choices: Choices, machine: Machine) -> bool:
    """CPU or GPU; whether it is a GPU."""
    if machine.gpus:
        others = f"; {len(machine.gpus)} are there" if len(machine.gpus) > 1 else ""
        num = choices.pick("NUM_GPUS", 1, f"{machine.gpus[0]}{others}")
    else:
        num = choices.pick("NUM_GPUS", 0, "no GPU was found: the CPU")
    if num:
        choices.pick("TRAIN.MIXED_PRECISION", True, "faster on a GPU")
        choices.pick("TRAIN.AMP_DTYPE", machine.gpu_dtype, "what this GPU computes fast")
    return num > 0


def choose_batch(
    choices: Choices, cost: StepCost, machine: Machine, num_train: int, *, is_gpu: bool
) -> int:
    """Clips of a batch by memory and number of videos, and loader processes by cores."""
    most = _MOST_CLIPS["gpu" if is_gpu else "cpu"]
    memory = machine.gpu_memory if is_gpu else machine.memory
    fitting = max(1, int(0.5 * memory / (1.5 * cost.memory)))
    wanted = min(most, fitting, max(8, num_train // 6), num_train)
    batch = 2 ** (wanted.bit_length() - 1)
    taken = f"about {batch * cost.memory / _GB:.2f} of {memory / _GB:.1f} GB that are free"
    why = f"{num_train} training videos; takes {taken}"
    batch = choices.pick("TRAIN.BATCH_SIZE", batch, why)
    choices.pick("TEST.BATCH_SIZE", batch, "as in training")
    cores = machine.num_cores
    workers = min(cores, 8) if is_gpu else max(1, min(4, cores // 4))
    choices.pick("DATA_LOADER.NUM_WORKERS", workers, f"{cores} cores")
    return batch


def choose_training(
    choices: Choices, cost: StepCost, num_train: int, batch: int, recipe: Recipe
) -> float:
    """Learning rate, epochs and when to stop; seconds that all epochs take on a CPU, about."""
    rate, kind = recipe.lr * batch / _BASE_BATCH, recipe.title
    why = f"{kind}: {recipe.lr:g} for {_BASE_BATCH} clips, scaled to the batch"
    rate = choices.pick("SOLVER.BASE_LR", float(f"{rate:.3g}"), why)
    steps = max(num_train // batch, 1)
    wanted, why = round(recipe.num_steps / steps), f"{kind}, {counted(steps, 'step')} an epoch"
    if wanted > recipe.most_epochs:
        why += f"; {recipe.most_epochs} at most, {recipe.num_steps} steps would be more"
    epochs = choices.pick("SOLVER.MAX_EPOCH", max(min(wanted, recipe.most_epochs), 10), why)
    choices.pick("SOLVER.WARMUP_EPOCHS", epochs / 10, "a tenth of the epochs")
    choices.pick("SOLVER.WARMUP_START_LR", rate / 10, "a tenth of the rate")
    choices.pick("SOLVER.WEIGHT_DECAY", recipe.weight_decay, kind)
    period = choices.pick("TRAIN.EVAL_PERIOD", max(1, epochs // 20), "about 20 validations")
    choices.pick("TRAIN.CHECKPOINT_PERIOD", period, "as often as validated")
    choices.pick("TRAIN.KEEP_CHECKPOINTS", 1, "the last, and the best beside it")
    patience = max(5 * period, epochs // 4)
    if patience < epochs:
        choices.pick("TRAIN.PATIENCE", patience, "epochs without improvement end the training")
    choices.pick("BN.USE_PRECISE_STATS", True, "small batches have poor running statistics")
    choices.pick("BN.NUM_BATCHES_PRECISE", min(steps, 50), "an epoch, 50 batches at most")
    choices.pick("LOG_PERIOD", min(10, steps), "at least a line an epoch")
    return epochs * num_train * cost.seconds


def choose_strength(
    choices: Choices, names: Sequence[str], num_params: int, *, is_multi_label: bool
) -> None:
    """Augmentation and smoothing against learning by heart; flips unless classes have sides.

    A small network learns less under strong augmentation, as was measured.
    """
    if num_params >= _LARGE:
        choices.pick("AUG.ENABLE", True, "a large network learns few videos by heart")
        choices.pick("AUG.AA_TYPE", "rand-m7-n2-mstd0.5-inc1", "the same for all frames of a clip")
        choices.pick("AUG.RE_PROB", 0.25, "random erasing")
    else:
        choices.pick("AUG.ENABLE", False, "a small network learns more from crops and flips alone")
    if not is_multi_label:
        choices.pick("MODEL.LABEL_SMOOTHING", 0.1, "against certainty by heart")
    flipped, alone = mirror_classes(names)
    has_pairs = list(flipped) != list(range(len(names)))
    if alone or (is_multi_label and has_pairs):
        choices.pick("DATA.RANDOM_FLIP", False, "names of classes have sides, as left")
    elif has_pairs:
        choices.pick("DATA.LABEL_AWARE_FLIP", True, "a mirrored left is a right")


def choose_start(choices: Choices, weights: str, cost: StepCost, num_train: int) -> None:
    """Weights to start from, and what of the network is left as it is."""
    choices.pick("TRAIN.CHECKPOINT_FILE_PATH", weights, "--from")
    choices.pick("SOLVER.HEAD_LR_FACTOR", 10.0, "the classifier is new, the rest is not")
    if num_train < _MANY:
        choices.pick("TRAIN.FREEZE", frozen_stages(cost.stages), "few videos: early stages stay")


def choose_output(choices: Choices, folder: str, best: str) -> None:
    """Set the place of the run, and the epoch that is tested."""
    choices.pick("OUTPUT_DIR", folder, "--out")
    choices.pick("TEST.CHECKPOINT_FILE_PATH", best, "the epoch that validated best is tested")
