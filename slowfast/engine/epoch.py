"""Parts of an epoch: its training steps and their log, batch-norm statistics, validation."""

import contextlib
import logging
import math
import time
from collections import defaultdict
from collections.abc import Iterator
from functools import partial
from itertools import islice

import torch
from torch import nn
from tqdm import tqdm

from slowfast.checkpoint import files
from slowfast.datasets.reading import StoppedWaiting
from slowfast.engine.meter import StepLog, TrainMeter
from slowfast.engine.resume import step_sizes
from slowfast.engine.run import Run
from slowfast.engine.schedule import repeated
from slowfast.runtime.prefetch import make_prefetcher
from slowfast.runtime.stop import agreed
from slowfast.solver.precise_bn import update_bn_stats
from slowfast.tasks.evaluate import EvaluationLoop
from slowfast.utils import distributed
from slowfast.utils.seeding import derive_seed

logger = logging.getLogger(__name__)


def train_epoch(run: Run, epoch: int) -> dict:
    """Do the steps of an epoch that are not done yet, or some before a stop; returns its means."""
    state, num_steps = run.state, run.steps[epoch]
    is_new = state.step < num_steps or num_steps == 0  # else its line is in the log already
    shapes = run.schedule.phase(epoch).shapes
    state.step_sizes = step_sizes(shapes, run.train_loader.batch_sampler, run.accumulation)
    state.num_steps = num_steps
    meter = TrainMeter(run.steps, run.memory, state.step_sizes, clip_load=run.clip_load)
    _set_training(state.model, run.frozen)
    with _progress(f"epoch {epoch + 1}", num_steps, unit="step", initial=state.step) as bar:
        _do_steps(run, epoch, StepLog(run.log, meter, bar, epoch=epoch, period=run.log_period))
    run.unreadable.sync()
    for model in state.models:
        _broadcast_buffers(model)
    summary = meter.epoch(epoch, state.lr, state.sums)
    if is_new and state.step == num_steps:
        run.log.write(summary, step=epoch + 1)
    return {"epoch": epoch + 1, **_prefixed("train", summary)}


def _do_steps(run: Run, epoch: int, log: StepLog) -> None:
    """Steps of an epoch to its end or to a stop, whose sums are all read at the end."""
    on_device = make_prefetcher(run.device, getattr(run.task, "moved", ()))
    start = time.perf_counter()
    for batches in on_device(_remaining_batches(run, epoch)):
        waited = time.perf_counter() - start
        lr = run.lr_at(epoch + run.state.share_done)
        results = run.train_step(batches, lr=lr, stop=run.stop, waited=waited)
        end = time.perf_counter()
        log.launched(data_time=waited, step_time=end - start)
        start = end
        if log.add(results):
            break
        _save_if_due(run)
    log.add(run.train_step.flush())


def _save_if_due(run: Run) -> None:
    """Save the state in the middle of the epoch, after a while or where a signal asks for it."""
    is_due = run.stop.take_save_request() or run.clock.is_due
    # What is not finite is not saved: the next step raises it in all processes.
    if is_due and distributed.is_main_process() and run.train_step.settle():
        path = files.interrupted_path(run.output_dir)
        run.writer.submit(run.state.state_dict(run.cfg_text), partial(files.save, path))
        run.clock.restart()
        logger.info(
            "epoch %d, step %d: the state is saved to %s", run.state.epoch + 1, run.state.step, path
        )


def _set_training(model: nn.Module, frozen: list[str]) -> None:
    """Put the model into training mode, but the modules called `frozen` into evaluation mode."""
    model.train()
    for name in frozen:
        model.get_submodule(name).eval()


def _remaining_batches(run: Run, epoch: int) -> Iterator[tuple[dict, ...]]:
    """The batches of every step of an epoch that is not done yet.

    All batches of a step have one shape. Those at the end that do not fill a step are left out: a
    step of fewer clips would learn more from each of them.
    """
    sampler, state = run.train_loader.batch_sampler, run.state
    sampler.set_epoch(epoch, repeated(run.schedule.phase(epoch).shapes, run.accumulation))
    sampler.set_start(state.step * run.accumulation, state.skipped)
    return _groups(run, run.accumulation, run.steps[epoch] - state.step)


def _groups(run: Run, size: int, count: int) -> Iterator[tuple[dict, ...]]:
    """The first `count` groups of `size` training batches, fewer where there are fewer.

    StoppedWaiting after a stop request, if the next one does not come.
    """
    if count:  # else the loader's processes would begin to read
        batches = run.train_loader.batches(run.stop.is_asked)
        yield from islice(zip(*[batches] * size, strict=False), count)


def _progress(title: str, total: int, *, unit: str, initial: int = 0) -> tqdm:
    """A progress bar on the console of the main process."""
    is_hidden = None if distributed.is_main_process() else True  # None: only without a console
    return tqdm(desc=title, total=total, unit=unit, initial=initial, disable=is_hidden, leave=False)


def _broadcast_buffers(model: nn.Module) -> None:
    """Give all processes the running statistics of the first, those of a type at once."""
    if not distributed.is_distributed():
        return
    of_type = defaultdict(list)
    for buffer in model.buffers():
        of_type[buffer.dtype, buffer.device].append(buffer)
    for buffers in of_type.values():
        values = torch.cat([buffer.detach().flatten() for buffer in buffers])
        torch.distributed.broadcast(values, src=0)
        parts = values.split([buffer.numel() for buffer in buffers])
        for buffer, part in zip(buffers, parts, strict=True):
            buffer.copy_(part.view_as(buffer))


class _Stopped(Exception):
    """Leaves a pass over batches that has no result unless it is whole."""


def recalibrate(run: Run, epoch: int) -> None:
    """Precise batch norm for an epoch that is validated or saved, with the shape of validation.

    A stop request leaves the statistics as they are: the caller must look at it.
    """
    # `agreed` is collective: the tests before it must be alike in all processes.
    is_used = epoch in run.schedule.validated or epoch in run.schedule.saved
    if not run.num_precise_batches or not is_used or agreed(run.stop, run.device):
        return
    # With the batch norm of that shape; then back to that of the epoch, which resuming expects in a
    # state that a stop saves.
    run.norms.to_default()
    for model in run.state.models:
        _set_training(model, run.frozen)
        # With the rank: the processes have different clips, and so different dropout.
        torch.manual_seed(derive_seed("precise", run.seed, epoch, distributed.rank()))
        # Eager: a compiled model would not call the hooks that measure the statistics.
        with (
            contextlib.suppress(_Stopped, StoppedWaiting),
            run.autocast,
            torch.compiler.set_stance("force_eager"),
        ):
            update_bn_stats(
                model, _first_inputs(run, epoch), lambda inputs, model=model: model(*inputs)
            )
    run.norms.to_epoch(epoch)


def _first_inputs(run: Run, epoch: int) -> Iterator[tuple]:
    """The network's inputs for the first batches of an epoch; _Stopped after a stop request."""
    run.train_loader.batch_sampler.set_epoch(epoch, run.schedule.default.shapes)
    total = min(run.num_precise_batches, len(run.train_loader))
    with _progress("precise BN", total, unit="batch") as bar:
        for (batch,) in _groups(run, 1, run.num_precise_batches):
            if agreed(run.stop, run.device):
                raise _Stopped
            yield run.task.inputs(run.task.prepare(batch, run.device))
            bar.update()


def validate(run: Run, epoch: int) -> dict:
    """Metrics on the validation videos of an epoch where they are due; notes the best so far.

    Only the main process has them; {} elsewhere, and after a stop request, which leaves the epoch
    unfinished: it is validated on resuming.
    """
    # `agreed` is collective: the test before it must be alike in all processes.
    if epoch not in run.schedule.validated or agreed(run.stop, run.device):
        return {}
    start, state = time.perf_counter(), run.state
    model = state.model if state.ema is None else state.ema.module
    loop = EvaluationLoop(run.task, run.device, run.autocast)
    judged = [(model.eval(), run.evaluator)]
    unreadable = loop.run(run.val_loader, judged, title="validate", stop=run.stop)
    if agreed(run.stop, run.device):
        return {}
    with distributed.main_process_alone() as is_main:
        evaluation = run.evaluator.evaluate() if is_main else None
    if not is_main:
        return {}
    unreadable.write(run.output_dir, "val")
    if evaluation is None:
        logger.warning("nothing could be scored: this epoch has no validation metrics")
        return {}
    metrics = {**evaluation.metrics, **unreadable.counts()}
    line = {"_type": "val_epoch", "epoch": epoch + 1, **metrics}
    run.log.write({**line, "seconds": time.perf_counter() - start}, step=epoch + 1)
    name = run.evaluator.metric
    best = state.best.get(name, math.nan)  # another metric judged before
    # NaN, where there is no ground truth, is beaten by anything and beats nothing.
    if math.isnan(best) or metrics[name] > best:
        state.best = {"epoch": epoch + 1, **metrics}
    return _prefixed("val", metrics)


def _prefixed(prefix: str, values: dict) -> dict:
    return {
        f"{prefix}_{key}": value for key, value in values.items() if isinstance(value, int | float)
    }
