"""Trains one model: epochs, validation, checkpoints."""

import contextlib
import logging
import math
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from tabulate import tabulate
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader
from tqdm import tqdm

from slowfast.checkpoint import files
from slowfast.checkpoint.initialize import initialize_from
from slowfast.config.node import ConfigNode
from slowfast.datasets.build import build_loader
from slowfast.engine.freeze import freeze, set_training
from slowfast.engine.meters import TrainMeter
from slowfast.engine.schedule import NormSchedule, log_schedule, repeated, steps_of_epochs
from slowfast.engine.state import TrainState, resume, save_epoch, save_interrupted
from slowfast.engine.step import TrainStep, build_train_step
from slowfast.evaluation.evaluator import Evaluator
from slowfast.models import build_model
from slowfast.models.slimmable import make_slimmable
from slowfast.runtime.device import build_autocast, build_device, build_scaler, place_model
from slowfast.runtime.run_log import RunLog, build_run_log
from slowfast.runtime.stop import Interrupted, StopRequest, agreed
from slowfast.runtime.unreadable import UnreadableVideos, names_of
from slowfast.solver.ema import ModelEma
from slowfast.solver.multigrid import build_schedule
from slowfast.solver.optimizer import build_optimizer
from slowfast.solver.precise_bn import update_bn_stats
from slowfast.tasks import Task, build_evaluator, build_task
from slowfast.tasks.evaluate import EvaluationLoop
from slowfast.utils import distributed
from slowfast.utils.batch_shape import BatchShape
from slowfast.utils.io import write_csv
from slowfast.utils.seeding import derive_seed

logger = logging.getLogger(__name__)


def train(cfg: ConfigNode) -> TrainState:
    """Train all epochs, going on from the last checkpoint of OUTPUT_DIR, if any.

    The state always has the kind of batch norm of the epoch that is under way or comes next. A
    signal to stop ends the step under way, saves everything and raises Interrupted.
    """
    output_dir, schedule = Path(cfg.OUTPUT_DIR), build_schedule(cfg)
    device = build_device(cfg)
    train_loader, val_loader = build_loader(cfg, "train"), build_loader(cfg, "val")
    task, log = build_task(cfg), build_run_log(cfg)
    evaluator = build_evaluator(cfg, val_loader.dataset)
    state, frozen = build_state(cfg, device)
    state.class_names = train_loader.dataset.class_names
    phases = (*schedule.phases, schedule.default)
    switch_norm = NormSchedule(state, [phase.norm for phase in phases])
    switch_norm(schedule.phase(0).norm)
    is_resumed = cfg.TRAIN.AUTO_RESUME and resume(
        state,
        output_dir,
        lambda epoch: switch_norm(schedule.phase(epoch).norm),
        is_adaptive=cfg.ADAPTIVE.ENABLE,
    )
    if not cfg.TRAIN.AUTO_RESUME and distributed.is_main_process():
        aside = files.set_aside(output_dir)
        if aside:
            logger.warning("TRAIN.AUTO_RESUME is False: the checkpoints found are now in %s", aside)
    if not is_resumed and cfg.TRAIN.CHECKPOINT_FILE_PATH:
        initialize_from(
            state.model,
            cfg.TRAIN.CHECKPOINT_FILE_PATH,
            clear_name_patterns=cfg.TRAIN.CHECKPOINT_CLEAR_NAME_PATTERN,
            min_coverage=cfg.TRAIN.CHECKPOINT_MIN_COVERAGE,
        )
        if state.ema is not None:
            state.ema = ModelEma(state.model, cfg.TRAIN.EMA_DECAY)
    accumulation, autocast = cfg.TRAIN.ACCUMULATION_STEPS, build_autocast(cfg, device)
    steps = steps_of_epochs(schedule, train_loader.batch_sampler, accumulation)
    log_schedule(schedule, steps)
    if state.epoch >= len(steps):
        logger.info("nothing to train: %d of %d epochs are done", state.epoch, len(steps))
    unreadable = UnreadableVideos(
        train_loader.dataset.records,
        max_share=cfg.DATA.MAX_UNREADABLE_SHARE,
    )
    network = build_network(cfg, state.model, device)
    train_step = build_train_step(cfg, state, network, task, unreadable, device)
    with StopRequest() as stop:
        while state.epoch < len(steps):
            phase = schedule.phase(state.epoch)
            is_validated = state.epoch in schedule.validated
            is_saved = state.epoch in schedule.saved
            summary = train_epoch(
                state,
                train_step,
                train_loader,
                TrainMeter(task, steps=steps),
                log,
                shapes=phase.shapes,
                steps=steps,
                accumulation=accumulation,
                log_period=cfg.LOG_PERIOD,
                frozen=frozen,
                stop=stop,
            )
            if cfg.BN.USE_PRECISE_STATS and (is_validated or is_saved) and not agreed(stop, device):
                switch_norm(schedule.default.norm)
                precise_batch_norm(
                    state,
                    train_loader,
                    task,
                    device,
                    frozen,
                    autocast,
                    shapes=schedule.default.shapes,
                    num_batches=cfg.BN.NUM_BATCHES_PRECISE,
                    seed=cfg.RNG_SEED,
                    stop=stop,
                )
                switch_norm(phase.norm)
            if is_validated and not agreed(stop, device):
                # A stop during validation leaves the epoch unfinished: it is validated on resuming.
                summary |= validate(
                    state,
                    val_loader,
                    EvaluationLoop(task, device, autocast),
                    evaluator,
                    log,
                    stop=stop,
                )
            if agreed(stop, device):
                _save_and_raise(state, output_dir, cfg.dump(), stop)
            state.history.append(summary)
            state.epoch, state.step, state.sums = state.epoch + 1, 0, []
            switch_norm(schedule.phase(state.epoch).norm)
            if distributed.is_main_process():
                if is_saved:
                    save_epoch(state, output_dir, cfg.dump(), keep=cfg.TRAIN.KEEP_CHECKPOINTS)
                if is_validated and state.best.get("epoch") == state.epoch:
                    files.save(files.best_path(output_dir), state.state_dict(cfg.dump()))
                unreadable.write(output_dir / "unreadable_train.csv")
                write_history(state.history, output_dir)
            distributed.barrier()
        log.close()
        if agreed(stop, device):
            raise Interrupted(128 + stop.signum if stop.signum else 1)
    rows = [row for row in state.history if any(key.startswith("val_") for key in row)]
    logger.info("epochs with validation:\n%s", tabulate(rows, headers="keys", floatfmt=".4g"))
    return state


def train_epoch(
    state: TrainState,
    train_step: TrainStep,
    loader: DataLoader,
    meter: TrainMeter,
    log: RunLog,
    *,
    shapes: Sequence[BatchShape],
    steps: Sequence[int],
    accumulation: int,
    log_period: int,
    frozen: list[str],
    stop: StopRequest,
) -> dict:
    """Do the steps of the epoch that are not done yet; returns the epoch's means.

    `steps` are the steps of all epochs, `shapes` those of the batches of this one, step after step.
    Batches at the end that do not fill an accumulation are left out.
    """
    num_steps, num_earlier = steps[state.epoch], sum(steps[: state.epoch])
    names = names_of(loader.dataset.records)
    set_training(state.model, frozen)
    loader.batch_sampler.set_epoch(state.epoch, repeated(shapes, accumulation))
    loader.batch_sampler.set_start(state.step * accumulation)
    num_done = state.step
    start = time.perf_counter()
    with tqdm(
        total=num_steps,
        initial=state.step,
        desc=f"epoch {state.epoch + 1}",
        unit="step",
        disable=None if distributed.is_main_process() else True,
        leave=False,
    ) as bar:
        for batches in _groups(loader, accumulation, num_steps - state.step):
            loaded = time.perf_counter()
            sums, state.lr, norm, is_stopped = train_step(
                batches, steps_per_epoch=num_steps, stop=stop, names=names
            )
            state.sums = (sums + np.array(state.sums or 0.0)).tolist()
            end = time.perf_counter()
            meter.update(sums, data_time=loaded - start, step_time=end - start, norm=norm)
            start = end
            bar.update()
            if state.step % log_period == 0:
                values = meter.period(state.epoch, state.step - 1, state.lr)
                log.write(values, step=num_earlier + state.step)
                bar.set_postfix(loss=f"{values['loss']:.3f}")
            if is_stopped:
                break
    for model in state.models:
        _broadcast_buffers(model)
    summary = meter.epoch(state.epoch, state.lr, state.sums)
    if num_done < state.step == num_steps:  # else it goes on later, or its line is there already
        log.write(summary, step=state.epoch + 1)
    return {"epoch": state.epoch + 1, **_prefixed("train", summary)}


def _groups(loader: DataLoader, size: int, count: int) -> Iterator[list[dict]]:
    """`count` lists of `size` batches."""
    if count == 0:
        return
    batches = []
    for batch in loader:
        batches.append(batch)
        if len(batches) == size:
            yield batches
            batches = []
            count -= 1
        if count == 0:
            return


class _Stopped(Exception):
    """Leaves a pass over batches that has no result unless it is whole."""


def precise_batch_norm(
    state: TrainState,
    loader: DataLoader,
    task: Task,
    device: torch.device,
    frozen: list[str],
    autocast: torch.autocast,
    *,
    shapes: Sequence[BatchShape],
    num_batches: int,
    seed: int,
    stop: StopRequest,
) -> None:
    """Recompute batch-norm statistics on the first `num_batches` batches of this epoch.

    A stop request leaves the statistics as they are: the caller must look at it.
    """

    def inputs_until_stop() -> Iterator[tuple]:
        for (batch,) in _groups(loader, 1, num_batches):
            if agreed(stop, device):
                raise _Stopped
            yield task.inputs(task.to_device(batch, device))

    for model in state.models:
        set_training(model, frozen)
        torch.manual_seed(derive_seed("precise", seed, state.epoch, distributed.rank()))
        loader.batch_sampler.set_epoch(state.epoch, shapes)
        batches = tqdm(
            inputs_until_stop(),
            total=min(num_batches, len(loader)),
            desc="precise BN",
            disable=None if distributed.is_main_process() else True,
            leave=False,
        )
        # Eager: a compiled model would not call the hooks that measure the statistics.
        with (
            contextlib.suppress(_Stopped),
            autocast,
            torch.compiler.set_stance("force_eager"),
        ):
            update_bn_stats(model, batches, lambda inputs, model=model: model(*inputs))


def validate(
    state: TrainState,
    loader: DataLoader,
    loop: EvaluationLoop,
    evaluator: Evaluator,
    log: RunLog,
    *,
    stop: StopRequest,
) -> dict:
    """Metrics on the validation videos; notes the best so far in the state.

    Only the main process has them; {} elsewhere, and after a stop request.
    """
    start = time.perf_counter()
    model = state.model if state.ema is None else state.ema.module
    unreadable = loop.run(loader, [(model.eval(), evaluator)], title="validate", stop=stop)
    if agreed(stop, loop.device) or not distributed.is_main_process():
        return {}
    evaluation = evaluator.evaluate()
    if evaluation is None:
        logger.warning("nothing could be scored: this epoch has no validation metrics")
        return {}
    metrics = {**evaluation.metrics, "num_unreadable": len(unreadable.reasons)}
    line = {"_type": "val_epoch", "epoch": state.epoch + 1, **metrics}
    log.write({**line, "seconds": time.perf_counter() - start}, step=state.epoch + 1)
    name = evaluator.metric
    # NaN, where there is no ground truth, is beaten by anything and beats nothing.
    if not state.best or math.isnan(state.best[name]) or metrics[name] > state.best[name]:
        state.best = {"epoch": state.epoch + 1, **metrics}
    return _prefixed("val", metrics)


def write_history(history: list[dict], output_dir: Path) -> None:
    """Write the table of all epochs as csv."""
    header = list(dict.fromkeys(key for row in history for key in row))
    write_csv(
        output_dir / "history.csv",
        header,
        [[row.get(key, "") for key in header] for row in history],
    )


def _prefixed(prefix: str, values: dict) -> dict:
    return {
        f"{prefix}_{key}": value for key, value in values.items() if isinstance(value, int | float)
    }


def _broadcast_buffers(model: nn.Module) -> None:
    """Give all processes the running statistics of the first."""
    if distributed.is_distributed():
        for buffer in model.buffers():
            torch.distributed.broadcast(buffer, src=0)


def _save_and_raise(state: TrainState, output_dir: Path, cfg_text: str, stop: StopRequest) -> None:
    if distributed.is_main_process():
        path = save_interrupted(state, output_dir, cfg_text)
        logger.warning(
            "stopped in epoch %d after %d steps, saved %s; the same command goes on from here",
            state.epoch + 1,
            state.step,
            path,
        )
    distributed.barrier()
    raise Interrupted(128 + stop.signum if stop.signum else 1)


def build_state(cfg: ConfigNode, device: torch.device) -> tuple[TrainState, list[str]]:
    """Model, optimizer and the rest at epoch 0, and the names of modules in evaluation mode."""
    torch.manual_seed(derive_seed("init", cfg.RNG_SEED))
    model = place_model(build_model(cfg), device)
    if cfg.ADAPTIVE.ENABLE:
        make_slimmable(model)
    frozen = freeze(cfg, model)
    if cfg.TRAIN.COMPILE:
        model.compile()
    state = TrainState(
        model,
        build_optimizer(cfg, model),
        build_scaler(cfg, device),
        ema=ModelEma(model, cfg.TRAIN.EMA_DECAY) if cfg.TRAIN.EMA_DECAY else None,
    )
    return state, frozen


def build_network(cfg: ConfigNode, model: nn.Module, device: torch.device) -> nn.Module:
    """What a training step calls: the model, wrapped when there are several processes."""
    if not distributed.is_distributed():
        return model
    return DistributedDataParallel(model, device_ids=[device] if cfg.NUM_GPUS else None)
