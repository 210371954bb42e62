"""Values of YAML files with their places, read with bounds: the file may be a stranger's."""

import logging
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import yaml

from slowfast.shipped import find_recipe
from slowfast.utils.io import read_small_text
from slowfast.utils.words import shorten

logger = logging.getLogger(__name__)

T = TypeVar("T")

_BASE_KEY = "_BASE_"
# Of libyaml where PyYAML was built with it: 8 times faster. It refuses more, e.g. names of files
# that are not UTF-8, so the one in Python has the last word, and says all errors.
_LOADERS = tuple({getattr(yaml, "CSafeLoader", yaml.SafeLoader): None, yaml.SafeLoader: None})
# Bounds of one file, and of the files that _BASE_ leads to.
_MOST_BYTES = 2**20
_MOST_VALUES = 50_000  # aliases written out
_MOST_LEVELS = 30
_MOST_FILES = 100


@dataclass(frozen=True)
class Entry:
    """A key and its value, and `where` they stand.

    is_word: it is text of a command line, whose type is still open. mistake: why it cannot be used.
    """

    key: str
    value: Any
    where: str
    is_word: bool = False
    mistake: str = ""


def read_entries(path: Path) -> list[Entry]:
    """Entries of a YAML file after those of its bases, which `_BASE_` names.

    ValueError for a file that is no such YAML, or leads to too many others.
    """
    files: list[Path] = []
    return list(_read_file(path, (), files))


def _read_file(path: Path, readers: tuple[Path, ...], files: list[Path]) -> Iterator[Entry]:
    """`readers` are the files that led here, `files` all that were read so far."""
    resolved = _resolve(path)
    if resolved in readers:
        raise ValueError(f"{path}: {_BASE_KEY} leads back to this file")
    files.append(path)
    if len(files) > _MOST_FILES or len(readers) > _MOST_LEVELS:
        raise ValueError(f"{path}: {_BASE_KEY} leads to more than {_MOST_FILES} files")
    entries = _parse_yaml(path)
    named = [(name, e.where) for e in entries if e.key == _BASE_KEY for name in _base_names(e)]
    for name, where in named:
        yield from _read_file(_base_path(path, name, where), (*readers, resolved), files)
    yield from (entry for entry in entries if entry.key != _BASE_KEY)


def _resolve(path: Path) -> Path:
    try:
        return path.resolve()
    except (OSError, RuntimeError, ValueError) as error:  # e.g. links in a circle
        raise ValueError(f"{str(path)!r}: cannot read this config: {error}") from error


def _base_names(entry: Entry) -> list[str]:
    if entry.mistake:
        raise ValueError(f"{entry.where}: {entry.mistake}; several files are a list")
    names = entry.value if isinstance(entry.value, list) else [entry.value]
    if not all(isinstance(name, str) and name for name in names):
        raise ValueError(
            f"{entry.where}: {_BASE_KEY}: {shorten(entry.value)} is not a file or list of files"
        )
    return names


def _base_path(path: Path, name: str, where: str) -> Path:
    try:
        if "\0" in name:
            raise ValueError("a zero byte is no part of a name")
        base = path.parent / Path(name).expanduser()
        return base if base.exists() else find_recipe(name) or base
    except (RuntimeError, ValueError) as error:  # also a home folder of nobody
        raise ValueError(f"{where}: {_BASE_KEY}: {shorten(name)}: {error}") from error


def _parse_yaml(path: Path) -> list[Entry]:
    """Entries of one YAML file, in its order, without running any code that it names."""
    try:
        return _first_success(partial(_entries_of, _read_text(path), path))
    except OSError as error:
        raise ValueError(f"{path}: cannot read this config: {error.strerror}") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        raise ValueError(f"{path}{line}: not valid YAML: {_problem(error)}") from error


def _first_success(parse: Callable[[type], T]) -> T:
    """Result of the first loader that can; the error of the last."""
    for loader_type in _LOADERS[:-1]:
        with suppress(yaml.YAMLError):
            return parse(loader_type)
    return parse(_LOADERS[-1])


def _entries_of(text: str, path: Path, loader_type: type) -> list[Entry]:
    _check_extent(text, f"{path}:", loader_type)
    loader = loader_type(text)
    root = loader.get_single_node()
    if root is None:
        return []
    _check_aliases(root, path)
    return list(_leaves(loader, root, path, ""))


def _problem(error: yaml.YAMLError) -> str:
    return " ".join((getattr(error, "problem", None) or str(error)).split())


def _read_text(path: Path) -> str:
    try:
        return read_small_text(path, most_bytes=_MOST_BYTES)
    except ValueError as error:  # also what is not UTF-8
        raise ValueError(f"{path}: not a YAML file: {error}") from error


def parse_plain(text: str) -> Any:
    """Content of YAML text, of plain values only; ValueError in one line for all else."""
    if len(text) > _MOST_BYTES:
        raise ValueError(f"it has {len(text)} characters, at most {_MOST_BYTES} are read")
    try:
        _check_extent(text, "line ", yaml.SafeLoader)
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(f"it is not valid YAML: {_problem(error)}") from error


def _check_extent(text: str, place: str, loader_type: type) -> None:
    """ValueError where the text holds more than the bounds, before all of it is taken in."""
    level = 0
    for number, event in enumerate(yaml.parse(text, loader_type)):
        level += isinstance(event, yaml.CollectionStartEvent)
        level -= isinstance(event, yaml.CollectionEndEvent)
        _check_bounds(level, number, f"{place}{event.start_mark.line + 1}")


def _check_bounds(level: int, num_values: int, place: str) -> None:
    if level > _MOST_LEVELS:
        raise ValueError(f"{place}: nested more than {_MOST_LEVELS} levels deep, or in itself")
    if num_values > _MOST_VALUES:
        raise ValueError(f"{place}: more than {_MOST_VALUES} values, too many for a config")


def _check_aliases(root: yaml.Node, path: Path) -> None:
    """ValueError where the file holds more than the bounds when its aliases are written out."""
    num_values, remaining = 0, [(root, 1)]
    while remaining:
        node, level = remaining.pop()
        num_values += 1
        _check_bounds(level, num_values, f"{path}:{node.start_mark.line + 1}")
        if isinstance(node, yaml.SequenceNode):
            remaining += [(child, level + 1) for child in node.value]
        elif isinstance(node, yaml.MappingNode):
            remaining += [(child, level + 1) for pair in node.value for child in pair]


def _leaves(loader: yaml.SafeLoader, node: yaml.Node, path: Path, prefix: str) -> Iterator[Entry]:
    if not isinstance(node, yaml.MappingNode):
        raise ValueError(f"{path}:{node.start_mark.line + 1}: expected lines KEY: VALUE")
    first: dict[str, tuple[int, yaml.Node]] = {}
    for key_node, value_node in node.value:
        where = f"{path}:{key_node.start_mark.line + 1}"
        if not isinstance(key_node, yaml.ScalarNode):
            raise ValueError(f"{where}: expected lines KEY: VALUE")
        key = f"{prefix}{key_node.value}"
        if key in first:
            line, first_node = first[key]
            values = [_value(loader, node, where, key) for node in (first_node, value_node)]
            yield from _repeated(key, values, where, line)
            continue
        first[key] = (key_node.start_mark.line + 1, value_node)
        if isinstance(value_node, yaml.MappingNode):
            yield from _leaves(loader, value_node, path, f"{key}.")
        else:
            yield Entry(key, _value(loader, value_node, where, key), where)


def _repeated(key: str, values: list, where: str, line: int) -> Iterator[Entry]:
    """A key that stands twice: with the same value a warning, else an entry with the mistake."""
    first, second = values
    if repr(first) == repr(second):
        logger.warning("%s: %s stands here again, as in line %d", where, key, line)
        return
    mistake = (
        f"{key} stands here a second time, with {shorten(second)}; line {line} says "
        f"{shorten(first)}: keep one of them"
    )
    yield Entry(key, second, where, mistake=mistake)


def _value(loader: yaml.SafeLoader, node: yaml.Node, where: str, key: str) -> Any:
    try:
        return loader.construct_object(node, deep=True)
    except (ValueError, OverflowError) as error:  # a date without a day, a number of 5000 digits
        raise ValueError(f"{where}: {key}: {error}") from error
