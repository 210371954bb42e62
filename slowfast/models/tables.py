"""Tables of the config with a row per stage and in it a value per pathway."""

from collections.abc import Sequence
from typing import Any


def of_pathway(key: str, table: Sequence[Any], pathway: int) -> list[Any]:
    """The four stages' values for a pathway, from a table [[of slow, of fast], ...].

    An entry with one value holds for all pathways. ValueError when a value is not one for `key`.
    """
    if len(table) != 4 or not all(isinstance(row, list | tuple) and row for row in table):
        raise ValueError(f"{key}: {table!r} must be four lists, one per stage")
    if any(1 < len(row) <= pathway for row in table):
        raise ValueError(f"{key}: {table!r} has no value for pathway {pathway} in some stage")
    values = [row[0] if len(row) == 1 else row[pathway] for row in table]
    is_valid, allowed = _TABLES[key]
    for value in values:
        if not is_valid(value):
            raise ValueError(f"{key}: {value!r} in {table!r} must be {allowed}")
    return values


def _is_count(value: Any) -> bool:
    return type(value) is int and value >= 1


def _is_number(value: Any) -> bool:
    return type(value) is int and value >= 0


def _is_locations(value: Any) -> bool:
    return isinstance(value, list | tuple) and all(map(_is_number, value))


def _is_size(value: Any) -> bool:
    return isinstance(value, list | tuple) and len(value) == 3 and all(map(_is_count, value))


# Key of a table -> test of its values, and what they must be.
_TABLES = {
    "RESNET.SPATIAL_STRIDES": (_is_count, "a whole number of at least 1"),
    "RESNET.SPATIAL_DILATIONS": (_is_count, "a whole number of at least 1"),
    "RESNET.NUM_BLOCK_TEMP_KERNEL": (_is_number, "a number of blocks"),
    "NONLOCAL.LOCATION": (_is_locations, "a list of numbers of blocks, e.g. [1, 3], or []"),
    "NONLOCAL.GROUP": (_is_count, "a whole number of at least 1"),
    "NONLOCAL.POOL": (_is_size, "three whole numbers T, H, W of at least 1"),
}
