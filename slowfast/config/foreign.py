"""Forms of configs that PySlowFast and its forks take, turned into ours, each with a warning."""

import logging
from collections.abc import Sequence
from itertools import pairwise

from slowfast.config.checks.names import is_registered
from slowfast.config.limits import are_numbers
from slowfast.config.node import ConfigNode
from slowfast.config.unsupported import RENAMED_NAMES, find_name

logger = logging.getLogger(__name__)


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
