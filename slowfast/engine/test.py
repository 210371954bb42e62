"""Tests one model on the videos of the test split."""

import logging
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tabulate import tabulate

from slowfast.adaptive.budget import TableRow
from slowfast.adaptive.network import load_for_evaluation
from slowfast.checkpoint import files
from slowfast.checkpoint.initialize import CoverageReport
from slowfast.config.derived import class_counts
from slowfast.config.node import ConfigNode
from slowfast.datasets.build import build_loader
from slowfast.datasets.class_report import count_examples, untrained_remark
from slowfast.datasets.clip_dataset import ClipDataset
from slowfast.datasets.records import Record
from slowfast.datasets.traits import DATASETS
from slowfast.engine.kept_scores import build_identity, keep_on_disk, remove_shards
from slowfast.evaluation.evaluator import Evaluator
from slowfast.evaluation.score_shards import ShardedEvaluator
from slowfast.evaluation.video_sets import set_facts
from slowfast.runtime.run_log import RunLog, build_run_log
from slowfast.runtime.stop import Interrupted, StopRequest, agreed
from slowfast.runtime.unreadable import UnreadableVideos
from slowfast.tasks import build_evaluator
from slowfast.tasks.evaluate import build_evaluation_loop
from slowfast.utils import distributed
from slowfast.utils.io import read_json, write_json

logger = logging.getLogger(__name__)


def test(cfg: ConfigNode) -> dict:
    """Score the test videos, and write the metrics and the scores into OUTPUT_DIR.

    Writes test_results.json (metrics, unreadable and damaged videos, and with several views the
    metrics with fewer), lists of unreadable and damaged videos where there are any, and the
    evaluator's own files: predictions, all scores (npz), and the classes' own values
    (test_results_per_class.csv). Returns what is in the JSON.
    A test that was interrupted goes on.
    """
    output_dir = Path(cfg.OUTPUT_DIR)
    path = find_weights(output_dir, cfg.TEST.CHECKPOINT_FILE_PATH, cfg.TRAIN.CHECKPOINT_FILE_PATH)
    loader, loop = build_loader(cfg, "test"), build_evaluation_loop(cfg)
    evaluator = build_evaluator(cfg, loader.dataset)
    dataset, counts = loader.dataset, class_counts(cfg.MODEL.NUM_CLASSES)
    network = load_for_evaluation(cfg, path, loop.device, class_names=dataset.class_names)
    _tell_of_classes(dataset, counts, network.report)
    identity = build_identity(cfg, dataset, path, network.row)
    evaluator = keep_on_disk(evaluator, output_dir, identity, loader.batch_sampler)
    with StopRequest() as stop:
        unreadable = loop.run(loader, [(network.model, evaluator)], title="test", stop=stop)
    if agreed(stop, loop.device):
        logger.warning("the test is interrupted: the same command goes on with it")
        raise Interrupted(stop.exit_code)
    with distributed.main_process_alone() as is_main:
        if not is_main:
            return {}
        facts = {**build_facts(cfg, dataset, path, network.row), **loop.check.facts()}
        scores_path = output_dir / (cfg.TEST.SAVE_RESULTS_PATH or "test_scores.npz")
        results, written = _conclude(
            evaluator, unreadable, facts, output_dir=output_dir, scores_path=scores_path
        )
        with build_run_log(cfg) as log:
            _write_line(log, results)
            for path in written:
                if path.suffix == ".csv":
                    log.table(path)
        _log_results(results, evaluator.titles, written)
        remove_shards(output_dir)
    return results


# pytest would take a function of this name for a test wherever it is imported.
test.__test__ = False


def find_weights(output_dir: Path, test_path: str, train_path: str) -> Path:
    """The named file, else the run's last checkpoint, else what training would start from.

    It may be a name, as for `local_file`.
    """
    path = test_path or files.last_checkpoint(output_dir) or train_path
    if not path:
        folder = output_dir / "checkpoints"
        raise ValueError(
            f"TEST.CHECKPOINT_FILE_PATH: is empty, and there is no checkpoint in {folder}; "
            "name the weights to test"
        )
    return Path(path)


def _conclude(
    evaluator: Evaluator,
    unreadable: UnreadableVideos,
    facts: dict[str, Any],
    *,
    output_dir: Path,
    scores_path: Path,
) -> tuple[dict[str, Any], list[Path]]:
    """Judge the scores; the results, and the files that were written."""
    if isinstance(evaluator, ShardedEvaluator):
        unreadable.restore(evaluator.damages())
    evaluation = evaluator.evaluate()
    if evaluation is None:
        first = dict(list(unreadable.reasons.items())[:10])
        raise ValueError(f"no test video could be scored; unreadable: {first}")
    counts, details = unreadable.counts(), evaluator.details()
    results = {**evaluation.metrics, **counts, **details, **facts, **unreadable.named()}
    return results, [
        _write_results(output_dir, results),
        *evaluator.write(output_dir, evaluation, scores_path=scores_path),
        *unreadable.write(output_dir, "test"),
    ]


def _tell_of_classes(dataset: ClipDataset, counts: Sequence[int], report: CoverageReport) -> None:
    """Log what is odd about the classes of the data, seen from those of the weights."""
    names, trained = dataset.class_names, report.num_examples
    if report.class_names and not names:
        logger.info("classes go by their numbers: the weights have names, but the data has none")
    if trained and len(trained) == sum(counts):
        remark = untrained_remark(trained, count_examples(dataset, counts), names)
        if remark:
            logger.warning("%s", remark)


def _write_results(output_dir: Path, results: dict) -> Path:
    """Write the JSON, and remove the lists of videos of an earlier test."""
    for kind in ("unreadable", "damaged"):
        (output_dir / f"{kind}_test.csv").unlink(missing_ok=True)
    path = output_dir / "test_results.json"
    _tell_of_replaced(path, results)
    write_json(path, results)
    return path


def _tell_of_replaced(path: Path, results: dict) -> None:
    """Warn where the results of a test with other views or weights are there."""
    if not path.is_file():
        return
    try:
        old = read_json(path)
    except ValueError:  # a damaged one says nothing
        return
    before, now = ([of.get(key) for key in ("views", "checkpoint")] for of in (old, results))
    if before != now:
        logger.warning(
            "%s: replaces the test with %s views of %s; another OUTPUT_DIR would keep both",
            *(path, *before),
        )


def _set_facts(
    dataset: ClipDataset, name: str, *, split: int | None, num_classes: int | list[int]
) -> dict[str, Any]:
    """Facts on the test split, by which the results of several runs are compared."""
    names = dataset.class_names if isinstance(num_classes, int) else None
    found = [(record.path, _label_text(record, names)) for record in dataset.records]
    if dataset.truth is not None:  # the key frames of the records are a detector's
        truth = dataset.truth.table
        labels: dict[str, list[int]] = {}
        for key, label in zip(truth.keys.tolist(), truth.labels.tolist(), strict=True):
            labels.setdefault(key, []).append(label)
        found = [(key, str(sorted(each))) for key, each in labels.items()]
    paths, texts = zip(*found, strict=True)
    return set_facts(
        name,
        paths,
        texts,
        split=split,
        num_classes=num_classes,
        class_names=dataset.class_names,
    )


def _label_text(record: Record, names: Sequence[str] | None) -> str:
    """A record's part of its video, and its classes: by name where they have one."""
    classes = record.classes()
    return f"{record.part} {[names[label] for label in classes] if names else list(classes)}"


def _write_line(log: RunLog, results: dict) -> None:
    """Add the single values to the log."""
    line = {key: value for key, value in results.items() if not isinstance(value, list | dict)}
    log.write({"_type": "test_final", **line}, step=0)


def _log_results(results: dict, titles: Mapping[str, str], written: list[Path]) -> None:
    """Headline, counts, and the table of fewer views where there is one."""
    shown = {name: title for name, title in titles.items() if name in results}
    values = [f"{title} {_percent(results[name])}" for name, title in shown.items()]
    numbers = {key: value for key, value in results.items() if key.startswith("num_")}
    counts = [f"{n} {key.removeprefix('num_').replace('_', ' ')}" for key, n in numbers.items()]
    rows = [
        [f"{row['clips']} x {row['crops']}", *(row[name] for name in shown)]
        for row in results.get("fewer_views", [])
    ]
    header = ["views", *(f"{title} %" for title in shown.values())]
    logger.info(
        "test: %s (%s)%s\nresults: %s",
        ", ".join(values),
        ", ".join(counts),
        "\n" + tabulate(rows, headers=header, floatfmt=".2f") if rows else "",
        ", ".join(map(str, written)),
    )


def _percent(value: float) -> str:
    return "unknown (no ground truth)" if math.isnan(value) else f"{value:.2f} %"


def build_facts(
    cfg: ConfigNode, dataset: ClipDataset, checkpoint: Path, row: TableRow | None
) -> dict[str, Any]:
    """Facts on a test for its JSON; row: what TEST.BUDGET chose."""
    split = cfg.DATA.SPLIT_NUMBER if DATASETS.get(cfg.TEST.DATASET).has_splits else None
    about_set = {"split": split, "num_classes": cfg.MODEL.NUM_CLASSES}
    return {
        **dataset.views.sizes(),
        "reversed_in_time": cfg.TEST.REVERSE_TIME,
        **({} if split is None else {"split": split}),
        "checkpoint": str(checkpoint),
        **({"configuration": str(row.point), "gmacs": row.gmacs} if row else {}),
        "test_set": _set_facts(dataset, cfg.TEST.DATASET, **about_set),
    }
