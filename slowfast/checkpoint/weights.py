"""Weights without the rest of a checkpoint: those that tests take, of one file or of several."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from slowfast.checkpoint import files
from slowfast.checkpoint.convert import (
    State,
    find_model_state,
    plain_batch_norm,
    strip_wrappers,
)
from slowfast.checkpoint.files import CheckpointError
from slowfast.config.derived import NETWORK_KEYS, is_in, plain
from slowfast.config.public import public_config

# Beside the tensors, of the checkpoints of our runs.
_FACTS = ("class_names", "class_counts", "num_examples", "cfg")
# Keys that make the weights of one config unlike those of another.
_SAME_KEYS = (*NETWORK_KEYS, "DATA.NUM_FRAMES", "DATA.SAMPLING_RATE", "DATA.MEAN", "DATA.STD")
_NUM_SHOWN = 3


@dataclass(frozen=True)
class Weights:
    """Tensors by name, with plain batch norms, and the facts that predictions need.

    is_moving_average: they are those of TRAIN.EMA_DECAY, which tests of the file take.
    """

    path: Path
    state: State
    facts: Mapping[str, Any]
    is_moving_average: bool


def read_weights(path: str | Path) -> Weights:
    """The weights that a test of a checkpoint takes; CheckpointError where there are none."""
    content = files.load(path)
    try:
        state = plain_batch_norm(strip_wrappers(find_model_state(content)))
    except ValueError as error:
        raise CheckpointError(f"{path}: {error}") from error
    facts = {name: content[name] for name in _FACTS if content.get(name)}
    return Weights(Path(path), state, facts, bool(content.get("ema_state")))


def average_weights(parts: Sequence[Weights]) -> Weights:
    """The mean of the weights of several checkpoints of one network, statistics included.

    Whole numbers, such as counters, and the facts are the last one's. CheckpointError unless all
    have the same tensors, classes, and keys of the network and its clips.
    """
    if len(parts) < 2:
        raise CheckpointError(f"{parts[0].path}: an average is of two checkpoints or more")
    *others, last = parts
    for part in parts:
        files.check_finite(part.state, part.path)
        if difference := _difference(part, last):
            raise CheckpointError(
                f"{part.path} and {last.path} cannot be averaged: {difference}; name checkpoints "
                "of one network that was trained on the same classes"
            )
    state = {name: _mean([p.state[name] for p in parts]) for name in last.state}
    is_moving_average = any(part.is_moving_average for part in parts)
    return Weights(last.path, state, last.facts, is_moving_average)


def _mean(values: Sequence[torch.Tensor]) -> torch.Tensor:
    """In float64, for thousands may be averaged; of whole numbers the last."""
    last = values[-1]
    if not last.is_floating_point():
        return last
    total = torch.zeros_like(last, dtype=torch.float64)
    for value in values:
        total += value
    return (total / len(values)).to(last.dtype)


def _difference(one: Weights, other: Weights) -> str:
    """Say how two checkpoints differ in more than their values, "" where they do not."""
    if alone := sorted(one.state.keys() ^ other.state.keys()):
        return f"{len(alone)} tensors are in one of them alone, such as {alone[:_NUM_SHOWN]}"
    shapes = [
        f"{name} ({tuple(value.shape)}, {tuple(other.state[name].shape)})"
        for name, value in one.state.items()
        if value.shape != other.state[name].shape
    ]
    if shapes:
        return f"{len(shapes)} tensors have other shapes, such as {', '.join(shapes[:_NUM_SHOWN])}"
    configs = [files.read_config(part.facts.get("cfg")) for part in (one, other)]
    keys = [
        f"{key} {configs[0][key]!r}, {configs[1][key]!r}"
        for key in configs[0].keys() & configs[1].keys()
        if is_in(key, _SAME_KEYS) and plain(configs[0][key]) != plain(configs[1][key])
    ]
    if keys:
        return f"their configs differ in {'; '.join(sorted(keys)[:_NUM_SHOWN])}"
    names = [part.facts.get("class_names") for part in (one, other)]
    return "their classes have other names, or another order" if names[0] != names[1] else ""


def write_weights(weights: Weights, path: Path) -> int:
    """Write a .safetensors file, or a checkpoint of this project; returns its bytes.

    Its config has no paths of this machine.
    """
    facts = dict(weights.facts)
    if isinstance(facts.get("cfg"), str):
        facts["cfg"] = public_config(facts["cfg"])
    if path.suffix == ".safetensors":
        files.save_safetensors(path, weights.state, facts)
    else:
        files.save(path, {"model_state": weights.state, **facts})
    return path.stat().st_size
