"""What a GPU can do, and depthwise convolutions beside it: each form against copying its bytes."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.gpu_kit import Place
from benchmarks.gpu_networks import CHANNELS_LAST, precision
from slowfast.datasets.transforms.spatial import normalize
from slowfast.models.conv import Triple

_COPIED_MIB = {False: 2048, True: 64}  # by whether sizes are tiny


def copy_gbs(place: Place) -> float:
    """GB/s of a copy on the device, bytes read and written."""
    size = _COPIED_MIB[place.is_tiny] * 2**20
    source = torch.ones(size, dtype=torch.uint8, device=place.device)
    target = torch.empty_like(source)
    return 2 * size / place.time(lambda: target.copy_(source)) / 1e6


def measure_ceilings(place: Place, clip: Tensor) -> None:
    """Bandwidth of copies, matrix products, and a batch of clips (bytes) from the host."""
    place.note(copy_GBs=copy_gbs(place))
    size, device = 256 if place.is_tiny else 8192, place.device
    precision("tf32", device)
    for name, dtype in (("bfloat16", torch.bfloat16), ("tf32", torch.float32)):
        a, b = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
        place.note(
            **{f"{name}_TFLOPs": 2 * size**3 / place.time(partial(torch.matmul, a, b)) / 1e9}
        )
    forms = {"uint8": clip, "float32": clip.float()}
    if place.is_cuda:
        forms |= {f"{name}, pinned": form.pin_memory() for name, form in forms.items()}
    for name, form in forms.items():
        ms = place.time(partial(form.to, device, non_blocking=True), inner=1)
        numbers = {"MB": form.nbytes / 1e6, "ms": ms, "GBs": form.nbytes / ms / 1e6}
        place.row("clips to the device", how=name, **numbers)
    there, mean, std = clip.to(device), *(torch.full((3,), x, device=device) for x in (0.45, 0.225))
    place.note(normalize_ms=place.time(lambda: normalize(there, mean, std)))


@dataclass(frozen=True)
class Depthwise:
    """A depthwise convolution of maps of C channels, T frames of size x size."""

    dim: int
    frames: int
    size: int
    kernel: Triple
    stride: Triple
    padding: Triple

    @property
    def weight_of_size(self) -> int:
        """About how much memory it touches."""
        return self.dim * self.frames * self.size**2

    def forms(self, x: Tensor, weight: Tensor) -> Iterator[tuple[str, tuple]]:
        """Names, and arguments of the convolution after which comes `groups`."""
        last = x.contiguous(memory_format=CHANNELS_LAST)
        yield "conv3d", (F.conv3d, x, weight, self.stride, self.padding)
        yield "conv3d, channels_last", (F.conv3d, last, weight, self.stride, self.padding)
        folded = last.permute(0, 2, 3, 4, 1)  # N,T,H,W,C
        if self.kernel[0] == self.stride[0] == 1:
            image, kernel = folded.flatten(0, 1), weight[:, :, 0]
            sizes = self.stride[1:], self.padding[1:]
        elif self.kernel[1:] == (1, 1) and self.stride == (1, 1, 1):
            image, kernel = folded.flatten(2, 3), weight[..., 0]
            sizes = (1, 1), (self.padding[0], 0)
        else:
            return
        image = image.permute(0, 3, 1, 2)
        yield "conv2d, channels_last", (F.conv2d, image, kernel, *sizes)
        yield "conv2d", (F.conv2d, image.contiguous(), kernel, *sizes)


@torch.no_grad()
def depthwise_layers(model: nn.Module, clips: Sequence[Tensor]) -> Counter[Depthwise]:
    """The depthwise convolutions of a network, and how many of each there are."""
    found: Counter[Depthwise] = Counter()

    def look(module: nn.Conv3d, inputs: tuple[Tensor]) -> None:
        if module.groups == module.in_channels > 1:
            sizes = module.kernel_size, module.stride, module.padding
            found[Depthwise(*inputs[0].shape[1:4], *sizes)] += 1

    for module in model.modules():
        if isinstance(module, nn.Conv3d):
            module.register_forward_pre_hook(look)
    model.eval()(clips)
    return found


def measure_depthwise(place: Place, net: str, layers: Counter[Depthwise], batch: int) -> None:
    """A row for each form of each layer and number type, and sums over a step."""
    torch.backends.cudnn.benchmark = not place.is_tiny
    speed = copy_gbs(place)
    order = sorted(layers, key=lambda layer: -layers[layer] * layer.weight_of_size)
    for dtype in (torch.bfloat16, torch.float32):
        totals: Counter[str] = Counter()
        for layer in order[: 2 if place.is_tiny else None]:
            for how, ms, perfect in _measure_layer(place, net, layer, batch, dtype, speed):
                totals[how] += layers[layer] * ms
                totals[f"{how}: copying the bytes"] += layers[layer] * perfect
        for how, ms in totals.items():
            title = "depthwise, all layers of a step"
            place.row(title, net=net, type=str(dtype)[6:], how=how, ms=ms)


def _measure_layer(
    place: Place, net: str, layer: Depthwise, batch: int, dtype: torch.dtype, speed: float
) -> Iterator[tuple[str, float, float]]:
    """Form, milliseconds forward and backward, and those of copying its bytes at `speed`.

    Forward: input and output once. Backward: input and its gradient, and twice that of the output.
    """
    keys, c = {"device": place.device, "dtype": dtype}, layer.dim
    x = torch.randn(batch, c, layer.frames, layer.size, layer.size, **keys)
    for how, (conv, image, kernel, *sizes) in layer.forms(
        x, torch.randn(c, 1, *layer.kernel, **keys)
    ):
        image, kernel = (value.detach().requires_grad_() for value in (image, kernel))
        forward = partial(conv, image, kernel, None, *sizes, groups=c)
        y = forward()
        grad = partial(torch.autograd.grad, y, (image, kernel), torch.randn_like(y))
        backward = partial(grad, retain_graph=True)
        ms, back_ms = place.time(forward), place.time(backward, inner=4)
        copying = (image.nbytes + y.nbytes) / speed / 1e6
        shape = f"{c},{layer.frames},{layer.size}"
        about = {"net": net, "C,T,H": shape, "kernel": f"{layer.kernel} / {layer.stride}"}
        about |= {"type": str(dtype)[6:], "how": how, "ms": ms, "of_copy": copying / ms}
        place.row("depthwise", **about, back_ms=back_ms, back_of_copy=2 * copying / back_ms)
        yield how, ms + back_ms, 3 * copying
