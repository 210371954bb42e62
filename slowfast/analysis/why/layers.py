"""Outputs of layers as maps over time and space, in any network: ours and those of libraries."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from slowfast.models.families.external import External
from slowfast.models.heads import Classifier
from slowfast.models.operating_point import ReducedNetwork

Grid = tuple[int, ...]  # of time, height and width


@dataclass(frozen=True)
class ClipShape:
    """Number of clips, and T,H,W of the longest pathway."""

    num: int
    grid: Grid

    def fits(self, grid: Sequence[int]) -> bool:
        """Whether a map T,H,W may be one of these clips: no larger, and of their proportions."""
        (t, h, w), (frames, height, width) = grid, self.grid
        is_small = 0 < t <= frames and 0 < h <= height and 0 < w <= width
        return is_small and abs(h * width - w * height) < max(height, width)


@dataclass(frozen=True)
class MapLayout:
    """The way from the output of a layer to maps N,C,T,H,W.

    order: of the axes of the output once it has six of them, N,T,H,W,C among them.
    """

    kind: str  # maps, channels_last, frames or tokens
    num: int
    grid: Grid
    num_class_tokens: int = 0

    @property
    def has_extent(self) -> bool:
        """Whether a map has more than one place."""
        return self.grid[1] * self.grid[2] > 1

    def __call__(self, x: Tensor) -> Tensor:
        if self.kind == "maps":
            return x
        if self.kind == "channels_last":
            return x.movedim(-1, 1)
        if self.kind == "frames":  # N*T,C,H,W
            return x.unflatten(0, (self.num, -1)).transpose(1, 2)
        x = x[:, self.num_class_tokens :]  # N,L,C, or of images N*T,L,C
        return x.reshape(self.num, *self.grid, x.shape[-1]).movedim(-1, 1)


def find_layout(
    x: Tensor, clips: ClipShape, grid: Grid | None, *, is_channels_last: bool
) -> MapLayout | None:
    """The layout of a layer's output; None for one that is no map of the clips.

    grid: T,H,W of tokens, if a layer before has named it. is_channels_last: known to be.
    """
    num, shape = clips.num, tuple(x.shape)
    if not x.is_floating_point() or not shape or shape[0] % num or not shape[0]:
        return None
    if x.ndim == 5 and shape[0] == num:
        if clips.fits(shape[2:]) and not is_channels_last:
            return MapLayout("maps", num, shape[2:])
        return MapLayout("channels_last", num, shape[1:4]) if clips.fits(shape[1:4]) else None
    if x.ndim == 4 and not is_channels_last:
        grid = (shape[0] // num, *shape[2:])
        return MapLayout("frames", num, grid) if clips.fits(grid) else None
    return _find_tokens(shape, clips, grid) if x.ndim == 3 else None


def _find_tokens(shape: tuple[int, ...], clips: ClipShape, grid: Grid | None) -> MapLayout | None:
    count, per_clip = shape[1], shape[0] // clips.num
    for extra in (0, 1):
        if grid is not None and per_clip == 1 and grid[0] * grid[1] * grid[2] == count - extra:
            return MapLayout("tokens", clips.num, grid, extra)
    for extra in (0, 1):
        for guess in _guesses(count - extra, clips.grid, per_clip):
            if clips.fits(guess):
                return MapLayout("tokens", clips.num, guess, extra)
    return None


def _guesses(count: int, clip: Grid, per_clip: int) -> Iterator[Grid]:
    """Maps with so many tokens; per_clip: frames that are images of their own."""
    frames, height, width = clip
    lengths = [per_clip] if per_clip > 1 else [frames // 2, frames, frames // 4, 1]
    for t in (length for length in lengths if length > 0):
        places = count if per_clip > 1 else count // t
        h = round((places * height / width) ** 0.5)
        if h > 0 and places % h == 0 and (per_clip > 1 or t * places == count):
            yield (t, h, places // h)


def inner_network(model: nn.Module) -> nn.Module:
    """The network itself: of an operating point, its narrow one."""
    return model.network if isinstance(model, ReducedNetwork) else model


# (name, output, index of a tensor in it or None, tensor, layout) -> another tensor, or None
Seen = Callable[[str, int, Tensor, MapLayout], Tensor | None]


class Watcher:
    """Calls `seen` with each map that the layers of a network give, and may change it.

    names: of the layers to be looked at; None looks at all. The last grid that a layer gave beside
    its tokens counts for the tokens after it.
    """

    def __init__(self, network: nn.Module, clips: ClipShape, seen: Seen, names: set[str] | None):
        self._clips, self._seen, self._names = clips, seen, names
        self._grid: Grid | None = None
        self._handles = [
            module.register_forward_hook(self._hook(name))
            for name, module in network.named_modules()
            if name
        ]

    def remove(self) -> None:
        """Take all hooks away."""
        for handle in self._handles:
            handle.remove()

    def _hook(self, name: str) -> Callable[..., Any]:
        def hook(module: nn.Module, _inputs: tuple, output: Any) -> Any:
            parts = output if isinstance(output, list | tuple) else [output]
            if grid := next((p for p in parts if _is_grid(p)), None):
                self._grid = tuple(int(size) for size in grid)
            if self._names is not None and name not in self._names:
                return None
            kept = [self._look(name, module, n, part, grid) for n, part in enumerate(parts)]
            if all(new is old for new, old in zip(kept, parts, strict=True)):
                return None
            return type(output)(kept) if isinstance(output, list | tuple) else kept[0]

        return hook

    def _look(self, name: str, module: nn.Module, number: int, part: Any, grid: Any) -> Any:
        if not isinstance(part, Tensor):
            return part
        is_norm = isinstance(module, nn.LayerNorm)
        if self._names is None and part.ndim == 3 and not (is_norm or grid):
            return part  # parts of attention look like tokens, too
        layout = find_layout(part, self._clips, self._grid, is_channels_last=is_norm)
        if layout is None:
            return part
        new = self._seen(name, number, part, layout)
        return part if new is None else new


def _is_grid(part: Any) -> bool:
    is_three = isinstance(part, list | tuple | torch.Size) and len(part) == 3
    return is_three and all(isinstance(size, int) for size in part)


@contextmanager
def watching(
    model: nn.Module, clips: Sequence[Tensor], seen: Seen, names: set[str] | None
) -> Iterator[None]:
    """Inside the `with`, a `Watcher` is at work, and the network gives logits."""
    network, longest = inner_network(model), max(clips, key=lambda clip: clip.shape[2])
    watcher = Watcher(network, ClipShape(len(longest), tuple(longest.shape[2:])), seen, names)
    try:
        with logits_given(network):
            yield
    finally:
        watcher.remove()


@contextmanager
def logits_given(network: nn.Module) -> Iterator[None]:
    """Inside the `with`, a network in evaluation gives logits, not scores.

    One that computes scores by itself, of another package, goes on to give these.
    """
    parts = [part for part in network.modules() if isinstance(part, Classifier | External)]
    activations = [part.activation for part in parts]
    for part in parts:
        part.activation = "none"
    try:
        yield
    finally:
        for part, activation in zip(parts, activations, strict=True):
            part.activation = activation


def check_layers(model: nn.Module, names: Sequence[str]) -> None:
    """ValueError for a name that is no layer of the network."""
    known = dict(inner_network(model).named_modules())
    for name in names:
        if not name or name not in known:
            tops = [top for top, _ in inner_network(model).named_children()]
            raise ValueError(
                f"--layer: {name!r} is no layer of this network; it has {tops}, and what is in "
                "them (tools/model_info.py --by-module lists all)"
            )
