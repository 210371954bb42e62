"""Prefixes that other programs put before the names of a network: `net.`, `backbone.`, `student.`.

No list of words: the prefix counts without which the most names are those of the model.
"""

import re
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass

from slowfast.checkpoint.convert import State, rename

_MAX_DEPTH = 5  # of a prefix, in words
_MAX_TRIED = 40  # prefixes, the commonest first
_FEW = 0.5  # share of the model's names; with more a state is left as it is
_HINT = "TRAIN.CHECKPOINT_CLEAR_NAME_PATTERN"


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
