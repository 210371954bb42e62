"""The config tree: merges YAML files and command-line words; its errors say where and what."""

import difflib
import logging
import os
import re
import sys
from ast import literal_eval
from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import replace
from functools import reduce
from pathlib import Path
from typing import Any

from yacs.config import CfgNode

from slowfast.config.limits import Default, Limit
from slowfast.config.unsupported import (
    RENAMED,
    UNSUPPORTED,
    UNSUPPORTED_NAMES,
    find_name,
    unsupported_reason,
)
from slowfast.config.yaml_file import Entry, read_entries
from slowfast.utils.words import cut, shorten

logger = logging.getLogger(__name__)

_OPTIONAL = "__optional__"
_DROPPED = "__dropped__"
_LIMITS = "__limits__"
_SET = "__set__"
_PLACE = "__place__"
_WORDS = {"true": True, "false": False, "none": None, "null": None}
# Value of an empty line `KEY:` in YAML.
_EMPTY: dict[type, Any] = {str: "", list: [], tuple: ()}
# Names between commas, in brackets.
_PLAIN_LIST = re.compile(r"\s*\[([^][(){}'\"]*)\]\s*")
KINDS = {
    str: "text",
    bool: "True or False",
    int: "a whole number",
    float: "a number",
    list: "a list",
    tuple: "a list",
}


class MissingKeyError(AttributeError, ValueError):
    """A key of an open section that nobody has set; a mistake of the user."""


class ConfigNode(CfgNode):
    """yacs' node that knows near-by names, unsupported keys and the type of every default.

    A default of None means an optional number; a `Default` has a limit as well. A section with
    `new_allowed` is open: it takes any keys and values.
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.__dict__[_OPTIONAL] = {name for name, value in self.items() if value is None}
        self.__dict__[_DROPPED] = set()
        self.__dict__[_LIMITS] = {}
        self.__dict__[_SET] = set()

    def __deepcopy__(self, memo: dict) -> "ConfigNode":
        """A copy of the tree that shares the limits, which never change; 6 times faster for it."""
        node = type(self)()
        shared = {_LIMITS: self.__dict__[_LIMITS]}
        node.__dict__.update(
            shared | {n: deepcopy(v, memo) for n, v in self.__dict__.items() if n not in shared}
        )
        for name, value in self.items():
            dict.__setitem__(node, name, deepcopy(value, memo))
        return node

    def __getattr__(self, name: str) -> Any:
        if name in self:
            return self[name]
        if name.startswith("_") or not self.is_new_allowed():
            raise AttributeError(name)
        key = f"{self.__dict__.get(_PLACE, 'USER')}.{name}"
        raise MissingKeyError(f"{key} is not set: add {key} VALUE")

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(value, Default):
            value, self.__dict__[_LIMITS][name] = value
        super().__setattr__(name, value)
        if value is None:
            self.__dict__[_OPTIONAL].add(name)

    def merge_from_file(self, cfg_filename: str | Path) -> None:
        """Take over the values of a YAML file, after those of the files that `_BASE_` names."""
        self._merge(read_entries(Path(cfg_filename)))

    def merge_from_list(self, cfg_list: Sequence[Any]) -> None:
        """Take over `KEY, VALUE, KEY, VALUE, ...`; blank words before a key do not count."""
        cfg_list = list(_without_blanks(cfg_list))
        for word in cfg_list[0::2]:
            if not isinstance(word, str) or "=" in word:
                raise ValueError(
                    f"override {shorten(word)}: write KEY VALUE, two words without '='"
                )
        if len(cfg_list) % 2:
            raise ValueError(
                f"overrides are pairs KEY VALUE, got {len(cfg_list)} words: "
                f"{shorten(list(cfg_list), 400)}; "
                "quote a value that holds spaces, e.g. SOLVER.STEPS '[0, 35]'"
            )
        pairs = zip(cfg_list[0::2], cfg_list[1::2], strict=True)
        self._merge([Entry(key, value, "override", is_word=True) for key, value in pairs])

    def merge_from_other_cfg(self, cfg_other: CfgNode) -> None:
        """Take over every value of another tree."""
        self._merge([Entry(key, value, "config") for key, value in flatten(cfg_other)])

    def merge_from_values(self, values: Mapping[str, Any], where: str) -> None:
        """Take over values by their full keys; `where` they stand is named in messages."""
        self._merge([Entry(key, value, where) for key, value in values.items()])

    def get_value(self, key: str) -> Any:
        """The value or section that "SECTION.NAME" names; "" names this node."""
        return reduce(getattr, key.split("."), self) if key else self

    def expand_home(self) -> None:
        """Write out `~/` at the start of paths, in place: in a YAML file no shell does so."""
        for name, value in self.items():
            if isinstance(value, ConfigNode):
                value.expand_home()
            elif isinstance(value, str) and value.startswith("~/"):
                self[name] = os.path.expanduser(value)

    def is_set(self, name: str) -> bool:
        """Whether a file or override set this value of the section."""
        return name in self.__dict__[_SET]

    def limits(self, prefix: str = "") -> Iterator[tuple[str, Any, Limit]]:
        """Key, value and limit of every value that has a limit."""
        for name, value in self.items():
            if isinstance(value, ConfigNode):
                yield from value.limits(f"{prefix}{name}.")
            elif name in self.__dict__[_LIMITS]:
                yield f"{prefix}{name}", value, self.__dict__[_LIMITS][name]

    def _merge(self, entries: Sequence[Entry]) -> None:
        """Set all entries, or raise with all mistakes before the first one is set."""
        if self.is_frozen():
            raise AttributeError("this config is frozen: change a cfg.clone() after defrost()")
        values, mistakes = [], []
        for entry in entries:
            if reason := unsupported_reason(entry.key):
                self._warn_dropped(entry, reason)
                continue
            if entry.key in RENAMED:
                entry = _renamed(entry)
            try:
                if entry.mistake:
                    raise ValueError(entry.mistake)
                node, name = self._locate(entry.key)
                values.append((node, name, _convert(node, name, entry)))
            except ValueError as error:
                mistakes.append(f"{entry.where}: {error}")
        if mistakes:
            raise ValueError(_unsupported_feature(entries) or "\n".join(mistakes))
        for node, name, value in values:
            node[name] = value
            node.__dict__[_SET].add(name)

    def _locate(self, key: str) -> tuple["ConfigNode", str]:
        """The node that holds `key` and the last part of its name, both new in an open section."""
        node: Any = self
        *sections, name = key.split(".")
        for section in sections:
            node = node._enter(section) if isinstance(node, ConfigNode) else None
        if isinstance(node, ConfigNode) and node.is_new_allowed() and name:
            node.setdefault(name, None)
        if not isinstance(node, ConfigNode) or name not in node:
            raise ValueError(f"{cut(key, 100)} is not a known key{_nearest(key, self)}")
        if isinstance(node[name], ConfigNode):
            raise ValueError(f"{key} is a section; its keys are {sorted(node[name])}")
        return node, name

    def _enter(self, section: str) -> Any:
        if self.is_new_allowed() and section:
            node = self.setdefault(section, ConfigNode(new_allowed=True))
            if isinstance(node, ConfigNode):
                node.__dict__[_PLACE] = f"{self.__dict__.get(_PLACE, 'USER')}.{section}"
        return self.get(section)

    def _warn_dropped(self, entry: Entry, reason: str) -> None:
        dropped = self.__dict__[_DROPPED]
        if entry.key not in dropped:
            logger.warning("%s: %s is not supported: %s", entry.where, entry.key, reason)
        dropped.add(entry.key)


def _without_blanks(words: Iterable[Any]) -> Iterator[Any]:
    """The words without blanks where a key should stand: `\\ ` at the end of a line leaves one."""
    is_value = False
    for word in words:
        if is_value or not isinstance(word, str) or word.strip():
            yield word
            is_value = not is_value


def _convert(node: ConfigNode, name: str, entry: Entry) -> Any:
    """The entry's value in the type of the value that it replaces."""
    if node.is_new_allowed():
        return _convert_open(entry)
    limit = node.__dict__[_LIMITS].get(name)
    if hasattr(limit, "kinds"):
        return _convert_to_kinds(limit, entry)
    current, value = node[name], entry.value
    is_optional = name in node.__dict__[_OPTIONAL]
    kind = float if is_optional else type(current)
    if isinstance(value, str) and kind is not str:
        value = _parse(value, is_list=kind in (list, tuple) and entry.is_word)
    if value is None:
        value = _EMPTY.get(kind, getattr(limit, "if_none", None))
    if is_optional and value is None:
        return None
    if kind is float and type(value) is int and abs(value) <= sys.float_info.max:
        return float(value)
    if kind in (list, tuple) and isinstance(value, list | tuple):
        return kind(_parse_floats(value))
    if type(value) is not kind:
        raise ValueError(f"{entry.key}: {shorten(entry.value)} is not {_wanted(kind, current)}")
    return value


def _convert_to_kinds(limit: Any, entry: Entry) -> Any:
    """The entry's value for a key whose limit allows several types."""
    value = _parse(entry.value) if isinstance(entry.value, str) else entry.value
    if value is None and str in limit.kinds:
        value = ""
    if isinstance(value, list | tuple):
        value = list(_parse_floats(value))
    value = limit.plain(value)
    if type(value) not in limit.kinds:
        allowed = " or ".join(KINDS[kind] for kind in limit.kinds)
        raise ValueError(
            f"{entry.key}: {shorten(entry.value)} is not {allowed}; it must be {limit}"
        )
    return value


def _wanted(kind: type, current: Any) -> str:
    """Words for a value of this kind, with the present one as example."""
    if kind in (list, tuple) and not current:
        return f"{KINDS[kind]}; on a command line in quotes, e.g. '[1, 2]' or '[\"s1\", \"s2\"]'"
    return f"{KINDS[kind]}, e.g. {current!r}" if current else KINDS[kind]


def _convert_open(entry: Entry) -> Any:
    """The entry's value in an open section, in the type that it seems to have."""
    value = entry.value
    if entry.is_word and isinstance(value, str):
        value = _parse(value)
    (value,) = _parse_floats([value])
    if type(value) not in (*KINDS, type(None)):
        raise ValueError(
            f"{entry.key}: {shorten(value)} is not text, a number, True, False or a list"
        )
    return value


def _parse(text: str, *, is_list: bool = False) -> Any:
    """The Python literal that `text` spells (also `true` and `null`), else `text` itself.

    A list may hold names without quotes, [s1, s2], as in YAML.
    """
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    try:
        return literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        names = _PLAIN_LIST.fullmatch(text) if is_list else None
        return [_parse(name.strip()) for name in names[1].split(",")] if names else text


def _parse_floats(values: Iterable[Any]) -> Iterator[Any]:
    """Turn elements like 1e-5, which YAML reads as text, into numbers, also in nested lists."""
    for value in values:
        if isinstance(value, list):
            yield list(_parse_floats(value))
        elif isinstance(value, str) and type(_parse(value)) is float:
            yield _parse(value)
        else:
            yield value


def _unsupported_feature(entries: Sequence[Entry]) -> str:
    """A sentence about what these ask for and is not part of this project; "" for none."""
    for entry in entries:
        if reason := find_name(UNSUPPORTED_NAMES, entry.key, entry.value):
            name = shorten(entry.value)
            return f"{entry.where}: {entry.key}: {name} is not supported: {reason}"
    return ""


def _renamed(entry: Entry) -> Entry:
    """The entry under the name that its key has here."""
    name = RENAMED[entry.key]
    logger.warning("%s: %s is here %s, which takes its value", entry.where, entry.key, name)
    return replace(entry, key=name)


def _nearest(key: str, root: ConfigNode) -> str:
    """Known names close to `key`: the same last part elsewhere, then similar spelling."""
    known = {name.upper(): name for name, _ in flatten(root)}
    known |= {n.upper(): n for n in (*UNSUPPORTED, *RENAMED) if not n.endswith("*")}
    key = key[:100]
    last = key.upper().split(".")[-1]
    same = [name for name in known if name.split(".")[-1] == last]
    close = difflib.get_close_matches(key.upper(), known, n=3, cutoff=0.7)
    found = [known[name] for name in dict.fromkeys([*close, *same])]
    names = list(dict.fromkeys(RENAMED.get(name, name) for name in found))[:4]
    return f"; did you mean {' or '.join(names)}?" if names else ""


def flatten(node: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Full keys and values of a tree."""
    for name, value in node.items():
        if isinstance(value, Mapping):
            yield from flatten(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value
