"""Modules by name: those of a user add models, datasets, tasks and rules to our tables."""

import importlib
import sys
import traceback
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType


def import_modules(names: Iterable[str]) -> None:
    """Import the modules of the key IMPORTS, which register what they add.

    A name is that of a module or package in the current folder, on PYTHONPATH or installed, or the
    path of a .py file or of a package's folder. ValueError says why one cannot be imported.
    Further imports of the same names do nothing.
    """
    for name in names:
        if not isinstance(name, str) or not name:
            raise ValueError(f"IMPORTS: {name!r} is not the name of a module, e.g. my_package")
        if name.endswith(".py") or "/" in name or "\\" in name:
            _import_file(Path(name).expanduser().resolve())
        else:
            _search_first(Path.cwd())
            _import(name)


def _import_file(path: Path) -> None:
    if not path.exists():
        raise ValueError(f"IMPORTS: {path}: there is no such file or folder")
    _search_first(path.parent)
    module = _import(path.stem)
    found = Path(module.__file__ or module.__path__[0])
    if found not in (path, path / "__init__.py"):
        raise ValueError(
            f"IMPORTS: {path}: Python already has a module {path.stem!r} ({found}); rename yours"
        )


def _search_first(folder: Path) -> None:
    """Let Python find the modules of `folder`; spawned processes inherit this path."""
    if sys.path[0] != str(folder):
        sys.path.insert(0, str(folder))


def _import(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except Exception as error:  # a user's module may raise anything
        raise ValueError(f"IMPORTS: cannot import {name!r}: {_reason(name, error)}") from error


def _reason(name: str, error: Exception) -> str:
    is_missing = isinstance(error, ModuleNotFoundError) and error.name
    if is_missing and f"{name}.".startswith(f"{error.name}."):
        return (
            f"there is no module {error.name!r} in the current folder {Path.cwd()}, on PYTHONPATH "
            "or among the installed packages; go to its folder, install it, or give the path of "
            "its file"
        )
    ours = ("<frozen importlib", importlib.__file__, __file__)
    frames = traceback.extract_tb(error.__traceback__)
    theirs = [f"{f.filename}:{f.lineno}: " for f in frames if not f.filename.startswith(ours)]
    where = theirs[-1] if theirs else ""  # a SyntaxError says its place
    return f"{where}{type(error).__name__}: {error}"
