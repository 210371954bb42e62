"""Results of `analyze.py arrow` and `tempo`, where they lie in the folder of a run."""

from collections.abc import Mapping
from typing import Any

from slowfast.analysis.pages.charts import Axis, Series, line_chart
from slowfast.analysis.pages.page import Column, Table
from slowfast.analysis.report.run_folder import RunFolder
from slowfast.analysis.report.sections import Section
from slowfast.utils.io import read_json

_ORDERS = ("normal", "reversed", "shuffled", "single_frame")


def time_sections(run: RunFolder) -> list[Section]:
    """Sections on the order of frames and on the tempo, of the files that are there.

    Each is looked for in OUTPUT_DIR and in a folder there of the name of the analysis.
    """
    sections = []
    if found := _read(run, "arrow"):
        sections.append(_order_section(found))
    if found := _read(run, "tempo"):
        sections.append(_tempo_section(found))
    return sections


def _read(run: RunFolder, name: str) -> dict[str, Any]:
    for folder in (run.path, run.path / name):
        path = folder / f"{name}.json"
        if path.is_file():
            return read_json(path)
    return {}


def _order_section(found: Mapping[str, Any]) -> Section:
    columns = [Column("run"), Column("videos", 0)]
    columns += [Column(order.replace("_", " "), 1) for order in _ORDERS]
    rows = [
        [one["run"], one["videos"], *(one[order] for order in _ORDERS)] for one in found["runs"]
    ]
    text = "A network that needs time loses on reversed, shuffled and single frames."
    table = Table(f"{found['metric']} by the order of the frames", columns, rows)
    return Section("order", "Order of frames", texts=[text], tables=[table])


def _tempo_section(found: Mapping[str, Any]) -> Section:
    series = [
        Series(
            one["run"],
            [point["factor"] for point in one["points"]],
            [point["value"] for point in one["points"]],
            has_markers=True,
        )
        for one in found["runs"]
    ]
    metric = " or ".join(dict.fromkeys(one["metric"] for one in found["runs"]))
    stride = Axis("sampling stride, multiples of the run's own")
    chart = line_chart("Robustness to tempo", series, stride, Axis(f"{metric} (%)"))
    return Section("tempo", "Tempo", charts=[chart])
