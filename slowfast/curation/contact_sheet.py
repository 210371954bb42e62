"""A picture of what the network sees: a row for each sample, with its labels and boxes."""

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import numpy as np
import torch

from slowfast.datasets.clip_dataset import ClipDataset, Sample, SampleKey
from slowfast.datasets.records import Record

logger = logging.getLogger(__name__)

_NUM_COLUMNS = 8
_INCHES = 1.8  # width of a picture


@dataclass(frozen=True)
class SheetRow:
    """One clip: frames T,H,W,C uint8, boxes n,4 x1,y1,x2,y2 in their pixels."""

    title: str
    frames: np.ndarray
    boxes: np.ndarray


def draw_sheet(path: str | Path, rows: list[SheetRow]) -> None:
    """Write the picture: up to 8 frames of each clip, the first and the last among them."""
    from matplotlib.figure import Figure

    num_columns = min(_NUM_COLUMNS, max(len(row.frames) for row in rows))
    heights = [row.frames.shape[1] / row.frames.shape[2] * _INCHES + 0.3 for row in rows]
    figure = Figure((num_columns * _INCHES, sum(heights)), layout="constrained")
    grid = figure.subplots(len(rows), num_columns, squeeze=False, height_ratios=heights)
    for row, axes in zip(rows, grid, strict=True):
        # Names may hold $, which is no formula.
        title = axes[0].set_title(row.title, loc="left", fontsize=8, parse_math=False)
        title.set_in_layout(False)  # a long one would widen its column
        places = np.linspace(0, len(row.frames) - 1, num_columns).round().astype(int)
        for place, axis in zip(places, axes, strict=True):
            axis.set_axis_off()
            axis.imshow(row.frames[place])
            _draw_boxes(axis, row.boxes)
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=100)


def _draw_boxes(axis, boxes: np.ndarray) -> None:
    from matplotlib.patches import Rectangle

    for number, (x1, y1, x2, y2) in enumerate(boxes, start=1):
        axis.add_patch(Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False, color="lime"))
        axis.text(x1, y1, str(number), va="top", fontsize=8, backgroundcolor="lime")


def sheet_rows(
    dataset: ClipDataset, *, num: int, seed: int, class_names: list[list[str]], is_bgr: bool
) -> list[SheetRow]:
    """`num` samples drawn with `seed`, of evaluation the middle view; unreadable ones are named.

    `class_names`: of each target. `is_bgr`: the network gets BGR; the picture has natural colours
    all the same.
    """
    rows = []
    for index in np.random.default_rng(seed).permutation(len(dataset))[:num].tolist():
        sample = dataset[SampleKey(seed, index)]
        for failed, reason in sample.failures:
            logger.warning("unreadable video: %s (%s)", dataset.records[failed].name, reason)
        if not sample.clips:
            continue
        frames = _middle_view(sample.clips)
        frames = _flow_colors(frames) if frames.shape[-1] == 2 else frames
        title = _title(dataset.records[sample.index], sample, class_names)
        boxes = np.empty((0, 4)) if sample.boxes is None else sample.boxes.numpy()
        rows.append(SheetRow(title, frames[..., ::-1] if is_bgr else frames, boxes))
    return rows


def _middle_view(clips: Sequence[torch.Tensor]) -> np.ndarray:
    """Frames T,H,W,C (uint8) of the pathway with the most of them."""
    views = max(clips, key=lambda clips: clips.shape[2])  # V,C,T,H,W
    frames = views[len(views) // 2].permute(1, 2, 3, 0)  # C,T,H,W -> T,H,W,C
    return frames.round().clamp(0, 255).to(torch.uint8).numpy()


def _flow_colors(frames: np.ndarray) -> np.ndarray:
    """Optical flow T,H,W,2 in colours: to the right is red, down is green; 5 pixels are bright."""
    contrast = np.clip(128 + 4 * (frames.astype(int) - 128), 0, 255).astype(np.uint8)
    return np.insert(contrast, 2, 128, axis=-1)


def _title(record: Record, sample: Sample, class_names: list[list[str]]) -> str:
    def text(labels: torch.Tensor) -> str:
        return ", ".join(class_names[0][number] for number in labels.nonzero().flatten().tolist())

    if sample.boxes is not None:
        texts = [f"{n}: {text(labels)}" for n, labels in enumerate(sample.box_labels, start=1)]
        return "  ".join([record.key.key, *texts])
    label = sample.label
    if isinstance(label, torch.Tensor) and label.is_floating_point():
        named = text(label)
    else:
        numbers = torch.as_tensor(label).reshape(-1).tolist()
        pairs = zip(class_names, numbers, strict=True)
        named = ", ".join(names[number] for names, number in pairs)
    name = os.path.basename(replace(record, key=None).name)
    return f"{name}  {named}"


def draw_contact_sheet(
    path: str | Path, dataset: ClipDataset, *, num: int, seed: int, counts: Sequence[int]
) -> int:
    """Draw samples of a dataset as the loader gives them; returns how many could be read.

    counts: classes of each target.
    """
    names = iter(dataset.class_names or [f"class {n}" for count in counts for n in range(count)])
    rows = sheet_rows(
        dataset,
        num=num,
        seed=seed,
        class_names=[list(islice(names, count)) for count in counts],
        is_bgr=dataset.pack.reverse_channels,
    )
    if rows:
        draw_sheet(path, rows)
    return len(rows)
