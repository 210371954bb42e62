"""Going on with a run: which checkpoint, what may have changed since, at which sample."""

import logging
import socket
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from slowfast.checkpoint import files
from slowfast.checkpoint.classes import ClassList, match_classes
from slowfast.checkpoint.files import CheckpointError, read_config
from slowfast.config.derived import NETWORK_KEYS, is_in, plain
from slowfast.datasets.loader import ShardedBatchSampler
from slowfast.engine.schedule import log_schedule, repeated, steps_of_epochs
from slowfast.engine.state import TrainState
from slowfast.solver.multigrid import Schedule
from slowfast.utils import distributed

logger = logging.getLogger(__name__)

# The contract of docs/train.md: keys, or whole sections, that change nothing in what is learned.
FREE = (
    *("IMPORTS", "USER", "TEST", "TENSORBOARD", "DATA_LOADER", "OUTPUT_DIR"),
    *("TRACKER", "TRACKER_PROJECT"),
    *("TRAIN.COMPILE_SECONDS", "DDP.BUCKET_VIEW", "DDP.STATIC_GRAPH", "MEMORY_FORMAT"),
    *("LOG_PERIOD", "LOG_MODEL_INFO", "NUM_GPUS", "NUM_SHARDS", "SHARD_ID", "DIST_BACKEND"),
    *("TRAIN.ENABLE", "TRAIN.AUTO_RESUME", "TRAIN.EVAL_PERIOD", "TRAIN.KEEP_CHECKPOINTS"),
    "TRAIN.PATIENCE",
    *("TRAIN.CHECKPOINT_PERIOD", "TRAIN.CHECKPOINT_MINUTES", "TRAIN.CHECKPOINT_FILE_PATH"),
    *("TRAIN.CHECKPOINT_CLEAR_NAME_PATTERN", "TRAIN.CHECKPOINT_MIN_COVERAGE"),
    *(
        "DATA.MATCH_CLASSES",
        "DATA.PATH_TO_DATA_DIR",
        "DATA.PATH_PREFIX",
        "DATA.INDEX_FILE",
        "DATA.CACHE_DIR",
        "DATA.CACHE_GB",
        "DATA.MAX_UNREADABLE_SHARE",
    ),
    *("AVA.FRAME_DIR", "AVA.FRAME_LIST_DIR", "AVA.ANNOTATION_DIR", "AVA.VIDEO_DIR"),
)
# What makes another network, task or optimizer of it.
REFUSED = (
    *("TASK", "MODEL.NUM_CLASSES", "DETECTION", "ADAPTIVE.ENABLE", *NETWORK_KEYS),
    *("DATA.INPUT_CHANNEL_NUM", "DATA.MODALITY", "DATA.MULTI_LABEL", "TRAIN.DATASET"),
    "SOLVER.OPTIMIZING_METHOD",
)
# What orders the clips of an epoch, and may change between two epochs only.
REFUSED_IN_EPOCH = ("RNG_SEED", "MULTIGRID", "DATA.SAMPLER")
# Keys in which the machines of one run may differ.
_OWN = ("OUTPUT_DIR", "SHARD_ID", "NUM_GPUS", "DATA.PATH_TO_DATA_DIR", "DATA.PATH_PREFIX")
_OWN += ("DATA.INDEX_FILE", "DATA.CACHE_DIR", "DATA.CACHE_GB", "DATA_LOADER")
_OWN += ("AVA.FRAME_DIR", "AVA.VIDEO_DIR")

_KINDS = {
    **dict.fromkeys(("epoch", "step"), int),
    "lr": int | float,
    "history": list,
    "sums": dict | list,
    **dict.fromkeys(("model_state", "sub_bn_state", "optimizer_state", "scaler_state"), dict),
    "best": dict,
}


class Change(NamedTuple):
    """A key that the config of a checkpoint has with another value."""

    key: str
    old: Any
    new: Any

    def __str__(self) -> str:
        return f"{self.key} {self.old!r} -> {self.new!r}"


def find_changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[Change]:
    """Keys that both have, with other values, but those that change nothing."""
    return [
        Change(key, old[key], value)
        for key, value in new.items()
        if key in old and plain(old[key]) != plain(value) and not is_in(key, FREE)
    ]


def check_changes(changes: Sequence[Change], path: Path, *, in_epoch: bool) -> None:
    """Log what takes effect from here on; ValueError for what would make another run of it."""
    never = [change for change in changes if is_in(change.key, REFUSED)]
    later = [change for change in changes if in_epoch and is_in(change.key, REFUSED_IN_EPOCH)]
    if never or later:
        when = "" if never else " in the middle of an epoch"
        raise ValueError(
            "\n".join(f"{c.key}: {c.new!r}, but {path} has {c.old!r}" for c in never or later)
            + f"\na run cannot go on with this changed{when}: set it back, choose another "
            "OUTPUT_DIR, or set TRAIN.AUTO_RESUME False to start anew"
        )
    if changes:
        logger.warning(
            "the run goes on with other settings than before: %s", "; ".join(map(str, changes))
        )


def check_content(content: dict, path: Path) -> None:
    """CheckpointError, naming the file, unless this program wrote this checkpoint of a run."""
    if "step" not in content:
        raise CheckpointError(
            f"{path} was not written by this program, so this run cannot go on from it; "
            "to start from its weights set TRAIN.CHECKPOINT_FILE_PATH to it and choose an "
            "empty OUTPUT_DIR"
        )
    odd = [
        f"{name} is {type(content[name]).__name__}" if name in content else f"{name} is missing"
        for name, kind in _KINDS.items()
        if not isinstance(content.get(name), kind)
    ]
    if not odd and (content["epoch"] < -1 or content["step"] < 0):
        odd = [f"epoch {content['epoch']}, step {content['step']}"]
    if not odd and not all(isinstance(row, dict) for row in content["history"]):
        odd = ["history is no list of rows"]
    if odd:
        raise CheckpointError(
            f"{path}: is no checkpoint that a run can go on from: {', '.join(odd)}; to start from "
            "its weights set TRAIN.CHECKPOINT_FILE_PATH to it and choose an empty OUTPUT_DIR"
        )
    names = ("model_state", "sub_bn_state", "ema_state", "optimizer_state")
    files.check_finite({name: content.get(name) for name in names}, path)


def find_checkpoint(output_dir: Path) -> tuple[dict, Path] | None:
    """Content and path of the furthest checkpoint of a run that is whole; None where is none.

    Damaged ones are named. CheckpointError where all are.
    """
    mistakes: list[CheckpointError] = []

    def read(path: Path) -> tuple[dict, Path] | None:
        try:
            content = files.load(path)
            check_content(content, path)
        except CheckpointError as error:
            mistakes.append(error)
            return None
        return content, path

    interrupted = files.interrupted_path(output_dir)
    found = [read(interrupted)] if interrupted.exists() else []
    for path in reversed(files.epoch_checkpoints(output_dir)):
        found.append(read(path))
        if found[-1] is not None:
            break
    whole = [each for each in found if each is not None]
    if mistakes and not whole:
        raise CheckpointError(
            f"{mistakes[0]}. No other checkpoint of this run is whole; TRAIN.AUTO_RESUME False "
            "starts anew"
        )
    # An interrupted epoch comes after the finished one of the same number.
    best = max(whole, key=lambda each: (each[0]["epoch"], each[1] == interrupted), default=None)
    for error in mistakes:
        logger.warning("%s; going on from %s", error, best[1])
    return best


def find_for_all(output_dir: Path) -> tuple[dict, Path] | None:
    """The checkpoint that the main process finds, in all processes.

    Those whose OUTPUT_DIR has the same file read it; to a machine without it, it is sent.
    """
    content, decision = None, {}
    if distributed.is_main_process():
        try:
            content, path = find_checkpoint(output_dir) or (None, None)
            decision = {"path": path, "digest": files.fingerprint(path) if path else ""}
        except CheckpointError as error:
            decision = {"error": str(error)}
    decision = distributed.from_main(decision)
    if "error" in decision:
        raise CheckpointError(decision["error"])
    path = decision["path"]
    if path is None:
        return None
    if content is None and files.fingerprint(path) == decision["digest"] != "":
        content = files.load(path)
    if not all(distributed.gather_objects(content is not None)):
        logger.info("%s is not on all machines: it is sent to them", path)
        content = distributed.from_main(content)
    return content, path


def resume(
    state: TrainState,
    output_dir: Path,
    prepare: Callable[[int], None],
    *,
    settings: Mapping[str, Any],
    classes: ClassList | None = None,
) -> bool:
    """Go on from the furthest checkpoint of this run; False when there is none.

    `prepare(epoch)` is called before loading, with the number of finished epochs. settings: values
    of the config by key. classes: of the data, None: not compared. ValueError names what differs
    from the run that wrote the checkpoint.
    """
    found = find_for_all(output_dir)
    if found is None:
        return False
    content, path = found
    old = {"ADAPTIVE.ENABLE": False} | read_config(content.get("cfg"))
    in_epoch = content["step"] > 0 or content.get("skipped", 0) > 0
    check_changes(find_changes(old, settings), path, in_epoch=in_epoch)
    _check_classes(content, path, classes)
    digest = state.list_digest
    prepare(content["epoch"] + 1)
    state.load_state_dict(content, path)
    if state.list_digest not in ("", digest):
        _check_list(path, in_epoch=in_epoch)
    state.list_digest = digest
    logger.info("resumed from %s: %d epochs and %d steps done", path, state.epoch, state.step)
    return True


def _check_classes(content: dict, path: Path, classes: ClassList | None) -> None:
    """ValueError unless the classes of the checkpoint are those of the data, in their order."""
    names = content.get("class_names")
    if classes is None or not names:
        return
    match = match_classes(names, classes)
    if match.order is None or match.num_moved:
        how = f"{match.num_moved} of {len(names)} have another number now"
        if match.order is None:
            how = match.differences()
        raise ValueError(
            f"{path}: this run was begun with other classes than the data has now, and cannot go "
            f"on with these: {how}. Put the old list of classes back, choose another OUTPUT_DIR "
            "(with TRAIN.CHECKPOINT_FILE_PATH to start from these weights), or set "
            "DATA.MATCH_CLASSES False to go by the numbers of the classes"
        )


def _check_list(path: Path, *, in_epoch: bool) -> None:
    if not in_epoch:
        logger.warning("the training list has changed since %s", path)
        return
    raise ValueError(
        f"DATA.PATH_TO_DATA_DIR: the training list is another one than that of {path}, which was "
        "written in the middle of an epoch: some clips would be seen twice or never. Set the list "
        "back until the epoch is done, or set TRAIN.AUTO_RESUME False to start anew"
    )


def plan_steps(
    state: TrainState, schedule: Schedule, sampler: ShardedBatchSampler, *, accumulation: int
) -> list[int]:
    """Steps of every epoch; the epoch under way goes on at its next clip.

    That is so with steps of another size, too: then its steps are what is left of it.
    """
    steps = steps_of_epochs(schedule, sampler, accumulation)
    log_schedule(schedule, steps)
    if state.epoch >= len(steps) or not (state.step or state.skipped):
        return steps
    shapes = schedule.phase(state.epoch).shapes
    sizes = step_sizes(shapes, sampler, accumulation)
    if not state.step_sizes:  # of a checkpoint without: as it was written before
        state.step_sizes, state.num_steps = sizes, steps[state.epoch]
    if sizes != state.step_sizes and state.step < state.num_steps:
        logger.warning(
            "epoch %d goes on after %d of its %d clips with steps of %s clips, not %s",
            state.epoch + 1,
            state.samples,
            sampler.num_samples,
            "/".join(map(str, sizes)),
            "/".join(map(str, state.step_sizes)),
        )
        state.skipped, state.progress, state.step = state.samples, state.share_done, 0
        rest = sampler.num_batches(repeated(shapes, accumulation), state.skipped)
        state.step_sizes, state.num_steps = sizes, rest // accumulation
    steps[state.epoch] = state.num_steps
    return steps


def step_sizes(shapes: Sequence, sampler: ShardedBatchSampler, accumulation: int) -> list[int]:
    """Clips of a step over all processes, for each of the shapes."""
    return [shape.num_clips * sampler.world_size * accumulation for shape in shapes]


def check_agreement(state: TrainState, settings: Mapping[str, Any]) -> None:
    """ValueError, the same in all processes, unless all are about to train the same run."""
    if not distributed.is_distributed():
        return
    values = {
        "finished epochs": state.epoch,
        "steps done": state.step,
        "clips done": state.samples,
        "training list": state.list_digest,
        **{key: value for key, value in settings.items() if not is_in(key, _OWN)},
    }
    rows = distributed.gather_objects((socket.gethostname(), values))
    machine, first = rows[0]
    for rank, (other, row) in enumerate(rows):
        for key in first.keys() | row.keys():
            if first.get(key) != row.get(key):
                raise ValueError(
                    f"the processes would train different runs: {key} is {first.get(key)!r} in "
                    f"rank 0 on {machine}, {row.get(key)!r} in rank {rank} on {other}; start all "
                    "machines with the same files and settings"
                )
