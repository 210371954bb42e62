"""Label maps in the text form of protocol buffers, as AVA's .pbtxt files."""

import re
from pathlib import Path

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
