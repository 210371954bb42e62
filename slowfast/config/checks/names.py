"""Names of models, datasets and tasks: those of our tables, and those that other projects use."""

import difflib
from collections.abc import Callable, Container, Iterable, Iterator
from typing import Any, Protocol

from slowfast.config.unsupported import UNSUPPORTED_NAMES, find_name
from slowfast.utils.words import shorten


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
