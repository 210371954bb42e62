"""Boxes of people in new videos: from a csv, or found by a detector of torchvision."""

import csv
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch

from slowfast.datasets.annotations.box_lists import parse_number

_PERSON = 1  # class of torchvision's detectors, which learned COCO
_HINT = "rows are second,x1,y1,x2,y2[,score] or video,second,x1,y1,x2,y2[,...], in shares of 0..1"
# Boxes n,4 (x1,y1,x2,y2 in shares of the frame) of a picture H,W,3 at some second, n may be 0.
FindBoxes = Callable[[float, Callable[[], np.ndarray]], np.ndarray]


class ListedBoxes:
    """Boxes of a csv by their seconds; `times` are all of these.

    A list of several videos, as AVA's, has the name of the video in its first column.
    """

    def __init__(self, path: str | Path, video: str):
        found: dict[float, list[tuple[float, ...]]] = defaultdict(list)
        stem = Path(video).stem
        for name, second, box in _read_rows(Path(path)):
            if name in (None, stem, Path(video).name) and box not in found[second]:
                found[second].append(box)
        self._boxes = {s: np.array(boxes, np.float32) for s, boxes in found.items() if boxes}
        self.times = sorted(self._boxes)
        if not self.times:
            raise ValueError(f"--boxes: {path} has no boxes of the video {stem!r}")

    def __call__(self, seconds: float, _picture: Callable[[], np.ndarray]) -> np.ndarray:
        return self._boxes[seconds]


def _read_rows(path: Path):
    """(video or None, second, box) of each row."""
    with open(path, encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file)
        for number, fields in enumerate(filter(any, reader)):
            is_named = not _is_number(fields[0])
            if number == 0 and is_named and not _is_number("".join(fields[1:2])):
                continue  # the names of the columns
            try:
                name = fields[0].strip() if is_named else None
                second = parse_number(fields[is_named])
                box = tuple(float(text) for text in fields[is_named + 1 : is_named + 5])
                if len(box) != 4 or not _is_box(box):
                    raise ValueError("no box with an area inside the frame")
            except (ValueError, IndexError) as error:
                raise ValueError(
                    f"{path}:{reader.line_num}: {','.join(fields)[:80]!r}: {error}; {_HINT}"
                ) from None
            yield name, second, box


def _is_number(text: str) -> bool:
    try:
        return float(text) == float(text)
    except ValueError:
        return False


def _is_box(box: Sequence[float]) -> bool:
    x1, y1, x2, y2 = box
    return max(x1, 0) < min(x2, 1) and max(y1, 0) < min(y2, 1)


class FoundPeople:
    """People that a detector of torchvision finds in a picture, of at least this score."""

    def __init__(self, network: torch.nn.Module, *, threshold: float = 0.5):
        self._network, self._threshold = network.eval(), threshold

    @torch.no_grad()
    def __call__(self, _seconds: float, picture: Callable[[], np.ndarray]) -> np.ndarray:
        image = torch.from_numpy(np.ascontiguousarray(picture())).permute(2, 0, 1) / 255
        (found,) = self._network([image])  # H,W,C -> C,H,W
        is_kept = (found["labels"] == _PERSON) & (found["scores"] >= self._threshold)
        height, width = image.shape[-2:]
        sizes = torch.tensor([width, height, width, height])
        return (found["boxes"][is_kept].cpu() / sizes).clamp(0, 1).float().numpy()


def load_person_detector(
    weights: str | Path | None = None, *, threshold: float = 0.5
) -> FoundPeople:
    """torchvision's small Faster R-CNN, its weights from a file, or from its own store if None."""
    from torchvision.models import detection

    make = detection.fasterrcnn_mobilenet_v3_large_320_fpn
    if weights is not None:
        network = make(weights=None, weights_backbone=None)
        network.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
        return FoundPeople(network, threshold=threshold)
    try:
        return FoundPeople(make(weights="DEFAULT"), threshold=threshold)
    except OSError as error:
        raise ValueError(
            f"--boxes detector: torchvision's weights could not be fetched ({error}); give their "
            "file by --detector-weights, or boxes by --boxes FILE.csv"
        ) from error
