"""Results as HTML for a notebook: tables and bars in the notebook's own colours."""

import math
from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

_STYLE = "text-align:left;padding:.1em .8em .1em 0"
_BAR = "display:inline-block;height:.7em;background:#3d8fc4;border-radius:2px"


def cell_text(value: Any, digits: int = 2) -> str:
    """A value in a table; None and NaN are a dash."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "–"
    return f"{value:.{digits}f}" if isinstance(value, float) else str(value)


def html_table(
    header: Sequence[str], rows: Iterable[Sequence[Any]], *, most: int | None = None
) -> str:
    """A table; rows beyond `most` open on a click."""
    lines = [_row(header, "th"), *(_row(map(cell_text, row), "td") for row in rows)]
    if most is None or len(lines) <= most + 1:
        return f"<table>{''.join(lines)}</table>"
    table = f"<table>{''.join(lines[: most + 1])}</table>"
    rest = f"<table>{lines[0]}{''.join(lines[most + 1 :])}</table>"
    return f"{table}<details><summary>{len(lines) - most - 1} more</summary>{rest}</details>"


def _row(cells: Iterable[str], tag: str) -> str:
    found = "".join(f'<{tag} style="{_STYLE}">{escape(cell)}</{tag}>' for cell in cells)
    return f"<tr>{found}</tr>"


def html_bars(values: Iterable[tuple[str, float]]) -> str:
    """Names with shares 0..1 as bars; a score beyond is a full one."""
    lines = []
    for name, value in values:
        width = 12 * min(max(value, 0.0), 1.0)
        bar = f'<span style="{_BAR};width:{width:.2f}em"></span>'
        cells = [escape(name), cell_text(value, 3), bar]
        lines.append("".join(f'<td style="{_STYLE}">{cell}</td>' for cell in cells))
    return f"<table><tr>{'</tr><tr>'.join(lines)}</tr></table>"


def html_link(path: Any, text: str) -> str:
    """A link to a file, from a notebook in the current folder."""
    return f'<a href="{escape(str(path), quote=True)}" target="_blank">{escape(text)}</a>'
