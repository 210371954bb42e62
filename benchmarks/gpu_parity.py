"""A network's mathematics on a GPU against float64 on the CPU.

Distances are relative L2 norms: of logits, gradient and running statistics in training (every
branch counts: no zero gammas, no dropout), of scores in evaluation, and of their gradient
("fixed"), where no statistics of few positions blow up the rounding.
"""

import copy
from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn

from benchmarks.gpu_kit import Check, Place
from benchmarks.gpu_networks import build_clips, place_in, precision, recipe
from slowfast.config.node import ConfigNode
from slowfast.models import build_model
from slowfast.models.slimmable import make_slimmable, width
from slowfast.runtime.device import clip_layout

_EIGHT, _SIXTEEN = ("DATA.NUM_FRAMES", 8), ("DATA.NUM_FRAMES", 16)
_SMALL = ("ADAPTIVE.FRAMES", "[4, 8]", "ADAPTIVE.CROPS", "[48, 64]")
RECIPES = {
    "VoV3D-M": ("Kinetics/vov3d/vov3d_M.yaml", *_EIGHT),
    "X3D-M": ("Kinetics/x3d/X3D_M.yaml", *_EIGHT),
    "SlowFast": ("Kinetics/slowfast/SLOWFAST_8x8_R50.yaml",),
    "S3D-G": ("Kinetics/s3d/S3D_G.yaml", *_SIXTEEN),
    "A3D": ("Kinetics/a3d/A3D_X3D_M.yaml", *_EIGHT, *_SMALL),
    "boxes": ("AVA/slowfast/SLOWFAST_32x2_R50_SHORT.yaml", *_EIGHT),
    "boxes-X3D": ("AVA/x3d/X3D_M.yaml", *_EIGHT),
    "Slow": ("Kinetics/slow/SLOW_8x8_R50.yaml",),
    "I3D-NLN": ("Kinetics/i3d/I3D_NLN_8x8_R50.yaml",),
    "Fast-S3D": ("Kinetics/s3d/FAST_S3D.yaml", *_SIXTEEN),
    "C2D": ("Kinetics/c2d/C2D_8x8_R50.yaml",),
    "multi-label": ("Charades/slowfast/SLOWFAST_16x8_R50.yaml", *_EIGHT),
}
TINY = ("VoV3D-M", "A3D", "boxes")
_WHOLE = ("MODEL.DROPOUT_RATE", 0.0, "MODEL.DROPCONNECT_RATE", 0.0)
_WHOLE += ("RESNET.ZERO_INIT_FINAL_BN", False)
_COUNT, _CROP = 2, 64
# float64 on the GPU, and float32 there, which may also be as far as 5 times float32 on the CPU.
_EXACT, _ROUNDED, _TIMES = 1e-6, 1e-3, 5
_NARROW = 0.7


class _Example:
    """A network with clips, boxes if it classifies some, and soft targets."""

    def __init__(self, model: nn.Module, clips: Sequence[Tensor], num_boxes: int, *, classes: int):
        self.model, self.clips = model, clips
        rows = [[i % _COUNT, 4 + i, 6, _CROP - 8, _CROP - 5 - i] for i in range(num_boxes)]
        self.boxes = torch.tensor(rows, dtype=torch.float32) if rows else None
        self.targets = torch.rand(num_boxes or _COUNT, classes).softmax(1)
        self.is_slimmable = False

    def compute(self, device: torch.device, dtype: torch.dtype, kind: str) -> dict[str, Tensor]:
        """Everything that is compared, in float64 on the CPU."""
        model = place_in(copy.deepcopy(self.model).to(dtype), device, None).train()
        layout = clip_layout(device)
        clips = [c.to(device, dtype).contiguous(memory_format=layout) for c in self.clips]
        inputs = (clips, *([] if self.boxes is None else [self.boxes.to(device, dtype)]))
        targets, found = self.targets.to(device, dtype), {}

        def loss_of(logits: Tensor) -> Tensor:
            return -(logits.to(dtype).log_softmax(1) * targets).mean()

        with precision(kind, device):
            logits = model(*inputs)
            loss = loss_of(logits)
            if self.is_slimmable:
                with width(model, _NARROW, moves_statistics=False):
                    fewer = [c[:, :, ::2, 8:-8, 8:-8].contiguous() for c in clips]
                    loss = loss + loss_of(model(fewer))
        found = {"logits": logits.detach(), "gradient": _gradient(model, loss)}
        buffers = [b.flatten() for name, b in model.named_buffers() if "running" in name]
        found["statistics"] = torch.cat(buffers)
        with precision(kind, device):
            scores = model.eval()(*inputs).to(dtype)
        found |= {"scores": scores.detach(), "fixed": _gradient(model, (scores * targets).sum())}
        return {key: value.double().cpu() for key, value in found.items()}


def _gradient(model: nn.Module, loss: Tensor) -> Tensor:
    model.zero_grad(set_to_none=True)
    loss.backward()
    return torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])


def _compare(place: Place, example: _Example) -> None:
    """TF32 and bfloat16 are for information; AssertionError where the others are too far."""
    cpu, gpu = torch.device("cpu"), place.device
    exact = example.compute(cpu, torch.float64, "float32")
    ways = {
        "cpu32": (cpu, torch.float32, "float32"),
        "gpu64": (gpu, torch.float64, "float32"),
        "gpu32": (gpu, torch.float32, "float32"),
        "tf32": (gpu, torch.float32, "tf32"),
        "bfloat16": (gpu, torch.float32, "bfloat16"),
    }
    limits, by_rounding = {"gpu64": dict.fromkeys(exact, _EXACT)}, {}
    for name, way in ways.items():
        got = example.compute(*way)
        far = {key: float((got[key] - v).norm() / v.norm()) for key, v in exact.items()}
        place.note(**{name: " ".join(f"{key}:{value:.0e}" for key, value in far.items())})
        if name == "cpu32":
            by_rounding = {key: max(_ROUNDED, _TIMES * value) for key, value in far.items()}
            limits["gpu32"] = by_rounding
        # A NaN is no nearer than any limit.
        wrong = {k: v for k, v in far.items() if name in limits and not v <= limits[name][k]}
        assert not wrong, f"{name} is too far: {wrong}, allowed {limits[name]}"


def build_example(cfg: ConfigNode) -> _Example:
    """A network of the config with random weights, and its inputs."""
    torch.manual_seed(0)
    model, num_boxes = build_model(cfg), 5 if cfg.DETECTION.ENABLE else 0
    clips = build_clips(cfg, _COUNT)
    example = _Example(model, clips, num_boxes, classes=cfg.MODEL.NUM_CLASSES)
    if cfg.ADAPTIVE.ENABLE:
        make_slimmable(model)
        example.is_slimmable = True
    return example


def _parity(place: Place, name: str) -> None:
    file, *options = RECIPES[name]
    _compare(place, build_example(recipe(place, file, *_WHOLE, *options, crop=_CROP)))


def parity_checks(*, is_tiny: bool) -> list[Check]:
    """One for each recipe."""
    names = TINY if is_tiny else RECIPES
    return [Check(f"parity:{name}", partial(_parity, name=name), 60) for name in names]
