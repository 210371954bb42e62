"""Table of rules between keys; each rule is a function of the sections that it reads."""

from collections.abc import Callable, Iterator
from functools import reduce
from typing import Any

from slowfast.config.node import ConfigNode

# A rule gets its sections or single values in the order of their names.
Rule = Callable[..., Iterator[str]]

_RULES: list[tuple[Rule, tuple[str, ...]]] = []


def register_rule(*keys: str) -> Callable[[Rule], Rule]:
    """Decorator for a rule: a function of the values of `keys` that yields mistakes.

    A key names a section ("SOLVER") or a value ("DETECTION.ENABLE"). A mistake is one sentence with
    key, value, what is allowed. Later packages (models, datasets, tasks), and those of a user that
    IMPORTS names, register rules as this one does.
    """

    def store(rule: Rule) -> Rule:
        _RULES.append((rule, keys))
        return rule

    return store


def register_exclusion(switch: str, key: str, reason: str = "") -> None:
    """Register the rule that `key` is off (False or empty) where `switch` is on."""

    @register_rule(switch, key)
    def check_exclusion(is_on: bool, value: Any) -> Iterator[str]:
        if is_on and value:
            because = f": {reason}" if reason else ""
            yield f"{key}: {value} must be {type(value)()} with {switch} True{because}"


def check_cfg(cfg: ConfigNode) -> None:
    """Raise a ValueError with every mistake: the key, its value and what is allowed."""
    mistakes = [
        f"{key}: {mistake}"
        for key, value, limit in cfg.limits()
        for mistake in limit.mistakes(value)
    ]
    if not mistakes:  # rules take single values for granted
        for rule, keys in _RULES:
            mistakes += rule(*(reduce(getattr, key.split("."), cfg) for key in keys))
    if mistakes:
        raise ValueError("\n".join(mistakes))
