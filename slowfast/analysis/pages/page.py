"""Pages that explain results: one HTML file each, which needs nothing else and no network.

A page is a jinja2 template beside its code that extends pages/base.html and uses the macros of
pages/parts.html: `table` of a `Table`, `chart` of a `Chart`, `picture`, `tiles`.
"""

import base64
import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slowfast.utils.io import atomic_write, json_text

_FOLDER = Path(__file__).parents[1]  # templates are named from slowfast/analysis
NONE = "–"  # in place of a value that is not known


@dataclass(frozen=True)
class Column:
    """Column of a table. digits: of its numbers behind the point; None: of text.

    is_long: its text may break anywhere, as that of paths.
    """

    title: str
    digits: int | None = None
    is_long: bool = False

    @property
    def is_number(self) -> bool:
        """Whether it is set to the right and sorted by value, the highest first."""
        return self.digits is not None

    def text(self, value: Any) -> str:
        """A cell; None and NaN are a dash."""
        if value is None or (isinstance(value, float) and math.isnan(value)):
            return NONE
        return f"{value:,.{self.digits}f}" if self.digits is not None else str(value)


@dataclass(frozen=True)
class Table:
    """Table that the page sorts. best: numbers of rows that are set off."""

    caption: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[Any]]
    best: Collection[int] = ()


def data_uri(content: bytes, kind: str) -> str:
    """A file inside the page; kind: image/png, image/jpeg, ..."""
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"


def write_page(path: str | Path, template: str, **values: Any) -> Path:
    """Fill a template ("report/report.html", from slowfast/analysis) and write it, atomically.

    A template gets `title`, maybe `sections` ([(id, name)]), and the values; `file(name)` is the
    content of a file, `script_json(value)` a value for a script.
    """
    text = _environment().get_template(template).render(**values)
    with atomic_write(path, "w") as file:
        file.write(text.encode("utf-8", "replace").decode("utf-8"))
    return Path(path)


def _environment():
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals |= {"file": _read_own, "script_json": script_json}
    return environment


def _read_own(name: str):
    from markupsafe import Markup

    return Markup((_FOLDER / name).read_text(encoding="utf-8"))


def script_json(value: Any):
    """JSON that may stand inside a script: no name in it can end the script."""
    from markupsafe import Markup

    text = json_text(value)
    return Markup(text.replace("<", "\\u003c").replace("\u2028", "\\u2028"))
