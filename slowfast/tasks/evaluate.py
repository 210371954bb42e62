"""The one evaluation loop: of validation, tests, predictions, budget tables and analyses."""

import contextlib
import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from tqdm import tqdm

from slowfast.config.derived import precision_of_tests
from slowfast.config.node import ConfigNode
from slowfast.datasets.reading import StoppedWaiting, WatchedLoader
from slowfast.evaluation.evaluator import Evaluator
from slowfast.runtime.device import build_device, build_test_autocast
from slowfast.runtime.stop import StopRequest
from slowfast.runtime.unreadable import UnreadableVideos
from slowfast.tasks.base import Task
from slowfast.tasks.build import build_task
from slowfast.utils import distributed

logger = logging.getLogger(__name__)

# A model in evaluation mode, or a part of one: from a task's inputs to an output N,... .
Network = Callable[..., torch.Tensor]


class TakesOutputs(Protocol):
    """Anything with the method `add` of an evaluator."""

    def add(self, batch: dict, output: torch.Tensor, /) -> None:
        """Keep the network's output, float32 on the CPU, for a batch of the loader."""


class PrecisionCheck:
    """Largest difference of scores from those of float32, on the first clips of each process.

    name: the type in which scores are computed; of float32 there is nothing to compare.
    """

    def __init__(self, name: str):
        self.name = name
        self.reset()

    def reset(self) -> None:
        """Forget what was compared."""
        self.num_clips, self.largest, self._is_due = 0, 0.0, self.name != "float32"

    def compare(self, outputs: Sequence[tuple[Network, torch.Tensor]], inputs: tuple) -> None:
        """Score the inputs again with each network, in float32, unless some were compared before.

        Networks that find boxes may find others: these are not compared.
        """
        if not self._is_due:
            return
        self._is_due = False
        for network, output in outputs:
            exact, output = network(*inputs).float().cpu(), output.cpu()
            if exact.shape == output.shape and len(exact):
                difference = float((exact - output).abs().max())
                self.largest = float(np.maximum(self.largest, difference))  # NaN stays
                self.num_clips = len(inputs[0][0])

    def sync(self) -> None:
        """Join what all processes found, and log it. All must call this together."""
        found = distributed.gather_objects((self.num_clips, self.largest))
        counts, differences = zip(*found, strict=True)
        self.num_clips, self.largest = sum(counts), float(np.max(differences))
        if self.num_clips:
            logger.info(
                "%s: scores of the first %d clips differ from float32's by at most %.2g",
                *(self.name, self.num_clips, self.largest),
            )

    def facts(self) -> dict[str, Any]:
        """For a JSON file."""
        found = {"num_clips": self.num_clips, "largest_score_difference": self.largest}
        return {"precision": self.name, **({"against_float32": found} if self.num_clips else {})}


@dataclass(frozen=True)
class EvaluationLoop:
    """One pass over videos, each read once, with a network or with several.

    task: what makes a network's inputs of a batch. At most `max_clips` clips go through a network
    at once (None: a whole batch). check: what `autocast` changes; None: it is not looked at.
    """

    task: Task
    device: torch.device
    autocast: torch.autocast
    max_clips: int | None = None
    check: PrecisionCheck | None = None

    def run(
        self,
        loader: WatchedLoader,
        judged: Sequence[tuple[Network, Evaluator]],
        *,
        title: str,
        stop: StopRequest | None = None,
    ) -> UnreadableVideos:
        """Give each evaluator the outputs of its network for the loader's readable videos.

        Evaluators of the main process get the scores of all processes. A stop request leaves the
        rest of this process's videos out: the caller must look at it.
        """
        unreadable = UnreadableVideos(loader.dataset.records)
        for _, evaluator in judged:
            evaluator.reset()
        if self.check is not None:
            self.check.reset()
        batches = loader.batches(bool if stop is None else stop.is_asked)
        late = _Late(self.device, [evaluator for _, evaluator in judged])
        with contextlib.suppress(StoppedWaiting):
            for item in _bar(batches, title, "batch", total=len(loader)):
                # Whole frames differ in size: then an item is a list of batches.
                for batch in item if isinstance(item, list) else [item]:
                    unreadable.add(batch["failures"], batch["damaged"])
                    if batch["clips"]:  # else all its videos are unreadable
                        late.add(batch, self._outputs(batch, judged))
                if stop is not None and stop.signum:
                    break
        late.flush()
        unreadable.sync()
        if self.check is not None:
            self.check.sync()
        if distributed.is_distributed():
            for _, evaluator in judged:
                evaluator.merge(distributed.gather_to_main(evaluator.scores)[1:])
        return unreadable

    def score(self, batch: dict, judged: Sequence[tuple[Network, TakesOutputs]]) -> None:
        """Give each evaluator the output of its network for one batch."""
        late = _Late(self.device, [evaluator for _, evaluator in judged])
        late.add(batch, self._outputs(batch, judged))
        late.flush()

    @torch.no_grad()
    def _outputs(self, batch: dict, judged: Sequence[tuple[Network, TakesOutputs]]) -> list[list]:
        """Outputs of each network on the device, in parts; clips go there once for all networks."""
        outputs: list[list[torch.Tensor]] = [[] for _ in judged]
        for part in _parts(batch, self.max_clips):
            inputs = self.task.inputs(self.task.prepare(part, self.device))
            pairs = zip(judged, outputs, strict=True)
            for (network, _), found in _bar(pairs, "networks", "network", total=len(judged)):
                with self.autocast:
                    output = network(*inputs)
                found.append(output.float())
            if self.check is not None:
                latest = [(one, found[-1]) for (one, _), found in zip(judged, outputs, strict=True)]
                self.check.compare(latest, inputs)
        return outputs


class _Late:
    """Hands a batch's outputs to the evaluators once the next batch is under way on the device.

    On the CPU, which would not work meanwhile, at once.
    """

    def __init__(self, device: torch.device, evaluators: Sequence[TakesOutputs]):
        self._is_late, self._evaluators = device.type != "cpu", evaluators
        self._waiting: tuple[dict, list[list[torch.Tensor]]] | None = None

    def add(self, batch: dict, outputs: list[list[torch.Tensor]]) -> None:
        """Outputs of each evaluator's network, in parts, on the device."""
        self.flush()
        self._waiting = batch, outputs
        if not self._is_late:
            self.flush()

    def flush(self) -> None:
        """Wait for what is not handed over yet."""
        if self._waiting is not None:
            batch, outputs = self._waiting
            self._waiting = None
            for evaluator, found in zip(self._evaluators, outputs, strict=True):
                evaluator.add(batch, torch.cat(found).cpu())


def _parts(batch: dict, max_clips: int | None) -> list[dict]:
    """The batch in parts of at most so many clips."""
    count = len(batch["clips"][0])
    if max_clips is None or count <= max_clips:
        return [batch]
    parts = []
    for start in range(0, count, max_clips):
        part = slice(start, start + max_clips)
        per_clip = {key: x[part] for key, x in batch.items() if isinstance(x, torch.Tensor)}
        parts.append({**batch, **per_clip, "clips": [clip[part] for clip in batch["clips"]]})
    return parts


def _bar(items: Iterable, title: str, unit: str, *, total: int | None = None) -> Iterable:
    """Show progress in the main process, unless there is but one piece of work."""
    is_shown = distributed.is_main_process() and total != 1
    return tqdm(
        items,
        desc=title,
        unit=unit,
        total=total,
        disable=None if is_shown else True,
        leave=False,
    )


def build_evaluation_loop(cfg: ConfigNode) -> EvaluationLoop:
    """The loop of a test: TEST.BATCH_SIZE counts clips per machine."""
    device = build_device(cfg)
    return EvaluationLoop(
        build_task(cfg),
        device,
        build_test_autocast(cfg, device),
        max(cfg.TEST.BATCH_SIZE // distributed.local_size(cfg.NUM_SHARDS), 1),
        PrecisionCheck(precision_of_tests(cfg.TEST.PRECISION, cfg.TRAIN)),
    )
