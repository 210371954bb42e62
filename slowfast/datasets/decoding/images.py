"""Image files and frame numbers -> uint8 frames, as if they were a video file."""

import io
import os
import struct
import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from itertools import chain
from types import ModuleType

import numpy as np

from slowfast.datasets.decoding.convert import short_side_size
from slowfast.datasets.decoding.packets import VideoIndex
from slowfast.datasets.decoding.video import MAX_PIXELS, UnreadableVideo
from slowfast.datasets.records import FrameFiles
from slowfast.utils.io import check_is_file

# Markers of JPEG segments that begin with the size (start of frame), of which C4, C8 and CC are
# others.
_STARTS = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})
_PIXELS = 0xDA
# Markers without a length after them.
_BARE = frozenset({0x01, *range(0xD0, 0xD9)})


class ImageReader:
    """A video of one JPEG or PNG file per frame; a marked orientation of the files is ignored.

    load: path of a frame -> its image H,W,C. UnreadableVideo: there are no files.
    """

    def __init__(self, files: FrameFiles, *, load: Callable[[str], np.ndarray]):
        if not files.count:
            raise UnreadableVideo(
                "NoFrames: the video is not in the frame list, or its folder has no images"
            )
        self._files, self._load = files, load
        self._broken: dict[int, str] = {}  # frame number: what is wrong with the file
        self.index = VideoIndex(files.count, files.fps, keyframes=range(files.count))

    def read(
        self,
        numbers: Sequence[int] | np.ndarray,
        *,
        short_side: int | None = None,
        size: tuple[int, int] | None = None,
    ) -> np.ndarray:
        """Frames T,H,W,C (uint8) of the given numbers, in their order; each is read once.

        Scaled to this short side, or size (height, width); None: the size of the first. A frame
        that is lost is replaced by the nearest one before it; UnreadableVideo if that are more than
        half of them.
        """
        images: dict[int, np.ndarray] = {}
        scale = _Scaler(size, short_side=short_side)
        wanted = sorted({int(number) for number in numbers})
        lost = [number for number in wanted if not self._load_into(images, number, scale)]
        if len(lost) > len(wanted) / 2:
            raise UnreadableVideo(
                f"MissingFrames: {len(lost)} of {len(wanted)} frames are missing or damaged, for "
                f"example {self._broken[lost[0]]}"
            )
        frames = {number: self._nearest(number, images, scale) for number in wanted}
        return np.stack([frames[int(number)] for number in numbers])

    def frames(self, size: tuple[int, int] | None = None) -> Iterator[np.ndarray]:
        """All frames H,W,C, one after another, one of them kept; lost ones are replaced, too.

        Scaled to a size (height, width); None: the size of the first.
        """
        images: dict[int, np.ndarray] = {}
        scale = _Scaler(size)
        for number in range(self.index.num_frames):
            yield self._nearest(number, images, scale)
            last = max(images)
            images = {last: images[last]}

    @property
    def num_broken(self) -> int:
        """Number of files met so far that could not be read."""
        return len(self._broken)

    def _nearest(self, number: int, images: dict[int, np.ndarray], scale: "_Scaler") -> np.ndarray:
        """A frame, or else the nearest one before it, or else after it; `images`: read so far."""
        for place in chain(range(number, -1, -1), range(number + 1, self._files.count)):
            if self._load_into(images, place, scale):
                return images[place]
        raise UnreadableVideo(next(iter(self._broken.values())))

    def _load_into(self, images: dict[int, np.ndarray], number: int, scale: "_Scaler") -> bool:
        """Whether a frame is in `images`, where it is put unless it is lost."""
        if number not in images and number not in self._broken:
            try:
                images[number] = scale(self._load(self._files.path(number)))
            except _BadImage as error:
                if not self._broken:
                    self._check_folder()
                self._broken[number] = str(error)
        return number in images

    def _check_folder(self) -> None:
        """Raise UnreadableVideo if the whole folder is missing, before each file is looked for."""
        paths = [self._files.path(number) for number in (0, self._files.count - 1)]
        folders = {os.path.dirname(path) or os.curdir for path in paths}
        if not any(map(os.path.isdir, folders)):
            raise UnreadableVideo(f"FileNotFoundError: no such folder: {min(folders)}")


class _BadImage(Exception):
    """A file that gives no image; the text is "Type: reason: path"."""


class _Scaler:
    """Scales images to a size (height, width); None: the first one's, scaled to `short_side`.

    Within 37..44 dB of what swscale makes of a video frame, and 1.2 to 4.5 times as fast as it is
    from RGB; shrinking averages, so that nothing is aliased.
    """

    def __init__(self, size: tuple[int, int] | None = None, *, short_side: int | None = None):
        self._size, self._short_side = size, short_side

    def __call__(self, image: np.ndarray) -> np.ndarray:
        shown = image.shape[:2]
        if self._size is None:
            self._size = short_side_size(*shown, self._short_side) if self._short_side else shown
        if self._size == shown:
            return image
        cv2 = import_opencv()
        method = cv2.INTER_AREA if self._size[0] < shown[0] else cv2.INTER_LINEAR
        return cv2.resize(image, self._size[::-1], interpolation=method)


@cache
def import_opencv() -> ModuleType:
    """OpenCV in one thread: processes are the parallelism. ValueError where it is missing."""
    try:
        import cv2
    except ImportError as error:
        raise ValueError(
            "image files and optical flow need OpenCV: pip install opencv-contrib-python-headless, "
            "the extra `flow` of this project"
        ) from error
    cv2.setNumThreads(1)
    return cv2


def load_rgb(path: str, *, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """H,W,C RGB."""
    return _load(path, import_opencv().IMREAD_COLOR_RGB, max_pixels)


def load_pair(first: str, second: str, *, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """H,W,2 of two grey images of one size."""
    grey = import_opencv().IMREAD_GRAYSCALE
    images = [_load(path, grey, max_pixels) for path in (first, second)]
    if images[0].shape != images[1].shape:
        raise _BadImage(f"InvalidImage: is not of the size of {first}: {second}")
    return np.stack(images, -1)


def _load(path: str, flags: int, max_pixels: int) -> np.ndarray:
    """Read a file with `flags` of OpenCV; _BadImage when any of it is missing or wrong."""
    try:
        check_is_file(path)
        with open(path, "rb") as file:
            content = file.read()
    except OSError as error:
        raise _BadImage(f"{type(error).__name__}: {error.strerror}: {path}") from error
    if not content:
        raise _BadImage(f"InvalidImage: the file is empty: {path}")
    width, height = image_size(content)
    if width * height > max_pixels:
        raise _BadImage(
            f"FrameTooLarge: {width} x {height} pixels, DATA.MAX_PIXELS is {max_pixels}: {path}"
        )
    cv2 = import_opencv()
    flags |= cv2.IMREAD_IGNORE_ORIENTATION
    try:
        image = cv2.imdecode(np.frombuffer(content, np.uint8), flags)
    except cv2.error as error:
        raise _BadImage(f"InvalidImage: {error.err}: {path}") from error
    if image is None:
        raise _BadImage(f"InvalidImage: not an image, or cut short: {path}")
    return image


def image_size(content: bytes) -> tuple[int, int]:
    """(width, height) in pixels; (0, 0) where the header does not tell.

    JPEG and PNG are read here because it costs a hundredth of what decoding them does.
    """
    if content.startswith(b"\xff\xd8"):
        return _jpeg_size(content)
    if content.startswith(b"\x89PNG\r\n\x1a\n") and len(content) >= 24:
        return struct.unpack_from(">II", content, 16)
    return _size_by_pillow(content)


def _jpeg_size(content: bytes) -> tuple[int, int]:
    place, end = 2, len(content) - 9
    while place <= end:
        marker = content[place + 1]
        if content[place] != 0xFF or marker == 0xFF:  # filled up
            place += 1
        elif marker == _PIXELS:
            break
        elif marker in _STARTS:
            height, width = struct.unpack_from(">HH", content, place + 5)
            return width, height
        elif marker in _BARE:
            place += 2
        else:
            place += 2 + int.from_bytes(content[place + 2 : place + 4], "big")
    return 0, 0


def _size_by_pillow(content: bytes) -> tuple[int, int]:
    from PIL import Image  # for other kinds of images only

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(content)) as image:
                return image.size
    except Image.DecompressionBombError:
        return 1 << 20, 1 << 20
    except Exception:  # whatever its many readers raise: OpenCV says what is wrong
        return 0, 0
