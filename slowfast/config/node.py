"""The config tree: merges YAML files and command-line words; its errors say where and what."""

import difflib
import logging
from ast import literal_eval
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from yacs.config import CfgNode

from slowfast.config.limits import Default, Limit
from slowfast.config.unsupported import UNSUPPORTED, unsupported_reason

logger = logging.getLogger(__name__)

_BASE_KEY = "_BASE_"
_OPTIONAL = "__optional__"
_DROPPED = "__dropped__"
_LIMITS = "__limits__"
_WORDS = {"true": True, "false": False, "none": None, "null": None}
KINDS = {
    str: "text",
    bool: "True or False",
    int: "a whole number",
    float: "a number",
    list: "a list",
    tuple: "a list",
}


class _Entry(NamedTuple):
    key: str
    value: Any
    where: str
    is_word: bool = False  # text of a command line, whose type is still open


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

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(value, Default):
            value, self.__dict__[_LIMITS][name] = value
        super().__setattr__(name, value)
        if value is None:
            self.__dict__[_OPTIONAL].add(name)

    def merge_from_file(self, cfg_filename: str | Path) -> None:
        """Take over the values of a YAML file, after those of the files that `_BASE_` names."""
        self._merge(list(_read_file(Path(cfg_filename), ())))

    def merge_from_list(self, cfg_list: Sequence[Any]) -> None:
        """Take over `KEY, VALUE, KEY, VALUE, ...`."""
        for word in cfg_list[0::2]:
            if not isinstance(word, str) or "=" in word:
                raise ValueError(f"override {word!r}: write KEY VALUE, two words without '='")
        if len(cfg_list) % 2:
            raise ValueError(
                f"overrides are pairs KEY VALUE, got {len(cfg_list)} words: {list(cfg_list)}; "
                "quote a value that holds spaces, e.g. SOLVER.STEPS '[0, 35]'"
            )
        pairs = zip(cfg_list[0::2], cfg_list[1::2], strict=True)
        self._merge([_Entry(key, value, "override", is_word=True) for key, value in pairs])

    def merge_from_other_cfg(self, cfg_other: CfgNode) -> None:
        """Take over every value of another tree."""
        self._merge([_Entry(key, value, "config") for key, value in _flatten(cfg_other)])

    def limits(self, prefix: str = "") -> Iterator[tuple[str, Any, Limit]]:
        """Key, value and limit of every value that has a limit."""
        for name, value in self.items():
            if isinstance(value, ConfigNode):
                yield from value.limits(f"{prefix}{name}.")
            elif name in self.__dict__[_LIMITS]:
                yield f"{prefix}{name}", value, self.__dict__[_LIMITS][name]

    def _merge(self, entries: Iterable[_Entry]) -> None:
        """Set all entries, or raise with all mistakes before the first one is set."""
        if self.is_frozen():
            raise AttributeError("this config is frozen: change a cfg.clone() after defrost()")
        values, mistakes = [], []
        for entry in entries:
            if reason := unsupported_reason(entry.key):
                self._warn_dropped(entry, reason)
                continue
            try:
                node, name = self._locate(entry.key)
                values.append((node, name, _convert(node, name, entry)))
            except ValueError as error:
                mistakes.append(f"{entry.where}: {error}")
        if mistakes:
            raise ValueError("\n".join(mistakes))
        for node, name, value in values:
            node[name] = value

    def _locate(self, key: str) -> tuple["ConfigNode", str]:
        """The node that holds `key` and the last part of its name, both new in an open section."""
        node: Any = self
        *sections, name = key.split(".")
        for section in sections:
            node = node._enter(section) if isinstance(node, ConfigNode) else None
        if isinstance(node, ConfigNode) and node.is_new_allowed() and name:
            node.setdefault(name, None)
        if not isinstance(node, ConfigNode) or name not in node:
            raise ValueError(f"{key} is not a known key{_nearest(key, self)}")
        if isinstance(node[name], ConfigNode):
            raise ValueError(f"{key} is a section; its keys are {sorted(node[name])}")
        return node, name

    def _enter(self, section: str) -> Any:
        if self.is_new_allowed() and section:
            self.setdefault(section, ConfigNode(new_allowed=True))
        return self.get(section)

    def _warn_dropped(self, entry: _Entry, reason: str) -> None:
        dropped = self.__dict__[_DROPPED]
        if entry.key not in dropped:
            logger.warning("%s: %s is not supported: %s", entry.where, entry.key, reason)
        dropped.add(entry.key)


def _convert(node: ConfigNode, name: str, entry: _Entry) -> Any:
    """The entry's value in the type of the value that it replaces."""
    if node.is_new_allowed():
        return _convert_open(entry)
    limit = node.__dict__[_LIMITS].get(name)
    if hasattr(limit, "kinds"):
        return _convert_to_kinds(limit, entry)
    current, value = node[name], entry.value
    is_optional = name in node.__dict__[_OPTIONAL]
    kind = float if is_optional else type(current)
    if kind is str:
        value = "" if value is None else value  # an empty value in YAML
    elif isinstance(value, str):
        value = _parse(value)
    if is_optional and value is None:
        return None
    if kind is float and type(value) is int:
        return float(value)
    if kind in (list, tuple) and isinstance(value, list | tuple):
        return kind(_parse_floats(value))
    if type(value) is not kind:
        example = f", e.g. {current!r}" if current else ""
        raise ValueError(f"{entry.key}: {entry.value!r} is not {KINDS[kind]}{example}")
    return value


def _convert_to_kinds(limit: Any, entry: _Entry) -> Any:
    """The entry's value for a key whose limit allows several types."""
    value = _parse(entry.value) if isinstance(entry.value, str) else entry.value
    if value is None and str in limit.kinds:
        value = ""
    if isinstance(value, list | tuple):
        value = list(_parse_floats(value))
    value = limit.plain(value)
    if type(value) not in limit.kinds:
        allowed = " or ".join(KINDS[kind] for kind in limit.kinds)
        raise ValueError(f"{entry.key}: {entry.value!r} is not {allowed}")
    return value


def _convert_open(entry: _Entry) -> Any:
    """The entry's value in an open section, in the type that it seems to have."""
    value = entry.value
    if entry.is_word and isinstance(value, str):
        value = _parse(value)
    (value,) = _parse_floats([value])
    if type(value) not in (*KINDS, type(None)):
        raise ValueError(f"{entry.key}: {value!r} is not text, a number, True, False or a list")
    return value


def _parse(text: str) -> Any:
    """The Python literal that `text` spells (also `true` and `null`), else `text` itself."""
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    try:
        return literal_eval(text)
    except (ValueError, SyntaxError, TypeError):
        return text


def _parse_floats(values: Iterable[Any]) -> Iterator[Any]:
    """Turn elements like 1e-5, which YAML reads as text, into numbers, also in nested lists."""
    for value in values:
        if isinstance(value, list):
            yield list(_parse_floats(value))
        elif isinstance(value, str) and type(_parse(value)) is float:
            yield _parse(value)
        else:
            yield value


def _nearest(key: str, root: ConfigNode) -> str:
    """Known names close to `key`: the same last part elsewhere, then similar spelling."""
    known = {name.upper(): name for name, _ in _flatten(root)}
    known |= {name.upper(): name for name in UNSUPPORTED if not name.endswith("*")}
    last = key.upper().split(".")[-1]
    same = [name for name in known if name.split(".")[-1] == last]
    close = difflib.get_close_matches(key.upper(), known, n=3, cutoff=0.7)
    names = [known[name] for name in dict.fromkeys([*close, *same])][:4]
    return f"; did you mean {' or '.join(names)}?" if names else ""


def _flatten(node: CfgNode, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in node.items():
        if isinstance(value, CfgNode):
            yield from _flatten(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _read_file(path: Path, readers: tuple[Path, ...]) -> Iterator[_Entry]:
    """Entries of a YAML file after those of its bases; `readers` are the files that led here."""
    if path.resolve() in readers:
        raise ValueError(f"{path}: {_BASE_KEY} leads back to this file")
    entries = _parse_yaml(path)
    for entry in entries:
        if entry.key != _BASE_KEY:
            continue
        names = entry.value if isinstance(entry.value, list) else [entry.value]
        if not all(isinstance(name, str) for name in names):
            raise ValueError(
                f"{entry.where}: {_BASE_KEY}: {entry.value!r} is not a file or list of files"
            )
        for name in names:
            yield from _read_file(path.parent / Path(name).expanduser(), (*readers, path.resolve()))
    yield from (entry for entry in entries if entry.key != _BASE_KEY)


def _parse_yaml(path: Path) -> list[_Entry]:
    """Entries of one YAML file, in its order, without running any code that it names."""
    try:
        loader = yaml.SafeLoader(path.read_text(encoding="utf-8"))
        root = loader.get_single_node()
        return [] if root is None else list(_leaves(loader, root, path, ""))
    except OSError as error:
        raise ValueError(f"{path}: cannot read this config: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not a YAML file: {error}") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or str(error)
        raise ValueError(f"{path}{line}: not valid YAML: {problem}") from error


def _leaves(loader: yaml.SafeLoader, node: yaml.Node, path: Path, prefix: str) -> Iterator[_Entry]:
    if not isinstance(node, yaml.MappingNode):
        raise ValueError(f"{path}:{node.start_mark.line + 1}: expected lines KEY: VALUE")
    seen = set()
    for key_node, value_node in node.value:
        where = f"{path}:{key_node.start_mark.line + 1}"
        key = f"{prefix}{key_node.value}"
        if key in seen:
            raise ValueError(f"{where}: {key} stands here a second time")
        seen.add(key)
        if isinstance(value_node, yaml.MappingNode):
            yield from _leaves(loader, value_node, path, f"{key}.")
        else:
            yield _Entry(key, loader.construct_object(value_node, deep=True), where)
