"""Trains one model: epochs, validation, checkpoints."""

import logging
from functools import partial
from pathlib import Path

from tabulate import tabulate

from slowfast.checkpoint import files
from slowfast.config.node import ConfigNode
from slowfast.datasets.reading import StoppedWaiting
from slowfast.engine.epoch import recalibrate, train_epoch, validate
from slowfast.engine.run import Run, build_run
from slowfast.engine.state import TrainState, save_epoch
from slowfast.runtime.stop import Interrupted, agreed
from slowfast.utils import distributed
from slowfast.utils.io import write_csv

logger = logging.getLogger(__name__)


def train(cfg: ConfigNode) -> TrainState:
    """Train all epochs, going on from the last checkpoint of OUTPUT_DIR, if any.

    A signal to stop ends the step under way, saves everything and raises Interrupted.
    """
    run = build_run(cfg)
    state, num_epochs = run.state, len(run.steps)
    if state.epoch >= num_epochs:
        logger.info("nothing to train: %d of %d epochs are done", state.epoch, num_epochs)
    with run.log, run.stop:
        for epoch in range(state.epoch, num_epochs):
            if has_lost_patience(run):
                break
            try:
                summary = train_epoch(run, epoch)
            except StoppedWaiting as error:
                # The others may be waiting for this process in the step: nothing to agree on.
                logger.error("no batch came after the request to stop: %s", error)
                if run.train_step.settle():
                    _save(run)
                raise Interrupted(run.stop.exit_code) from error
            recalibrate(run, epoch)
            summary |= validate(run, epoch)
            finish(run, summary)
        run.writer.wait()
        if agreed(run.stop, run.device):  # since the last epoch was saved
            raise Interrupted(run.stop.exit_code)
    rows = [row for row in state.history if any(key.startswith("val_") for key in row)]
    logger.info("epochs with validation:\n%s", tabulate(rows, headers="keys", floatfmt=".4g"))
    return state


def has_lost_patience(run: Run) -> bool:
    """Whether the best epoch lies too far back to go on; the main process decides for all.

    The best epoch is in the checkpoint, so a run that was stopped and goes on counts as before.
    """
    if not run.patience:
        return False
    is_over = distributed.from_main(_num_vain(run) >= run.patience)
    if is_over:
        best = run.state.best
        logger.info(
            "stopped after epoch %d of %d: %s has not improved since epoch %d (TRAIN.PATIENCE %d)",
            *(run.state.epoch, len(run.steps), run.evaluator.metric),
            *(best.get("epoch", 0), run.patience),
        )
    return is_over


def _num_vain(run: Run) -> int:
    """Epochs since the best one, of an epoch that was validated; 0 of others, and without any."""
    epoch, best = run.state.epoch, run.state.best
    return epoch - best["epoch"] if best and epoch - 1 in run.schedule.validated else 0


def finish(run: Run, summary: dict) -> None:
    """Count the epoch under way as done and write what is due.

    After a stop request it stays unfinished: the state is saved, and Interrupted ends the run.
    """
    if agreed(run.stop, run.device):
        _save_and_raise(run)
    run.state.finish_epoch(summary)
    # Before anything is saved: resuming gives the model the batch norm of the epoch to come, and
    # then loads the statistics of its parts.
    run.norms.to_epoch(run.state.epoch)
    if distributed.is_main_process():
        _write(run)
    distributed.barrier()


def _write(run: Run) -> None:
    """Write the checkpoints that are due, and the lists of a run."""
    state, output_dir = run.state, run.output_dir
    epoch = state.epoch - 1
    is_best = epoch in run.schedule.validated and state.best.get("epoch") == state.epoch
    write = None
    is_last = 0 < run.patience <= _num_vain(run)
    if epoch in run.schedule.saved or is_last:
        write = partial(save_epoch, output_dir=output_dir, keep=run.num_kept, is_best=is_best)
    elif is_best:
        write = partial(files.save, files.best_path(output_dir))
    if write is not None:
        run.writer.submit(state.state_dict(run.cfg_text), write)
        run.clock.restart()
    run.unreadable.write(output_dir, "train")
    write_history(state.history, output_dir)


def write_history(history: list[dict], output_dir: Path) -> None:
    """Write the table of all epochs as csv."""
    header = list(dict.fromkeys(key for row in history for key in row))
    write_csv(
        output_dir / "history.csv",
        header,
        [[row.get(key, "") for key in header] for row in history],
    )


def _save_and_raise(run: Run) -> None:
    _save(run)
    distributed.barrier()
    raise Interrupted(run.stop.exit_code)


def _save(run: Run) -> None:
    state = run.state
    if distributed.is_main_process():
        path = files.interrupted_path(run.output_dir)
        run.writer.wait()
        files.save(path, state.state_dict(run.cfg_text))
        logger.warning(
            "stopped in epoch %d after %d steps, saved %s; the same command goes on from here",
            state.epoch + 1,
            state.step,
            path,
        )
