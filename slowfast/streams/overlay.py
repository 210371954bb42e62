"""Labels, bars and boxes written into a copy of a video, which keeps its sound."""

import math
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from pathlib import Path

import av
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from slowfast.datasets.decoding.convert import FrameConverter, read_orientation
from slowfast.streams.source import VideoSource, open_source
from slowfast.utils.words import cut

SUFFIXES = (".mp4", ".mov", ".mkv")
_CLOCK = Fraction(1, 90_000)  # of times in the written file
_LEAST_SIDE = 320  # smaller videos are enlarged: nobody could read the words
_COPIED_SOUND = ("aac", "mp3", "opus", "flac", "ac3")  # that players take in these files
_ROWS = 5
_DARK, _BRIGHT = (0, 0, 0, 150), (255, 255, 255, 255)


@dataclass(frozen=True)
class Caption:
    """Words for a stretch of a video.

    title: the class that holds, color: its. bars: (name, share of 0..1). boxes: (x1,y1,x2,y2 in
    shares of the frame, lines of text). One object stands for all frames that show it.
    """

    title: str = ""
    color: str = "#BBBBBB"
    bars: Sequence[tuple[str, float]] = ()
    boxes: Sequence[tuple[Sequence[float], Sequence[str]]] = ()


@dataclass(frozen=True)
class Strip:
    """Colours of stretches (start, end, colour) along the whole video of some seconds."""

    stretches: Sequence[tuple[float, float, str]]
    duration: float


def check_overlay_file(path: str | Path) -> None:
    """ValueError unless `write_overlay` knows the format."""
    if Path(path).suffix.lower() not in SUFFIXES:
        raise ValueError(f"{path}: a video is written as {', '.join(SUFFIXES)}")


def write_overlay(
    video: str, path: str | Path, caption_at: Callable[[float], Caption], strip: Strip | None = None
) -> int:
    """Write the video with its captions as H.264; the number of frames.

    caption_at: of a time in seconds from the first frame. The sound is copied where players take
    its kind, else encoded as AAC.
    """
    path = Path(path)
    check_overlay_file(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.stem}.part{path.suffix}")
    try:
        with (
            open_source(video) as source,
            av.open(str(part), "w", options=_options(path)) as out,
        ):
            count = _copy(source, out, Painter(caption_at, strip))
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
    return count


def _options(path: Path) -> dict[str, str]:
    """The table of contents first, so that a browser begins to play at once."""
    return {} if path.suffix.lower() == ".mkv" else {"movflags": "faststart"}


def _copy(source: VideoSource, out: av.container.OutputContainer, painter: "Painter") -> int:
    rate = Fraction(source.fps or 30).limit_denominator(1001)
    stream = out.add_stream("libx264", rate=rate, options={"preset": "veryfast", "crf": "20"})
    stream.pix_fmt = "yuv420p"
    count, start = 0, 0.0
    with open_source(source.name) as second:
        sound = SoundCopy(second.container, out)
        for frame in source.frames():
            picture = painter(frame.picture, frame.time)
            if not count:
                start = frame.picture.time or 0.0
                stream.height, stream.width = picture.height, picture.width
                stream.codec_context.time_base = _CLOCK
            picture.pts, picture.time_base = round((start + frame.time) / _CLOCK), _CLOCK
            out.mux(stream.encode(picture))
            sound.advance(start + frame.time)
            count += 1
        out.mux(stream.encode(None))
        sound.advance(math.inf)
    return count


class SoundCopy:
    """The first sound of `source`, written into `out` piece by piece; nothing where it is silent.

    Made before anything is written to `out`.
    """

    def __init__(self, source: av.container.InputContainer, out: av.container.OutputContainer):
        self._out, self._pending = out, None
        self._pieces: Iterator[av.Packet] = iter(())
        if source.streams.audio:
            sound = source.streams.audio[0]
            if sound.codec_context.name in _COPIED_SOUND:
                self._pieces = self._copied(source, sound)
            else:
                self._pieces = self._encoded(source, sound)

    def advance(self, seconds: float) -> None:
        """Write what is to be heard before this time."""
        while True:
            if self._pending is None:
                self._pending = next(self._pieces, None)
            if self._pending is None or _begin(self._pending) > seconds:
                return
            self._out.mux(self._pending)
            self._pending = None

    def _copied(self, source, sound) -> Iterator[av.Packet]:
        copy = self._out.add_stream_from_template(sound)
        return self._retargeted(source, sound, copy)

    @staticmethod
    def _retargeted(source, sound, copy) -> Iterator[av.Packet]:
        for packet in source.demux(sound):
            if packet.dts is not None:
                packet.stream = copy
                yield packet

    def _encoded(self, source, sound) -> Iterator[av.Packet]:
        coded = self._out.add_stream("aac", rate=sound.codec_context.sample_rate)
        # A file may count its channels without naming their places; the encoder needs these.
        coded.codec_context.layout = "mono" if sound.codec_context.channels == 1 else "stereo"
        return self._recoded(source, sound, coded)

    @staticmethod
    def _recoded(source, sound, coded) -> Iterator[av.Packet]:
        for frame in source.decode(sound):
            yield from coded.encode(frame)
        yield from coded.encode(None)


def _begin(packet: av.Packet) -> float:
    return float((packet.pts or 0) * packet.time_base)


class Painter:
    """Draws the caption of its time into a frame, which small ones are enlarged for."""

    def __init__(self, caption_at: Callable[[float], Caption], strip: Strip | None = None):
        self._caption_at, self._strip = caption_at, strip
        self._convert: FrameConverter | None = None
        self._panel: tuple[Caption, Image.Image] | None = None

    def __call__(self, frame: av.VideoFrame, seconds: float) -> av.VideoFrame:
        if self._convert is None:
            shown = read_orientation(frame).shape(frame.height, frame.width)
            self._convert = FrameConverter(enlarged(*shown))
        image = Image.fromarray(np.ascontiguousarray(self._convert(frame)))
        caption = self._caption_at(seconds)
        draw_boxes(image, caption)
        if self._panel is None or self._panel[0] is not caption:
            self._panel = (caption, draw_panel(caption, image.size))
        image.paste(self._panel[1], (0, 0), self._panel[1])
        if self._strip is not None:
            _draw_strip(image, self._strip, seconds)
        return av.VideoFrame.from_ndarray(np.asarray(image), "rgb24")


def enlarged(height: int, width: int) -> tuple[int, int]:
    """(height, width) so large that words can be read, both even, as the encoder wants them."""
    factor = math.ceil(_LEAST_SIDE / min(height, width))
    return tuple(max(side * factor // 2 * 2, 2) for side in (height, width))


@lru_cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    from matplotlib import get_data_path

    return ImageFont.truetype(f"{get_data_path()}/fonts/ttf/DejaVuSans.ttf", size)


def _font_size(width: int, height: int) -> int:
    return max(12, min(width, height) // 24)


def draw_panel(caption: Caption, size: tuple[int, int]) -> Image.Image:
    """Title and bars on a dark ground, RGBA of the picture's size (width, height)."""
    image = Image.new("RGBA", size)
    draw, unit = ImageDraw.Draw(image), _font_size(*size)
    font, line = _font(unit), round(unit * 1.5)
    bars = caption.bars[: min(_ROWS, max(size[1] // (3 * line) - 1, 1))]
    if not caption.title and not bars:
        return image
    width = min(size[0], max(unit * 17, size[0] // 3))
    title = line if caption.title else 0
    draw.rectangle((0, 0, width, title + line * len(bars) + unit // 2), fill=_DARK)
    if caption.title:
        draw.rectangle((0, 0, unit // 2, line), fill=caption.color)
        draw.text((unit, unit // 5), _fitting(caption.title, font, width - unit), _BRIGHT, font)
    for row, (name, share) in enumerate(bars):
        top = title + row * line + unit // 4
        full = width - unit // 2
        draw.rectangle((0, top, round(full * min(max(share, 0), 1)), top + line - 4), (0, 114, 178))
        number = f"{share:.2f}"
        right = width - unit // 2 - font.getlength(number)
        draw.text((unit, top), _fitting(name, font, right - 2 * unit), _BRIGHT, font)
        draw.text((right, top), number, _BRIGHT, font)
    return image


def _fitting(text: str, font: ImageFont.FreeTypeFont, width: float) -> str:
    """The text, cut where it is too wide."""
    text = cut(text, 200)
    while len(text) > 1 and font.getlength(text) > width:
        text = text[:-2] + "…"
    return text


def draw_boxes(image: Image.Image, caption: Caption) -> None:
    """Boxes with their lines of text, into the picture; the lines stay inside it."""
    draw, unit = ImageDraw.Draw(image), _font_size(*image.size)
    font, line = _font(unit), round(unit * 1.3)
    for (x1, y1, x2, y2), texts in caption.boxes:
        box = (x1 * image.width, y1 * image.height, x2 * image.width, y2 * image.height)
        draw.rectangle(box, outline="#F0E442", width=max(2, unit // 6))
        if not texts:
            continue
        width = max(font.getlength(text) for text in texts) + unit
        left = max(0, min(box[0], image.width - width))
        top = max(0, min(box[1], image.height - line * len(texts)))
        draw.rectangle((left, top, left + width, top + line * len(texts)), fill="#202020")
        for row, text in enumerate(texts):
            draw.text((left + unit // 2, top + row * line), text, "#F0E442", font)


def _draw_strip(image: Image.Image, strip: Strip, seconds: float) -> None:
    """The colours of the whole video along the lower edge, with a mark at the time."""
    draw, (width, height) = ImageDraw.Draw(image), image.size
    thick, scale = max(6, height // 40), width / max(strip.duration, 1e-9)
    for start, end, color in strip.stretches:
        draw.rectangle((start * scale, height - thick, end * scale, height), fill=color)
    place = seconds * scale
    draw.rectangle((place - 2, height - 2 * thick, place + 2, height), "white", "black")
