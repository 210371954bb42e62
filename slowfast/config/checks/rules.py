"""Table of rules between keys; each rule is a function of the sections that it reads."""

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any

from slowfast.config.foreign import name_mistakes, unsupported_feature
from slowfast.config.limits import odd_numbers
from slowfast.config.node import ConfigNode, flatten
from slowfast.utils.words import cut, shorten

# A rule gets its sections or single values in the order of their names.
Rule = Callable[..., Iterator[str]]

# Of one line: a list in it may be long.
_MOST_CHARACTERS = 600

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
    """Raise a ValueError with every mistake: the key, its value and what is allowed.

    One line for a config that asks for something that is not part of this project.
    """
    if feature := unsupported_feature(cfg.get_value):
        raise ValueError(feature)
    mistakes = [
        f"{key}: {mistake}"
        for key, value, limit in cfg.limits()
        for mistake in limit.mistakes(value)
    ]
    mistakes += _odd_numbers(flatten(cfg), {mistake.partition(":")[0] for mistake in mistakes})
    mistakes += [*_zero_bytes(flatten(cfg)), *name_mistakes(cfg.get_value)]
    if not mistakes:  # rules take single values for granted
        for rule, keys in _RULES:
            mistakes += rule(*map(cfg.get_value, keys))
    if mistakes:
        raise ValueError("\n".join(cut(mistake, _MOST_CHARACTERS) for mistake in mistakes))


def _zero_bytes(values: Iterable[tuple[str, Any]]) -> list[str]:
    """Mistakes of texts that nothing can be called."""
    return [
        f"{key}: {shorten(value)} holds a zero byte"
        for key, value in values
        if "\0" in (value if isinstance(value, str) else repr(value).replace("\\x00", "\0"))
    ]


def _odd_numbers(values: Iterable[tuple[str, Any]], named: set[str]) -> list[str]:
    """Mistakes of numbers that nothing can be done with, also in sections that take any keys."""
    return [
        f"{key}: {shorten(value)} must be finite numbers of at most 64 bits; found {shorten(odd)}"
        for key, value in values
        for odd in islice(odd_numbers(value), 1)
        if key not in named
    ]
