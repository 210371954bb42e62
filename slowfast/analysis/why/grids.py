"""Feature maps of layers, and kernels of the first convolutions, as grids of small pictures."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from slowfast.analysis.runs import parse_runs
from slowfast.analysis.why.activation import find_layer
from slowfast.analysis.why.cam import load_subject
from slowfast.analysis.why.layers import MapLayout, check_layers, inner_network, watching
from slowfast.analysis.why.pictures import draw_grid
from slowfast.config.derived import LayerMaps
from slowfast.utils.io import write_csv

_MAX_CHANNELS = 16
_MAX_FRAMES = 8
_MAX_KERNELS = 64
_CONVS = (nn.Conv2d, nn.Conv3d)


@torch.no_grad()
def maps_of(model: nn.Module, clips: Sequence[Tensor], layers: Sequence[str]) -> dict[str, Tensor]:
    """Maps C,T,H,W of one clip by layer; of a layer that gives several, with their numbers."""
    check_layers(model, layers)
    found: dict[str, Tensor] = {}

    def keep(name: str, number: int, x: Tensor, layout: MapLayout) -> None:
        found[f"{name} {number}" if number else name] = layout(x)[0].float().clone()

    with watching(model, clips, keep, set(layers)):
        model([clip.clone() for clip in clips])
    if not found:
        raise ValueError(f"--layer: {', '.join(layers)} gives no maps over space")
    return found


def strongest(maps: Tensor, most: int = _MAX_CHANNELS) -> tuple[np.ndarray, list[int]]:
    """Pictures channel by channel, each in its frames, of the channels that vary most, and these.

    maps: C,T,H,W. At most `most` channels and 8 frames.
    """
    order = maps.flatten(1).std(1).argsort(descending=True)[:most].sort().values
    return _in_frames(maps[order]), order.tolist()


def _in_frames(maps: Tensor) -> np.ndarray:
    """Maps C,T,H,W channel by channel, each in at most 8 frames."""
    frames = np.unique(np.linspace(0, maps.shape[1] - 1, _MAX_FRAMES).round().astype(int))
    chosen = maps[:, frames.tolist()].cpu().numpy()
    return chosen.reshape(-1, *chosen.shape[2:])


def chosen_maps(maps: Tensor, chosen: LayerMaps) -> tuple[np.ndarray, int]:
    """Pictures of the maps C,T,H,W of a layer that are shown, and the rows that they make.

    ValueError for a channel or frame that the layer does not have.
    """
    for what, numbers, size in (
        ("channel", chosen.channels, maps.shape[0]),
        ("frame", chosen.frames, maps.shape[1]),
    ):
        if outside := [number for number in numbers if number >= size]:
            raise ValueError(f"{chosen.layer}: {what} {outside[0]}: it has {size}, from 0")
    if not chosen.channels:
        pictures, channels = strongest(maps)
        return pictures, len(channels)
    if chosen.frames:
        return maps[list(chosen.channels), list(chosen.frames)].cpu().numpy(), 1
    return _in_frames(maps[list(chosen.channels)]), len(chosen.channels)


def first_kernels(model: nn.Module) -> dict[str, np.ndarray]:
    """Kernels of the first spatial convolution of each pathway: N,H,W,3 of 0..1, or N,H,W.

    Of a kernel over time all its frames follow one another. Each kernel has its own scale; those of
    other than three channels are shown as their first channel.
    """
    found: dict[str, np.ndarray] = {}
    for name, module in inner_network(model).named_modules():
        if not isinstance(module, _CONVS) or max(module.kernel_size[-2:]) < 2:
            continue
        if found and module.in_channels not in (1, 2, 3):
            break
        found[name] = _kernel_pictures(module.weight.detach().float().cpu())
    return found


def _kernel_pictures(weight: Tensor) -> np.ndarray:
    """Pictures of a weight out,in,(T,)H,W."""
    weight = weight[:_MAX_KERNELS]
    weight = weight if weight.ndim == 5 else weight[:, :, None]
    low, high = weight.amin((1, 2, 3, 4), keepdim=True), weight.amax((1, 2, 3, 4), keepdim=True)
    weight = ((weight - low) / (high - low).clamp(min=1e-12)).permute(0, 2, 3, 4, 1)
    pictures = weight.flatten(0, 1).numpy()  # out,T,H,W,in -> out*T,H,W,in
    return pictures if pictures.shape[-1] == 3 else pictures[..., 0]


def run_feature_maps(
    runs: Sequence[str],
    overrides: Sequence,
    *,
    output: str | Path,
    videos: Sequence[str],
    layer: Sequence[str],
) -> str:
    """Draw the maps of layers for videos into `output`: a row a channel, a column a frame."""
    folder, lines = Path(output), []
    for files in parse_runs(runs):
        subject = load_subject(files, overrides, videos=videos)
        for number, clip in enumerate(subject.clips()):
            inputs = subject.inputs([clip.clip])
            names = list(layer) or [find_layer(subject.model, inputs)]
            for name, maps in maps_of(subject.model, inputs, names).items():
                pictures, channels = strongest(maps)
                place = f"{files.slug}_{number}_{Path(clip.path).stem}_{name.replace(' ', '_')}.png"
                title = f"{Path(clip.path).name}: {name}, {len(channels)} of {len(maps)} channels"
                draw_grid(folder / place, title, pictures, rows=len(channels), colormap="viridis")
                lines.append([files.name, clip.path, name, *maps.shape, place])
    write_csv(
        folder / "feature_maps.csv",
        ["run", "path", "layer", "channels", "frames", "height", "width", "picture"],
        lines,
    )
    return f"{len(lines)} pictures"


def run_weights(runs: Sequence[str], overrides: Sequence, *, output: str | Path) -> str:
    """Draw the kernels of the first convolution of each pathway into `output`."""
    folder, names = Path(output), []
    for files in parse_runs(runs):
        subject = load_subject(files, overrides, videos=["1"])
        for name, pictures in first_kernels(subject.model).items():
            rows = max(round(len(pictures) ** 0.5), 1)
            names.append(f"weights_{files.slug}_{name}.png")
            colormap = None if pictures.ndim == 4 else "viridis"
            title = f"{files.name}: {name}, {len(pictures)} kernels"
            draw_grid(folder / names[-1], title, pictures, rows=rows, colormap=colormap)
    if not names:
        raise ValueError("no convolution of these networks sees more than one pixel")
    return "\n".join(names)
