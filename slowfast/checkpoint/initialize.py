"""Starts a model from the weights of a file, and says what became of every tensor."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from slowfast.checkpoint.convert import (
    State,
    clear_names,
    find_model_state,
    plain_batch_norm,
    split_sub_bn,
    strip_wrappers,
)
from slowfast.checkpoint.files import CheckpointError, load

logger = logging.getLogger(__name__)

_MAX_LISTED = 8


@dataclass(frozen=True)
class CoverageReport:
    """What became of each tensor of a model, and `unexpected`: tensors that only the file has.

    replaced: the head's, kept fresh as the file's has other shapes. mismatched: other shapes
    elsewhere. Entries of both read "name (file's shape -> model's shape)".
    coverage: share of the model's tensors outside the head that were loaded.
    """

    path: Path
    loaded: tuple[str, ...]
    replaced: tuple[str, ...]
    mismatched: tuple[str, ...]
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    coverage: float

    def table(self) -> str:
        """Counts and names as text; long lists are shortened."""
        rows = [
            ("loaded", self.loaded, "from the file"),
            ("replaced", self.replaced, "classifier of other shape, starts fresh"),
            ("mismatched", self.mismatched, "other shape in the file, not loaded"),
            ("missing", self.missing, "not in the file, not loaded"),
            ("unexpected", self.unexpected, "only in the file, ignored"),
        ]
        lines = [f"weights from {self.path}"]
        for title, names, meaning in rows:
            lines.append(f"  {title:<11}{len(names):>5}  {meaning}")
            if title != "loaded":
                lines += [f"      {name}" for name in _shorten(names)]
        lines.append(f"  {self.coverage:.1%} of the backbone's tensors were loaded")
        return "\n".join(lines)


def initialize_from(
    model: nn.Module,
    path: str | Path,
    *,
    clear_name_patterns: Sequence[str] = (),
    min_coverage: float = 0.9,
    head: str = "head.projection",
) -> CoverageReport:
    """Copy a file's weights into `model`, to train on from there; the table goes to the log.

    The head keeps its fresh weights, all of them, when one has another shape in the file.
    CheckpointError, and `model` is untouched, when less than `min_coverage` of the tensors outside
    the head would be loaded.
    """
    state, report = _compare(model, Path(path), clear_name_patterns, head)
    if report.coverage < min_coverage:
        raise CheckpointError(
            f"TRAIN.CHECKPOINT_MIN_COVERAGE: {path} fills {report.coverage:.1%} of the backbone, "
            f"at least {min_coverage:.0%} are asked for; is it a checkpoint of another model?\n"
            f"{report.table()}"
        )
    _copy(state, report, model)
    logger.info("%s", report.table())
    return report


def load_for_test(
    model: nn.Module, path: str | Path, *, clear_name_patterns: Sequence[str] = ()
) -> CoverageReport:
    """Copy a file's weights into `model`; CheckpointError unless all fit, the head's too."""
    state, report = _compare(model, Path(path), clear_name_patterns, head=None)
    if report.mismatched or report.missing or report.unexpected:
        raise CheckpointError(
            f"{path}: is a checkpoint of another model than the one that this config describes "
            f"(MODEL.MODEL_NAME, its sizes, MODEL.NUM_CLASSES)\n{report.table()}"
        )
    _copy(state, report, model)
    logger.info("weights from %s: all %d tensors loaded", path, len(report.loaded))
    return report


def _compare(
    model: nn.Module, path: Path, clear_name_patterns: Sequence[str], head: str | None
) -> tuple[State, CoverageReport]:
    """The file's tensors under our names, and how they fit the model's."""
    try:
        state = strip_wrappers(find_model_state(load(path)))
        state = plain_batch_norm(clear_names(state, clear_name_patterns))
    except CheckpointError:
        raise
    except ValueError as error:
        raise CheckpointError(f"{path}: {error}") from error
    own, _ = split_sub_bn(model.state_dict())
    own = {name: value for name, value in own.items() if name in state or not _is_counter(name)}
    fits = {n for n, value in own.items() if n in state and state[n].shape == value.shape}
    differs = {n for n in own if n in state and n not in fits}
    in_head = {n for n in own if head is not None and n.startswith(f"{head}.")}
    replaced = in_head & state.keys() if in_head & differs else set()
    loaded = fits - replaced
    backbone = [n for n in own if n not in in_head and not _is_counter(n)]

    def with_shapes(names: set[str]) -> tuple[str, ...]:
        return tuple(
            f"{n} ({tuple(state[n].shape)} -> {tuple(own[n].shape)})" for n in own if n in names
        )

    return state, CoverageReport(
        path=path,
        loaded=tuple(n for n in own if n in loaded),
        replaced=with_shapes(replaced),
        mismatched=with_shapes(differs - replaced),
        missing=tuple(n for n in own if n not in state),
        unexpected=tuple(n for n in state if n not in own),
        coverage=sum(n in loaded for n in backbone) / max(len(backbone), 1),
    )


@torch.no_grad()
def _copy(state: State, report: CoverageReport, model: nn.Module) -> None:
    model.load_state_dict({name: state[name] for name in report.loaded}, strict=False)


def _is_counter(name: str) -> bool:
    """Batch norm counts its batches, but nothing depends on that and old files do not have it."""
    return name.endswith("num_batches_tracked")


def _shorten(names: Sequence[str]) -> list[str]:
    if len(names) <= _MAX_LISTED:
        return list(names)
    return [*names[:_MAX_LISTED], f"... and {len(names) - _MAX_LISTED} more"]
