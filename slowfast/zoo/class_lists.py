"""Names of the classes of public sets, in the order of the numbers of published weights."""

import re
from pathlib import Path

_FOLDER = Path(__file__).with_name("classes")
_SHORT = {"k": "kinetics", "ss": "ssv", "sthv": "ssv", "somethingsomethingv": "ssv"}


def class_lists() -> list[str]:
    """Names of the lists: kinetics400, ssv2, ava, ..."""
    return sorted(path.stem for path in _FOLDER.glob("*.txt"))


def class_list(name: str) -> list[str] | None:
    """Names of the classes of a set, such as kinetics400 or K400, AVA, UCF101-24; None if unknown.

    ava has all 80 actions, in the order of AVA's ids 1 to 80; ava_scored the 60 that are judged.
    """
    plain = re.sub(r"[^a-z0-9]", "", name.lower())
    word = re.sub(r"\d.*", "", plain)
    plain = _SHORT.get(word, word) + plain.removeprefix(word)
    paths = {path.stem.replace("_", ""): path for path in _FOLDER.glob("*.txt")}
    return paths[plain].read_text(encoding="utf-8").splitlines() if plain in paths else None
