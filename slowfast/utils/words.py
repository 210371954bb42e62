"""Words for messages."""

from typing import Any

_MOST = 120


def shorten(value: Any, most: int = _MOST) -> str:
    """`repr(value)`, its middle left out where it is long."""
    return cut(repr(value), most)


def counted(number: int, noun: str) -> str:
    """ "1 step", "2 steps"."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def cut(text: str, most: int) -> str:
    """`text`, of at most about `most` characters: what is too much of its middle is left out."""
    if len(text) <= most:
        return text
    end = most // 3
    return f"{text[: most - end]} ... {text[-end:]}"
