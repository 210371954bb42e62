"""Training step and inference: our way, and a plain twin with contiguous nn.Conv3d."""

import copy
from collections import Counter
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from tabulate import tabulate
from torch import nn
from torch.profiler import ProfilerActivity, profile

from slowfast.config.cli import load_cfg
from slowfast.config.derived import class_counts, pathway_strides
from slowfast.config.node import ConfigNode
from slowfast.models import build_model
from slowfast.runtime.latency import HEADER, Timing, time_in_turns

_ALIGN = ("left", "right", "right", "right")


def plain_twin(model: nn.Module) -> nn.Module:
    """A copy with the same numbers that computes as PyTorch does by default.

    Every convolution is an nn.Conv3d, every batch norm an nn.BatchNorm3d, all contiguous.
    """
    twin = copy.deepcopy(model)
    for module in twin.modules():
        for base in (nn.Conv3d, nn.BatchNorm3d):
            if isinstance(module, base):
                module.__class__ = base
    return twin.to(memory_format=torch.contiguous_format)


class Contender:
    """A network with what a training step and inference need; its clips in its memory order.

    There is a label per clip, or where there are `boxes` per box.
    """

    def __init__(
        self,
        model: nn.Module,
        clips: list[torch.Tensor],
        labels: torch.Tensor,
        boxes: torch.Tensor | None,
    ):
        self.model, self.clips, self.labels, self.boxes = model, clips, labels, boxes
        self.optimizer = torch.optim.SGD(
            model.parameters(), lr=1e-3, momentum=0.9, nesterov=True, weight_decay=5e-5
        )

    def train_step(self) -> None:
        """Forward, cross entropy, backward, one step of SGD."""
        self.model.train()
        self.optimizer.zero_grad()
        F.cross_entropy(self.model(self.clips, self.boxes), self.labels).backward()
        self.optimizer.step()

    @torch.no_grad()
    def infer(self) -> torch.Tensor:
        """Scores in evaluation mode."""
        return self.model.eval()(self.clips, self.boxes)

    @torch.no_grad()
    def features(self) -> torch.Tensor:
        """The last maps in training mode, which depend on all layers and on no random draw.

        In float64: batch norms of few positions blow up the rounding of float32.
        """
        model = copy.deepcopy(self.model).double().train()
        return model.forward_features([clip.double() for clip in self.clips])[0]


def relative_difference(ours: Contender, plain: Contender) -> float:
    """Largest difference of the last maps over their largest value."""
    a, b = ours.features(), plain.features()
    return float((a - b).abs().max() / b.abs().max())


def profile_operators(work: Callable[[], object], *, repeats: int) -> list[tuple[str, float]]:
    """(operator, its own milliseconds per call of `work`), most expensive first."""
    work()
    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        for _ in range(repeats):
            work()
    times: Counter[str] = Counter()
    for event in profiler.key_averages():
        times[event.key] += event.self_cpu_time_total / 1e3 / repeats
    return times.most_common()


def _profile_table(work: Callable[[], object], *, rows: int) -> str:
    times = profile_operators(work, repeats=2)
    total = sum(milliseconds for _, milliseconds in times)
    top = [[name, ms, f"{100 * ms / total:.0f} %"] for name, ms in times[:rows]]
    rest = total - sum(ms for _, ms in times[:rows])
    table = [*top, ["everything else", rest, f"{100 * rest / total:.0f} %"]]
    return tabulate(table, headers=["operator", "ms", "share"], floatfmt=".1f")


def machine_ceilings(*, repeats: int, size: int = 1024) -> tuple[float, float]:
    """GFLOP/s of a product of matrices, and GB/s (read and written) of a copy, best of `repeats`.

    No step is faster than its arithmetic at the first or its maps at the second. `size`: of the
    matrices; the copy has 16 times their memory, 64 MiB.
    """
    matrix, source = torch.randn(size, size), torch.randn(16 * size * size)
    target = torch.empty_like(source)
    product, copy_ = time_in_turns(
        lambda: torch.mm(matrix, matrix), lambda: target.copy_(source), repeats=repeats
    )
    num_bytes = 2 * source.numel() * source.element_size()
    return 2 * size**3 / min(product) / 1e9, num_bytes / min(copy_) / 1e9


def measure(ours: Contender, plain: Contender, *, name: str, repeats: int) -> str:
    """Tables of medians and of where our time goes, from both networks taking turns."""
    difference = relative_difference(ours, plain)
    if not difference < 1e-6:
        raise RuntimeError(f"{name}: the plain twin's maps differ by {difference:.1e}")
    works = [plain.train_step, ours.train_step, plain.infer, ours.infer]
    time_in_turns(*works, repeats=1)  # warm up
    times = time_in_turns(*works, repeats=repeats)
    ceilings = machine_ceilings(repeats=repeats)
    rows = [Timing("training step", *times[:2]).row(), Timing("inference", *times[2:]).row()]
    parts = [
        f"{name}: last maps differ by {difference:.0e} of their largest value",
        tabulate(rows, headers=[name, *HEADER], disable_numparse=True, colalign=_ALIGN),
        "this machine, now: {:.0f} GFLOP/s, copies {:.1f} GB/s".format(*ceilings),
        "our training step, by operator",
        _profile_table(ours.train_step, rows=10),
        "our inference, by operator",
        _profile_table(ours.infer, rows=6),
    ]
    return "\n\n".join(parts)


def build_contenders(cfg: ConfigNode, *, batch: int) -> tuple[Contender, Contender]:
    """Our network as the engine runs it, and its plain twin, on the same random clips."""
    torch.manual_seed(cfg.RNG_SEED)
    model = build_model(cfg).to(memory_format=torch.channels_last_3d)
    size = cfg.DATA.TRAIN_CROP_SIZE
    clips = [
        torch.randn(batch, channels, cfg.DATA.NUM_FRAMES // stride, size, size)
        for channels, stride in zip(cfg.DATA.INPUT_CHANNEL_NUM, pathway_strides(cfg), strict=True)
    ]
    labels = torch.randint(sum(class_counts(cfg.MODEL.NUM_CLASSES)), (batch,))
    boxes = None
    if cfg.DETECTION.ENABLE:  # the whole of each clip
        boxes = torch.tensor([[number, 0.0, 0.0, size, size] for number in range(batch)])
    plain = Contender(plain_twin(model), clips, labels, boxes)
    clips = [clip.contiguous(memory_format=torch.channels_last_3d) for clip in clips]
    return Contender(model, clips, labels, boxes), plain


def run_model(
    *,
    cfg: Sequence[str],
    overrides: Sequence,
    batch: int,
    frames: int | None,
    crop: int,
    repeats: int,
) -> str:
    """Measure the networks of YAML files on the CPU and return tables."""
    # Every branch counts in the comparison of outputs, none starts at zero.
    overrides = [
        *overrides,
        *("DATA.TRAIN_CROP_SIZE", crop, "NUM_GPUS", 0),
        *("RESNET.ZERO_INIT_FINAL_BN", False),
        *(("DATA.NUM_FRAMES", frames) if frames else ()),
    ]
    tables = []
    for path in cfg:
        ours, plain = build_contenders(load_cfg(path, overrides), batch=batch)
        tables.append(measure(ours, plain, name=path, repeats=repeats))
    return "\n\n\n".join(tables)
