"""Names of models, datasets and tasks, and forms of configs that PySlowFast and its forks take.

Names of other projects for what is here are turned into ours, other forms too, each with a warning.
Names of what is not part of this project are one clear mistake.
"""

import difflib
import logging
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Any, Protocol

from slowfast.config.limits import are_numbers
from slowfast.config.node import ConfigNode
from slowfast.config.unsupported import RENAMED_NAMES, UNSUPPORTED_NAMES, find_name
from slowfast.utils.words import shorten

logger = logging.getLogger(__name__)


class Names(Container[str], Iterable[str], Protocol):
    """A table, which may grow."""


Get = Callable[[str], Any]
_TABLES: dict[str, Names] = {}


def register_names(key: str, names: Names) -> None:
    """Let `key` take one of these names; later packages register their tables as this one does."""
    _TABLES[key] = names


def is_registered(key: str, name: str) -> bool:
    """Whether a name of the key is in its table, a user's own included."""
    return name in _TABLES.get(key, ())


def unsupported_feature(get: Get) -> str:
    """A sentence about the first thing that is not part of this project; "" for none.

    `get` gives the value of a key or section.
    """
    for key in UNSUPPORTED_NAMES:
        name = get(key)
        reason = find_name(UNSUPPORTED_NAMES, key, name)
        if reason and _is_read(get, key) and not is_registered(key, name):
            return f"{key}: {shorten(name)} is not supported: {reason}"
    return ""


def name_mistakes(get: Get) -> Iterator[str]:
    """Mistakes about names that are in no table."""
    for key, names in _TABLES.items():
        name = get(key)
        if _is_read(get, key) and name not in names:
            yield f"{key}: {shorten(name)} is not one of {sorted(names)}{_nearest(name, names)}"


def _nearest(name: str, names: Names) -> str:
    by_lower = {known.lower(): known for known in names}
    close = difflib.get_close_matches(name.lower()[:100], by_lower, n=1, cutoff=0.7)
    return f"; did you mean {by_lower[close[0]]}?" if close else ""


def _is_read(get: Get, key: str) -> bool:
    """Whether the section of the key is switched on, where it has a switch."""
    section = key.rpartition(".")[0]
    return not section or get(section).get("ENABLE", True)


def adopt_foreign_forms(cfg: ConfigNode) -> None:
    """Set what the config means here, in place, where our rules would not take it as written."""
    for key in RENAMED_NAMES:
        section, _, name = key.rpartition(".")
        _take_our_name(cfg.get_value(section), name, key)
    if cfg.DETECTION.ENABLE or cfg.DATA.MULTI_LABEL:
        _take_sigmoid(cfg.MODEL)
    _take_increasing_steps(cfg.SOLVER)


def _take_our_name(section: ConfigNode, name: str, key: str) -> None:
    value = section[name]
    found = find_name(RENAMED_NAMES, key, value)
    if found is not None and not is_registered(key, value):
        section[name], sense = found
        logger.warning("%s: %r is here %r, %s", key, value, section[name], sense)


def _take_sigmoid(model: ConfigNode) -> None:
    """Early versions had no MODEL.HEAD_ACT: detection always had sigmoids."""
    if model.LOSS_FUNC.startswith("bce") and not model.is_set("HEAD_ACT"):
        model.HEAD_ACT = "sigmoid"
        logger.warning("MODEL.HEAD_ACT: is 'sigmoid', as several labels at once need")


def _take_increasing_steps(solver: ConfigNode) -> None:
    steps, rates = list(solver.STEPS), list(solver.LRS)
    if solver.LR_POLICY != "steps_with_relative_lrs" or not are_numbers(steps):
        return
    if steps == sorted(set(steps)) or steps[0] != 0 or len(rates) < len(steps):
        return
    solver.STEPS, solver.LRS = increasing_steps(steps, rates, solver.MAX_EPOCH)
    logger.warning(
        "SOLVER.STEPS: %s do not increase; as in the reference, that is %s with SOLVER.LRS %s",
        *(steps, solver.STEPS, solver.LRS),
    )


def increasing_steps(
    steps: Sequence[float], rates: Sequence[float], max_epoch: int
) -> tuple[list[float], list[float]]:
    """Increasing steps, and their rates, for which the learning rate is that of the reference.

    There the rate of an epoch is the one before the first of the steps and `max_epoch` that is
    later than the epoch.
    """
    ends = [*steps, max_epoch]
    records = [i for i, end in enumerate(ends) if end > max([-1, *ends[:i]])]
    return [ends[i] for i in records[:-1]], [rates[after - 1] for _, after in pairwise(records)]
