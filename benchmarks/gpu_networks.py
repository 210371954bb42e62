"""Networks of recipes on a device: their clips, a training step without the engine, inference."""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.gpu_kit import ROOT, Place
from slowfast.config.cli import load_cfg
from slowfast.config.derived import pathway_strides
from slowfast.config.node import ConfigNode
from slowfast.runtime.device import place_model, set_arithmetic

CONTIGUOUS, CHANNELS_LAST = torch.contiguous_format, torch.channels_last_3d
BFLOAT16 = ("TRAIN.MIXED_PRECISION", True, "TRAIN.AMP_DTYPE", "bfloat16")


def recipe(place: Place, file: str, *options, crop: int) -> ConfigNode:
    """The config of a YAML file below configs/ with clips of this crop, on the device."""
    crops = ("DATA.TRAIN_CROP_SIZE", crop, "DATA.TEST_CROP_SIZE", crop)
    where = ("NUM_GPUS", int(place.is_cuda))
    return load_cfg(ROOT / "configs" / file, [*where, *crops, *options])


def clip_shapes(channels: Sequence[int], frames: int, strides: Sequence[int], crop: int) -> list:
    """C,T,H,W of each pathway."""
    return [(c, frames // s, crop, crop) for c, s in zip(channels, strides, strict=True)]


def place_in(model: nn.Module, device: torch.device, layout: torch.memory_format | None):
    """The model on the device with its 5-D weights in a layout; None: as the project places it."""
    if layout is None:
        return place_model(model, device)
    for parameter in model.to(device).parameters():
        if parameter.ndim == 5:
            parameter.data = parameter.data.contiguous(memory_format=layout)
    return model


def precision(kind: str, device: torch.device) -> torch.autocast:
    """Autocast of float32, tf32, bfloat16 or float16; sets TF32, which float32 does without."""
    set_arithmetic(has_tf32=kind != "float32", is_deterministic=False)
    is_half = kind in ("bfloat16", "float16")
    dtype = getattr(torch, kind) if is_half else torch.bfloat16
    return torch.autocast(device.type, dtype=dtype, enabled=is_half)


def make_sgd(model: nn.Module, **options: bool) -> torch.optim.Optimizer:
    """SGD as recipes have it."""
    parameters, keys = model.parameters(), {"momentum": 0.9, "nesterov": True, "lr": 1e-3}
    return torch.optim.SGD(parameters, weight_decay=5e-5, **keys, **options)


def training_work(
    model: nn.Module,
    clips: Sequence[Tensor],
    labels: Tensor,
    *,
    kind: str,
    layout: torch.memory_format,
    benchmark: bool = False,
) -> Callable[[], None]:
    """A step on clips that are on the device, in which nobody waits for it."""
    clips = [clip.contiguous(memory_format=layout) for clip in clips]
    optimizer = make_sgd(model)

    def train() -> None:
        torch.backends.cudnn.benchmark = benchmark
        model.train()
        with precision(kind, labels.device):
            loss = F.cross_entropy(model(clips).float(), labels)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return train


def inference_work(
    model: nn.Module,
    clips: Sequence[Tensor],
    *,
    kind: str,
    layout: torch.memory_format,
    benchmark: bool = False,
) -> Callable[[], Tensor]:
    """Scores of clips that are on the device."""
    clips = [clip.contiguous(memory_format=layout) for clip in clips]

    @torch.no_grad()
    def infer() -> Tensor:
        torch.backends.cudnn.benchmark = benchmark
        model.eval()
        with precision(kind, clips[0].device):
            return model(clips)

    return infer


def peak_gib(place: Place, work: Callable[[], object]) -> float:
    """GiB of the GPU that a call takes beside what is there; 0 on the CPU."""
    if not place.is_cuda:
        work()
        return 0.0
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    work()
    return (torch.cuda.max_memory_allocated() - before) / 2**30


def build_clips(cfg: ConfigNode, count: int, dtype: torch.dtype = torch.float32) -> list[Tensor]:
    """Random clips N,C,T,H,W of each pathway on the CPU: normal numbers, or bytes for uint8."""
    rng = torch.Generator().manual_seed(0)
    data, strides = cfg.DATA, pathway_strides(cfg)
    sizes = data.INPUT_CHANNEL_NUM, data.NUM_FRAMES, strides, data.TRAIN_CROP_SIZE
    shapes = [(count, *shape) for shape in clip_shapes(*sizes)]
    if dtype == torch.uint8:
        return [torch.randint(0, 256, shape, dtype=dtype, generator=rng) for shape in shapes]
    return [torch.randn(shape, generator=rng).to(dtype) for shape in shapes]
