"""Going on with a test that was interrupted: whose scores are in OUTPUT_DIR, and what is left."""

import hashlib
import json
import logging
import secrets
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from slowfast.adaptive.budget import TableRow
from slowfast.adaptive.calibration_file import file_hash
from slowfast.config.derived import is_in
from slowfast.config.node import ConfigNode, flatten
from slowfast.datasets.clip_dataset import ClipDataset
from slowfast.datasets.loader import ShardedBatchSampler
from slowfast.datasets.packed_records import digest
from slowfast.evaluation.evaluator import Evaluator
from slowfast.evaluation.score_shards import ShardedEvaluator, find_done, find_shards
from slowfast.utils import distributed
from slowfast.utils.io import json_text, read_json, write_json

logger = logging.getLogger(__name__)

# Keys, or whole sections, that change nothing in the scores of a video.
_FREE = (
    *("OUTPUT_DIR", "NUM_GPUS", "NUM_SHARDS", "SHARD_ID", "DIST_BACKEND", "DIST_TIMEOUT_MINUTES"),
    *("LOG_PERIOD", "LOG_MODEL_INFO", "TENSORBOARD", "DATA_LOADER", "SOLVER"),
    *("TRACKER", "TRACKER_PROJECT"),
    *("TEST.BATCH_SIZE", "TEST.CHECKPOINT_FILE_PATH", "TEST.SAVE_RESULTS_PATH", "TEST.ENABLE"),
    *("TEST.BUDGET", "TEST.BUDGET_TABLE", "DATA.READ_TIMEOUT", "DATA.MAX_UNREADABLE_SHARE"),
    *("TRAIN.ENABLE", "TRAIN.AUTO_RESUME", "TRAIN.CHECKPOINT_FILE_PATH", "TRAIN.BATCH_SIZE"),
    *("DDP", "TRAIN.COMPILE", "TRAIN.COMPILE_MODE", "TRAIN.COMPILE_SECONDS"),
)
_ABOUT = "about.json"
_NUM_NAMED = 5  # differences in a line of the log


class Plan(NamedTuple):
    """Decision of the main process.

    token: begins the names of this run's files. is_done: bits, packed, of the records whose scores
    are there; None: there are none.
    """

    token: str
    is_done: np.ndarray | None


def shards_folder(output_dir: Path) -> Path:
    """Folder of the scores of a test that has not ended."""
    return output_dir / "test_shards"


def remove_shards(output_dir: Path) -> None:
    """Remove the scores of a test that has ended."""
    shutil.rmtree(shards_folder(output_dir), ignore_errors=True)


def keep_on_disk(
    evaluator: Evaluator,
    output_dir: Path,
    identity: Mapping[str, Any],
    sampler: ShardedBatchSampler,
) -> Evaluator:
    """The evaluator, with its scores in OUTPUT_DIR; what an interrupted test has is left out.

    identity: all that the scores depend on; where it is another one the test begins anew. Every
    process must call this together. Where OUTPUT_DIR is not shared by all, or cannot be written,
    scores stay in memory.
    """
    if evaluator.row_keys is None:  # of another package
        return evaluator
    folder, plan = shards_folder(output_dir), None
    if distributed.is_main_process():
        plan = _begin(folder, json.loads(json_text(identity)), sampler.num_samples)
    plan = distributed.from_main(plan)
    if plan is None:
        return evaluator
    if not all(distributed.gather_objects((folder / plan.token).exists())):
        logger.warning(
            "OUTPUT_DIR: %s is not shared by all machines: an interrupted test cannot go on",
            output_dir,
        )
        if distributed.is_main_process():
            remove_shards(output_dir)
        return evaluator
    if plan.is_done is not None:
        sampler.leave_out(np.unpackbits(plan.is_done, count=sampler.num_samples).astype(bool))
    name = f"{plan.token}-{distributed.rank()}"
    earlier = [shard for shard in find_shards(folder) if not shard.path.name.startswith(name)]
    return ShardedEvaluator(evaluator, folder, name, earlier)


def _begin(folder: Path, identity: dict[str, Any], num_records: int) -> Plan | None:
    """Look at what is there, and remove the scores of another test; None: cannot be written."""
    token, is_done = secrets.token_hex(4), None
    try:
        if folder.is_dir() and (changes := _changes(folder / _ABOUT, identity)):
            logger.warning("the interrupted test had other settings, it is begun anew: %s", changes)
            shutil.rmtree(folder)
        is_new = not folder.is_dir()
        folder.mkdir(parents=True, exist_ok=True)
        (folder / token).touch()
        if is_new:
            write_json(folder / _ABOUT, identity)
        elif shards := find_shards(folder):
            done = find_done(shards, num_records)
            logger.info("the test goes on: %d of %d videos have scores", done.sum(), len(done))
            is_done = np.packbits(done)
    except OSError as error:
        logger.warning("the scores of an interrupted test will be lost: %s", error)
        return None
    return Plan(token, is_done)


def _changes(path: Path, new: Mapping[str, Any]) -> str:
    """Say what differs from the test that wrote the file; "" if nothing does."""
    try:
        old = dict(read_json(path))
    except (OSError, ValueError, TypeError) as error:
        return f"{path} cannot be read ({error})"
    found = [
        f"{key} {old.get(key)!r} -> {value!r}"
        for key, value in new.items()
        if old.get(key) != value
    ]
    found += [f"{key} is gone" for key in sorted(old.keys() - new.keys())]
    rest = len(found) - _NUM_NAMED
    return "; ".join(found[:_NUM_NAMED]) + (f" and {rest} more" if rest > 0 else "")


def build_identity(
    cfg: ConfigNode, dataset: ClipDataset, checkpoint: Path, row: TableRow | None
) -> dict[str, Any]:
    """All that the scores of a test depend on; row: what TEST.BUDGET chose."""
    settings = dict(flatten(cfg))
    return {
        "checkpoint": file_hash(checkpoint),
        "list": digest(dataset.records),
        "classes": hashlib.sha256(repr(dataset.class_names).encode()).hexdigest(),
        "configuration": str(row and row.point),
        **{key: value for key, value in settings.items() if not is_in(key, _FREE)},
    }
