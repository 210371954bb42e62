"""Names of foreign checkpoints -> ours: pure functions from dictionary to dictionary."""

import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import torch

State = dict[str, torch.Tensor]

_CONTAINERS = ("model_state", "state_dict", "model")
_WRAPPERS = re.compile(r"^(?:module\.|_orig_mod\.)+")
_SPLIT_STATS = re.compile(r"(?:^|\.)(?:split_running_(?:mean|var)|split_bn\.\w+)$")
_SUB_BN_STATS = re.compile(r"(.+)\.bn\.(running_mean|running_var|num_batches_tracked)")


def find_model_state(content: Mapping) -> State:
    """The model's tensors in a loaded checkpoint: PySlowFast's, {"state_dict"}, {"model"} or bare.

    Of our own runs with a moving average, its weights: those are what was evaluated.
    """
    if "ema_state" in content:
        return find_model_state(content["ema_state"])
    for key in _CONTAINERS:
        if isinstance(content.get(key), Mapping):
            return find_model_state(content[key])
    if content and all(isinstance(value, torch.Tensor) for value in content.values()):
        return dict(content)
    raise ValueError(
        f"no model weights found under {', '.join(_CONTAINERS)} nor at top level; "
        f"the keys are {sorted(map(str, content))[:10]}"
    )


def strip_wrappers(state: State) -> State:
    """Without the prefixes of DistributedDataParallel and torch.compile."""
    return _rename(state, partial(_WRAPPERS.sub, ""))


def clear_names(state: State, patterns: Sequence[str]) -> State:
    """With everything that matches one of the regular expressions removed from the names."""
    for pattern in patterns:
        state = _rename(state, partial(re.sub, pattern, ""))
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

    def rename(name: str) -> str:
        match = _SUB_BN_STATS.fullmatch(name)
        if match is None:
            return name
        layer, statistic = match.groups()
        is_sub_bn = f"{layer}.weight" in plain and f"{layer}.bn.weight" not in plain
        return f"{layer}.{statistic}" if is_sub_bn else name

    return _rename(plain, rename)


def _rename(state: State, rename: Callable[[str], str]) -> State:
    renamed: State = {}
    origin: dict[str, str] = {}
    for name, value in state.items():
        new = rename(name)
        if new in renamed:
            raise ValueError(f"tensors {origin[new]!r} and {name!r} would both be named {new!r}")
        renamed[new], origin[new] = value, name
    return renamed
