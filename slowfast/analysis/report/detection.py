"""Sections about boxes in key frames: average precision, curves, pictures with boxes."""

import csv
import math
from collections import Counter
from collections.abc import Sequence

import numpy as np

from slowfast.analysis.report import numbers
from slowfast.analysis.report.multi_label import average_precision_section, curve_section
from slowfast.analysis.report.run_folder import RunFolder
from slowfast.analysis.report.scores import spread
from slowfast.analysis.report.sections import Gallery, Picture, Section, Tile
from slowfast.analysis.report.strips import (
    FOUND_COLOUR,
    TRUE_COLOUR,
    Opener,
    draw_boxes,
    jpeg_uri,
    key_picture,
)
from slowfast.datasets.records import Record
from slowfast.evaluation.box_matching import HIT, by_score, judged_rows, match_best
from slowfast.utils.box_table import BoxTable, BoxTruth

_NUM_FRAMES = 12
_NUM_FOUND, _NUM_NAMED = 4, 2  # boxes of the highest scores in a picture, classes of each
_NUM_CURVES = 5
_TITLES = {"map": "mAP", "frame_map_voc": "frame-mAP (VOC)", "frame_map_act": "frame-mAP (ACT)"}


def box_tiles(run: RunFolder) -> list[Tile]:
    """Metrics and counts of the test."""
    found = run.results
    tiles = [
        (title, f"{found[key]:.2f} %", "IoU 0.5")
        for key, title in _TITLES.items()
        if isinstance(found.get(key), float) and not math.isnan(found[key])
    ]
    frames = f"{found.get('num_key_frames_scored', 0):,} of {found.get('num_key_frames', 0):,}"
    tiles.append(("key frames", frames, "scored"))
    tiles.append(("boxes", f"{found.get('num_boxes', 0):,}", f"{found.get('test_boxes', '')}"))
    return tiles


def read_boxes(run: RunFolder, truth: BoxTruth) -> BoxTable:
    """Detections that the test wrote; their keys are of the frames."""
    keys, boxes, labels, scores = [], [], [], []
    for row in csv.reader(run.text("detections.csv").splitlines()):
        keys.append(",".join(row[:-6]))
        *box, label, score = map(float, row[-6:])
        boxes.append(box)
        labels.append(int(label) - truth.label_offset)
        scores.append(score)
    return BoxTable(
        np.array(keys, dtype=object),
        np.array(boxes, dtype=np.float64).reshape(-1, 4),
        np.array(labels, dtype=np.int64),
        np.array(scores, dtype=np.float64),
    )


def box_sections(run: RunFolder, found: BoxTable, truth: BoxTruth) -> list[Section]:
    """Average precision of each class as the test judged it, and curves at IoU 0.5."""
    rows = run.csv_rows("test_results_per_class.csv")
    key = next((name for name in ("ap", "ap_voc") if rows and name in rows[0]), None)
    sections = []
    if key:
        aps = [float(row[key]) if row[key] else math.nan for row in rows]
        counts = [int(float(row["positives"] or 0)) for row in rows]
        names = [row["name"] or f"class {row['class']}" for row in rows]
        sections.append(average_precision_section(names, counts, aps))
    return [*sections, curve_section(box_curves(found, truth))]


def box_curves(found: BoxTable, truth: BoxTruth) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """(recall, precision) of all boxes, and of the classes with most of them."""
    judged, boxes = judged_rows(found, truth, excluded=truth.excluded)
    judged = by_score(judged)
    is_hit = match_best(judged, boxes) == HIT
    curves = {"all classes": numbers.precision_recall(judged.scores, is_hit, len(boxes))}
    counts = {label: int((boxes.labels == label).sum()) for label in truth.classes}
    for label in sorted(counts, key=lambda label: -counts[label])[:_NUM_CURVES]:
        own = judged.labels == label
        if counts[label] and own.any():
            name = truth.classes[label]
            curve = numbers.precision_recall(judged.scores[own], is_hit[own], counts[label])
            curves[name] = curve
    return curves


def frame_section(
    found: BoxTable, truth: BoxTruth, records: Sequence[Record], open_record: Opener
) -> Section | None:
    """Key frames of the whole list, with true boxes and those of the highest scores."""
    pictures = []
    for record in spread(records, _NUM_FRAMES):
        picture = key_picture(record, open_record)
        if picture is None:
            continue
        true_words, picture = _draw_true(picture, record, truth)
        boxes, texts = _best_found(found, truth, record.key.key)
        picture = draw_boxes(picture, boxes, texts, FOUND_COLOUR)
        said = "; ".join(text.replace("\n", ", ") for text in texts)
        words = f"found {said or 'nothing'}. True: {true_words or 'nothing'}"
        alt = f"Key frame {record.key.key} with boxes: {words}"
        pictures.append(Picture(jpeg_uri(picture), alt, f"{record.key.key}: {words}"))
    if not pictures:
        return None
    texts = ["Green: true boxes. Orange: found ones of the highest scores."]
    gallery = Gallery("Key frames", pictures)
    return Section("examples", "Examples", texts, galleries=[gallery])


def _draw_true(picture: np.ndarray, record: Record, truth: BoxTruth) -> tuple[str, np.ndarray]:
    """True classes of a key frame in words, and its picture with the boxes."""
    rows = np.flatnonzero(truth.table.keys == record.key.key)
    boxes = truth.table.boxes[rows]
    names = [truth.classes.get(int(label), "") for label in truth.table.labels[rows]]
    words = ", ".join(f"{n} x {name}" for name, n in Counter(filter(None, names)).items())
    if len(boxes):
        boxes = np.unique(boxes, axis=0)
    return words, draw_boxes(picture, boxes, [""] * len(boxes), TRUE_COLOUR, width=5)


def _best_found(found: BoxTable, truth: BoxTruth, key: str) -> tuple[np.ndarray, list[str]]:
    """Boxes n,4 of the highest scores of a key frame, and the best classes of each, in lines."""
    own = np.flatnonzero(found.keys == key)
    own = own[np.argsort(-found.scores[own], kind="stable")]
    lines: dict[tuple, list[str]] = {}
    for i in own.tolist():
        name = truth.classes.get(int(found.labels[i]), f"class {found.labels[i]}")
        lines.setdefault(tuple(found.boxes[i]), []).append(f"{name} {found.scores[i]:.2f}")
    chosen = list(lines.items())[:_NUM_FOUND]
    boxes = np.array([box for box, _ in chosen]).reshape(-1, 4)
    return boxes, ["\n".join(texts[:_NUM_NAMED]) for _, texts in chosen]
