"""A run as its config says: what tools/run_net.py, `slowfast.train` and `slowfast.test` all do."""

import logging
import os
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

from slowfast.config.cli import save_run_config
from slowfast.config.environment import write_environment
from slowfast.config.node import ConfigNode
from slowfast.datasets.build import build_dataset
from slowfast.engine.test import test
from slowfast.engine.train import train
from slowfast.models.complexity import build_complexity
from slowfast.runtime.launch import launch
from slowfast.runtime.lock import only_run_in
from slowfast.runtime.memory import build_needs, warn_if_short
from slowfast.utils.logging import setup_logging
from slowfast.zoo.names import local_file

logger = logging.getLogger(__name__)


def run_config(cfg: ConfigNode, command: Sequence[str], *, init_method: str = "") -> None:
    """Train and test as the config says, after what can be wrong has been looked at.

    command: words that are noted in OUTPUT_DIR; init_method: where the processes of several
    machines meet (see `launch`). OUTPUT_DIR is locked meanwhile, and gets the log, config.yaml,
    environment.json, checkpoints, results and the report.
    """
    is_main = os.environ.get("RANK", "0") == "0" and cfg.SHARD_ID == 0
    kind = "train" if cfg.TRAIN.ENABLE else "test"
    with only_run_in(cfg.OUTPUT_DIR, kind) if is_main else nullcontext():
        _prepare(cfg, command, is_main=is_main)
        runs = [train] * cfg.TRAIN.ENABLE + [test] * cfg.TEST.ENABLE
        launch(runs, cfg, init_method)
    if is_main:
        _conclude(cfg)


def _prepare(cfg: ConfigNode, command: Sequence[str], *, is_main: bool) -> None:
    """Begin the log, write down how the run is made, and look at what can be wrong."""
    setup_logging(cfg.OUTPUT_DIR, is_main=is_main)
    if is_main:
        save_run_config(cfg, command)
        write_environment(cfg.OUTPUT_DIR)
        if cfg.LOG_MODEL_INFO:
            warn_if_short(build_needs(cfg, _log_size(cfg)), cfg.OUTPUT_DIR)
    if cfg.TRAIN.ENABLE and cfg.TEST.BUDGET:
        raise ValueError(
            f"TEST.BUDGET: {cfg.TEST.BUDGET!r} is chosen from a table of trained weights; it "
            "needs TRAIN.ENABLE False"
        )
    if is_main:
        _warn_of_other_weights(cfg)
    is_alone = "RANK" not in os.environ and cfg.NUM_SHARDS * max(cfg.NUM_GPUS, 1) == 1
    if cfg.TRAIN.ENABLE and cfg.TEST.ENABLE and is_alone:
        build_dataset(cfg, "test")  # a mistake in its list shows before days of training


def _conclude(cfg: ConfigNode) -> None:
    """Write the pictures of TENSORBOARD and the report, which a tracker gets, too."""
    if cfg.TENSORBOARD.ENABLE:
        from slowfast.analysis.why.board import visualise

        visualise(cfg)
    if cfg.TEST.ENABLE and cfg.TEST.REPORT:
        from slowfast.analysis.report.build import write_report_after_test

        page = write_report_after_test(cfg.OUTPUT_DIR)
        if page is not None and cfg.TRACKER:
            _track_report(cfg, page)


def _track_report(cfg: ConfigNode, page: Path) -> None:
    from slowfast.runtime.tracking.tracker import build_tracker

    if (tracker := build_tracker(cfg)) is not None:
        tracker.file(page)
        tracker.close()


def _warn_of_other_weights(cfg: ConfigNode) -> None:
    """Warn where the test after a training is of other weights; ValueError if there are none."""
    path, output_dir = cfg.TEST.CHECKPOINT_FILE_PATH, Path(cfg.OUTPUT_DIR).resolve()
    is_other = path and output_dir not in Path(path).resolve().parents
    if cfg.TRAIN.ENABLE and cfg.TEST.ENABLE and is_other:
        _check_run(Path(path))
        logger.warning(
            "TRAIN.ENABLE True: trains first; the test after it is of TEST.CHECKPOINT_FILE_PATH "
            "%s, not of what was trained. TRAIN.ENABLE False only tests",
            path,
        )
        if not local_file(path).is_file():
            raise ValueError(
                f'TEST.CHECKPOINT_FILE_PATH: there is no file {path}; "" tests what is trained'
            )


def _check_run(path: Path) -> None:
    """ValueError for a checkpoint of a run on own videos, whose YAML was taken for another run."""
    if path.parent.name == "checkpoints" and (path.parent.parent / "own.yaml").is_file():
        raise ValueError(
            f"TEST.CHECKPOINT_FILE_PATH: {path} is of another run, which is not what is trained "
            'here; TEST.CHECKPOINT_FILE_PATH "" tests what is trained'
        )


def _log_size(cfg: ConfigNode) -> int:
    """Number of parameters; the log has it beside the multiply-adds."""
    size = build_complexity(cfg)
    logger.info(
        "%s: %.3f M parameters; GMACs per clip: %.3f training crop, %.3f test crop",
        cfg.MODEL.MODEL_NAME,
        size.params / 1e6,
        size.macs_train / 1e9,
        size.macs_test / 1e9,
    )
    return size.params
