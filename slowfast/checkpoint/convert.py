"""From the content of a checkpoint to tensors for a model: pure functions of dictionaries.

The names that other projects gave to the same networks are in `layouts`.
"""

import re
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch

from slowfast.checkpoint.pickled import UnknownObject

State = dict[str, torch.Tensor]

_CONTAINERS = ("model_state", "state_dict", "model_state_dict", "model", "blobs")
_CONTAINERS += ("net", "network", "weights", "params")
_MAX_NESTED = 5
# Parts of a checkpoint that hold tensors, but no weights.
_NO_WEIGHTS = re.compile(
    r"optim|sched|scaler|rng|random|loss|criterion|history|momentum|grad", re.I
)
_MAX_DEPTH = 5  # of a prefix, in words
_MAX_TRIED = 40  # prefixes, the commonest first
_FEW = 0.5  # share of the model's names; with more a state is left as it is
_HINT = "TRAIN.CHECKPOINT_CLEAR_NAME_PATTERN"
_WRAPPERS = re.compile(r"^(?:module\.|_orig_mod\.|model\.)+")
_SPLIT_STATS = re.compile(r"(?:^|\.)(?:split_running_(?:mean|var)|split_bn\.\w+)$")
_SUB_BN_STATS = re.compile(r"(.+)\.bn\.(running_mean|running_var|num_batches_tracked)")


def find_model_state(content: Mapping) -> State:
    """The model's tensors in a loaded checkpoint; plain values beside them are dropped.

    PySlowFast's and ours, those under a common name, Caffe2's {"blobs"}, bare ones; else whatever
    tensors there are, the names of the dictionaries around them before their own. Of our own runs
    with a moving average, its weights: those are what was evaluated.
    """
    for key in ("ema_state", *_CONTAINERS):
        inner = content.get(key)
        if isinstance(inner, UnknownObject):
            raise ValueError(
                f"{key!r} is a Python object ({inner.name}) whose weights cannot be read without "
                "running its code. If you trust the file, load it with the program that wrote it, "
                "and save the weights alone: "
                "torch.save({'model_state': model.state_dict()}, path)"
            )
        if isinstance(inner, Mapping) and (found := _flatten(inner)):
            return found if _is_flat(inner) else find_model_state(inner)
    if found := _flatten(content):
        return found
    raise ValueError(
        f"no model weights found under {', '.join(_CONTAINERS)} nor at top level; "
        f"the keys are {sorted(str(key)[:100] for key in content)[:10]}"
    )


def _is_flat(content: Mapping) -> bool:
    return not any(isinstance(value, Mapping) for value in content.values())


def _flatten(content: Mapping, depth: int = _MAX_NESTED, seen: set[int] | None = None) -> State:
    """Tensors in dictionaries of dictionaries, by their dotted names; of each dictionary once."""
    found: State = {}
    seen = set() if seen is None else seen
    seen.add(id(content))
    for key, value in content.items():
        if isinstance(value, torch.Tensor | np.ndarray):
            found[str(key)] = torch.as_tensor(value)
        elif isinstance(value, Mapping) and depth and not _NO_WEIGHTS.search(str(key)):
            inner = {} if id(value) in seen else _flatten(value, depth - 1, seen)
            found |= {f"{key}.{name}": item for name, item in inner.items()}
    return found


def strip_wrappers(state: State) -> State:
    """Without the prefixes of DistributedDataParallel, torch.compile and Lightning modules."""
    return rename(state, partial(_WRAPPERS.sub, ""))


@dataclass(frozen=True)
class Stripped:
    """Weights without a common prefix of their names; `remark` is for the log, `hint` for errors.

    Both are "" where there is nothing to say.
    """

    state: State
    remark: str = ""
    hint: str = ""


def strip_prefix(
    state: State, wanted: Collection[str], to_ours: Callable[[State], State]
) -> Stripped:
    """Remove the prefix without which the most names are `wanted`; none if two are as good.

    No list of words: `net.`, `backbone.`, `student.`, whatever programs put before them.
    to_ours: gives the names of this project to those of another; ValueError where it cannot.
    """
    wanted = set(wanted)

    def num_found(state: State) -> int:
        try:
            return len(wanted & to_ours(state).keys())
        except ValueError:
            return 0

    as_is = num_found(state)
    if not wanted or as_is >= _FEW * len(wanted):
        return Stripped(state)
    found = {prefix: num_found(_below(state, prefix)) for prefix in _common_prefixes(state)}
    most = max(found.values(), default=0)
    best = [prefix for prefix, count in found.items() if count == most]
    if most <= as_is:
        return Stripped(state)
    if len(best) > 1:
        choices = " or ".join(f"['^{re.escape(prefix)}']" for prefix in best[:4])
        others = f"its names fit as well without {' as without '.join(map(repr, best[:4]))}"
        return Stripped(state, hint=f"{others}: choose by {_HINT} {choices}")
    (prefix,) = best
    remark = f"{most} names are the model's without their prefix {prefix!r}, which is left out"
    pattern = re.compile(f"^{re.escape(prefix)}")
    return Stripped(rename(state, lambda name: pattern.sub("", name)), remark)


def _below(state: State, prefix: str) -> State:
    return {n.removeprefix(prefix): value for n, value in state.items() if n.startswith(prefix)}


def _common_prefixes(state: State) -> list[str]:
    """Beginnings of several names, that end with a dot, the commonest first."""
    counts: Counter[str] = Counter()
    for name in state:
        words = name.split(".")[:-1][:_MAX_DEPTH]
        counts.update(
            "".join(f"{word}." for word in words[:end]) for end in range(1, 1 + len(words))
        )
    return [prefix for prefix, _ in counts.most_common(_MAX_TRIED)]


def clear_names(state: State, patterns: Sequence[str]) -> State:
    """With everything that matches one of the regular expressions removed from the names."""
    for pattern in patterns:
        state = rename(state, partial(re.sub, pattern, ""))
    return state


def split_sub_bn(state: State) -> tuple[State, State]:
    """(the state as of a model with plain batch norm, the statistics of SubBatchNorm3d's parts).

    The union of both is the whole state again.
    """
    parts = {name: value for name, value in state.items() if _SPLIT_STATS.search(name)}
    return {name: value for name, value in state.items() if name not in parts}, parts


def plain_batch_norm(state: State) -> State:
    """With every SubBatchNorm turned into a plain batch norm, also PySlowFast's.

    There the layer `x` owns `x.weight`, and the statistics lie in `x.bn` (of all parts) and
    `x.split_bn`.
    """
    plain, _ = split_sub_bn(state)

    def plain_name(name: str) -> str:
        match = _SUB_BN_STATS.fullmatch(name)
        if match is None:
            return name
        layer, statistic = match.groups()
        is_sub_bn = f"{layer}.weight" in plain and f"{layer}.bn.weight" not in plain
        return f"{layer}.{statistic}" if is_sub_bn else name

    return rename(plain, plain_name)


def join_targets(state: State) -> tuple[State, tuple[int, ...] | None]:
    """The verb and noun classifiers of EPIC-KITCHENS' PySlowFast as one, and classes of each.

    None, and the state as it is, where there is one classifier.
    """
    names = [f"head.projection_{target}." for target in ("verb", "noun")]
    if not all(f"{name}weight" in state for name in names):
        return state, None
    others = {name: value for name, value in state.items() if not name.startswith(tuple(names))}
    for kind in ("weight", "bias"):
        others[f"head.projection.{kind}"] = torch.cat([state[f"{name}{kind}"] for name in names])
    return others, tuple(len(state[f"{name}bias"]) for name in names)


def inflate(
    state: State, shapes: Mapping[str, torch.Size], *, repeats_frames: bool
) -> tuple[State, list[str]]:
    """`state` with the time axis that `shapes` ask for, and the names of the tensors it was given.

    A 2D kernel O,I,H,W becomes O,I,T,H,W: repeated over time and divided by T, so that it answers
    equal frames as before (arXiv 1705.07750, section 2.1), and so does a kernel O,I,1,H,W; without
    `repeats_frames` only where T is 1. A linear layer O,I becomes a 1x1x1 convolution.
    """
    inflated: State = {}
    for name, value in state.items():
        shape = shapes.get(name)
        if shape is None or len(shape) != 5 or value.shape == shape:
            continue
        kernel = _as_3d(value)
        is_frame = kernel.ndim == 5 and kernel.shape == (*shape[:2], 1, *shape[3:])
        if is_frame and (shape[2] == 1 or repeats_frames):
            inflated[name] = kernel.repeat(1, 1, shape[2], 1, 1) / shape[2]
    return {**state, **inflated}, list(inflated)


def _as_3d(kernel: torch.Tensor) -> torch.Tensor:
    """A linear layer O,I or a 2D kernel O,I,H,W as a 3D kernel; every other tensor as it is."""
    if kernel.ndim == 2:
        return kernel[..., None, None, None]
    return kernel.unsqueeze(2) if kernel.ndim == 4 else kernel


def average_channels(state: State, shapes: Mapping[str, torch.Size]) -> tuple[State, list[str]]:
    """`state` for a network that sees optical flow, and the names of the tensors that changed.

    A kernel for RGB where `shapes` ask for the two channels of flow becomes its mean over RGB, once
    for each (cross-modality pre-training, arXiv 1608.00859, section 3.2).
    """
    averaged: State = {}
    for name, value in state.items():
        shape = shapes.get(name, ())
        is_kernel = value.ndim in (4, 5) and len(shape) in (4, 5)
        if is_kernel and (value.shape[1], shape[1]) == (3, 2):
            averaged[name] = value.mean(1, keepdim=True).repeat_interleave(2, dim=1)
    return {**state, **averaged}, list(averaged)


def rename(state: State, new_name: Callable[[str], str]) -> State:
    """With `new_name` applied to every name; ValueError when two tensors would get the same."""
    renamed: State = {}
    origin: dict[str, str] = {}
    for name, value in state.items():
        new = new_name(name)
        if new in renamed:
            raise ValueError(f"tensors {origin[new]!r} and {name!r} would both be named {new!r}")
        renamed[new], origin[new] = value, name
    return renamed
