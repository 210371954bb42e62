"""How fast is the project on a GPU, and where does the time go? The most valuable first.

python benchmarks/gpu_bench.py --output results
python benchmarks/gpu_bench.py --device cpu --tiny

It ends by itself after --budget seconds.
"""

import copy
import os
import signal
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))  # benchmarks/ is not part of the package
os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # torch's profiler writes to the terminal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile

from benchmarks import gpu_kit
from benchmarks.gpu_kit import ROOT, Check, Place, Skip
from benchmarks.gpu_layers import depthwise_layers, measure_ceilings, measure_depthwise
from benchmarks.gpu_networks import (
    BFLOAT16,
    CHANNELS_LAST,
    CONTIGUOUS,
    build_clips,
    inference_work,
    make_sgd,
    peak_gib,
    place_in,
    precision,
    recipe,
    training_work,
)
from benchmarks.model import plain_twin
from slowfast.config.node import ConfigNode
from slowfast.engine.run import build_state, build_train_step
from slowfast.engine.step import SeededPasses
from slowfast.models import build_model
from slowfast.models.build import build_meta_inputs
from slowfast.models.fold import fold_batch_norm
from slowfast.runtime.device import build_autocast, build_device, clip_layout
from slowfast.runtime.stop import StopRequest
from slowfast.runtime.unreadable import UnreadableVideos
from slowfast.solver.ema import ModelEma
from slowfast.tasks import build_task

# Recipe, and clips of a step; crop 224, frames of the recipe.
_NETS = {
    "vov3d_m": ("vov3d/vov3d_M.yaml", 16),
    "x3d_m": ("x3d/X3D_M.yaml", 16),
    "slowfast_8x8": ("slowfast/SLOWFAST_8x8_R50.yaml", 16),
    "slow_8x8": ("slow/SLOW_8x8_R50.yaml", 16),
    "s3d_g": ("s3d/S3D_G.yaml", 8),
    "a3d_slow": ("a3d/A3D_SLOW_8x8_R50_06.yaml", 16),
}
_TINY = {"x3d_m": ("x3d/X3D_M.yaml", 2), "a3d_slow": ("a3d/A3D_X3D_M.yaml", 2)}
_SMALL = ("DATA.NUM_FRAMES", 4, "ADAPTIVE.FRAMES", "[4]", "ADAPTIVE.CROPS", "[48, 64]")
_COMPILE_SECONDS = {"cuda": 60, "cpu": 900}


def build_net(place: Place, name: str, *options) -> tuple[ConfigNode, int]:
    """Config of a network, and the clips of a step."""
    file, count = (_TINY if place.is_tiny else _NETS)[name]
    options = ("RESNET.ZERO_INIT_FINAL_BN", False, *options)
    if place.is_tiny:
        return recipe(place, f"Kinetics/{file}", *_SMALL, *options, crop=64), count
    return recipe(place, f"Kinetics/{file}", *options, crop=224), count


def build_example(place: Place, name: str) -> tuple[ConfigNode, list[Tensor], Tensor]:
    """Config, clips and labels on the device."""
    cfg, count = build_net(place, name)
    clips = [clip.to(place.device) for clip in build_clips(cfg, count)]
    return cfg, clips, torch.arange(count, device=place.device)


def build_engine_step(cfg: ConfigNode, count: int) -> tuple[Callable[[], Any], nn.Module]:
    """The project's training step on bytes of the host, and its model."""
    device = build_device(cfg)
    state, _ = build_state(cfg, device)
    state.model.train()
    passes = SeededPasses(
        build_task(cfg), device=device, autocast=build_autocast(cfg, device), seed=0
    )
    step = build_train_step(cfg, state, passes, UnreadableVideos([]))
    clips, numbers = build_clips(cfg, count, torch.uint8), torch.arange(count)
    if device.type == "cuda":
        clips = [clip.pin_memory() for clip in clips]
    batch = {"clips": clips, "failures": [], "damaged": [], "indices": numbers}
    batch |= {"labels": numbers % cfg.MODEL.NUM_CLASSES, "views": numbers * 0}
    stop = StopRequest()
    return lambda: step([batch], lr=1e-3, stop=stop), state.model


def build_plain_step(cfg: ConfigNode, count: int, device: torch.device) -> Callable[[], Any]:
    """PySlowFast's way: contiguous, eager, float32 clips; loss and hits are read each time."""
    model = place_in(plain_twin(build_model(cfg)), device, CONTIGUOUS).train()
    clips, labels, optimizer = build_clips(cfg, count), torch.arange(count), make_sgd(model)
    if device.type == "cuda":
        clips = [clip.pin_memory() for clip in clips]

    def work() -> tuple:
        x, y = [c.to(device, non_blocking=True) for c in clips], labels.to(device)
        optimizer.zero_grad()
        with precision("bfloat16", device):
            logits = model(x).float()
            loss = F.cross_entropy(logits, y)
        loss.backward()
        optimizer.step()
        hits = logits.topk(5, 1).indices.eq(y[:, None])
        return loss.item(), hits[:, :1].sum().item(), hits.sum().item()

    return work


def steps(place: Place, name: str) -> None:
    """Whole steps of the project, and PySlowFast's; waits of the host; where the time goes."""
    cfg, clips, labels = build_example(place, name)
    ours, model = build_engine_step(build_net(place, name, *BFLOAT16)[0], len(labels))
    alone = place_in(build_model(cfg), place.device, None)
    layout = clip_layout(place.device)
    works = {
        "PySlowFast's": build_plain_step(cfg, len(labels), place.device),
        "ours": ours,
        "ours, net alone": training_work(alone, clips, labels, kind="bfloat16", layout=layout),
    }
    times = place.time_in_turns(works, rounds=5, inner=3)
    for how, ms in times.items():
        ratio, speed = times["PySlowFast's"] / ms, 1e3 * len(labels) / ms
        place.row("steps", net=name, how=how, ms=ms, ratio=ratio, clips_s=speed)
    place.note(host_waits=_host_waits(place, ours))
    _profile(place, name, ours, times["ours"])
    _time_optimizers(place, model)


def _time_optimizers(place: Place, model: nn.Module) -> None:
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    works = {f"sgd_{key}": make_sgd(model, **{key: True}).step for key in ("foreach", "fused")}
    works["ema"] = partial(ModelEma(model, 0.999).update, model)
    times = place.time_in_turns(works)
    place.note(**{f"{name}_ms": ms for name, ms in times.items()})


def _host_waits(place: Place, work: Callable[[], Any]) -> dict[str, int]:
    """Lines in which a call waits for the GPU, and how often."""
    if not place.is_cuda:
        return {}
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        work()
        torch.cuda.set_sync_debug_mode("default")
    waits = (w for w in found if "called a synchronizing" in str(w.message))
    return dict(Counter(f"{w.filename.removeprefix(str(ROOT))}:{w.lineno}" for w in waits))


def _profile(place: Place, name: str, work: Callable[[], Any], wall_ms: float) -> None:
    """The heaviest kernels of a call, and the heaviest work of the host."""
    kinds = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if place.is_cuda else [])]
    with profile(activities=kinds) as profiler:
        work()
        place.synchronize()
    events = [e for e in profiler.key_averages() if not e.key.startswith("Optimizer.")]
    host = [(e.self_cpu_time_total / 1e3, e.count, e.key[:90]) for e in events]
    on_device = (e for e in events if "CUDA" in str(e.device_type))
    kernels = [(e.self_device_time_total / 1e3, e.count, e.key[:90]) for e in on_device]
    total, count = sum(ms for ms, *_ in kernels), sum(calls for _, calls, _ in kernels)
    place.note(wall_ms=wall_ms, kernel_ms=total, gpu_busy=total / wall_ms, kernels=count)
    for title, rows in (("kernels", sorted(kernels)[:-15:-1]), ("host", sorted(host)[:-9:-1])):
        for ms, calls, key in rows:
            place.row(f"{title} of a step of {name}", ms=ms, calls=calls, name=key)


def _make_works(
    place: Place, cfg: ConfigNode, clips: list[Tensor], labels: Tensor, kind: str
) -> tuple[dict, dict]:
    """Trainings and inferences by name, all of networks with the same weights."""
    torch.manual_seed(0)
    model, own = build_model(cfg), clip_layout(place.device)
    ours = place_in(copy.deepcopy(model), place.device, None)
    plain = place_in(plain_twin(model), place.device, CONTIGUOUS)
    last = place_in(model, place.device, CHANNELS_LAST)
    ways: dict[str, tuple] = {
        "plain": (plain, {"layout": CONTIGUOUS}),
        "ours": (ours, {"layout": own}),
        "ours, cudnn.benchmark": (ours, {"layout": own, "benchmark": True}),
        "channels_last, cudnn.benchmark": (last, {"layout": CHANNELS_LAST, "benchmark": True}),
    }
    scores = [inference_work(m, clips, kind=kind, **keys)() for m, keys in ways.values()]
    gaps = [float((s - scores[0]).norm() / scores[0].norm()) for s in scores]
    place.note(kind=kind, gap_of_ours=gaps[1], gap_of_channels_last=gaps[3])
    trainings = {
        name: training_work(m, clips, labels, kind=kind, **keys) for name, (m, keys) in ways.items()
    }
    folded = fold_batch_norm(ours, *build_meta_inputs(cfg, cfg.DATA.TRAIN_CROP_SIZE))
    ways["ours, folded"] = (folded, {"layout": own})
    inferences = {
        name: inference_work(m, clips, kind=kind, **keys) for name, (m, keys) in ways.items()
    }
    return trainings, inferences


def networks(place: Place, name: str, kind: str) -> None:
    """Training and inference of the plain network, of ours and of its variants, in turns."""
    cfg, clips, labels = build_example(place, name)
    trainings, inferences = _make_works(place, cfg, clips, labels, kind)
    memory = {how: peak_gib(place, work) for how, work in trainings.items()}
    train = place.time_in_turns(trainings, inner=3)
    infer = place.time_in_turns(inferences, inner=4)
    for how, ms in infer.items():
        row = {"infer_ms": ms, "infer_ratio": infer["plain"] / ms}
        if how in train:
            row |= {"train_ms": train[how], "ratio": train["plain"] / train[how]}
            row |= {"clips_s": 1e3 * len(labels) / train[how], "peak_gib": memory[how]}
        place.row("networks", net=name, kind=kind, how=how, **row)


def ceilings(place: Place) -> None:
    """Most that the card copies and multiplies."""
    cfg, count = build_net(place, "x3d_m")
    measure_ceilings(place, build_clips(cfg, count, torch.uint8)[0])


def depthwise(place: Place, name: str) -> None:
    """Every depthwise convolution of a network, as it could be computed."""
    cfg, clips, labels = build_example(place, name)
    layers = depthwise_layers(build_model(cfg).to(place.device), [clip[:1] for clip in clips])
    if not layers:
        raise Skip(f"{name} has no depthwise convolution")
    measure_depthwise(place, name, layers, len(labels))


def sandwich(place: Place) -> None:
    """A3D: a step of full, random and narrowest network, against the full one alone."""
    cfg, count = build_net(place, "a3d_slow", *BFLOAT16)
    full, _ = build_net(place, "a3d_slow", *BFLOAT16, "ADAPTIVE.ENABLE", False)
    works = {"full network alone": full, "sandwich": cfg}
    works = {how: build_engine_step(each, count)[0] for how, each in works.items()}
    times = place.time_in_turns(works, rounds=8)
    for how, ms in times.items():
        ratio, speed = times["full network alone"] / ms, 1e3 * count / ms
        place.row("steps", net="a3d_slow", how=how, ms=ms, ratio=ratio, clips_s=speed)
    place.note(host_waits=_host_waits(place, works["sandwich"]))
    _profile(place, "a3d_slow", works["sandwich"], times["sandwich"])


def compiled(place: Place, name: str) -> None:
    """torch.compile of training steps in bfloat16; it has a minute to compile."""
    cfg, clips, labels = build_example(place, name)
    for layout in (CONTIGUOUS, CHANNELS_LAST):
        eager = place_in(build_model(cfg), place.device, layout)
        fast = copy.deepcopy(eager)
        fast.compile()
        works = {
            how: training_work(model, clips, labels, kind="bfloat16", layout=layout)
            for how, model in (("eager", eager), ("compiled", fast))
        }
        signal.signal(signal.SIGALRM, signal.default_int_handler)
        signal.alarm(_COMPILE_SECONDS[place.kind])
        start = time.time()
        works["compiled"]()
        place.synchronize()
        signal.alarm(0)
        place.note(layout=str(layout)[6:], compile_s=time.time() - start)
        times = place.time_in_turns(works)
        row = {"ms": times["compiled"], "ratio": times["eager"] / times["compiled"]}
        row["clips_s"] = 1e3 * len(labels) / times["compiled"]
        place.row("steps", net=name, how=f"compiled, {str(layout)[6:]} (ratio: eager)", **row)


def make_checks(*, is_tiny: bool) -> list[Check]:
    """All, the most valuable first."""

    def each(work: Callable, limit: float, names: list[str], *kinds: str) -> list[Check]:
        rows = [(name, kind) for kind in kinds or ("",) for name in names]
        return [
            Check(
                ":".join(filter(None, (work.__name__, name, kind))),
                partial(work, name=name, **({"kind": kind} if kind else {})),
                limit,
            )
            for name, kind in rows
        ]

    nets = list(_TINY if is_tiny else _NETS)
    main = [name for name in nets if name in ("vov3d_m", "x3d_m", "slowfast_8x8")]
    others = [name for name in nets if name not in main]
    return [
        Check("ceilings", ceilings, 30),
        *each(steps, 45, main[:1]),
        *each(networks, 60, main[:2], "bfloat16", "tf32"),
        *each(depthwise, 45, main[:2]),
        *each(networks, 60, main[2:], "bfloat16", "tf32"),
        *each(networks, 45, others, "bfloat16"),
        Check("sandwich", sandwich, 40),
        *each(compiled, 130, ["x3d_m"]),
        *each(steps, 45, main[1:]),
        *each(networks, 45, others, "tf32"),
        *each(networks, 45, main, "float32"),
        *each(compiled, 130, [] if is_tiny else ["slow_8x8", "vov3d_m"]),
    ]


if __name__ == "__main__":
    OPTIONS = gpu_kit.parse_options(__doc__, lanes=1)  # timings want the machine for themselves
    sys.exit(gpu_kit.main("bench", make_checks(is_tiny=OPTIONS.tiny), OPTIONS))
