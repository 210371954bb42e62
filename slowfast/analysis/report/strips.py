"""Film strips: frames of a video side by side in one small JPEG inside the page."""

import io
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

import numpy as np

from slowfast.analysis.pages.page import data_uri
from slowfast.datasets.decoding.open import OpenVideo
from slowfast.datasets.decoding.video import UnreadableVideo
from slowfast.datasets.records import Record

_NUM_FRAMES = 6
_HEIGHT = 96
_QUALITY = 72
# Colours of boxes: true ones, found ones.
TRUE_COLOUR, FOUND_COLOUR = (0, 200, 120), (255, 140, 0)

Opener = Callable[[Record], AbstractContextManager[OpenVideo]]


def film_strip(record: Record, open_record: Opener) -> str | None:
    """Data URI of six frames that lie evenly in the video; None where it cannot be read."""
    try:
        with open_record(record) as video:
            count = video.index.num_frames
            places = (np.arange(_NUM_FRAMES) + 0.5) / _NUM_FRAMES * count
            frames = video.read(places.astype(int).tolist(), short_side=_HEIGHT)
    except (OSError, ValueError, UnreadableVideo):
        return None
    return jpeg_uri(join_frames(list(_visible(frames))))


def key_picture(record: Record, open_record: Opener, size: int = 256) -> np.ndarray | None:
    """The key frame H,W,3 of a record; None where it cannot be read."""
    try:
        with open_record(record) as video:
            fps = (video.index.fps or 1.0) if record.key.in_seconds else 1.0
            number = min(max(round(record.key.place * fps), 0), video.index.num_frames - 1)
            return next(_visible(video.read([number], short_side=size)))
    except (OSError, ValueError, UnreadableVideo):
        return None


def _visible(frames: np.ndarray):
    """Pictures H,W,3; of optical flow x and y as two colours."""
    for frame in frames:
        yield frame if frame.shape[-1] == 3 else np.insert(frame, 2, 128, axis=-1)


def join_frames(frames: Sequence[np.ndarray], gap: int = 3) -> np.ndarray:
    """Frames H,W,3 of one size beside each other, with grey between."""
    bar = np.full((frames[0].shape[0], gap, 3), 128, np.uint8)
    parts = [part for frame in frames for part in (bar, frame)]
    return np.concatenate(parts[1:], axis=1)


def jpeg_uri(picture: np.ndarray) -> str:
    """A picture H,W,3 (uint8) as a JPEG in a data URI."""
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(picture)).save(file, "JPEG", quality=_QUALITY)
    return data_uri(file.getvalue(), "image/jpeg")


def draw_boxes(
    picture: np.ndarray,
    boxes: np.ndarray,
    texts: Sequence[str],
    colour: tuple[int, int, int],
    *,
    width: int = 2,
) -> np.ndarray:
    """Boxes n,4 x1,y1,x2,y2 in shares of the frame, each with a text at its upper left."""
    from PIL import Image, ImageDraw

    image = Image.fromarray(np.ascontiguousarray(picture))
    pen = ImageDraw.Draw(image)
    for box, text in zip(boxes, texts, strict=True):
        x1, y1, x2, y2 = (np.clip(box, 0, 1) * np.tile(image.size, 2)).tolist()
        pen.rectangle(
            (min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2)), outline=colour, width=width
        )
        if text:
            place = (x1 + 3, y1 + 2)
            pen.rectangle(pen.textbbox(place, text), fill=(0, 0, 0))
            pen.text(place, text, fill=colour)
    return np.asarray(image)
