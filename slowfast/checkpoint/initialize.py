"""Starts a model from the weights of a file, and says what became of every tensor.

A file is read and its tensors get our names, they are fitted to the shapes of the model, and the
result is compared with the model, tensor by tensor. A module may know more about weights of its
relatives: where it has a method `adapt_weights(state, prefix)`, this gives the changes to `state`
(the file's tensors in the model's shapes; its own begin with `prefix`), name -> a tensor to add or
None for one to leave out, and a remark for the log, "" for none.
"""

import logging
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from slowfast.checkpoint.classes import (
    ClassList,
    match_classes,
    move_rows,
    num_rows,
    target_counts,
)
from slowfast.checkpoint.convert import (
    State,
    average_channels,
    clear_names,
    find_model_state,
    inflate,
    join_targets,
    plain_batch_norm,
    split_sub_bn,
    strip_prefix,
    strip_wrappers,
)
from slowfast.checkpoint.files import CheckpointError, check_finite, load, read_config
from slowfast.checkpoint.layouts import detect_and_rename
from slowfast.utils.classifier import classifier_name
from slowfast.zoo.weights import named_weights

logger = logging.getLogger(__name__)

_MAX_LISTED = 8
_SAME_SET = 0.9  # share of the names by which a list of classes is another copy of a public one
Shapes = dict[str, torch.Size]


@dataclass(frozen=True)
class CoverageReport:
    """Fate of each tensor of a model, and `unexpected`: tensors that only the file has.

    layout: whose names the file has. inflated: those of `loaded` that were given a time axis;
    averaged: those whose kernels for RGB became kernels for flow; identities: those that the
    model made by `adapt_weights`: of S3D temporal kernels that copy frames, with their batch norms,
    of GST parts of larger kernels.
    replaced: the head's, kept fresh as the file's has other shapes or other classes. mismatched:
    other shapes elsewhere. Entries of both read "name (file's shape -> model's shape)".
    coverage: share of the model's tensors outside the head that were loaded. class_names: those
    that training put into the file, in the order of the model's classes; num_examples: how many of
    each it had. None in files of other programs. config: of its training by full key, {} there.
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
    num_examples: list[int] | None
    config: Mapping[str, Any]

    def table(self) -> str:
        """Counts and names as text; long lists are shortened."""
        to_flow = ("averaged", self.averaged, "of these, from RGB to the channels of flow")
        rows = [
            ("loaded", self.loaded, "from the file"),
            *([to_flow] if self.averaged else []),
            ("inflated", self.inflated, "of these, from a 2D kernel or a linear layer"),
            ("identity", self.identities, "of these, made: copies of frames, parts of others"),
            ("replaced", self.replaced, "classifier of other shape or classes, starts fresh"),
            ("mismatched", self.mismatched, "other shape in the file, not loaded"),
            ("missing", self.missing, "not in the file, not loaded"),
            ("unexpected", self.unexpected, "only in the file, ignored"),
        ]
        lines = [f"weights from {self.path} ({self.layout} names)"]
        for title, names, meaning in rows:
            lines.append(f"  {title:<11}{len(names):>5}  {meaning}")
            if title not in ("loaded", "inflated", "averaged", "identity"):
                lines += [f"      {name}" for name in _shorten(names)]
        lines.append(f"  {self.coverage:.1%} of the backbone's tensors were loaded")
        return "\n".join(lines)


@dataclass(frozen=True)
class _Weights:
    """A file's tensors under our names; the names of those that were changed to fit, by the way.

    is_named: whether the names of the classes are the file's own, not those of a public set.
    other_classes: how its classes differ from the data's, "" where they do not. class_counts: of
    each target; None where the file does not say. hint: for when few of its names are the model's.
    """

    path: Path
    layout: str
    class_names: list[str] | None
    state: State
    is_named: bool = True
    inflated: Sequence[str] = ()
    averaged: Sequence[str] = ()
    identities: Sequence[str] = ()
    other_classes: str = ""
    class_counts: tuple[int, ...] | None = None
    num_examples: list[int] | None = None
    hint: str = ""
    config: Mapping[str, Any] = field(default_factory=dict)


def initialize_from(
    model: nn.Module,
    path: str | Path,
    *,
    clear_name_patterns: Sequence[str] = (),
    min_coverage: float = 0.9,
    classes: ClassList | None = None,
) -> CoverageReport:
    """Copy a file's weights into `model`, to train on from there; the table goes to the log.

    The classifier keeps its fresh weights, all of them, when one has another shape in the file, or
    the file's classes have other names than the data's, `classes` (None: they count as the same).
    CheckpointError, and `model` is untouched, when less than `min_coverage` of the tensors outside
    the classifier would be loaded.
    """
    state, report = convert_file(
        model,
        path,
        clear_name_patterns=clear_name_patterns,
        min_coverage=min_coverage,
        classes=classes,
    )
    _copy(state, report, model)
    logger.info("%s", report.table())
    return report


def load_for_test(
    model: nn.Module,
    path: str | Path,
    *,
    clear_name_patterns: Sequence[str] = (),
    classes: ClassList | None = None,
) -> CoverageReport:
    """Copy a file's weights into `model`; CheckpointError unless all fit, the classifier's too.

    Its classes must be those of the data, `classes`, in any order; None: they count as the same.
    `clear_name_patterns` belong to the file, so a test takes them from the key of TRAIN as well.
    """
    weights = _read(Path(path), clear_name_patterns, model)
    weights = _with_classes(weights, classes, classifier=classifier_name(model))
    if weights.class_counts and (difference := _other_targets(weights.class_counts, model)):
        raise CheckpointError(f"{path}: MODEL.NUM_CLASSES: {difference}")
    shapes = _own_shapes(model, weights.state)
    # A test must not make temporal kernels up: only kernels of one frame are reshaped.
    state, inflated = inflate(weights.state, shapes, repeats_frames=False)
    report = _compare(replace(weights, state=state, inflated=inflated), shapes, classifier=None)
    if report.mismatched or report.missing or report.unexpected:
        raise CheckpointError(
            f"{path}: is a checkpoint of another model than the one that this config describes "
            f"(MODEL.MODEL_NAME, its sizes, MODEL.NUM_CLASSES){_after(weights.hint)}\n"
            f"{report.table()}"
        )
    if weights.other_classes:
        raise CheckpointError(
            f"{path}: its classes are not those of the data: {weights.other_classes}. Test on data "
            "with the classes of the weights, correct the names, or set DATA.MATCH_CLASSES False "
            "to go by the numbers of the classes"
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
    classes: ClassList | None = None,
) -> tuple[State, CoverageReport]:
    """The weights that `initialize_from` would load, but the classifier as the file has it.

    Only names and shapes of `model` count, so it may be on the meta device.
    """
    weights = _read(Path(path), clear_name_patterns, model)
    classifier = classifier_name(model)
    if difference := _other_targets(weights.class_counts, model):
        weights = replace(weights, other_classes=difference)
    else:
        weights = _with_classes(weights, classes, classifier=classifier)
    if weights.other_classes:
        logger.info("%s: the classifier starts fresh: %s", path, weights.other_classes)
    shapes = _own_shapes(model, weights.state)
    weights = _adapt(weights, model, shapes)
    report = _compare(weights, shapes, classifier=classifier)
    if report.coverage < min_coverage:
        raise CheckpointError(
            f"TRAIN.CHECKPOINT_MIN_COVERAGE: {path} fills {report.coverage:.1%} of the backbone, "
            f"at least {min_coverage:.0%} are asked for; "
            f"{weights.hint or 'is it a checkpoint of another model?'}\n{report.table()}"
        )
    kept = [n for n in weights.state if n in report.loaded or n.startswith(f"{classifier}.")]
    return {name: weights.state[name] for name in kept}, report


def _read(path: Path, clear_name_patterns: Sequence[str], model: nn.Module) -> _Weights:
    """The file's tensors under our names, as if of a model with plain batch norms."""
    content = load(path)
    try:
        state = strip_wrappers(clear_names(find_model_state(content), clear_name_patterns))
        wanted = _own_shapes(model, {})
        stripped = strip_prefix(state, wanted, partial(_to_ours, wanted=wanted))
        state, layout = detect_and_rename(stripped.state, wanted)
        state, counts = join_targets(plain_batch_norm(state))
    except ValueError as error:
        raise CheckpointError(f"{path}: {error}") from error
    if stripped.remark:
        logger.info("%s: %s", path, stripped.remark)
    about = _about(content)
    about["class_counts"] = about["class_counts"] or counts
    published = named_weights(path) if about["class_names"] is None else None
    if published is not None:
        about |= {"class_names": published.class_names, "is_named": False}
    return replace(_Weights(path, layout, None, state, hint=stripped.hint), **about)


def _to_ours(state: State, wanted: Collection[str]) -> State:
    return plain_batch_norm(detect_and_rename(state, wanted)[0])


def _about(content: dict) -> dict[str, Any]:
    """Classes as our training writes them; other programs may mean other things by these names."""
    kinds = {"class_names": str, "class_counts": int, "num_examples": int | float}
    about = {name: content.get(name) for name in kinds}
    for name, kind in kinds.items():
        value = about[name]
        if not (isinstance(value, list) and value and all(isinstance(v, kind) for v in value)):
            about[name] = None
    counts = about["class_counts"]
    about["class_counts"] = None if counts is None else tuple(counts)
    return {**about, "config": read_config(content.get("cfg"))}


def _other_targets(counts: Sequence[int] | None, model: nn.Module) -> str:
    """Difference between the targets of a file, with so many classes, and a model's, or "".

    As many rows of a classifier may be of one target or of several. None: the file has one.
    """
    own = target_counts(model)
    if own is None or len(own) == len(counts or [1]) == 1 or own == tuple(counts or ()):
        return ""
    theirs = f"targets of {list(counts)} classes" if counts and len(counts) > 1 else "one target"
    ours = f"targets of {list(own)} classes" if len(own) > 1 else "one target"
    return f"the weights are for {theirs}, the model for {ours}"


def _with_classes(weights: _Weights, classes: ClassList | None, *, classifier: str) -> _Weights:
    """With the classifier's rows in the order of the data's classes, if these are the same.

    Files of other programs have no names, and are left as they are. Names of a public set, which
    its copies spell in several ways, need not all be the same.
    """
    names = weights.class_names
    if classes is None or not names or num_rows(weights.state, classifier=classifier) != len(names):
        return weights
    match = match_classes(names, classes)
    if match.order is None and not weights.is_named and match.num_shared >= _SAME_SET * len(names):
        logger.warning("%s: classes go by their numbers: %s", weights.path, match.differences())
        return weights
    if match.order is None:
        return replace(weights, other_classes=match.differences())
    for remark in match.remarks():
        logger.warning("%s: %s", weights.path, remark)
    state = move_rows(weights.state, match.order, classifier=classifier)
    examples = weights.num_examples
    if examples and len(examples) == len(names):
        examples = [examples[row] for row in match.order]
    return replace(weights, state=state, class_names=list(classes.names), num_examples=examples)


def _own_shapes(model: nn.Module, state: State) -> Shapes:
    """Shapes of the tensors that the model wants; counters only where the file has them."""
    own, _ = split_sub_bn(model.state_dict())
    return {n: value.shape for n, value in own.items() if n in state or not _is_counter(n)}


def _adapt(weights: _Weights, model: nn.Module, shapes: Shapes) -> _Weights:
    """With kernels that fit: from RGB to flow, in time, and as the modules of the model know."""
    state, averaged = average_channels(weights.state, shapes)
    state, inflated = inflate(state, shapes, repeats_frames=True)
    changes: dict[str, torch.Tensor | None] = {}
    remarks: Counter[str] = Counter()
    for name, module in model.named_modules():
        if hasattr(module, "adapt_weights"):
            found, remark = module.adapt_weights(state, f"{name}." if name else "")
            changes |= found
            remarks[remark] += 1
    del remarks[""]
    for remark, count in remarks.items():
        logger.warning("%s: %d %s", weights.path, count, remark)
    made = [n for n, value in changes.items() if value is not None and n not in state]
    state = {n: value for n, value in {**state, **changes}.items() if value is not None}
    return replace(weights, state=state, averaged=averaged, inflated=inflated, identities=made)


def _compare(weights: _Weights, shapes: Shapes, *, classifier: str | None) -> CoverageReport:
    """The tensors that fit, and every other; of the `classifier` all or none are loaded."""
    state = weights.state
    differs = {n for n in shapes if n in state and state[n].shape != shapes[n]}
    in_head = {n for n in shapes if classifier is not None and n.startswith(f"{classifier}.")}
    is_fresh = weights.other_classes or in_head & differs
    replaced = in_head & state.keys() if is_fresh else set()
    loaded = [n for n in shapes if n in state and n not in differs | replaced]
    backbone = [n for n in shapes if n not in in_head and not _is_counter(n)]
    known = set(loaded)

    def chosen(names: Sequence[str]) -> tuple[str, ...]:
        return tuple(n for n in names if n in known)

    return CoverageReport(
        path=weights.path,
        layout=weights.layout,
        loaded=tuple(loaded),
        inflated=chosen(weights.inflated),
        averaged=chosen(weights.averaged),
        identities=chosen(weights.identities),
        replaced=_with_shapes(replaced, state, shapes),
        mismatched=_with_shapes(differs - replaced, state, shapes),
        missing=tuple(n for n in shapes if n not in state),
        unexpected=tuple(n for n in state if n not in shapes),
        coverage=len(chosen(backbone)) / max(len(backbone), 1),
        class_names=weights.class_names,
        num_examples=weights.num_examples,
        config=weights.config,
    )


def _after(hint: str) -> str:
    return f"; {hint}" if hint else ""


def _with_shapes(names: set[str], state: State, shapes: Shapes) -> tuple[str, ...]:
    """Names, each with the shapes in the file and in the model, in the model's order."""
    return tuple(
        f"{n} ({tuple(state[n].shape)} -> {tuple(shapes[n])})" for n in shapes if n in names
    )


@torch.no_grad()
def _copy(state: State, report: CoverageReport, model: nn.Module) -> None:
    loaded = {name: state[name] for name in report.loaded}
    check_finite(loaded, report.path)
    model.load_state_dict(loaded, strict=False)


def _is_counter(name: str) -> bool:
    """Batch norm counts its batches, but nothing depends on that and old files do not have it."""
    return name.endswith("num_batches_tracked")


def _shorten(names: Sequence[str]) -> list[str]:
    if len(names) <= _MAX_LISTED:
        return list(names)
    return [*names[:_MAX_LISTED], f"... and {len(names) - _MAX_LISTED} more"]
