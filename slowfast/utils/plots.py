"""Common look of all plots."""

import re
from pathlib import Path
from typing import TYPE_CHECKING

from slowfast.utils.io import atomic_write

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MARKERS = "osD^vP*X<>"
_DPI = 110
# Colours that people with any kind of colour vision tell apart (Okabe and Ito, 2008), the yellow
# darkened for a white page; grey and a dark red make ten of them.
COLORS = ("#0072b2", "#e69f00", "#009e73", "#d55e00", "#cc79a7", "#56b4e9", "#b5a500")
COLORS += ("#000000", "#7f7f7f", "#882255")


def new_figure(width: float, height: float, title: str) -> "Figure":
    """An empty figure of so many inches, which places what is in it without overlaps."""
    from matplotlib.figure import Figure

    figure = Figure((width, height), layout="constrained")
    figure.get_layout_engine().set(w_pad=0.1, h_pad=0.06)
    figure.suptitle(title, fontsize=13, parse_math=False)  # names may hold $, which is no formula
    return figure


def save_figure(figure: "Figure", path: Path) -> None:
    """Write a PNG, atomically."""
    with atomic_write(path) as file:
        figure.savefig(file, format="png", dpi=_DPI)


def style(number: int) -> dict:
    """Colour and marker of a run: all pairs of 10 and 10 differ."""
    marker = _MARKERS[(number + number // 10) % len(_MARKERS)]
    return {"color": COLORS[number % 10], "marker": marker}


def shorten(name: str, length: int) -> str:
    """The name, or its beginning, an ellipsis and its end, by which long names often differ."""
    if len(name) <= length:
        return name
    end = length // 3
    return f"{name[: length - end - 1]}…{name[-end:]}"


def wrap(name: str, length: int) -> str:
    """The name in lines of at most `length`, broken behind its dots, dashes and the like."""
    lines = [""]
    for part in re.split(r"(?<=[._/ -])", name):
        part = shorten(part, length)
        if len(lines[-1]) + len(part) > length:
            lines.append("")
        lines[-1] += part
    return "\n".join(lines).lstrip("\n")


def tidy(axes: "Axes") -> None:
    """A light grid below, no frame at the top and the right."""
    axes.set_axisbelow(True)
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
