"""What an annotation file becomes, whatever its format."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Record:
    """One video: where it lies and its class, -1 where that is unknown."""

    path: str
    label: int
