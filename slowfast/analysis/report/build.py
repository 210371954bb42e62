"""The report of a run: one page in its folder, made from what the run has written so far."""

import logging
from datetime import datetime
from pathlib import Path

from slowfast.analysis.pages.page import write_page
from slowfast.analysis.report.run_folder import RunFolder, find_run
from slowfast.analysis.report.sections import (
    foot_line,
    network_section,
    setup_section,
    training_section,
)

logger = logging.getLogger(__name__)


def write_report(place: str | Path, output: str | Path | None = None) -> Path:
    """Write report.html (or `output`) of the run in a folder; ValueError where there is no run."""
    run = find_run(place)
    sections = [*training_section(run), network_section(run), setup_section(run)]
    time = datetime.now().astimezone().isoformat(sep=" ", timespec="seconds")
    return write_page(
        output or run.path / "report.html",
        "report/report.html",
        title=f"{run.config.MODEL.MODEL_NAME}: {run.name}",
        state=describe_state(run),
        sections=[("result", "Result"), *((section.id, section.title) for section in sections)],
        tiles=[],
        notes=[],
        more=sections,
        has_matrix=any(section.matrix for section in sections),
        foot=foot_line(time),
    )


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
