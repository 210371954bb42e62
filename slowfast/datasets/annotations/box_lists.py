"""Boxes as rows: reading AVA's csv and pickles, filtering and grouping rows of any file."""

import csv
import logging
import math
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from slowfast.datasets.annotations.list_files import find_file
from slowfast.utils.box_table import BoxTable
from slowfast.utils.unpickle import load_arrays

logger = logging.getLogger(__name__)

_COLUMNS = "video,second,x1,y1,x2,y2,class,person or score"
_PICKLE = b"\x80"  # the first byte of every pickle since protocol 2
_LONGEST = 80  # characters of a line that an error shows
# Larger coordinates are no shares of a frame, not even those of a box that reaches outside.
_LARGEST_SHARE = 2


class BoxRow(NamedTuple):
    """One box with one class.

    number: which image of the video, a second in AVA, else a frame from 1. box: x1,y1,x2,y2 in
    shares of the frame. label: column of the network's output, None for a box without class.
    """

    video: str
    number: int | float
    box: tuple[float, float, float, float]
    label: int | None

    @property
    def key(self) -> str:
        """Name of the image in box tables."""
        return image_key(self.video, self.number)


def image_key(video: str, number: int | float) -> str:
    """Name of an image in box tables, as AVA's files spell it: v,0902 or v,0902.5."""
    if isinstance(number, int):
        return f"{video},{number:04d}"
    return f"{video},{number:011.6f}".rstrip("0")


def parse_number(text: str, name: str = "second") -> int | float:
    """A number from 0 up, to the microsecond; an integer where it is whole, as in 902.000."""
    number = _parse_decimal(text, name)
    if number < 0:
        raise ValueError(f"the {name} {text!r} is below 0")
    return int(number) if number == int(number) else round(number, 6)


def read_box_rows(
    path: Path, *, num_classes: int, min_score: float | None = None
) -> Iterator[BoxRow]:
    """Rows of a csv `video,number,x1,y1,x2,y2,class[,person or score]`, classes from 1.

    The class may be empty or -1. Rows of two columns, an image without boxes, are passed over. With
    `min_score` the last column is a score, 1 where it is absent, and lower rows are passed over.
    ValueError names file and line. A pickle `{"video,number": n,5 array}` of boxes and scores is
    read without running code from it; its boxes have no class.
    """
    for row, score in _read_scored(path, num_classes, is_scored=min_score is not None):
        if min_score is None or score >= min_score:
            yield row


def _read_scored(
    path: Path, num_classes: int, *, is_scored: bool = True
) -> Iterator[tuple[BoxRow, float]]:
    with open(path, "rb") as file:
        start = file.read(4096)
    if start.startswith(_PICKLE):
        yield from _read_pickle(path)
    elif b"\0" in start:
        raise ValueError(f"{path}: is no text; boxes are read from a csv {_COLUMNS}, or a pickle")
    else:
        yield from _read_csv(path, num_classes, is_scored=is_scored)


def _read_pickle(path: Path) -> Iterator[tuple[BoxRow, float]]:
    """Boxes of a detector as mmaction2 keeps them; each has its score, 1 where there is none."""
    try:
        with open(path, "rb") as file:
            images = load_arrays(file)
        for key, values in images.items():
            video, _, number = str(key).rpartition(",")
            boxes = np.asarray(values, np.float64)
            boxes = boxes.reshape(len(boxes), -1) if boxes.size else np.zeros((0, 5))
            if boxes.shape[1] not in (4, 5) or not np.isfinite(boxes).all():
                raise ValueError(f"{key!r} has an array {boxes.shape}, not numbers n,4 or n,5")
            for x1, y1, x2, y2, *score in boxes.tolist():
                yield BoxRow(video, parse_number(number), (x1, y1, x2, y2), None), *(score or [1.0])
    except Exception as error:  # a damaged pickle fails in any way
        raise ValueError(
            f"{path}: is not a pickle of boxes, {{'video,second': array n,5 of x1,y1,x2,y2,score}}:"
            f" {str(error)[:_LONGEST]}"
        ) from None


def _read_csv(path: Path, num_classes: int, *, is_scored: bool) -> Iterator[tuple[BoxRow, float]]:
    # Bytes that are not UTF-8 survive the round trip into a file name.
    with open(path, encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        reader = csv.reader(file)
        for fields in reader:
            fields = [field.strip() for field in fields]
            if len(fields) == 2 or not any(fields):
                continue
            try:
                row = _parse(fields, num_classes)
                has_score = is_scored and len(fields) == 8
                score = _parse_decimal(fields[7], "score") if has_score else 1.0
            except ValueError as error:
                hint = "; a header has no place here" if reader.line_num == 1 else ""
                raise ValueError(f"{path}:{reader.line_num}: {error}{hint}") from None
            yield row, score


def _parse(fields: list[str], num_classes: int) -> BoxRow:
    if len(fields) not in (7, 8):
        line = ascii(",".join(fields)[:_LONGEST])
        raise ValueError(f"{len(fields)} columns in {line}, not 2, 7 or 8 ({_COLUMNS})")
    video, number, *sides, label = fields[:7]
    column = None if label in ("", "-1") else _parse_class(label) - 1
    if column is not None and not 0 <= column < num_classes:
        raise ValueError(
            f"class {label} is not within 1..{num_classes} (MODEL.NUM_CLASSES {num_classes})"
        )
    names = ("x1", "y1", "x2", "y2")
    x1, y1, x2, y2 = (_parse_decimal(*pair) for pair in zip(sides, names, strict=True))
    return BoxRow(video, parse_number(number), (x1, y1, x2, y2), column)


def _parse_decimal(text: str, name: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"the {name} {text[:_LONGEST]!r} is not a number")
    return number


def _parse_class(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ValueError(f"the class {text[:_LONGEST]!r} is not a whole number") from None


def keep_usable(
    rows: Iterable[BoxRow], source: str | Path, *, numbers: tuple[float, float] | None = None
) -> list[BoxRow]:
    """Rows of images within `numbers` (None: any) whose box has an area inside the frame.

    One warning for each kind of fault counts the rows and shows one. Boxes that reach outside the
    frame are among them but kept as they are: views clip them, metrics take them as written.
    ValueError where most boxes are in pixels.
    """
    first, last = numbers or (-math.inf, math.inf)
    kept: list[BoxRow] = []
    odd: dict[str, list[BoxRow]] = {}
    for row in rows:
        x1, y1, x2, y2 = row.box
        if not first <= row.number <= last:
            fault = f"lie outside {first}..{last}, the ground truth, and are left out"
        elif not (max(x1, 0) < min(x2, 1) and max(y1, 0) < min(y2, 1)):
            fault = "have no area inside the frame and are left out (two corners make a box)"
        else:
            kept.append(row)
            if min(row.box) >= 0 and max(row.box) <= 1:
                continue
            fault = "reach outside the frame and are clipped to it"
        odd.setdefault(fault, []).append(row)
    _refuse_pixels(kept, odd, source)
    for fault, faulty in odd.items():
        example = ",".join([faulty[0].key, *map(str, faulty[0].box)])
        logger.warning("%s: %d boxes %s, for example %s", source, len(faulty), fault, example)
    return kept


def _refuse_pixels(
    kept: Sequence[BoxRow], odd: dict[str, list[BoxRow]], source: str | Path
) -> None:
    """Raise ValueError where most boxes are larger than shares of a frame can be."""
    large = [row for rows in odd.values() for row in rows if max(row.box) > _LARGEST_SHARE]
    num_good = sum(max(row.box) <= _LARGEST_SHARE for row in kept) if large else 0
    if len(large) > num_good:
        example = ",".join([large[0].key, *map(str, large[0].box)])
        raise ValueError(
            f"{source}: {len(large)} boxes are in pixels, for example {example}; a box is given in "
            "shares of the frame: divide x by its width and y by its height"
        )


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
    numbers: tuple[float, float] | None = None,
    min_score: float | None = None,
) -> list[BoxRow]:
    """Usable boxes of the lists in a folder that config key `key` names; see `read_box_rows`.

    numbers: see `keep_usable`. A list of detected boxes of which none is used is named.
    """
    rows = []
    for name in names:
        path = find_file(key, folder, name)
        read = read_box_rows(path, num_classes=num_classes, min_score=min_score)
        usable = keep_usable(read, path, numbers=numbers)
        if not usable and min_score is not None:
            logger.warning("%s: %s", path, _reason_for_none(path, num_classes, min_score))
        rows += usable
    return rows


def _reason_for_none(path: Path, num_classes: int, min_score: float) -> str:
    scores = [score for _, score in _read_scored(path, num_classes)]
    if not scores:
        return "holds no boxes at all"
    return (
        f"none of its {len(scores)} boxes is used; the highest score is {max(scores):g}, "
        f"AVA.DETECTION_SCORE_THRESH {min_score:g}"
    )
