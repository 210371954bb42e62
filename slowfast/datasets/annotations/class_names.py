"""Names of classes from files that people keep beside their data and weights."""

import re
from collections.abc import Sequence
from pathlib import Path

from slowfast.utils.io import read_json
from slowfast.utils.words import shorten
from slowfast.zoo.class_lists import class_list, class_lists


def read_class_names(path: Path, num_classes: int) -> list[str] | None:
    """One name per line, the first for label 0; None where there is no such file."""
    if not path.is_file():
        return None
    names = path.read_text(encoding="utf-8-sig").splitlines()
    names = [name.strip() for name in names if name.strip()]
    check_number(names, path, num_classes)
    return names


def read_target_names(folder: Path, counts: Sequence[int]) -> list[str] | None:
    """Names in classes.txt, or of several targets in classes_1.txt, classes_2.txt, ...

    Those of all targets, which have `counts` classes, stand one after another, numbers in place of
    names for a target without a file. None where there is no file at all.
    """
    if len(counts) == 1:
        return read_class_names(folder / "classes.txt", counts[0])
    pairs = enumerate(counts, start=1)
    found = [read_class_names(folder / f"classes_{target}.txt", count) for target, count in pairs]
    if not any(found):
        return None
    targets = zip(found, counts, strict=True)
    return [name for names, count in targets for name in names or map(str, range(count))]


def load_class_names(path: str | Path, num_classes: int) -> list[str]:
    """Names in the order of their numbers, from a text file (one per line) or a JSON file.

    The JSON is a list of names, or an object from names to numbers, as Something-Something's and
    PySlowFast's. Where there is no such file, `path` may be the name of a public set: kinetics400,
    ssv2, ava, ... ValueError unless there is one name for each of `num_classes` classes.
    """
    listed = None if Path(path).exists() else class_list(str(path))
    if listed is not None:
        check_number(listed, path, num_classes)
        return listed
    path = Path(path)
    if path.suffix.lower() != ".json":
        names = read_class_names(path, num_classes)
        if names is None:
            sets = ", ".join(class_lists())
            raise ValueError(f"{path}: no such file of class names, and none of the sets {sets}")
        return names
    try:
        content = read_json(path)
        if isinstance(content, dict):
            numbers = {name: int(number) for name, number in content.items()}
            content = sorted(numbers, key=numbers.get)
            if sorted(numbers.values()) != list(range(len(numbers))):
                raise ValueError(f"the numbers of its {len(numbers)} names are not 0, 1, 2, ...")
        names = [str(name).strip('"') for name in content]
    except (OSError, TypeError, ValueError) as error:
        raise ValueError(f"{path}: {error}; class names are a list or {{name: number}}") from error
    check_number(names, path, num_classes)
    return names


def check_number(names: list[str], path: str | Path, num_classes: int) -> None:
    """ValueError unless there is one name for each of `num_classes` classes."""
    if len(names) != num_classes:
        raise ValueError(
            f"{path}: {len(names)} class names, but MODEL.NUM_CLASSES is {num_classes}: "
            f"{shorten(names)}"
        )


_BLOCK = re.compile(r"\b(?:item|label)\s*:?\s*\{([^{}]*)\}")
_NAME = re.compile(r"\bname\s*:\s*([\"'])(.*?)(?<!\\)\1")
_ID = re.compile(r"\b(?:label_)?id\s*:\s*(\d+)")


def read_label_map(path: Path, *, num_classes: int) -> dict[int, str]:
    """Name of each column of the network's output that the map lists; ids count from 1.

    Both styles: `item { name id }` (v2.1) and `label { name label_id label_type }` (v2.2).
    ValueError for anything else, for repeated ids, and for ids beyond `num_classes`.
    """
    names: dict[int, str] = {}
    for block in _BLOCK.findall(path.read_text(encoding="utf-8-sig")):
        name, number = _NAME.search(block), _ID.search(block)
        if name is None or number is None:
            raise ValueError(f"{path}: no name or no id in {' '.join(block.split())!r}")
        column = int(number[1]) - 1
        if not 0 <= column < num_classes:
            raise ValueError(
                f"{path}: class {column + 1} ({name[2]}) is not within 1..{num_classes} "
                f"(MODEL.NUM_CLASSES {num_classes})"
            )
        if column in names:
            raise ValueError(f"{path}: class {column + 1} is listed twice")
        names[column] = re.sub(r"\\(.)", r"\1", name[2])
    if not names:
        raise ValueError(f"{path}: no classes; they are written `item {{ name: ... id: ... }}`")
    return names
