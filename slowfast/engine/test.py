"""Tests one model with several views of every video."""

import logging
from pathlib import Path

import torch
from tabulate import tabulate

from slowfast.checkpoint import files
from slowfast.checkpoint.initialize import load_for_test
from slowfast.config.node import ConfigNode
from slowfast.datasets.build import build_loader
from slowfast.datasets.clip_dataset import ClipDataset
from slowfast.engine.device import build_autocast, build_device, place_model
from slowfast.engine.predict import join_views, predict_views
from slowfast.engine.runlog import build_run_log
from slowfast.engine.stop import Interrupted, StopRequest, agreed
from slowfast.engine.tasks import build_task
from slowfast.models import build_model
from slowfast.models.fold import build_folded
from slowfast.utils import distributed
from slowfast.utils.io import write_csv, write_json

logger = logging.getLogger(__name__)


def test(cfg: ConfigNode) -> dict:
    """Score all views of the test videos, and write the metrics and the scores into OUTPUT_DIR.

    Writes test_results.json (metrics, unreadable videos, accuracy with fewer views),
    test_results.csv (one line per video) and the scores of all views (npz). Returns what is in the
    JSON.
    """
    output_dir = Path(cfg.OUTPUT_DIR)
    device, task = build_device(cfg), build_task(cfg)
    path = _find_weights(output_dir, cfg.TEST.CHECKPOINT_FILE_PATH, cfg.TRAIN.CHECKPOINT_FILE_PATH)
    loader = build_loader(cfg, "test")
    model = place_model(build_model(cfg), device)
    load_for_test(model, path, clear_name_patterns=cfg.TRAIN.CHECKPOINT_CLEAR_NAME_PATTERN)
    model = build_folded(cfg, model)
    with StopRequest() as stop:
        scores, unreadable = predict_views(
            model,
            loader,
            task,
            device,
            num_classes=cfg.MODEL.NUM_CLASSES,
            autocast=build_autocast(cfg, device),
            title="test",
            stop=stop,
            max_clips=max(cfg.TEST.BATCH_SIZE // distributed.local_size(cfg.NUM_SHARDS), 1),
        )
    if agreed(stop, device):
        raise Interrupted(128 + stop.signum if stop.signum else 1)
    if not distributed.is_main_process():
        return {}
    labels = torch.tensor([record.label for record in loader.dataset.records])
    values, seen = join_views(scores, cfg.DATA.ENSEMBLE_METHOD)
    if not seen.any():
        raise ValueError(f"no test video could be read: {unreadable.reasons}")
    results = {
        **task.metrics(values[seen], labels[seen]),
        "num_videos": int(seen.sum()),
        "num_unreadable": len(unreadable.reasons),
        "views": f"{cfg.TEST.NUM_ENSEMBLE_VIEWS} x {cfg.TEST.NUM_SPATIAL_CROPS}",
        "reversed_in_time": cfg.TEST.REVERSE_TIME,
        "ensemble": cfg.DATA.ENSEMBLE_METHOD,
        "checkpoint": str(path),
        "fewer_views": scores.accuracy_by_views(
            labels, cfg.TEST.NUM_SPATIAL_CROPS, method=cfg.DATA.ENSEMBLE_METHOD
        ),
        "unreadable": unreadable.reasons,
    }
    scores_path = output_dir / (cfg.TEST.SAVE_RESULTS_PATH or "test_scores.npz")
    scores.save_npz(
        scores_path, [record.path for record in loader.dataset.records], labels.tolist()
    )
    _write_results(output_dir, results, loader.dataset, values, seen)
    log = build_run_log(cfg)
    line = {key: value for key, value in results.items() if not isinstance(value, list | dict)}
    log.write({"_type": "test_final", **line}, step=0)
    log.close()
    _log_results(results, output_dir, scores_path)
    return results


# pytest would take a function of this name for a test wherever it is imported.
test.__test__ = False


def _find_weights(output_dir: Path, test_path: str, train_path: str) -> Path:
    """The named file, else the run's last checkpoint, else what training would start from."""
    path = test_path or files.last_checkpoint(output_dir) or train_path
    if not path:
        folder = output_dir / "checkpoints"
        raise ValueError(
            f"TEST.CHECKPOINT_FILE_PATH: is empty, and there is no checkpoint in {folder}; "
            "name the weights to test"
        )
    return Path(path)


def _write_results(
    output_dir: Path, results: dict, dataset: ClipDataset, values: torch.Tensor, seen: torch.Tensor
) -> None:
    write_json(output_dir / "test_results.json", results)
    rows, class_names = [], dataset.class_names
    for record, scores, is_seen in zip(dataset.records, values, seen.tolist(), strict=True):
        if not is_seen:
            continue
        best = int(scores.argmax())
        names = [class_names[record.label], class_names[best]] if class_names else ["", ""]
        rows.append(
            [
                record.path,
                record.label,
                best,
                int(best == record.label),
                float(scores[best]),
                *names,
            ]
        )
    header = ["path", "label", "prediction", "is_correct", "score", "label_name", "prediction_name"]
    write_csv(output_dir / "test_results.csv", header, rows)


def _log_results(results: dict, output_dir: Path, scores_path: Path) -> None:
    table = [
        [f"{row['clips']} x {row['crops']}", row["top1_acc"], row["top5_acc"]]
        for row in results["fewer_views"]
    ]
    header = ["views", "top-1 %", "top-5 %"]
    left_out = (
        f", {results['num_unreadable']} unreadable left out" if results["num_unreadable"] else ""
    )
    logger.info(
        "test: top-1 %.2f %%, top-5 %.2f %% on %d videos%s\n%s\nresults: %s, %s, %s",
        results["top1_acc"],
        results["top5_acc"],
        results["num_videos"],
        left_out,
        tabulate(table, headers=header, floatfmt=".2f"),
        output_dir / "test_results.json",
        output_dir / "test_results.csv",
        scores_path,
    )
