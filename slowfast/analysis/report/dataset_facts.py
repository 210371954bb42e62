"""Section about the videos: how many of each class, their lengths and sizes, which are broken."""

import logging
import os
import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from slowfast.analysis.pages.charts import Axis, Chart, bar_chart
from slowfast.analysis.pages.page import Column, Table
from slowfast.analysis.report.run_folder import RunFolder
from slowfast.analysis.report.scores import spread
from slowfast.analysis.report.sections import Section
from slowfast.datasets.records import Record

logger = logging.getLogger(__name__)

_NUM_LOOKED_AT = 100  # videos whose headers are read
_LEAST_BARS = 2


def dataset_section(
    run: RunFolder, counts: dict[str, list[int]], names: Sequence[str], records: Sequence[Record]
) -> Section:
    """counts: of each split the videos (or boxes) of each class; records: of the test."""
    charts = [class_chart(split, counts[split], names) for split in counts]
    charts += header_charts(records)
    texts = [f"{run.config.TEST.DATASET}, {len(records):,} records in the test list."]
    tables = broken_tables(run)
    if run.results and not tables:
        texts.append("Every video of the test could be read whole.")
    return Section("dataset", "Videos", texts, charts=charts, tables=tables)


def class_chart(split: str, counts: Sequence[int], names: Sequence[str]) -> Chart:
    """Examples of each class, most first."""
    pairs = sorted(zip(counts, names, strict=True), key=lambda pair: -pair[0])
    values = [count for count, _ in pairs]
    about = f"{sum(values):,} in {len(values)} classes, {min(values):,} to {max(values):,} each"
    return bar_chart(
        f"Examples of each class, {split}",
        *([name for _, name in pairs], values),
        Axis("examples", is_whole=True),
        caption=about,
    )


def header_charts(records: Sequence[Record]) -> list[Chart]:
    """Lengths and sizes of some videos by their headers; nothing is decoded."""
    found = [facts for record in spread(records, _NUM_LOOKED_AT) if (facts := _header(record))]
    if not found:
        return []
    seconds = np.array([facts[0] for facts in found])
    seconds = seconds[seconds > 0]
    charts = []
    up, about = Axis("videos", is_whole=True), f"By the headers of {len(found)} test videos"
    if len(seconds):
        counts, edges = np.histogram(seconds, bins=min(10, max(len(set(seconds)), _LEAST_BARS)))
        names = [f"{a:.3g}–{b:.3g}" for a, b in zip(edges, edges[1:], strict=False)]
        charts.append(
            bar_chart(
                "Length (seconds)",
                names,
                counts.tolist(),
                Axis("videos", is_whole=True),
                caption=about,
            )
        )
    sizes = Counter(f"{width}x{height}" for _, width, height in found).most_common(10)
    names, values = [name for name, _ in sizes], [count for _, count in sizes]
    charts.append(bar_chart("Size (pixels)", names, values, up, caption=about))
    return charts


def _header(record: Record) -> tuple[float, int, int] | None:
    """(seconds, width, height) of a video file; None where that takes more than its header."""
    import av

    if record.frames is not None or record.is_flow or record.window is not None:
        return None
    if not os.path.isfile(record.path):
        return None
    try:
        with av.open(record.path) as container:
            stream = container.streams.video[0]
            seconds = float((container.duration or 0) / av.time_base)
            return seconds, stream.codec_context.width, stream.codec_context.height
    except (av.FFmpegError, OSError, IndexError, ValueError):
        return None


def broken_tables(run: RunFolder) -> list[Table]:
    """Unreadable and damaged videos, of training, validation and test."""
    tables = []
    for kind, columns in (("unreadable", ["reason"]), ("damaged", [])):
        rows: list[list[Any]] = []
        for path in sorted(run.path.glob(f"{kind}_*.csv")):
            split = re.sub(rf"^{kind}_", "", path.stem)
            for row in run.csv_rows(path.name):
                place = row.pop("path", "")
                text = ", ".join(f"{key} {value}" for key, value in row.items())
                rows.append([split, place, row["reason"] if columns else text])
        if rows:
            heads = [Column("split"), Column("video", is_long=True), Column("what", is_long=True)]
            tables.append(Table(f"{kind.capitalize()} videos", heads, rows))
    return tables
