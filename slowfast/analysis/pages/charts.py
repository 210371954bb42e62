"""Charts as SVG inside a page, which follow its light or dark colours."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape

from markupsafe import Markup

from slowfast.utils.plots import shorten

_WIDTH, _HEIGHT = 520, 260
_LEFT, _RIGHT, _TOP, _BOTTOM = 58, 14, 28, 42
_MOST_POINTS = 600
_MOST_NAMES = 40  # below bars
_MOST_LETTERS = 30
_LETTER, _LINE = 7, 15  # width of a letter, height of a line, in pixels
_SLANT = math.radians(60)
NUM_COLOURS = 8


@dataclass(frozen=True)
class Series:
    """A curve: x and y, NaN breaks it. low, high: an interval around each y.

    colour: its number in the page's colours; None: the next one.
    """

    name: str
    x: Sequence[float]
    y: Sequence[float]
    low: Sequence[float] | None = None
    high: Sequence[float] | None = None
    has_markers: bool = False
    is_dashed: bool = False
    colour: int | None = None


@dataclass(frozen=True)
class Axis:
    """Axis of a chart.

    low, high: its ends where they are fixed. is_log: powers of ten. is_whole: of counts.
    """

    title: str
    low: float | None = None
    high: float | None = None
    is_log: bool = False
    is_whole: bool = False


@dataclass(frozen=True)
class Chart:
    """SVG of a chart, what it shows in words, and (name, CSS colour, dashed) of each curve."""

    svg: Markup
    caption: str = ""
    legend: list[tuple[str, str, bool]] = field(default_factory=list)


class _Scale:
    """Places of values along an axis, from `start` to `end` in pixels."""

    def __init__(self, axis: Axis, values: Sequence[float], start: float, end: float):
        found = [v for v in values if math.isfinite(v) and (v > 0 or not axis.is_log)] or [0.1, 1.0]
        self._is_log, self._least_step = axis.is_log, 1.0 if axis.is_whole else 0.0
        low = min(found) if axis.low is None else axis.low
        high = max(found) if axis.high is None else axis.high
        if axis.is_log:
            low, high = math.floor(math.log10(low)), math.ceil(math.log10(high))
            high = max(high, low + 1)
        elif high <= low:
            low, high = low - abs(low) * 0.1 - 0.5, high + abs(high) * 0.1 + 0.5
        self.low, self.high, self._start, self._end = low, high, start, end

    def __call__(self, value: float) -> float:
        if self._is_log:
            value = math.log10(value) if value > 0 else self.low
        share = (value - self.low) / (self.high - self.low)
        return self._start + min(max(share, -0.02), 1.02) * (self._end - self._start)

    def ticks(self, count: int = 5) -> list[tuple[float, str]]:
        """(value, text) at round values."""
        if self._is_log:
            step = max(1, math.ceil((self.high - self.low) / 6))
            return [(10.0**n, f"1e{n}") for n in range(int(self.low), int(self.high) + 1, step)]
        step = max(_round_step((self.high - self.low) / count), self._least_step)
        first = math.ceil(self.low / step - 1e-9)
        last = math.floor(self.high / step + 1e-9)
        return [(n * step, _tick_text(n * step)) for n in range(first, last + 1)]


def _round_step(rough: float) -> float:
    """1, 2 or 5 times a power of ten, at least `rough`."""
    power = 10.0 ** math.floor(math.log10(rough))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999)


def _tick_text(value: float) -> str:
    if value and not 1e-3 <= abs(value) < 1e5:
        return f"{value:.0e}".replace("e-0", "e-").replace("e+0", "e")
    return f"{value:.10g}" if abs(value) < 1e-9 else f"{value:.6g}"


def colour(number: int) -> str:
    """CSS colour of a curve."""
    return f"var(--c{number % NUM_COLOURS})"


def line_chart(
    title: str, series: Sequence[Series], x: Axis, y: Axis, *, caption: str = ""
) -> Chart:
    """Curves, with a legend where there are several."""
    every = [v for s in series for v in (*s.y, *(s.low or ()), *(s.high or ()))]
    across = _Scale(x, [v for s in series for v in s.x], _LEFT, _WIDTH - _RIGHT)
    up = _Scale(y, every, _HEIGHT - _BOTTOM, _TOP)
    parts = [_frame(title, x, y, across, up)]
    legend = []
    for number, one in enumerate(series):
        paint = colour(number if one.colour is None else one.colour)
        legend.append((one.name, paint, one.is_dashed))
        parts.append(_band(one, across, up, paint))
        parts.append(_curve(one, across, up, paint))
    alt = f"{title}: {_in_words(series, x, y)}"
    return Chart(_svg(alt, parts), caption, legend)


def bar_chart(
    title: str, names: Sequence[str], values: Sequence[float], y: Axis, *, caption: str = ""
) -> Chart:
    """A bar for each name; the names are written, of many some, of very many none."""
    count = max(len(values), 1)
    across = _Scale(Axis("", 0, count), [], _LEFT, _WIDTH - _RIGHT)
    y = Axis(y.title, 0 if y.low is None else y.low, y.high)
    up = _Scale(y, values, _HEIGHT - _BOTTOM, _TOP)
    parts = [_frame(title, None, y, across, up)]
    base = up(max(up.low, 0))
    for place, (name, value) in enumerate(zip(names, values, strict=True)):
        left, right, top = across(place + 0.1), across(place + 0.9), up(value)
        if math.isfinite(top):
            tip = f"<title>{escape(name)}: {_tick_text(value)}</title>"
            parts.append(
                f'<rect x="{left:.1f}" y="{min(top, base):.1f}" width="{right - left:.1f}" '
                f'height="{abs(base - top):.1f}" fill="{colour(0)}">{tip}</rect>'
            )
    shown = ", ".join(f"{n} {_tick_text(v)}" for n, v in list(zip(names, values, strict=True))[:12])
    labels, more = _bar_names(names, across) if len(names) <= _MOST_NAMES else ([], 0)
    return Chart(_svg(f"{title}: {shown}", [*parts, *labels], _HEIGHT + more), caption)


def _bar_names(names: Sequence[str], across: _Scale) -> tuple[list[str], int]:
    """Names below bars, slanted where one would not fit, and the pixels that these need more."""
    width, y = across(1) - across(0), _HEIGHT - _BOTTOM + 16
    step = math.ceil(len(names) / 10)
    if max(map(len, names[::step]), default=0) * _LETTER <= step * width:
        places = range(0, len(names), step)
        return [_text(across(n + 0.5), y, names[n], anchor="middle") for n in places], 0
    labels, longest = [], 0
    for place in range(0, len(names), math.ceil(_LINE / width)):
        middle = across(place + 0.5) + 4
        most = min(_MOST_LETTERS, int((middle - _LETTER) / (_LETTER * math.cos(_SLANT))))
        short = shorten(names[place], most)
        longest = max(longest, len(short))
        turn = f' transform="rotate({-math.degrees(_SLANT):.0f} {middle:.1f} {y - 4})"'
        labels.append(_text(middle, y - 4, short, anchor="end", more=turn))
    return labels, math.ceil(longest * _LETTER * math.sin(_SLANT)) - _BOTTOM + 16


def _frame(title: str, x: Axis | None, y: Axis, across: _Scale, up: _Scale) -> str:
    parts = [f'<text class="title" x="4" y="15">{escape(title)}</text>']
    for value, text in up.ticks():
        place = up(value)
        parts.append(
            f'<line class="axis" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{place:.1f}" '
            f'y2="{place:.1f}"/>' + _text(_LEFT - 6, place + 4, text, anchor="end")
        )
    middle = (_TOP + _HEIGHT - _BOTTOM) / 2
    parts.append(
        f'<text x="12" y="{middle}" text-anchor="middle" '
        f'transform="rotate(-90 12 {middle})">{escape(y.title)}</text>'
    )
    if x is not None:
        for value, text in across.ticks():
            parts.append(_text(across(value), _HEIGHT - _BOTTOM + 16, text, anchor="middle"))
        centre = (_LEFT + _WIDTH - _RIGHT) / 2
        parts.append(_text(centre, _HEIGHT - 6, x.title, anchor="middle"))
    return "".join(parts)


def _text(x: float, y: float, text: str, *, anchor: str, more: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{more}>{escape(text)}</text>'


def _curve(one: Series, across: _Scale, up: _Scale, paint: str) -> str:
    step = max(1, math.ceil(len(one.x) / _MOST_POINTS))
    points = list(zip(one.x, one.y, strict=True))
    points = points[::step] + (points[-1:] if step > 1 else [])
    path, is_down, dots = [], False, []
    for x, y in points:
        if not (math.isfinite(x) and math.isfinite(y)):
            is_down = False
            continue
        place = f"{across(x):.1f} {up(y):.1f}"
        path.append(f"{'L' if is_down else 'M'}{place}")
        is_down = True
        if one.has_markers or len(points) == 1:
            left, top = place.split()
            tip = f"<title>{escape(one.name)}: {_tick_text(x)}, {_tick_text(y)}</title>"
            dots.append(f'<circle cx="{left}" cy="{top}" r="3.5" fill="{paint}">{tip}</circle>')
    dashes = ' stroke-dasharray="6 4"' if one.is_dashed else ""
    return f'<path class="curve" d="{"".join(path)}" stroke="{paint}"{dashes}/>' + "".join(dots)


def _band(one: Series, across: _Scale, up: _Scale, paint: str) -> str:
    """The interval around a curve."""
    if one.low is None or one.high is None:
        return ""
    rows = [r for r in zip(one.x, one.low, one.high, strict=True) if all(map(math.isfinite, r))]
    if not rows:
        return ""
    there = [f"{across(x):.1f},{up(high):.1f}" for x, _, high in rows]
    back = [f"{across(x):.1f},{up(low):.1f}" for x, low, _ in reversed(rows)]
    return f'<polygon points="{" ".join(there + back)}" fill="{paint}" opacity="0.2"/>'


def _in_words(series: Sequence[Series], x: Axis, y: Axis) -> str:
    """First and last value of each curve."""
    said = []
    for one in series:
        known = [(a, b) for a, b in zip(one.x, one.y, strict=True) if math.isfinite(b)]
        if known:
            (x0, y0), (x1, y1) = known[0], known[-1]
            said.append(f"{one.name} from {y0:.4g} at {x0:.6g} to {y1:.4g} at {x1:.6g}")
    return f"{y.title} over {x.title}; {'; '.join(said) or 'no values'}"


def _svg(alt: str, parts: Sequence[str], height: int = _HEIGHT) -> Markup:
    return Markup(
        f'<svg viewBox="0 0 {_WIDTH} {height}" role="img" aria-label="{escape(alt)}">'
        f"{''.join(parts)}</svg>"
    )
