"""Depthwise convolutions of a network in every formulation, as shares of the copy bandwidth.

python benchmarks/depthwise.py [--cfg YAML ...] [--device cuda|cpu] [--dtype bfloat16] [--tiny]

A row a layer and formulation: torch (grouped conv3d, contiguous), channels_last (the same in that
memory), fold (2D on a view), triton. A perfect kernel reads its input and writes its output once
(forward), and backward reads both and the gradient of the output, and writes that of the input.
--tiny: a small clip, a layer, few repeats; with TRITON_INTERPRET=1 Triton runs on a CPU, slowly.
"""

import argparse
import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from tabulate import tabulate
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from slowfast.config.cli import load_cfg
from slowfast.config.node import ConfigNode
from slowfast.models import build_model
from slowfast.models.build import build_meta_inputs
from slowfast.models.conv import Conv3d, conv3d, set_depthwise
from slowfast.models.depthwise import launch

CFGS = ["configs/Kinetics/vov3d/vov3d_M.yaml", "configs/Kinetics/x3d/X3D_M.yaml"]
WAYS = {"torch": "torch", "channels_last": "torch", "fold": "fold", "triton": "triton"}


@dataclass(frozen=True)
class Layer:
    """A depthwise convolution: T,H,W of its input, and sizes in the same order."""

    dim: int
    size: tuple[int, ...]
    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...]


@dataclass(frozen=True)
class Timing:
    """Milliseconds of a layer in a formulation, and the bytes of its input and output."""

    forward: float
    backward: float
    num_bytes: int

    def shares(self, bytes_per_ms: float) -> tuple[float, float]:
        """Shares of the copy bandwidth, forward and backward."""
        copying = self.num_bytes / bytes_per_ms
        return copying / self.forward, 2 * copying / self.backward


def median_ms(work: Callable[[], object], device: torch.device, *, repeats: int) -> float:
    """Median time of a call, after two that warm up."""
    times = []
    for _ in range(repeats + 2):
        if device.type == "cuda":
            torch.cuda.synchronize()
        start = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize()
        times.append(1e3 * (time.perf_counter() - start))
    return statistics.median(times[2:])


def copy_bandwidth(device: torch.device, *, megabytes: int, repeats: int) -> float:
    """Bytes read and written in a millisecond of copying."""
    source = torch.ones(megabytes * 2**20, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    return 2 * source.numel() / median_ms(lambda: target.copy_(source), device, repeats=repeats)


def measure(
    layer: Layer, name: str, *, batch: int, dtype: torch.dtype, device: torch.device, repeats: int
) -> Timing:
    """Time of forward and backward of a layer in the formulation `name` of WAYS."""
    options = {"stride": layer.stride, "padding": layer.padding, "groups": layer.dim}
    conv = conv3d(layer.dim, layer.dim, layer.kernel, **options).to(device, dtype)
    set_depthwise(conv, WAYS[name])
    x = torch.randn(batch, layer.dim, *layer.size, device=device, dtype=dtype)
    order = torch.contiguous_format if name == "torch" else torch.channels_last_3d
    x = x.contiguous(memory_format=order).requires_grad_()
    y = conv(x)
    grad, inputs = torch.randn_like(y), (x, conv.weight)
    forward = median_ms(lambda: conv(x), device, repeats=repeats)
    backward = median_ms(
        lambda: torch.autograd.grad(y, inputs, grad, retain_graph=True), device, repeats=repeats
    )
    return Timing(forward, backward, x.nbytes + y.nbytes)


def ways_of(layer: Layer, device: torch.device) -> list[str]:
    """Formulations that exist for a layer on a device."""
    (kt, *space), is_cpu = layer.kernel, device.type == "cpu"
    can_fold = is_cpu or kt == 1 or (space == [1, 1] and layer.stride[1:] == (1, 1))
    has_kernels = not launch.missing(device.type)
    missing = {"fold": not can_fold, "triton": not has_kernels}
    return [name for name in WAYS if not missing.get(name)]


@torch.no_grad()
def depthwise_layers(model: nn.Module, inputs: Sequence) -> Counter[Layer]:
    """The depthwise layers that `model` calls with `inputs`, all on the meta device."""
    found: Counter[Layer] = Counter()

    def count(conv: Conv3d, args: tuple[Tensor]) -> None:
        sizes = conv.kernel_size, conv.stride, conv.padding
        found[Layer(conv.in_channels, tuple(args[0].shape[2:]), *sizes)] += 1

    for module in model.modules():
        if isinstance(module, Conv3d) and module.is_depthwise:
            module.register_forward_pre_hook(count)
    model.eval()(*inputs)
    return found


def build_layers(cfg: ConfigNode) -> Counter[Layer]:
    """The depthwise layers of the network on clips of training, and how often each is there."""
    with torch.device("meta"):
        return depthwise_layers(build_model(cfg), build_meta_inputs(cfg, cfg.DATA.TRAIN_CROP_SIZE))


def measured_rows(
    layers: Counter[Layer], bytes_per_ms: float, *, device: torch.device, **how
) -> Iterator[list]:
    """A row for every layer and formulation."""
    for layer, number in layers.most_common():
        sizes = (layer.dim, *layer.size), layer.kernel, layer.stride
        for name in ways_of(layer, device):
            timing = measure(layer, name, device=device, **how)
            shares = timing.shares(bytes_per_ms)
            yield [number, *sizes, name, timing.forward, shares[0], timing.backward, shares[1]]


HEADER = ["layers", "C,T,H,W", "kernel", "stride", "way", "fwd ms", "of copy", "bwd ms", "of copy"]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cfg", nargs="+", default=CFGS, help="recipes of the networks")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--dtype", default="bfloat16", choices=["float32", "bfloat16", "float16"])
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--tiny", action="store_true", help="try it in seconds")
    args = parser.parse_args()
    device, dtype = torch.device(args.device), getattr(torch, args.dtype)
    small = ["DATA.NUM_FRAMES", 4, "DATA.TRAIN_CROP_SIZE", 32] if args.tiny else []
    batch, repeats = (1, 1) if args.tiny else (args.batch, args.repeats)
    bytes_per_ms = copy_bandwidth(device, megabytes=16 if args.tiny else 1024, repeats=repeats)
    print(f"copy: {bytes_per_ms / 1e6:.1f} GB/s; {args.dtype}, {batch} clips")
    for path in args.cfg:
        layers = build_layers(load_cfg(path, [*small, "NUM_GPUS", 0]))
        layers = Counter(dict(layers.most_common(1 if args.tiny else None)))
        how = {"device": device, "batch": batch, "dtype": dtype, "repeats": repeats}
        rows = list(measured_rows(layers, bytes_per_ms, **how))
        print(f"\n{path}\n{tabulate(rows, headers=HEADER, floatfmt='.3g')}", flush=True)


if __name__ == "__main__":
    main()
