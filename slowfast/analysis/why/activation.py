"""Class activation over space and time: Grad-CAM and CAM of any layer that gives maps."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from slowfast.analysis.why.layers import MapLayout, check_layers, watching

METHODS = ("grad_cam", "cam")


@dataclass(frozen=True)
class Activation:
    """Maps of one clip for one class.

    parts: a map T,H,W for each tensor that the layers gave (of two pathways, two), at least 0, in
    units of the class's logit. logits, scores: of all classes. layers: that were looked at.
    """

    parts: list[Tensor]
    logits: Tensor
    label: int
    layers: list[str]

    def on_clip(self, grid: Sequence[int]) -> tuple[np.ndarray, list[np.ndarray]]:
        """The maps on frames T,H,W: their mean, and each, all with 1 as their largest value.

        In the mean a pathway counts by what it adds to a frame, whatever its resolution.
        """
        parts = [_resized(part * part.numel(), grid) for part in self.parts]
        return _to_one(torch.stack(parts).mean(0)), [_to_one(part) for part in parts]


def _resized(values: Tensor, grid: Sequence[int]) -> Tensor:
    resized = F.interpolate(values[None, None].float(), tuple(grid), mode="trilinear")
    return resized[0, 0].clamp(min=0)


def _to_one(values: Tensor) -> np.ndarray:
    largest = float(values.max())
    return (values / largest if largest > 0 else values).cpu().numpy()


def find_layer(model: nn.Module, clips: Sequence[Tensor]) -> str:
    """The last layer before the head whose map of several places the likeliest class depends on.

    clips: one clip, 1,C,T,H,W for each pathway. ValueError where there is none.
    """
    found: list[tuple[str, Tensor, MapLayout]] = []

    def keep(name: str, _number: int, x: Tensor, layout: MapLayout) -> None:
        if layout.has_extent and x.requires_grad and not name.startswith("head."):
            found.append((name, x, layout))

    inputs = [clip.detach().clone().requires_grad_() for clip in clips]
    with watching(model, inputs, keep, None), torch.enable_grad():
        logits = model([clip.clone() for clip in inputs])
    tensors = [x for _, x, _ in found]
    gradients = torch.autograd.grad(logits.max(), tensors, allow_unused=True) if tensors else ()
    pairs = list(zip(found, gradients, strict=True))
    for (name, _, layout), gradient in reversed(pairs):
        if gradient is not None and bool(layout(gradient).any()):
            return name
    raise ValueError(
        "no layer of this network gives a map of more than one place on which its scores depend; "
        "name one with --layer, or take larger clips"
    )


def activate(
    model: nn.Module,
    clips: Sequence[Tensor],
    layers: Sequence[str],
    *,
    label: int | None = None,
    method: str = "grad_cam",
) -> Activation:
    """The activation of class `label` (None: the likeliest) by the maps of some layers.

    clips: one clip, 1,C,T,H,W for each pathway. grad_cam: channels weighted by the means of their
    gradients (arXiv 1610.02391). cam: gradient times value at each position (arXiv 2011.08891);
    where a linear classifier follows the mean of the maps, this is the class activation map of
    arXiv 1512.04150. ValueError for a layer that gives no maps.
    """
    check_layers(model, layers)
    leaves: dict[tuple[str, int], tuple[Tensor, MapLayout]] = {}

    def cut(name: str, number: int, x: Tensor, layout: MapLayout) -> Tensor:
        leaf = x.detach().requires_grad_()
        leaves[name, number] = (leaf, layout)
        return leaf.clone()  # may be changed in place

    with watching(model, clips, cut, set(layers)), torch.enable_grad():
        logits = model([clip.clone() for clip in clips])[0].float()
        if not leaves:
            raise ValueError(f"--layer: {', '.join(layers)} gives no maps over space")
        label = int(logits.argmax()) if label is None else label
        tensors = [leaf for leaf, _ in leaves.values()]
        gradients = torch.autograd.grad(logits[label], tensors, allow_unused=True)
    parts = [
        _weigh(layout(leaf.detach()), layout(gradient), method)
        for (leaf, layout), gradient in zip(leaves.values(), gradients, strict=True)
        if gradient is not None
    ]
    if not parts:
        raise ValueError(f"--layer: the scores do not depend on {', '.join(layers)}")
    return Activation(parts, logits.detach(), label, list(layers))


def _weigh(maps: Tensor, gradient: Tensor, method: str) -> Tensor:
    """Maps and their gradients 1,C,T,H,W -> what is in favour of the class, T,H,W."""
    weights = gradient.mean((2, 3, 4), keepdim=True) if method == "grad_cam" else gradient
    return (weights * maps).sum(1)[0].relu()


@torch.no_grad()
def occlude(
    logits_of, clip: Tensor, label: int, *, fill: str, at_once: int = 8
) -> tuple[np.ndarray, np.ndarray]:
    """Loss of logit and of share (softmax) of a class when one frame at a time is replaced.

    logits_of: clips C,T,H,W in a list -> logits N,classes. fill: "neighbour", the frame before (of
    the first one, after), or "mean" of all frames. Both losses have a value a frame.
    """
    num_frames = clip.shape[1]
    mean = clip.float().mean(1).to(clip.dtype)
    changed = []
    for frame in range(num_frames):
        one = clip.clone()
        near = max(frame - 1, 0) if frame else min(1, num_frames - 1)
        one[:, frame] = clip[:, near] if fill == "neighbour" else mean
        changed.append(one)
    batches = [changed[start : start + at_once] for start in range(0, num_frames, at_once)]
    whole = logits_of([clip])
    logits = torch.cat([logits_of(batch) for batch in batches])
    shares = whole.softmax(-1)[:, label] - logits.softmax(-1)[:, label]
    return (whole[:, label] - logits[:, label]).cpu().numpy(), shares.cpu().numpy()
