"""Starts a model from the weights of a file, and says what became of every tensor."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from slowfast.checkpoint.convert import (
    State,
    average_channels,
    clear_names,
    find_model_state,
    inflate,
    plain_batch_norm,
    split_sub_bn,
    strip_wrappers,
)
from slowfast.checkpoint.files import CheckpointError, load
from slowfast.checkpoint.inception import identities_over_time, without_spatial_halves
from slowfast.checkpoint.layouts import detect_and_rename

logger = logging.getLogger(__name__)

_MAX_LISTED = 8
_CLASSIFIER = "head.projection"


@dataclass(frozen=True)
class CoverageReport:
    """What became of each tensor of a model, and `unexpected`: tensors that only the file has.

    layout: whose names the file has. inflated: those of `loaded` that were given a time axis;
    averaged: those whose kernels for RGB became kernels for flow; identities: those that the file
    lacks, temporal halves of separable convolutions that copy frames (with their batch norms).
    replaced: the head's, kept fresh as the file's has other shapes. mismatched: other shapes
    elsewhere. Entries of both read "name (file's shape -> model's shape)".
    coverage: share of the model's tensors outside the head that were loaded. class_names: those
    that training put into the file; None in files of other programs.
    """

    path: Path
    layout: str
    loaded: tuple[str, ...]
    inflated: tuple[str, ...]
    averaged: tuple[str, ...]
    identities: tuple[str, ...]
    replaced: tuple[str, ...]
    mismatched: tuple[str, ...]
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    coverage: float
    class_names: list[str] | None

    def table(self) -> str:
        """Counts and names as text; long lists are shortened."""
        rows = [
            ("loaded", self.loaded, "from the file"),
            ("inflated", self.inflated, "of these, from a 2D kernel or a linear layer"),
            ("identity", self.identities, "of these, made: temporal kernels that copy frames"),
            ("replaced", self.replaced, "classifier of other shape, starts fresh"),
            ("mismatched", self.mismatched, "other shape in the file, not loaded"),
            ("missing", self.missing, "not in the file, not loaded"),
            ("unexpected", self.unexpected, "only in the file, ignored"),
        ]
        if self.averaged:
            rows.insert(
                2, ("averaged", self.averaged, "of these, from RGB to the channels of flow")
            )
        lines = [f"weights from {self.path} ({self.layout} names)"]
        for title, names, meaning in rows:
            lines.append(f"  {title:<11}{len(names):>5}  {meaning}")
            if title not in ("loaded", "inflated", "averaged", "identity"):
                lines += [f"      {name}" for name in _shorten(names)]
        lines.append(f"  {self.coverage:.1%} of the backbone's tensors were loaded")
        return "\n".join(lines)


def initialize_from(
    model: nn.Module,
    path: str | Path,
    *,
    clear_name_patterns: Sequence[str] = (),
    min_coverage: float = 0.9,
) -> CoverageReport:
    """Copy a file's weights into `model`, to train on from there; the table goes to the log.

    The classifier keeps its fresh weights, all of them, when one has another shape in the file.
    CheckpointError, and `model` is untouched, when less than `min_coverage` of the tensors outside
    the classifier would be loaded.
    """
    state, report = convert_file(
        model, path, clear_name_patterns=clear_name_patterns, min_coverage=min_coverage
    )
    _copy(state, report, model)
    logger.info("%s", report.table())
    return report


def load_for_test(
    model: nn.Module, path: str | Path, *, clear_name_patterns: Sequence[str] = ()
) -> CoverageReport:
    """Copy a file's weights into `model`; CheckpointError unless all fit, the classifier's too."""
    state, report = _fit(model, Path(path), clear_name_patterns, classifier=None, is_exact=True)
    if report.mismatched or report.missing or report.unexpected:
        raise CheckpointError(
            f"{path}: is a checkpoint of another model than the one that this config describes "
            f"(MODEL.MODEL_NAME, its sizes, MODEL.NUM_CLASSES)\n{report.table()}"
        )
    _copy(state, report, model)
    logger.info(
        "weights from %s (%s names): all %d tensors loaded", path, report.layout, len(report.loaded)
    )
    return report


def convert_file(
    model: nn.Module,
    path: str | Path,
    *,
    clear_name_patterns: Sequence[str] = (),
    min_coverage: float = 0.9,
) -> tuple[State, CoverageReport]:
    """What `initialize_from` would load, under our names, and the file's classifier as it is.

    Only names and shapes of `model` count, so it may be on the meta device.
    """
    state, report = _fit(
        model, Path(path), clear_name_patterns, classifier=_CLASSIFIER, is_exact=False
    )
    if report.coverage < min_coverage:
        raise CheckpointError(
            f"TRAIN.CHECKPOINT_MIN_COVERAGE: {path} fills {report.coverage:.1%} of the backbone, "
            f"at least {min_coverage:.0%} are asked for; is it a checkpoint of another model?\n"
            f"{report.table()}"
        )
    kept = [n for n in state if n in report.loaded or n.startswith(f"{_CLASSIFIER}.")]
    return {name: state[name] for name in kept}, report


def _fit(
    model: nn.Module,
    path: Path,
    clear_name_patterns: Sequence[str],
    *,
    classifier: str | None,
    is_exact: bool,
) -> tuple[State, CoverageReport]:
    """The file's tensors under our names and in the model's shapes, and how they fit.

    Unless `is_exact`, kernels are changed so that they fit: in time, and from RGB to flow.
    """
    content = load(path)
    try:
        state = strip_wrappers(clear_names(find_model_state(content), clear_name_patterns))
        state, layout = detect_and_rename(state)
        state = plain_batch_norm(state)
    except ValueError as error:
        raise CheckpointError(f"{path}: {error}") from error
    own, _ = split_sub_bn(model.state_dict())
    own = {name: value for name, value in own.items() if name in state or not _is_counter(name)}
    shapes = {name: value.shape for name, value in own.items()}
    averaged, identities = [], {}
    if not is_exact:
        state, num_2d = without_spatial_halves(state, shapes)
        if num_2d:
            logger.warning(
                "%s: %d of its separable convolutions become 2D ones, what they learned of time is "
                "dropped",
                *(path, num_2d),
            )
        state, averaged = average_channels(state, shapes)
    state, inflated = inflate(state, shapes, repeats_frames=not is_exact)
    if not is_exact:
        identities = identities_over_time(state, shapes)
        state |= identities
    fits = {n for n, shape in shapes.items() if n in state and state[n].shape == shape}
    differs = {n for n in own if n in state and n not in fits}
    in_head = {n for n in own if classifier is not None and n.startswith(f"{classifier}.")}
    replaced = in_head & state.keys() if in_head & differs else set()
    loaded = fits - replaced
    backbone = [n for n in own if n not in in_head and not _is_counter(n)]

    def with_shapes(names: set[str]) -> tuple[str, ...]:
        return tuple(
            f"{n} ({tuple(state[n].shape)} -> {tuple(shapes[n])})" for n in own if n in names
        )

    return state, CoverageReport(
        path=path,
        layout=layout,
        loaded=tuple(n for n in own if n in loaded),
        inflated=tuple(n for n in inflated if n in loaded),
        averaged=tuple(n for n in averaged if n in loaded),
        identities=tuple(n for n in identities if n in loaded),
        replaced=with_shapes(replaced),
        mismatched=with_shapes(differs - replaced),
        missing=tuple(n for n in own if n not in state),
        unexpected=tuple(n for n in state if n not in own),
        coverage=sum(n in loaded for n in backbone) / max(len(backbone), 1),
        class_names=content.get("class_names"),
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
