"""Lists of image files, one line per frame: Something-Something, Charades and AVA."""

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from pathlib import Path

from slowfast.datasets.annotations.list_files import open_text
from slowfast.datasets.records import FrameFiles, TimedLabels, frame_files

# The first column is misspelled in the files that people share.
_HEADERS = ("original_vido_id", "original_video_id")
_FIELDS = "original_vido_id video_id frame_id path labels"


@dataclass(frozen=True, slots=True)
class FrameList:
    """The frames of one video and the classes of each; spans are in frame numbers from 0."""

    frames: FrameFiles
    labels: TimedLabels


def read_frame_list(
    path: str | Path, root: str | Path, *, num_classes: int | None = None
) -> dict[str, FrameList]:
    """Videos of a list by their id, in its order; their frames too are in the order of the list.

    Frame paths start from `root`. ValueError names file and line for a missing header, a line
    without 5 fields, and labels that are not integers (with `num_classes`: not below it).
    """
    parts: dict[str, list[FrameList]] = {}
    folder = os.path.join(root, "")
    # SSv2 has 25 million lines: the paths of one video at a time are held.
    for video, rows in groupby(_read_rows(Path(path), num_classes), key=itemgetter(0)):
        names, labels = zip(*((name, labels) for _, name, labels in rows), strict=True)
        frames = frame_files([name if name[0] == "/" else folder + name for name in names])
        before = parts.setdefault(video, [])
        start = sum(part.frames.count for part in before)
        before.append(FrameList(frames, TimedLabels(tuple(_spans(labels, start)))))
    if not parts:
        raise ValueError(f"{path}: the list holds no frames")
    return {
        video: before[0] if len(before) == 1 else _joined(before) for video, before in parts.items()
    }


def _read_rows(path: Path, num_classes: int | None) -> Iterator[tuple[str, str, tuple[int, ...]]]:
    """(video, path, labels) of each line."""
    known: dict[str, tuple[int, ...]] = {}
    with open_text(path) as file:
        header = file.readline()
        if not header.startswith(_HEADERS):
            raise ValueError(f"{path}:1: {header.strip()!r} is not the header {_FIELDS!r}")
        for number, line in enumerate(file, start=2):
            fields = line.split()
            if len(fields) != 5:
                if not fields:
                    continue
                raise ValueError(
                    f"{path}:{number}: {len(fields)} fields in {line.strip()!r}, not 5 "
                    f"({_FIELDS}; paths have no spaces)"
                )
            video, _, _, name, text = fields
            labels = known.get(text)
            if labels is None:
                try:
                    labels = known[text] = _parse_labels(text, num_classes)
                except ValueError as error:
                    raise ValueError(f"{path}:{number}: {error}") from None
            yield video, name, labels


def _parse_labels(text: str, num_classes: int | None) -> tuple[int, ...]:
    """Classes in a field like `"59,147"`; `""` and `\"\"\"\"` hold none."""
    words = [word for word in text.replace('"', "").split(",") if word]
    if not all(word.isdecimal() for word in words):
        raise ValueError(f"the labels {text!r} are not integers from 0")
    labels = tuple(sorted({int(word) for word in words}))
    if num_classes is not None and labels and labels[-1] >= num_classes:
        raise ValueError(
            f"label {labels[-1]} is not within 0..{num_classes - 1} "
            f"(MODEL.NUM_CLASSES {num_classes})"
        )
    return labels


def _spans(labels: Sequence[tuple[int, ...]], start: int) -> Iterable[tuple[int, int, int]]:
    """(class, first, last) for each stretch of frames with it; frames count from `start`."""
    if not any(labels):
        return []
    spans, since = [], {}
    for number, now in enumerate([*labels, ()], start):
        for label in [label for label in since if label not in now]:
            spans.append((label, since.pop(label), number - 1))
        for label in now:
            since.setdefault(label, number)
    return sorted(spans)


def _joined(parts: Sequence[FrameList]) -> FrameList:
    """A video whose lines do not stand together."""
    paths = [part.frames.path(i) for part in parts for i in range(part.frames.count)]
    spans = [span for part in parts for span in part.labels.spans]
    return FrameList(frame_files(paths), TimedLabels(tuple(spans)))
