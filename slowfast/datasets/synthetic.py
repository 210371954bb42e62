"""A made-up set of real encoded videos whose classes differ only in the direction of time.

Textured shapes move, rotate or change size before a still background. The classes come in pairs;
a clip of the second class of a pair is drawn as one of the first and stored backwards. So both have
exactly the same frames in opposite order, and a network blind to order stays at 50% of a pair.
"""

import copy
import dataclasses
import json
import logging
import math
import multiprocessing
import shutil
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import cast

import av
import numpy as np
from tqdm import tqdm

from slowfast.utils.io import atomic_write, write_json, write_lines
from slowfast.utils.seeding import derive_seed

logger = logging.getLogger(__name__)

# Each pair is a class and its reversal in time.
PAIRS = (
    ("moving_right", "moving_left"),
    ("moving_down", "moving_up"),
    ("rotating_clockwise", "rotating_counterclockwise"),
    ("growing", "shrinking"),
)
CLASSES = tuple(name for pair in PAIRS for name in pair)
SPLITS = ("train", "val", "test")
DESCRIPTION = "description.json"
# Changes with the pictures, so that a set made by other code is not taken for this one.
VERSION = 1
# Least difference to the background, of 255, of a pixel that a shape covers.
_VISIBLE = 8
# Constant quality and a fixed order of frame types: what x264 decides from its look-ahead differed
# from run to run on frames this small, and equal settings have to make equal files.
X264 = {"preset": "veryfast", "qp": "20", "x264-params": "b-adapt=0:scenecut=0:weightp=0"}
CONTAINERS = {".mp4": "mp4", ".mkv": "matroska", ".webm": "webm", ".avi": "avi", ".mov": "mov"}


@dataclass(frozen=True)
class Blob:
    """A shape without symmetry, and its texture; both turn and grow with it."""

    radius: float  # pixels
    edge: np.ndarray  # (harmonics, 2): amplitude and phase of the outline around the circle
    waves: np.ndarray  # (waves, 3): cycles per radius along both axes, and phase
    colors: np.ndarray  # (2, 3): dark and light colour of the texture


def draw_blob(rng: np.random.Generator, radius: float) -> Blob:
    """A random shape and texture."""
    edge = np.stack([rng.uniform(0.05, 0.22, 3), rng.uniform(0, 2 * np.pi, 3)], 1)
    frequency, direction = rng.uniform(0.3, 0.9, 3), rng.uniform(0, 2 * np.pi, 3)
    waves = [frequency * np.cos(direction), frequency * np.sin(direction)]
    waves = np.stack([*waves, rng.uniform(0, 2 * np.pi, 3)], 1)
    colors = np.stack([rng.uniform(0, 70, 3), rng.uniform(185, 255, 3)])
    return Blob(radius, edge, waves, colors)


def paint_blob(
    pictures: np.ndarray,
    blob: Blob,
    *,
    x: np.ndarray,
    y: np.ndarray,
    angle: np.ndarray,
    scale: np.ndarray,
) -> np.ndarray:
    """`pictures` (T or 1,H,W,3, float) with the blob at a place, angle and scale (T,) each.

    What leaves the picture on one side comes back on the other. Angles turn clockwise on screen.
    """
    height, width = pictures.shape[1:3]
    x, y, angle, scale = (np.asarray(v, np.float32).reshape(-1, 1, 1) for v in (x, y, angle, scale))
    dx = (np.arange(width, dtype=np.float32) - x + width / 2) % width - width / 2
    dy = (np.arange(height, dtype=np.float32)[:, None] - y + height / 2) % height - height / 2
    radius = blob.radius * scale
    distance = np.hypot(dx, dy) / radius
    phi = np.arctan2(dy, dx) - angle
    edge = 1 + sum(a * np.cos(k * phi + p) for k, (a, p) in enumerate(blob.edge, start=1))
    # One pixel of transition at the border of the shape.
    alpha = np.clip((edge - distance) * radius + 0.5, 0, 1)[..., None]
    u, v = distance * np.cos(phi), distance * np.sin(phi)
    wave = sum(np.cos(2 * np.pi * (fu * u + fv * v) + p) for fu, fv, p in blob.waves)
    light = 0.5 + 0.5 * np.tanh(2 * wave)[..., None]
    color = blob.colors[0] + (blob.colors[1] - blob.colors[0]) * light
    return pictures + alpha * (color.astype(np.float32) - pictures)


def draw_background(rng: np.random.Generator, size: int) -> np.ndarray:
    """A still picture 1,H,W,3: soft colours and a clutter of small shapes."""
    axis = np.arange(size, dtype=np.float32) / size
    picture = np.empty((1, size, size, 3), np.float32)
    for channel in range(3):
        picture[..., channel] = rng.uniform(95, 160)
        for _ in range(3):
            fx, fy, phase = rng.uniform(-2, 2), rng.uniform(-2, 2), rng.uniform(0, 2 * np.pi)
            picture[..., channel] += 10 * np.cos(
                2 * np.pi * (fx * axis + fy * axis[:, None]) + phase
            )
    for _ in range(rng.integers(2, 5)):
        blob = draw_blob(rng, size * rng.uniform(0.05, 0.12))
        x, y = rng.uniform(0, size, 2)
        picture = paint_blob(picture, blob, x=x, y=y, angle=rng.uniform(0, 2 * np.pi), scale=1)
    return picture


@dataclass(frozen=True)
class _Cast:
    """The shapes that move in a clip; sizes and places are shares of the frame's side."""

    num_shapes: int
    radius: tuple[float, float]
    place: tuple[float, float]


_TRAVELLERS = _Cast(2, radius=(0.18, 0.25), place=(0, 1))
_SPINNER = _Cast(1, radius=(0.3, 0.38), place=(0.35, 0.65))
_GROWER = _Cast(1, radius=(0.24, 0.3), place=(0.35, 0.65))
_CASTS = (_TRAVELLERS, _TRAVELLERS, _SPINNER, _GROWER)  # one per pair


def _motion(pair: int, speed: float, time: np.ndarray) -> dict[str, np.ndarray]:
    """Shift (shares of the side), turn (radians) and scale at `time` -0.5..0.5; `speed` is 0..1."""
    motion = {name: np.zeros_like(time) for name in ("dx", "dy", "turn")}
    motion["scale"] = np.ones_like(time)
    if pair == 3:
        motion["scale"] = (2 + speed) ** time
    elif pair == 2:
        motion["turn"] = math.radians(130 + 90 * speed) * time
    else:
        motion[("dx", "dy")[pair]] = (0.5 + 0.4 * speed) * time
    return motion


def draw_clip(label: int, rng: np.random.Generator, *, size: int, frames: int) -> np.ndarray:
    """Frames T,H,W,3 (uint8) of class number `label`.

    From one generator state the two classes of a pair give the same frames in opposite order. The
    place of a moving shape and every angle are uniform at any time; sizes are alike in mid-clip.
    """
    pair, is_reversed = divmod(label, 2)
    cast = _CASTS[pair]
    pictures = draw_background(rng, size)
    motion = _motion(pair, rng.uniform(0, 1), np.linspace(-0.5, 0.5, frames))
    for _ in range(cast.num_shapes):
        blob = draw_blob(rng, size * rng.uniform(*cast.radius))
        x, y = rng.uniform(*cast.place, 2)
        pictures = paint_blob(
            pictures,
            blob,
            x=size * (x + motion["dx"]),
            y=size * (y + motion["dy"]),
            angle=rng.uniform(0, 2 * np.pi) + motion["turn"],
            scale=motion["scale"],
        )
    pictures = np.clip(np.rint(pictures), 0, 255).astype(np.uint8)
    return pictures[::-1] if is_reversed else pictures


def draw_mask(label: int, rng: np.random.Generator, *, size: int, frames: int) -> np.ndarray:
    """Pixels T,H,W (bool) that the moving shapes cover in what `draw_clip` draws of these."""
    background = draw_background(copy.deepcopy(rng), size)  # the first thing that a clip draws
    pictures = draw_clip(label, rng, size=size, frames=frames).astype(np.float32)
    return np.abs(pictures - np.clip(background, 0, 255)).max(-1) > _VISIBLE


def find_mask(path: str | Path) -> np.ndarray | None:
    """The mask T,H,W of a video of a set of `make_dataset`; None for every other video."""
    path = Path(path)
    try:
        found = json.loads((path.parents[2] / DESCRIPTION).read_text())
        label, index = CLASSES.index(path.parent.name), int(path.stem)
    except (OSError, ValueError, IndexError):
        return None
    if not isinstance(found, dict) or found.pop("version", None) != VERSION:
        return None
    seed = derive_seed("motion", found["seed"], path.parents[1].name, index)
    sizes = {"size": found["size"], "frames": found["frames"]}
    return draw_mask(label, np.random.default_rng(seed), **sizes)


def write_video(
    path: str | Path,
    frames: Iterable[np.ndarray],
    *,
    fps: int | Fraction = 30,
    codec: str = "libx264",
    gop: int = 12,
    options: dict[str, str] | None = None,
) -> None:
    """Encode frames H,W,3 (uint8 RGB, even sides) as yuv420p; the suffix names the container.

    The file appears under its name only when it is whole. `gop` is the largest distance of
    keyframes; `options` go to the encoder.
    """
    with (
        atomic_write(path) as file,
        av.open(file, "w", format=CONTAINERS[Path(path).suffix]) as container,
    ):
        stream: av.VideoStream | None = None
        for picture in frames:
            if stream is None:
                made = container.add_stream(codec, rate=fps, options=dict(options or {}))
                stream = cast(av.VideoStream, made)
                stream.height, stream.width = picture.shape[:2]
                stream.pix_fmt = "yuv420p"
                stream.gop_size = gop
                stream.thread_count = 1
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
            container.mux(stream.encode(frame))
        assert stream is not None, f"{path}: a video needs at least one frame"
        container.mux(stream.encode(None))


@dataclass(frozen=True)
class MotionSettings:
    """Settings of a set; equal ones make equal files."""

    train: int = 400
    val: int = 80
    test: int = 80
    size: int = 64
    frames: int = 32
    fps: int = 30
    seed: int = 0

    def __post_init__(self):
        for name, least in (("train", 1), ("val", 0), ("test", 0), ("frames", 2), ("fps", 1)):
            if getattr(self, name) < least:
                raise ValueError(f"--{name}: {getattr(self, name)} is not at least {least}")
        if self.size < 32 or self.size % 2:
            raise ValueError(f"--size: {self.size} is not an even number of at least 32")


@dataclass(frozen=True)
class _Item:
    """One video of a set: `path` is relative to the set's folder."""

    path: str
    label: int
    seed: int


def _split_items(settings: MotionSettings, split: str) -> list[_Item]:
    """The videos of a split; classes take turns."""
    items = []
    for index in range(getattr(settings, split)):
        label = index % len(CLASSES)
        path = f"{split}/{CLASSES[label]}/{index:05d}.mp4"
        items.append(_Item(path, label, derive_seed("motion", settings.seed, split, index)))
    return items


def _write_item(item: _Item, output: Path, settings: MotionSettings) -> None:
    rng = np.random.default_rng(item.seed)
    frames = draw_clip(item.label, rng, size=settings.size, frames=settings.frames)
    write_video(output / item.path, frames, fps=settings.fps, options=X264)


def _prepare_folder(output: Path, description: dict, force: bool) -> None:
    """Leave `output` empty or holding files of the described set; ValueError for other files."""
    if not output.exists() or not any(output.iterdir()):
        return
    found = _read_description(output)
    if found == description:
        return
    if not force:
        changed = [key for key in description if found.get(key) != description[key]]
        raise ValueError(
            f"--output: {str(output)!r} holds a set with other settings "
            f"({', '.join(f'{key} {found.get(key)}, not {description[key]}' for key in changed)}); "
            "give another folder, or replace it with tools/make_motion_dataset.py --force"
        )
    for split in SPLITS:
        shutil.rmtree(output / split, ignore_errors=True)
        (output / f"{split}.csv").unlink(missing_ok=True)


def _read_description(output: Path) -> dict:
    try:
        return dict(json.loads((output / DESCRIPTION).read_text()))
    except (OSError, ValueError, TypeError):
        raise ValueError(
            f"--output: {str(output)!r} holds files that this program did not make; "
            "give a new or empty folder"
        ) from None


def make_dataset(
    output: str | Path, settings: MotionSettings, *, workers: int = 1, force: bool = False
) -> int:
    """Write the set that `settings` describe; returns the number of videos that had to be made.

    A folder that has it already, or a part of it after an interruption, is completed. A folder with
    another set is replaced only with `force`. The csv files are written last.
    """
    output = Path(output)
    if workers < 1:
        raise ValueError(f"--workers: {workers} is not at least 1")
    description = {"version": VERSION, **dataclasses.asdict(settings), "classes": list(CLASSES)}
    _prepare_folder(output, description, force)
    write_json(output / DESCRIPTION, description)
    splits = {split: _split_items(settings, split) for split in SPLITS}
    items = [item for split in splits.values() for item in split]
    missing = [item for item in items if not (output / item.path).exists()]
    _write_items(missing, partial(_write_item, output=output, settings=settings), workers)
    for split, items in splits.items():
        write_lines(output / f"{split}.csv", [f"{item.path} {item.label}" for item in items])
    write_lines(output / "classes.txt", CLASSES)
    write_lines(
        output / "README.txt",
        ["Moving, rotating and scaling shapes made by tools/make_motion_dataset.py; no rights."],
    )
    return len(missing)


def _write_items(items: Sequence[_Item], write: partial, workers: int) -> None:
    with tqdm(
        total=len(items), desc="videos", unit="video", mininterval=0.5, disable=not items
    ) as bar:
        if workers == 1 or len(items) < 2:
            for item in items:
                write(item)
                bar.update()
            return
        # Spawned: forking a process in which torch already runs threads can hang.
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(workers, mp_context=context) as pool:
            for _ in pool.map(write, items, chunksize=4):
                bar.update()
