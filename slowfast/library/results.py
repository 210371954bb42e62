"""Results of a run, read from its OUTPUT_DIR, which show themselves in a notebook."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from html import escape
from pathlib import Path
from typing import Any

from slowfast.analysis.pages.charts import Axis, Chart, line_chart
from slowfast.analysis.report import classification, multi_label
from slowfast.analysis.report.curves import accuracy_series, loss_series
from slowfast.analysis.report.run_folder import RunFolder
from slowfast.analysis.report.scores import read_scores
from slowfast.engine.predict import Predictor, find_run
from slowfast.evaluation.summary import read_metrics
from slowfast.streams.notebook import cell_text, html_link, html_table

_MOST_CLASSES = 10
# Of a chart: colours that can be read on light and on dark paper.
_STYLE = """<style>.slowfast-charts { display: flex; flex-wrap: wrap; gap: 1em;
 --c0: #2a8fd0; --c1: #d07015; --c2: #1f9c77; --c3: #b85f9e; --c4: #a08000; }
.slowfast-charts figure { margin: 0; width: 26em; max-width: 100%; }
.slowfast-charts text { fill: currentColor; font-size: 12px; }
.slowfast-charts .axis { stroke: #8888; } .slowfast-charts .curve { fill: none; stroke-width: 2; }
</style>"""


@dataclass(frozen=True)
class TestResult:
    """Results of a test, read from `folder`, its OUTPUT_DIR."""

    __test__ = False  # pytest would take it for tests

    folder: Path

    @cached_property
    def details(self) -> dict[str, Any]:
        """All of test_results.json: metrics, counts, views, unreadable videos, the test set."""
        return self._run.results

    @cached_property
    def metrics(self) -> dict[str, float]:
        """Metrics by name ("top1_acc", "map", ...), in percent, and the loss."""
        return read_metrics(self.folder)

    @cached_property
    def intervals(self) -> dict[str, tuple[float, float]]:
        """Ends of the 95 % intervals over videos, in percent, by the metrics that have one.

        They are as in the report, for videos with one class or with any number of classes.
        """
        if self._run.config.DETECTION.ENABLE or not isinstance(
            self._run.config.MODEL.NUM_CLASSES, int
        ):
            return {}
        scores = read_scores(self._run)
        if scores is None or not len(scores.rows):
            return {}
        if scores.labels.ndim == 2:
            shares = {"map": multi_label.mean_ap(scores)}
        else:
            shares = classification.accuracies(scores)
        found = {name: (100 * share.low, 100 * share.high) for name, share in shares.items()}
        return {name: ends for name, ends in found.items() if name in self.metrics}

    @cached_property
    def per_class(self) -> list[dict[str, Any]]:
        """Rows of the table of classes: number, name and values; pandas.DataFrame takes them."""
        return [_with_numbers(row) for row in self._run.csv_rows("test_results_per_class.csv")]

    @property
    def report(self) -> Path | None:
        """The page with everything; None if there is none."""
        path = self.folder / "report.html"
        return path if path.is_file() else None

    @cached_property
    def _run(self) -> RunFolder:
        return RunFolder(self.folder)

    def _metric_rows(self) -> list[list[Any]]:
        rows = []
        for name, value in self.metrics.items():
            ends = self.intervals.get(name)
            rows.append([name, value, f"{ends[0]:.1f} to {ends[1]:.1f}" if ends else ""])
        return rows

    def __repr__(self) -> str:
        parts = [f"{name} {cell_text(value)}" for name, value in self.metrics.items()]
        return f"TestResult({str(self.folder)!r}: {', '.join(parts)})"

    def _repr_html_(self) -> str:
        parts = [
            f"<p>Test of {self.details.get('num_videos', '?')} videos in "
            f"<code>{escape(str(self.folder))}</code>{_report_link(self.report)}</p>",
            html_table(["metric", "value", "95 % interval"], self._metric_rows()),
        ]
        if self.per_class:
            header = list(self.per_class[0])
            rows = [[row.get(name) for name in header] for row in self.per_class]
            parts.append(html_table(header, rows, most=_MOST_CLASSES))
        return "".join(parts)


@dataclass(frozen=True)
class TrainResult:
    """Results of a training, read from `folder`, its OUTPUT_DIR; `test` is None without a test."""

    folder: Path
    test: TestResult | None = None

    @cached_property
    def history(self) -> list[dict[str, Any]]:
        """A row for each epoch: `epoch`, `train_loss`, `val_top1_acc`, ...; None if not due."""
        return [_with_numbers(row) for row in RunFolder(self.folder).csv_rows("history.csv")]

    @property
    def metrics(self) -> dict[str, float]:
        """Metrics of the test; without a test, of the last epoch with validation."""
        if self.test is not None:
            return self.test.metrics
        rows = [row for row in self.history if row.get("val_loss") is not None]
        values = rows[-1] if rows else {}
        return {
            name.removeprefix("val_"): value
            for name, value in values.items()
            if name.startswith("val_") and not name.startswith("val_num_")
        }

    @property
    def checkpoint(self) -> Path:
        """Weights of the best epoch in validation, else of the last one."""
        return find_run(self.folder)[1]

    @property
    def report(self) -> Path | None:
        """The page with everything; None if there is none."""
        return self.test.report if self.test else None

    def predictor(self, **settings: Any) -> Predictor:
        """A `Predictor` with `checkpoint`, and its settings."""
        return Predictor.from_run(self.folder, **settings)

    def __repr__(self) -> str:
        parts = [f"{name} {cell_text(value)}" for name, value in self.metrics.items()]
        source = "test" if self.test else "validation"
        return (
            f"TrainResult({str(self.folder)!r}: {len(self.history)} epochs; "
            f"{source}: {', '.join(parts)})"
        )

    def _repr_html_(self) -> str:
        run = RunFolder(self.folder)
        named = {"Loss": loss_series(run), "Accuracy": accuracy_series(run)}
        charts = [
            line_chart(title, series, Axis("epoch"), axis)
            for title, (series, axis) in named.items()
            if series
        ]
        head = (
            f"<p>{len(self.history)} epochs in <code>{escape(str(self.folder))}</code>; weights: "
            f"<code>{escape(self.checkpoint.name)}</code></p>"
        )
        if self.test:
            return head + _draw(charts) + self.test._repr_html_()
        rows = [[name, value] for name, value in self.metrics.items()]
        return head + _draw(charts) + html_table(["validation", "value"], rows)


def _draw(charts: Sequence[Chart]) -> str:
    """Charts side by side, each with its legend."""
    figures = []
    for chart in charts:
        names = [
            f'<span style="color:{colour}">{"- -" if is_dashed else "—"} {escape(name)}</span>'
            for name, colour, is_dashed in chart.legend
        ]
        figures.append(f"<figure>{chart.svg}<figcaption>{' '.join(names)}</figcaption></figure>")
    return f'{_STYLE}<div class="slowfast-charts">{"".join(figures)}</div>' if figures else ""


def _report_link(path: Path | None) -> str:
    return f"; {html_link(path, 'report')}" if path else ""


def _with_numbers(row: dict[str, str]) -> dict[str, Any]:
    """A row of a table with its numbers as such; an empty cell is None."""
    return {name: _value(text) for name, text in row.items()}


def _value(text: str) -> Any:
    if not text:
        return None
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
