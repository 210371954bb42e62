"""Boxes as rows: reading AVA's csv, filtering and grouping rows of any file."""

import csv
import logging
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from slowfast.datasets.annotations.list_files import find_file
from slowfast.utils.box_table import BoxTable

logger = logging.getLogger(__name__)


class BoxRow(NamedTuple):
    """One box with one class.

    number: which image of the video, a second in AVA, else a frame from 1. box: x1,y1,x2,y2 in
    shares of the frame. label: column of the network's output, None for a box without class.
    """

    video: str
    number: int
    box: tuple[float, float, float, float]
    label: int | None

    @property
    def key(self) -> str:
        """Name of the image in box tables."""
        return image_key(self.video, self.number)


def image_key(video: str, number: int) -> str:
    """Name of an image in box tables, as AVA's files spell it."""
    return f"{video},{number:04d}"


def read_box_rows(
    path: Path, *, num_classes: int, min_score: float | None = None
) -> Iterator[BoxRow]:
    """Rows of a csv `video,number,x1,y1,x2,y2,class[,person or score]`, classes from 1.

    The class may be empty or -1. Rows of two columns, an image without boxes, are passed over. With
    `min_score` the last column is a score, 1 where it is absent, and lower rows are passed over.
    ValueError names file and line.
    """
    # Bytes that are not UTF-8 survive the round trip into a file name.
    with open(path, encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        reader = csv.reader(file)
        for fields in reader:
            fields = [field.strip() for field in fields]
            if len(fields) == 2 or not any(fields):
                continue
            try:
                row = _parse(fields, num_classes)
                is_taken = min_score is None or len(fields) == 7 or float(fields[7]) >= min_score
            except ValueError as error:
                raise ValueError(f"{path}:{reader.line_num}: {error}") from None
            if is_taken:
                yield row


def _parse(fields: list[str], num_classes: int) -> BoxRow:
    if len(fields) not in (7, 8):
        raise ValueError(
            f"{len(fields)} columns in {','.join(fields)!r}, not 2, 7 or 8 "
            "(video,second,x1,y1,x2,y2,class,person or score)"
        )
    video, number, *sides, label = fields[:7]
    column = None if label in ("", "-1") else int(label) - 1
    if column is not None and not 0 <= column < num_classes:
        raise ValueError(
            f"class {label} is not within 1..{num_classes} (MODEL.NUM_CLASSES {num_classes})"
        )
    x1, y1, x2, y2 = map(float, sides)
    return BoxRow(video, int(number), (x1, y1, x2, y2), column)


def keep_usable(
    rows: Iterable[BoxRow], source: str | Path, *, numbers: range | None = None
) -> list[BoxRow]:
    """Rows of images in `numbers` (None: any) whose box has an area inside the frame.

    One warning for each kind of fault counts the rows and shows one. Boxes that reach outside the
    frame are among them but kept as they are: views clip them, metrics take them as written.
    """
    kept: list[BoxRow] = []
    odd: dict[str, list[BoxRow]] = {}
    for row in rows:
        x1, y1, x2, y2 = row.box
        if numbers is not None and row.number not in numbers:
            fault = f"lie outside {numbers[0]}..{numbers[-1]} and are left out"
        elif not (max(x1, 0) < min(x2, 1) and max(y1, 0) < min(y2, 1)):
            fault = "have no area inside the frame and are left out"
        else:
            kept.append(row)
            if min(row.box) >= 0 and max(row.box) <= 1:
                continue
            fault = "reach outside the frame and are clipped to it"
        odd.setdefault(fault, []).append(row)
    for fault, faulty in odd.items():
        example = ",".join([faulty[0].key, *map(str, faulty[0].box)])
        logger.warning("%s: %d boxes %s, for example %s", source, len(faulty), fault, example)
    return kept


class ImageBoxes(NamedTuple):
    """The boxes of one image, n,4 float32, and the classes of each."""

    boxes: np.ndarray
    labels: tuple[tuple[int, ...], ...]


def group_by_image(rows: Iterable[BoxRow]) -> dict[tuple[str, int], ImageBoxes]:
    """Boxes by (video, number), in the order of the rows; equal boxes become one with all classes.

    A class counts once.
    """
    images: dict[tuple[str, int], dict[tuple, dict[int, None]]] = {}
    for row in rows:
        labels = images.setdefault((row.video, row.number), {}).setdefault(row.box, {})
        if row.label is not None:
            labels[row.label] = None
    return {
        image: ImageBoxes(np.array(list(boxes), np.float32), tuple(map(tuple, boxes.values())))
        for image, boxes in images.items()
    }


def box_table(rows: Iterable[BoxRow]) -> BoxTable:
    """The rows that have a class, repeated ones too: published scorers count each."""
    rows = [row for row in rows if row.label is not None]
    return BoxTable(
        np.array([row.key for row in rows], dtype=np.str_),
        np.array([row.box for row in rows], np.float64).reshape(-1, 4),
        np.array([row.label for row in rows], np.int64),
    )


def annotation_folder(given: str, data_folder: str) -> str:
    """The folder of box lists: AVA.ANNOTATION_DIR, or one in DATA.PATH_TO_DATA_DIR."""
    return given or os.path.join(data_folder, "annotations")


def read_box_lists(
    key: str,
    names: Sequence[str],
    folder: str,
    *,
    num_classes: int,
    numbers: range | None = None,
    min_score: float | None = None,
) -> list[BoxRow]:
    """Usable boxes of the lists in a folder that config key `key` names; see `read_box_rows`."""
    rows = []
    for name in names:
        path = find_file(key, folder, name)
        read = read_box_rows(path, num_classes=num_classes, min_score=min_score)
        rows += keep_usable(read, path, numbers=numbers)
    return rows
