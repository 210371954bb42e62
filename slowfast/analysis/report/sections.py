"""Sections of a report, and those that every run has: training, network, setup."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from slowfast.analysis.pages.charts import Chart
from slowfast.analysis.pages.page import Column, Table
from slowfast.analysis.report.curves import draw_curves
from slowfast.analysis.report.network_table import build_network_table
from slowfast.analysis.report.run_folder import RunFolder


@dataclass(frozen=True)
class Picture:
    """Picture inside the page. source: a data URI; alt: what it shows."""

    source: str
    alt: str
    caption: str


@dataclass(frozen=True)
class Gallery:
    """Pictures under a heading."""

    title: str
    pictures: Sequence[Picture]


@dataclass
class Section:
    """Part of the page under a heading, in this order: texts, matrix, charts, tables, pictures.

    matrix: see `confusion_data`. listings: (title, text) that open on a click.
    """

    id: str
    title: str
    texts: list[str] = field(default_factory=list)
    matrix: dict[str, Any] | None = None
    charts: Sequence[Chart] = ()
    tables: Sequence[Table] = ()
    galleries: Sequence[Gallery] = ()
    listings: Sequence[tuple[str, str]] = ()


# (title, value, remark) of the numbers that matter most.
Tile = tuple[str, str, str]


def training_section(run: RunFolder) -> list[Section]:
    """Curves, where the run was trained here."""
    charts = draw_curves(run)
    return [Section("training", "Training", charts=charts)] if charts else []


def network_section(run: RunFolder, tiles: list[Tile]) -> Section:
    """Parts of the network and the whole, which gets tiles, too."""
    found = build_network_table(run.config)
    rows: list[list[Any]] = [
        [part.name, part.kind, part.output, part.params / 1e6, part.macs / 1e9]
        for part in found.parts
    ]
    rows.append(["all", "", "", found.params / 1e6, found.macs / 1e9])
    columns = [Column("part"), Column("kind"), Column("output C x T x H x W", is_long=True)]
    columns += [Column("parameters (M)", 3), Column("GMACs", 3)]
    tiles.append(("parameters", f"{found.params / 1e6:.3f} M", ""))
    tiles.append(("GMACs of a clip", f"{found.macs / 1e9:.3f}", "at the test crop"))
    caption = f"{run.config.MODEL.MODEL_NAME}, one clip of {' and '.join(found.inputs)}"
    table = Table(caption, columns, rows, best=[len(rows) - 1])
    return Section("network", "Network", tables=[table])


def setup_section(run: RunFolder) -> Section:
    """Config that differs from the defaults, commands, commit, machine, versions."""
    rows = [[key, _shown(value), _shown(old)] for key, old, value in run.changed_keys()]
    columns = [Column("key"), Column("value", is_long=True), Column("default", is_long=True)]
    config = Table("Config keys that differ from the defaults", columns, rows)
    facts = environment_rows(run)
    tables = [config]
    if facts:
        about = [Column("fact"), Column("value", is_long=True)]
        tables.append(Table("Where and with what it was made", about, facts))
    listings = [("Commands of this run", run.text("command.txt"))]
    return Section(
        "setup",
        "How it was made",
        tables=tables,
        listings=[item for item in listings if item[1].strip()],
    )


def environment_rows(run: RunFolder) -> list[list[str]]:
    """(fact, value) of what the run noted; [] of an older run, which noted nothing."""
    noted, rows = run.environment, []
    for key in ("time", "commit"):
        if noted.get(key):
            rows.append([key, str(noted[key])])
    for group in ("machine", "versions"):
        for key, value in (noted.get(group) or {}).items():
            text = ", ".join(map(str, value)) or "none" if isinstance(value, list) else str(value)
            rows.append([key, text])
    return rows


def foot_line(time: str) -> str:
    """Say who wrote the page."""
    return f"Written {time} with Python {sys.version.split()[0]}."


def _shown(value: Any) -> str:
    text = '""' if value == "" else str(value)
    return text if len(text) <= 300 else f"{text[:300]}…"
