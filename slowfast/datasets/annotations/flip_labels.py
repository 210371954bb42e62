"""Classes of mirrored videos: "left to right" becomes "right to left"."""

import logging
import re
from collections.abc import Sequence
from pathlib import Path

from tabulate import tabulate

from slowfast.utils.io import read_json

logger = logging.getLogger(__name__)

_MIRRORED = {
    "left": "right",
    "right": "left",
    "clockwise": "counterclockwise",
    "counterclockwise": "clockwise",
}
_SIDE = re.compile(
    r"(?<![a-z])(left|right|clockwise|counterclockwise)(?=(wards?|most|hand(ed)?)?(?![a-z]))"
)


def mirror_classes(class_names: Sequence[str]) -> tuple[tuple[int, ...], list[str]]:
    """The class of a mirrored video, by class, from the sides that the names mention.

    Beside it the names with a side whose mirrored name is no class; these keep their own.
    """
    texts = [_plain(name) for name in class_names]
    numbers = {text: number for number, text in enumerate(texts)}
    flipped, alone = [], []
    for number, text in enumerate(texts):
        mirrored = _SIDE.sub(lambda match: _MIRRORED[match[1]], text)
        flipped.append(number if mirrored == text else numbers.get(mirrored, number))
        if mirrored not in numbers:
            alone.append(class_names[number])
    return tuple(flipped), alone


def derive_flip_labels(class_names: Sequence[str]) -> tuple[int, ...]:
    """The class of a mirrored video, by class; a warning names those that have none."""
    flipped, alone = mirror_classes(class_names)
    if alone:
        logger.warning(
            "mirrored videos of these classes keep their label, for want of a class for the other "
            "side (DATA.FLIP_LABELS_FILE can name one): %s",
            alone,
        )
    return flipped


def read_flip_labels(path: str | Path, derived: Sequence[int], names: Sequence[str]) -> list[int]:
    """`derived` with the changes in a JSON file, {class: class of its mirrored video}.

    Classes are names or numbers. ValueError for a class that is not there, and unless mirroring
    twice leads back.
    """
    where = f"DATA.FLIP_LABELS_FILE: {str(path)!r}"
    try:
        changes = dict(read_json(path))
    except (OSError, TypeError, ValueError) as error:
        raise ValueError(f"{where}: {error}; it is an object {{class: class}}") from error
    numbers = {str(number): number for number in range(len(names))}
    numbers.update({name: number for number, name in enumerate(names)})
    flipped = list(derived)
    for pair in changes.items():
        unknown = [name for name in pair if str(name) not in numbers]
        if unknown:
            raise ValueError(f"{where}: {unknown[0]!r} is no class name or number")
        source, target = (numbers[str(name)] for name in pair)
        flipped[source] = target
    for number, other in enumerate(flipped):
        if flipped[other] != number:
            raise ValueError(
                f"{where}: mirrored twice, {names[number]!r} becomes {names[other]!r} and then "
                f"{names[flipped[other]]!r}; name both classes of a pair"
            )
    return flipped


def _plain(name: str) -> str:
    """The name in lower case, one word for each sense of rotation, camel case as words."""
    name = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower()
    return re.sub(r"(anti|counter)[- ]?clockwise", "counterclockwise", name)


def find_flip_labels(
    class_names: Sequence[str] | None, path: str, *, num_classes: int
) -> tuple[int, ...]:
    """The class of a mirrored video, by class: from the names, and the file `path` if there is one.

    The log shows the classes that mirroring exchanges.
    """
    if class_names is None and not path:
        raise ValueError(
            "DATA.LABEL_AWARE_FLIP: True needs class names (classes.txt) or DATA.FLIP_LABELS_FILE"
        )
    names = class_names or [str(number) for number in range(num_classes)]
    flipped = derive_flip_labels(names)
    if path:
        flipped = tuple(read_flip_labels(path, flipped, names))
    _log_exchanges(names, flipped)
    return flipped


def _log_exchanges(names: Sequence[str], flipped: Sequence[int]) -> None:
    pairs = [(number, other) for number, other in enumerate(flipped) if number < other]
    rows = [(number, names[number], other, names[other]) for number, other in pairs]
    logger.info(
        "classes that mirroring exchanges (DATA.LABEL_AWARE_FLIP):\n%s",
        tabulate(rows, headers=["class", "name", "class", "name"]) if rows else "none",
    )
