"""The report of a run: one page in its folder, made from what the run has written so far."""

import logging
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from slowfast.analysis.pages.page import write_page
from slowfast.analysis.report import classification, detection, multi_label
from slowfast.analysis.report.dataset_facts import broken_tables, dataset_section
from slowfast.analysis.report.order_of_time import time_sections
from slowfast.analysis.report.pictures import draw_pictures
from slowfast.analysis.report.run_folder import RunFolder, find_run
from slowfast.analysis.report.scores import ScoredVideos, class_names, read_scores
from slowfast.analysis.report.sections import (
    Section,
    Tile,
    foot_line,
    network_section,
    setup_section,
    training_section,
)
from slowfast.config.derived import class_counts
from slowfast.datasets.build import build_dataset
from slowfast.datasets.class_report import count_examples
from slowfast.datasets.clip_dataset import ClipDataset

logger = logging.getLogger(__name__)


class Report:
    """Sections that are being gathered; one that cannot be made becomes a sentence."""

    def __init__(self, run: RunFolder):
        self.run = run
        self.tiles: list[Tile] = []
        self.notes: list[str] = []
        self.scores: ScoredVideos | None = None
        self.sections: list[Section] = []

    def add(self, name: str, make: Callable[[], Any]) -> Any:
        """The sections that `make` gives, which are added, or what else it gives."""
        try:
            made = make()
        except (OSError, ValueError, KeyError, IndexError, RuntimeError) as error:
            logger.debug("traceback of what the report leaves out", exc_info=True)
            self.notes.append(f"{name}: left out ({type(error).__name__}: {error})")
            return None
        found = made if isinstance(made, list) else [made]
        self.sections += [section for section in found if isinstance(section, Section)]
        return made

    def add_tiles(self, name: str, make: Callable[[], list[Tile]]) -> None:
        """The tiles that `make` gives."""
        self.tiles += self.add(name, make) or []


def write_report(place: str | Path, output: str | Path | None = None) -> Path:
    """Write report.html (or `output`) of the run in a folder; ValueError where there is no run.

    Beside report.html are its PNGs.
    """
    run = find_run(place)
    report = gather(run)
    if output is None:
        report.add("Pictures", lambda: draw_pictures(run, report.scores))
    time = datetime.now().astimezone().isoformat(sep=" ", timespec="seconds")
    sections = report.sections
    return write_page(
        output or run.path / "report.html",
        "report/report.html",
        title=f"{run.config.MODEL.MODEL_NAME}: {run.name}",
        state=describe_state(run),
        sections=[("result", "Result"), *((section.id, section.title) for section in sections)],
        is_tested=bool(run.results),
        tiles=report.tiles,
        notes=report.notes,
        more=sections,
        has_matrix=any(section.matrix for section in sections),
        foot=foot_line(time),
    )


def gather(run: RunFolder) -> Report:
    """All that the page says."""
    report = Report(run)
    dataset = report.add("Videos", lambda: build_dataset(run.config, "test"))
    if run.results:
        _add_results(report, dataset)
    report.add("Order of frames", lambda: time_sections(run))
    report.add("Training", lambda: training_section(run))
    report.add("Network", lambda: network_section(run, report.tiles))
    if dataset is not None:
        report.add("Videos", lambda: _describe_set(run, dataset))
    elif tables := broken_tables(run):
        report.sections.append(Section("dataset", "Videos", tables=tables))
    report.add("How it was made", lambda: setup_section(run))
    return report


def _add_results(report: Report, dataset: ClipDataset | None) -> None:
    run = report.run
    if run.config.DETECTION.ENABLE:
        _add_boxes(report, dataset)
    elif not isinstance(run.config.MODEL.NUM_CLASSES, int):
        report.add_tiles("Metrics", lambda: metric_tiles(run))
    elif (scores := report.add("Scores", lambda: read_scores(run))) is not None:
        report.scores = scores
        if not len(scores.rows):
            report.notes.append("Scores: no video of known label was scored.")
        elif scores.labels.ndim == 2:
            _add_labels(report, scores, dataset)
        else:
            _add_classes(report, scores, dataset)
    report.add_tiles("Counts", lambda: count_tiles(run))


def metric_tiles(run: RunFolder) -> list[Tile]:
    """Metrics as the test wrote them."""
    named = {k: v for k, v in run.results.items() if isinstance(v, float) and "acc" in k}
    return [(name.replace("_", " "), f"{value:.2f} %", "") for name, value in named.items()]


def count_tiles(run: RunFolder) -> list[Tile]:
    """Videos and views of the test, and how many videos were broken."""
    found = run.results
    tiles = [("loss of the test", f"{found['loss']:.4f}", "")] if "loss" in found else []
    if "num_videos" in found:
        tiles.append(("videos", f"{found['num_videos']:,}", f"views {found.get('views', '')}"))
    broken = f"{found.get('num_unreadable', 0)} / {found.get('num_damaged', 0)}"
    return [*tiles, ("unreadable / damaged", broken, "videos")]


def _add_classes(report: Report, scores: ScoredVideos, dataset: ClipDataset | None) -> None:
    run = report.run
    report.add_tiles("Accuracy", lambda: classification.result_tiles(scores))
    report.add("Confusion", lambda: classification.confusion_section(scores))
    report.add("Classes", lambda: classification.class_section(scores))
    if dataset is not None and _is_same_list(scores, dataset):
        examples = classification.example_section
        report.add("Examples", lambda: examples(scores, dataset.records, dataset.open_record))
    report.add("Calibration", lambda: classification.calibration_section(scores))
    chart = classification.views_chart(run, "top1_acc", "Top-1", is_share=True)
    report.add("Views", lambda: classification.views_section(chart))


def _add_labels(report: Report, scores: ScoredVideos, dataset: ClipDataset | None) -> None:
    report.add_tiles("mAP", lambda: multi_label.map_tiles(scores))
    report.add("Classes", lambda: multi_label.class_sections(scores))
    if dataset is not None and _is_same_list(scores, dataset):
        examples = multi_label.wrong_label_section
        report.add("Examples", lambda: examples(scores, dataset.records, dataset.open_record))
    chart = classification.views_chart(report.run, "map", "mAP", is_share=False)
    report.add("Views", lambda: classification.views_section(chart))


def _add_boxes(report: Report, dataset: ClipDataset | None) -> None:
    run = report.run
    report.add_tiles("mAP", lambda: detection.box_tiles(run))
    if dataset is None or dataset.truth is None:
        return
    truth, records = dataset.truth, dataset.records
    found = report.add("Boxes", lambda: detection.read_boxes(run, truth))
    if found is not None and len(found):
        report.add("Classes", lambda: detection.box_sections(run, found, truth))
        frames = detection.frame_section
        report.add("Examples", lambda: frames(found, truth, records, dataset.open_record))


def _is_same_list(scores: ScoredVideos, dataset: ClipDataset) -> bool:
    """Whether the list of the test is still the one that was tested."""
    records, ends = dataset.records, {int(scores.rows[0]): 0, int(scores.rows[-1]): -1}
    return scores.rows[-1] < len(records) and all(
        scores.paths[place] in (records[row].path, records[row].name) for row, place in ends.items()
    )


def _describe_set(run: RunFolder, dataset: ClipDataset) -> Section:
    counts = class_counts(run.config.MODEL.NUM_CLASSES)
    names = dataset.class_names or class_names(run, sum(counts))
    found = {"test": count_examples(dataset, counts)}
    if run.config.TRAIN.ENABLE and (train := _training_counts(run, counts)):
        found = {"training": train, **found}
    return dataset_section(run, found, names, dataset.records)


def _training_counts(run: RunFolder, counts: tuple[int, ...]) -> list[int]:
    """Examples of each class of the training set; [] where its list is gone."""
    try:
        dataset = build_dataset(run.config, "train")
    except (OSError, ValueError):
        return []
    return count_examples(dataset, counts)


def describe_state(run: RunFolder) -> str:
    """Say how far the run has got."""
    epochs = run.lines_of("train_epoch")
    parts = [f"{run.config.MODEL.MODEL_NAME} on {run.config.TEST.DATASET}"]
    if epochs:
        parts.append(f"epoch {epochs[-1].get('epoch')} is done")
    elif run.lines_of("train_iter"):
        parts.append("in its first epoch")
    parts.append("tested" if run.results else "not tested yet")
    return ", ".join(parts) + "."


def write_report_after_test(output_dir: str | Path) -> Path | None:
    """Write the report; whatever goes wrong with it is one warning, for the results are there."""
    try:
        path = write_report(output_dir)
    except Exception as error:  # a report is never worth a run
        logger.debug("traceback of the warning below", exc_info=True)
        logger.warning(
            "the report could not be made (%s: %s); results are not affected. "
            "tools/report.py %s makes it again",
            *(type(error).__name__, error, output_dir),
        )
        return None
    logger.info("report: %s", path)
    return path
