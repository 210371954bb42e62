"""Folders that come with the package, and the recipes in them by their names.

In a checkout configs/ and tools/ lie beside the package; an installed one holds them itself.
"""

import difflib
from functools import cache
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def _find(inside: str, beside: str) -> Path:
    return path if (path := _PACKAGE / inside).is_dir() else _PACKAGE.parent / beside


CONFIGS = _find("configs", "configs")
TOOLS = _find("tools/files", "tools")
_NUM_NAMED = 8  # of names in a message
_NUM_NEAR = 3  # of names that a misspelt one may mean


@cache
def recipes() -> dict[str, Path]:
    """Shipped YAML files by name, such as Kinetics/x3d/X3D_S, in the order of the names."""
    paths = sorted(CONFIGS.rglob("*.yaml"))
    return {path.relative_to(CONFIGS).with_suffix("").as_posix(): path for path in paths}


def recipe_header(path: Path) -> list[str]:
    """Lines of the comment that a YAML file begins with, without their marks."""
    lines = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            break
        lines.append(line[1:].removeprefix(" "))
    return lines


def find_recipe(text: str) -> Path | None:
    """The shipped recipe of a name, or None: Kinetics/x3d/X3D_S, its last parts, with .yaml or not.

    Case counts only where several names differ in nothing else. ValueError if several fit.
    """
    name = _as_name(text)
    found = [full for full in recipes() if _ends_in(full, name)]
    found = found or [full for full in recipes() if _ends_in(full.lower(), name.lower())]
    if len(found) > 1 and name not in found:
        raise ValueError(f"{text}: several shipped recipes have this name: {_listed(found)}")
    return recipes()[name if name in found else found[0]] if found else None


def names_recipe(text: str) -> bool:
    """Whether one shipped recipe or several have this name."""
    return any(_ends_in(name.lower(), _as_name(text).lower()) for name in recipes())


def config_path(given: str | Path) -> Path:
    """The file, or the shipped recipe of this name; ValueError says which names are near."""
    text = str(given)
    if (path := Path(given)).exists() or not text.strip() or "\0" in text:
        return path
    if (recipe := find_recipe(text)) is not None:
        return recipe
    near = _near(_as_name(text))
    raise ValueError(
        f"{text}: cannot read this config: there is no such file, and no shipped recipe of this "
        f"name{f'; did you mean {_listed(near)}' if near else ''}; `slowfast configs` lists all"
    )


def config_argument(text: str) -> str:
    """Type of an argument: the path of a shipped recipe; other words stay, their mistakes too."""
    try:
        recipe = None if Path(text).exists() else find_recipe(text)
    except (OSError, ValueError):
        return text
    return text if recipe is None else str(recipe)


def _as_name(text: str) -> str:
    name = text.replace("\\", "/").removeprefix("./").removeprefix("configs/")
    return name.removesuffix(".yaml").removesuffix(".yml")


def _ends_in(name: str, end: str) -> bool:
    return name == end or name.endswith(f"/{end}")


def _near(name: str) -> list[str]:
    """Names whose last part is like that of `name`, the likest first."""
    last: dict[str, list[str]] = {}
    for full in recipes():
        last.setdefault(full.rpartition("/")[2].lower(), []).append(full)
    words = difflib.get_close_matches(name.rpartition("/")[2].lower(), last, n=_NUM_NEAR)
    return [full for word in words for full in last[word]][:_NUM_NEAR]


def _listed(names: list[str]) -> str:
    more = len(names) - _NUM_NAMED
    return ", ".join(names[:_NUM_NAMED]) + (f" and {more} more" if more > 0 else "")
