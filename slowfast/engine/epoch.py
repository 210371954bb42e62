"""Parts of an epoch: its training steps and their log, batch-norm statistics, validation."""

import contextlib
import logging
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import islice

import numpy as np
import torch
from torch import nn
from tqdm import tqdm

from slowfast.checkpoint import files
from slowfast.datasets.reading import StoppedWaiting
from slowfast.engine.resume import step_sizes
from slowfast.engine.run import Run
from slowfast.engine.schedule import repeated
from slowfast.engine.state import Sums
from slowfast.engine.step import StepResult
from slowfast.runtime.memory import PeakMemory
from slowfast.runtime.stop import agreed
from slowfast.solver.precise_bn import update_bn_stats
from slowfast.tasks.evaluate import EvaluationLoop
from slowfast.utils import distributed
from slowfast.utils.seeding import derive_seed

logger = logging.getLogger(__name__)


@dataclass
class _Period:
    """Steps since the last line."""

    sums: Sums = field(default_factory=Sums)
    data_times: list[float] = field(default_factory=list)
    step_times: list[float] = field(default_factory=list)
    norms: list[float] = field(default_factory=list)


class TrainMeter:
    """Adds up the steps of an epoch, and says how the run is doing.

    `steps` is the number of steps of every epoch of the run; times in a line are medians in seconds
    over the log period.
    """

    def __init__(self, steps: Sequence[int], memory: PeakMemory):
        self._steps, self._memory = steps, memory
        self._period = _Period()
        self._start = time.perf_counter()

    def add(self, result: StepResult, *, data_time: float, step_time: float) -> None:
        """Add one step."""
        self._period.sums.add(result.sums)
        self._period.data_times.append(data_time)
        self._period.step_times.append(step_time)
        if result.grad_norm is not None:
            self._period.norms.append(result.grad_norm)

    def period(self, epoch: int, num_done: int, lr: float) -> dict:
        """Values since the last call, as one log line.

        `epoch` counts from 0, `num_done` are its finished steps. "loss" is the mean over the clips
        (boxes) of these steps in all processes; losses of an adaptive network's passes are added
        up. The other means are over the same clips.
        """
        done, self._period = self._period, _Period()
        step_time = float(np.median(done.step_times))
        left = sum(self._steps[epoch:]) - num_done
        return {
            "_type": "train_iter",
            "epoch": f"{epoch + 1}/{len(self._steps)}",
            "iter": f"{num_done}/{self._steps[epoch]}",
            **done.sums.means(),
            "lr": lr,
            "dt": step_time,
            "dt_data": float(np.median(done.data_times)),
            "eta": _duration(step_time * left),
            **({"grad_norm": float(np.median(done.norms))} if done.norms else {}),
            **self._memory.usage(),
        }

    def epoch(self, epoch: int, lr: float, sums: Sums) -> dict:
        """Values of the whole epoch, whose steps added up to `sums`, as one log line."""
        return {
            "_type": "train_epoch",
            "epoch": f"{epoch + 1}/{len(self._steps)}",
            **sums.means(),
            "lr": lr,
            "seconds": time.perf_counter() - self._start,
            **self._memory.usage(),
        }


def _duration(seconds: float) -> str:
    hours, rest = divmod(int(seconds), 3600)
    return f"{hours}:{rest // 60:02d}:{rest % 60:02d}"


def train_epoch(run: Run, epoch: int) -> dict:
    """Do the steps of an epoch that are not done yet, or some before a stop; returns its means."""
    state, num_steps, num_earlier = run.state, run.steps[epoch], sum(run.steps[:epoch])
    num_done, meter = state.step, TrainMeter(run.steps, run.memory)
    is_new = num_done < num_steps or num_steps == 0  # else its line is in the log already
    shapes = run.schedule.phase(epoch).shapes
    state.step_sizes = step_sizes(shapes, run.train_loader.batch_sampler, run.accumulation)
    state.num_steps = num_steps
    _set_training(state.model, run.frozen)
    start = time.perf_counter()
    with _progress(f"epoch {epoch + 1}", num_steps, unit="step", initial=num_done) as bar:
        for batches in _remaining_batches(run, epoch):
            loaded = time.perf_counter()
            lr = run.lr_at(epoch + state.share_done)
            result = run.train_step(batches, lr=lr, stop=run.stop)
            end = time.perf_counter()
            meter.add(result, data_time=loaded - start, step_time=end - start)
            start = end
            bar.update()
            if state.step % run.log_period == 0:
                values = meter.period(epoch, state.step, lr)
                run.log.write(values, step=num_earlier + state.step)
                bar.set_postfix(loss=f"{values['loss']:.3f}")
            if result.is_stopped:
                break
            _save_if_due(run)
    run.unreadable.sync()
    for model in state.models:
        _broadcast_buffers(model)
    summary = meter.epoch(epoch, state.lr, state.sums)
    if is_new and state.step == num_steps:
        run.log.write(summary, step=epoch + 1)
    return {"epoch": epoch + 1, **_prefixed("train", summary)}


def _save_if_due(run: Run) -> None:
    """Save the state in the middle of the epoch, after a while or where a signal asks for it."""
    is_due = run.stop.take_save_request() or run.clock.is_due
    if is_due and distributed.is_main_process():
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
    """Give all processes the running statistics of the first."""
    if distributed.is_distributed():
        for buffer in model.buffers():
            torch.distributed.broadcast(buffer, src=0)


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
