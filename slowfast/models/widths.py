"""Numbers of channels: of concatenations, of what stays whole in a narrow network, of the rest."""

from collections.abc import Sequence

# A number of channels, or the numbers of the parts of a concatenation.
Dims = int | Sequence[int]


class FixedWidth(int):
    """A number of channels that stays whole in a narrow network, as do parts of it."""

    def __floordiv__(self, divisor: int) -> "FixedWidth":
        return FixedWidth(int(self) // divisor)


def parts_of(dims: Dims) -> tuple[int, ...]:
    """The parts of a concatenation; a single number is one part."""
    return (dims,) if isinstance(dims, int) else tuple(dims)


def slim_width(channels: int, width: float) -> int:
    """Of `channels`, how many a network of this share of the full width keeps.

    The nearest multiple of 8, at least 0.9 of the exact number, as in A3D (arXiv 2011.12384); never
    more than `channels`, and all of them at width 1 or if they are a FixedWidth.
    """
    if width == 1.0 or isinstance(channels, FixedWidth):
        return channels
    exact = channels * width
    rounded = max(1, int(exact + 4) // 8 * 8)
    return min(channels, rounded + 8 if rounded < 0.9 * exact else rounded)
