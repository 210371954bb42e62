"""Rules for the optimizer, its schedule, the cycles of multigrid, and processes."""

from collections.abc import Iterator
from typing import Any

from slowfast.config.checks.clips import MODEL_STRIDE
from slowfast.config.checks.rules import register_rule
from slowfast.config.derived import num_processes, parse_layer_maps, slow_stride
from slowfast.config.limits import are_factors, are_numbers
from slowfast.config.node import ConfigNode


@register_rule("SOLVER")
def check_schedule(solver: ConfigNode) -> Iterator[str]:
    """Check that steps, their rates and the warm-up fit each other."""
    steps, factors = list(solver.STEPS), list(solver.LRS)
    for key, values in (("SOLVER.STEPS", steps), ("SOLVER.LRS", factors)):
        if not are_numbers(values) or min(values, default=0) < 0:
            yield f"{key}: {values} must be numbers from 0 up"
            return
    if solver.LR_POLICY == "steps_with_relative_lrs":
        if steps[:1] != [0] or steps != sorted(set(steps)):
            yield f"SOLVER.STEPS: {steps} must be increasing epochs that start with 0"
        reached = [step for step in steps if step < solver.MAX_EPOCH]
        if len(factors) < len(reached):
            yield (
                f"SOLVER.LRS: {factors} must hold a number for each of the {len(reached)} "
                f"SOLVER.STEPS {reached} before SOLVER.MAX_EPOCH {solver.MAX_EPOCH}"
            )
    if solver.WARMUP_EPOCHS > solver.MAX_EPOCH:
        yield (
            f"SOLVER.WARMUP_EPOCHS: {solver.WARMUP_EPOCHS} must be at most "
            f"SOLVER.MAX_EPOCH {solver.MAX_EPOCH}"
        )


@register_rule("SOLVER.BETAS")
def check_betas(betas: tuple) -> Iterator[str]:
    """Check that Adam has its two betas."""
    betas = list(betas)
    if not are_numbers(betas) or len(betas) != 2 or not all(0 <= beta < 1 for beta in betas):
        yield f"SOLVER.BETAS: {betas} must be two numbers within 0..1, 1 left out"


@register_rule("MULTIGRID", "SOLVER")
def check_multigrid_schedule(grid: ConfigNode, solver: ConfigNode) -> Iterator[str]:
    """Check that the cycles have epochs and steps to follow."""
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
    if grid.LONG_CYCLE and len(solver.LRS) < len(solver.STEPS):
        yield (
            f"SOLVER.LRS: {list(solver.LRS)} must hold a number for each of SOLVER.STEPS "
            f"{list(solver.STEPS)} with MULTIGRID.LONG_CYCLE True"
        )


@register_rule("MULTIGRID", "DATA", "SLOWFAST.ALPHA")
def check_multigrid_shapes(grid: ConfigNode, data: ConfigNode, alpha: int) -> Iterator[str]:
    """Check that the cycles make clips that models take."""
    crops = list(grid.SHORT_CYCLE_FACTORS) if grid.SHORT_CYCLE else []
    pairs = list(grid.LONG_CYCLE_FACTORS) if grid.LONG_CYCLE else []
    if grid.SHORT_CYCLE and not (crops and are_factors(crops)):
        yield f"MULTIGRID.SHORT_CYCLE_FACTORS: {crops} must be numbers above 0, up to 1"
    elif grid.LONG_CYCLE and not (pairs and all(map(_is_factor_pair, pairs))):
        yield (
            f"MULTIGRID.LONG_CYCLE_FACTORS: {pairs} must be pairs [frames, crop] of numbers above "
            "0, up to 1"
        )
    else:
        stride = slow_stride(len(data.INPUT_CHANNEL_NUM), alpha)
        yield from _crop_mistakes(data.TRAIN_CROP_SIZE, [*crops, *(pair[1] for pair in pairs)])
        yield from _frame_mistakes(data.NUM_FRAMES, stride, [pair[0] for pair in pairs])


def _crop_mistakes(full: int, factors: list[float]) -> Iterator[str]:
    crops = {round(factor * full) for factor in factors}
    if min(crops, default=MODEL_STRIDE) < MODEL_STRIDE:
        yield (
            f"MULTIGRID: its cycles make crops of {sorted(crops)} from DATA.TRAIN_CROP_SIZE "
            f"{full}; all must be at least {MODEL_STRIDE}, the models' stride"
        )


def _frame_mistakes(full: int, stride: int, factors: list[float]) -> Iterator[str]:
    frames = {round(factor * full) for factor in factors}
    if any(number < 1 or number % stride for number in frames):
        yield (
            f"MULTIGRID.LONG_CYCLE_FACTORS: makes clips of {sorted(frames)} frames from "
            f"DATA.NUM_FRAMES {full}; all must be multiples of {stride}"
        )


def _is_factor_pair(values: Any) -> bool:
    return isinstance(values, list | tuple) and len(values) == 2 and are_factors(values)


@register_rule("SHARD_ID", "NUM_SHARDS")
def check_shard(number: int, count: int) -> Iterator[str]:
    """Check that machines are counted from 0."""
    if number >= count:
        yield f"SHARD_ID: {number} must be below NUM_SHARDS {count}"


@register_rule("TRAIN", "TEST", "NUM_GPUS")
def check_batches(train: ConfigNode, test: ConfigNode, num_gpus: int) -> Iterator[str]:
    """Check that batches are shared evenly."""
    num_local = num_processes(num_gpus)
    for name, section in (("TRAIN", train), ("TEST", test)):
        if section.ENABLE and section.BATCH_SIZE % num_local:
            yield (
                f"{name}.BATCH_SIZE: {section.BATCH_SIZE} must be a multiple of {num_local}, the "
                "number of processes on a machine (NUM_GPUS)"
            )


@register_rule("BN", "TRAIN", "NUM_GPUS", "NUM_SHARDS")
def check_shared_statistics(
    norm: ConfigNode, train: ConfigNode, num_gpus: int, num_shards: int
) -> Iterator[str]:
    """Check that batch norms split or join batches evenly."""
    if not train.ENABLE:
        return
    num_local = num_processes(num_gpus)
    per_process = train.BATCH_SIZE // num_local
    if norm.NORM_TYPE == "sub_batchnorm" and per_process % norm.NUM_SPLITS:
        yield (
            f"BN.NUM_SPLITS: {norm.NUM_SPLITS} must divide the {per_process} clips of a process "
            f"(TRAIN.BATCH_SIZE {train.BATCH_SIZE} over {num_local})"
        )
    num_synced, num_total = norm.NUM_SYNC_DEVICES, num_local * num_shards
    if norm.NORM_TYPE == "sync_batchnorm" and not norm.GLOBAL_SYNC and num_synced < num_total:
        if num_synced < 2 or num_total % num_synced:
            yield (
                f"BN.NUM_SYNC_DEVICES: {num_synced} must be at least 2 and divide the "
                f"{num_total} processes; BN.GLOBAL_SYNC True takes all of them"
            )


@register_rule("DDP.STATIC_GRAPH", "TRAIN", "ADAPTIVE.ENABLE", "DETECTION.ENABLE")
def check_static_graph(
    is_static: bool, train: ConfigNode, is_adaptive: bool, has_boxes: bool
) -> Iterator[str]:
    """Check that the steps of a run are alike where that is promised."""
    mistakes = {
        "ADAPTIVE.ENABLE: True must be False": is_adaptive,
        "DETECTION.ENABLE: True must be False": has_boxes,
        f"TRAIN.ACCUMULATION_STEPS: {train.ACCUMULATION_STEPS} must be 1": (
            train.ACCUMULATION_STEPS > 1
        ),
        f"TRAIN.GLOBAL_BATCH_SIZE: {train.GLOBAL_BATCH_SIZE} must be 0": train.GLOBAL_BATCH_SIZE
        > 0,
    }
    for mistake, is_made in mistakes.items():
        if is_static and is_made:
            yield f"{mistake} with DDP.STATIC_GRAPH True: its passes are not all alike"


@register_rule("TRAIN")
def check_compilation(train: ConfigNode) -> Iterator[str]:
    """Check that a way to compile is asked for only where anything is compiled."""
    if train.COMPILE_MODE != "default" and not train.COMPILE:
        yield f"TRAIN.COMPILE_MODE: {train.COMPILE_MODE!r} has no effect with TRAIN.COMPILE False"


@register_rule("TRAIN", "SOLVER.MAX_EPOCH", "MULTIGRID")
def check_patience(train: ConfigNode, max_epoch: int, grid: ConfigNode) -> Iterator[str]:
    """Check that a run can end early where that is asked for: it must be judged before its end."""
    if not train.PATIENCE or not train.ENABLE:
        return
    factor = grid.EPOCH_FACTOR if grid.LONG_CYCLE or grid.SHORT_CYCLE else 1
    num_epochs = int(max_epoch * factor)
    if not grid.LONG_CYCLE and train.EVAL_PERIOD >= num_epochs:
        yield (
            f"TRAIN.PATIENCE: {train.PATIENCE} has no effect with TRAIN.EVAL_PERIOD "
            f"{train.EVAL_PERIOD}: of {num_epochs} epochs only the last is validated"
        )
    elif train.PATIENCE >= num_epochs:
        yield f"TRAIN.PATIENCE: {train.PATIENCE} has no effect on a run of {num_epochs} epochs"


@register_rule("TENSORBOARD", "DETECTION.ENABLE", "DATA.MULTI_LABEL", "MODEL.NUM_CLASSES")
def check_pictures(
    board: ConfigNode, has_boxes: bool, is_multi_label: bool, num_classes: int | list[int]
) -> Iterator[str]:
    """Check that pictures are asked for where there is a place for them, and something to show."""
    sections = ("CONFUSION_MATRIX", "HISTOGRAM", "MODEL_VIS", "WRONG_PRED_VIS")
    reasons = {
        "DETECTION.ENABLE True": has_boxes,
        "DATA.MULTI_LABEL True": is_multi_label,
        "several targets in MODEL.NUM_CLASSES": not isinstance(num_classes, int),
    }
    for key in (f"TENSORBOARD.{name}.ENABLE" for name in sections if board[name].ENABLE):
        if not board.ENABLE:
            yield f"{key}: True needs TENSORBOARD.ENABLE True"
        for reason in (reason for reason, is_so in reasons.items() if is_so):
            yield f"{key}: True must be False with {reason}: it shows videos of one class"
    yield from _layer_mistakes(board.MODEL_VIS)


def _layer_mistakes(vis: ConfigNode) -> Iterator[str]:
    """Words of the lists of layers that cannot be read."""
    lists = {"": vis.LAYER_LIST, "GRAD_CAM.": vis.GRAD_CAM.LAYER_LIST}
    for section, words in lists.items():
        key = f"TENSORBOARD.MODEL_VIS.{section}LAYER_LIST"
        for word in words:
            try:
                maps = parse_layer_maps(str(word))
            except ValueError as error:
                yield f"{key}: {error}"
            else:
                if section and maps.channels:
                    yield f"{key}: {word!r}: a layer is taken whole here; leave the channels out"
