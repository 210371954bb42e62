"""Is the project right on a GPU? Parity with the CPU, trainings, resuming, DDP, tools, tests.

python benchmarks/gpu_smoke.py --output results
python benchmarks/gpu_smoke.py --device cpu --tiny --only 'environment|parity'

Prints PASS, FAIL or SKIP for each check. It ends by itself after --budget seconds.
"""

import re
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # benchmarks/ is not part of the package

import av
import numpy as np
import torch

from benchmarks import gpu_kit
from benchmarks.gpu_kit import ROOT, Check, Place
from benchmarks.gpu_networks import (
    BFLOAT16,
    build_clips,
    peak_gib,
    place_in,
    recipe,
    training_work,
)
from benchmarks.gpu_parity import parity_checks
from benchmarks.gpu_runs import DEMO, Runs, torchrun
from slowfast.models import build_model
from slowfast.runtime.device import clip_layout, device_name
from slowfast.utils.io import read_json

_FLOAT16 = ("TRAIN.MIXED_PRECISION", True, "TRAIN.EMA_DECAY", 0.98, "SOLVER.CLIP_GRAD_L2NORM", 5.0)
_SCORE_GAP = 5e-3  # of TF32 and of other orders of addition
# Two processes see one GPU, as two.
_TWO_ON_ONE = """
if torch.cuda.is_available():
    set_device, torch.cuda.device_count = torch.cuda.set_device, lambda: 2
    torch.cuda.set_device = lambda number: set_device(0)
"""


def environment(place: Place) -> None:
    """Versions, commit and device."""
    git = ["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"]
    commit = subprocess.run(git, capture_output=True, text=True).stdout.strip()
    place.note(commit=commit, python=sys.version.split()[0], torch=torch.__version__)
    place.note(av=av.__version__, device=device_name(place.device))
    if place.is_cuda:
        place.note(cudnn=torch.backends.cudnn.version(), nccl=torch.cuda.nccl.version())


def motion_set(place: Place) -> None:
    """Videos of all runs."""
    runs = Runs(place)
    sizes = ("--train", 32, "--val", 8, "--test", 8) if place.is_tiny else ()
    workers = 12 if place.is_cuda else 2
    runs.tool("make_motion_dataset.py", "--output", runs.videos, "--workers", workers, *sizes)


def _train_demo(place: Place, name: str, options: tuple, floor: float) -> None:
    runs = Runs(place)
    runs.net(name, *options, epochs=int(place.is_tiny)).wait()
    last, top1 = runs.log_lines(name, "train_iter")[-1], runs.results(name)["top1_acc"]
    place.note(top1=top1, step_s=last["dt"], data_s=last["dt_data"], gpu_mem=last.get("gpu_mem"))
    assert place.is_tiny or top1 >= floor, f"top-1 {top1:.1f}, at least {floor} expected"


def demo_float32(place: Place) -> None:
    """The README's demo; its network knows nothing when the videos run backwards."""
    runs = Runs(place)
    _train_demo(place, "demo", (), 90)
    test = ("TRAIN.ENABLE", False, "TEST.CHECKPOINT_FILE_PATH", runs.weights("demo"))
    runs.net("backwards", *test, "TEST.REVERSE_TIME", True).wait()
    top1 = runs.results("backwards")["top1_acc"]
    place.note(backwards=top1)
    assert place.is_tiny or top1 < 10, f"top-1 {top1:.1f} backwards, below 10 expected"


def ddp_of_one(place: Place) -> None:
    """One process of torchrun: NCCL (gloo on a CPU), DDP, synchronised batch norm."""
    runs = Runs(place)
    options = ("TRAIN.EVAL_PERIOD", 1, "BN.NUM_BATCHES_PRECISE", 3, "TRAIN.EMA_DECAY", 0.9)
    options += ("BN.NORM_TYPE", "sync_batchnorm", "TRAIN.ACCUMULATION_STEPS", 2)
    options += ("BN.GLOBAL_SYNC", True, "TRAIN.MIXED_PRECISION", place.is_cuda)
    runs.net("ddp", *options, epochs=1, before=torchrun(1)).wait()
    place.note(top1=runs.results("ddp")["top1_acc"])


def two_ranks_one_gpu(place: Place) -> None:
    """Over gloo on one card: the losses of one process."""
    runs, losses = Runs(place), []
    script = runs.script("two_on_one", _TWO_ON_ONE)
    options = ("MODEL.FROZEN_BN", True, "MODEL.DROPOUT_RATE", 0.0, "BN.USE_PRECISE_STATS", False)
    options += ("LOG_PERIOD", 1, "SOLVER.BASE_LR", 0.01, "TRAIN.EVAL_PERIOD", 1, "TF32", False)
    for count in (1, 2):
        name, before = f"ranks{count}", torchrun(count, script)
        runs.net(name, *options, "DIST_BACKEND", "gloo", epochs=1, before=before).wait()
        losses.append([line["loss"] for line in runs.log_lines(name, "train_iter")])
    gap = float(np.abs(np.subtract(*losses)).max())
    place.note(steps=len(losses[0]), loss_gap=gap)
    assert gap < 1e-3, losses


def resume(place: Place, is_deterministic: bool) -> None:
    """A run that SIGTERM stopped in epoch 2 and that goes on, beside two that nobody stopped.

    No step is lost. Its weights are as near to those of one straight run as the other's are, up to
    a factor of 4; with DETERMINISTIC they are the same.
    """
    runs = Runs(place)
    options = ("LOG_PERIOD", 1, "TEST.ENABLE", False, "TRAIN.EVAL_PERIOD", 3)
    options += ("TRAIN.CHECKPOINT_PERIOD", 1, "BN.USE_PRECISE_STATS", False)
    options += ("DETERMINISTIC", is_deterministic)
    names = [f"resume_{is_deterministic}_{x}" for x in ("straight", "stopped", "again")]
    programs = [runs.net(name, *options, epochs=3) for name in names]
    lines = partial(runs.log_lines, names[1], "train_iter")
    programs[1].stop_when(lambda: any(line["epoch"] == "2/3" for line in lines()))
    texts = [one.wait(143 if one is programs[1] else 0) for one in programs]
    place.note(stopped=f"{lines()[-1]['epoch']} {lines()[-1]['iter']}")
    runs.net(names[1], *options, epochs=3).wait()
    steps = [[(r["epoch"], r["iter"]) for r in runs.log_lines(n, "train_iter")] for n in names]
    assert steps[0] == steps[1], f"steps were lost or done twice: {steps[1]}"
    states = [torch.load(runs.weights(n), map_location="cpu")["model_state"] for n in names]
    resumed, straight = (_distance(state, states[0]) for state in states[1:])
    pattern = r"(\w+) does not have a deterministic implementation"
    place.note(resumed_gap=resumed, straight_gap=straight)
    place.note(not_deterministic=sorted(set(re.findall(pattern, "".join(texts)))))
    assert resumed <= 4 * straight, "the resumed run is farther from a straight one than another"


def _distance(one: dict, other: dict) -> float:
    """The largest relative L2 distance of two tensors of a name."""
    pairs = [(one[name].double(), value.double()) for name, value in other.items()]
    return max(float((a - b).norm() / b.norm().clamp_min(1e-12)) for a, b in pairs)


def adaptive(place: Place) -> None:
    """A3D: training, calibration and table, a test within a budget."""
    runs, cfg = Runs(place), "demo/a3d_slow_motion.yaml"
    options = ("ADAPTIVE.WIDTHS", "[0.63, 1.0]", "ADAPTIVE.FRAMES", "[4, 8]")
    options += ("ADAPTIVE.CROPS", "[48, 64]", "TRAIN.MIXED_PRECISION", place.is_cuda)
    runs.net("a3d", *options, epochs=1 if place.is_tiny else 6, cfg=cfg).wait()
    weights = runs.weights("a3d")
    words = ("--cfg", place.folder / "a3d/config.yaml", "--checkpoint", weights, "--repeats", 5)
    opts = ("NUM_GPUS", runs.num_gpus, "DATA_LOADER.NUM_WORKERS", runs.num_workers)
    runs.tool("budget.py", "table", *words, "--opts", *opts)
    table = read_json(Path(f"{weights}.budget_table.json"))
    rows = [(r["configuration"], r["latency_ms"], r["top1_acc"]) for r in table["configurations"]]
    place.note(device=table["device"], rows=rows)
    test = ("TRAIN.ENABLE", False, "TEST.CHECKPOINT_FILE_PATH", weights, "TEST.BUDGET", "500ms")
    runs.net("budget", *options, *test, cfg=cfg).wait()
    place.note(top1_at_budget=runs.results("budget")["top1_acc"])
    assert np.isfinite([row[1:] for row in rows]).all(), rows


def _places(runs: Runs) -> tuple:
    return (("device", runs.num_gpus), ("cpu", 0))


def multi_view_test(place: Place) -> None:
    """Scores of 4 x 3 views of every test video, on the GPU as on the CPU."""
    runs, scores = Runs(place), []
    options = ("TRAIN.ENABLE", False, "TEST.CHECKPOINT_FILE_PATH", runs.weights("demo"))
    options += ("TEST.BATCH_SIZE", 48, "TEST.NUM_ENSEMBLE_VIEWS", 4, "TEST.NUM_SPATIAL_CROPS", 3)
    for name, num_gpus in _places(runs):
        runs.net(f"views_{name}", *options, "NUM_GPUS", num_gpus).wait()
        with np.load(place.folder / f"views_{name}/test_scores.npz") as content:
            scores.append({k: content[k] for k in content.files if content[k].dtype.kind == "f"})
    gaps = [np.nanmax(np.abs(scores[0][k] - v)) for k, v in scores[1].items() if v.size]
    place.note(score_gap=float(max(gaps)), top1=runs.results("views_device")["top1_acc"])
    assert max(gaps) < _SCORE_GAP


def predict(place: Place) -> None:
    """tools/predict.py says on the GPU what it says on the CPU."""
    runs, found = Runs(place), []
    clips = sorted((runs.videos / "test").rglob("*.mp4"))[:8]
    words = ("--cfg", ROOT / "configs" / DEMO, "--checkpoint", runs.weights("demo"))
    for name, num_gpus in _places(runs):
        output = place.folder / f"predict_{name}.json"
        runs.tool("predict.py", *clips, *words, "--output", output, "NUM_GPUS", num_gpus)
        scores = re.findall(r'"score": ([0-9.e-]+)', output.read_text())
        found.append([float(score) for score in scores])
    gap = float(np.abs(np.subtract(*found)).max())
    place.note(scores=len(found[0]), score_gap=gap)
    assert len(found[0]) >= len(clips) and gap < _SCORE_GAP


def compiled(place: Place) -> None:
    """TRAIN.COMPILE on the small network in bfloat16."""
    runs = Runs(place)
    options = (*BFLOAT16, "TRAIN.EVAL_PERIOD", 2, "TRAIN.COMPILE", True)
    runs.net("compiled", *options, epochs=1 if place.is_tiny else 2).wait()
    line = runs.log_lines("compiled", "train_epoch")[-1]
    place.note(top1=runs.results("compiled")["top1_acc"], loss=line["loss"], s=line["seconds"])
    assert np.isfinite(line["loss"])


def memory(place: Place) -> None:
    """Peak of training steps, 8 clips at 224; after the first steps nothing grows."""
    device, count = place.device, 2 if place.is_tiny else 8
    for file in ("vov3d/vov3d_M.yaml", "slowfast/SLOWFAST_8x8_R50.yaml"):
        cfg = recipe(place, f"Kinetics/{file}", crop=64 if place.is_tiny else 224)
        clips = [clip.to(device) for clip in build_clips(cfg, count)]
        for kind in ("tf32", "bfloat16"):
            model, labels = build_model(cfg), torch.arange(count, device=device)
            layout = {"kind": kind, "layout": clip_layout(device)}
            train = training_work(place_in(model, device, None), clips, labels, **layout)
            train()
            train()
            place.note(**{f"{cfg.MODEL.MODEL_NAME}_{kind}_gib": peak_gib(place, train)})
            used = {_used_after(train) for _ in range(6)} if place.is_cuda else {0}
            assert len(used) == 1, f"allocated bytes after each step: {used}"


def _used_after(work: Callable[[], None]) -> int:
    work()
    return torch.cuda.memory_allocated()


def tests(place: Place) -> None:
    """pytest --gpu on a GPU; a few tests of the engine on a CPU."""
    files = ("tests/gpu", "tests/engine", "tests/tasks", "tests/adaptive", "tests/solver")
    words = (*files, "--gpu", "-k", "cuda or gpu", "-n", 8)
    if not place.is_cuda:
        words = ("tests/engine/test_step.py",)
    command = (sys.executable, "-m", "pytest", "-q", "--tb=line", "-p", "no:cacheprovider")
    program = Runs(place).start(*command, *words)
    program.process.wait()
    place.note(exit_code=program.process.returncode)
    program.wait()


def make_checks(*, is_tiny: bool, is_cuda: bool) -> list[Check]:
    """All, the most valuable first."""
    bfloat16 = partial(_train_demo, name="bfloat16", options=BFLOAT16, floor=85)
    float16 = partial(_train_demo, name="float16", options=_FLOAT16, floor=85)
    videos = "motion_set"
    return [
        Check("environment", environment, 25),
        Check(videos, motion_set, 60),
        Check("demo_float32", demo_float32, 130, videos),
        *parity_checks(is_tiny=is_tiny),
        Check("demo_bfloat16", bfloat16, 100, videos),
        *([Check("demo_float16", float16, 100, videos)] if is_cuda else []),
        Check("ddp_of_one", ddp_of_one, 100, videos),
        Check("two_ranks_one_gpu", two_ranks_one_gpu, 110, videos),
        Check("resume", partial(resume, is_deterministic=False), 90, videos),
        Check("adaptive", adaptive, 110, videos),
        Check("multi_view_test", multi_view_test, 70, "demo_float32"),
        Check("predict", predict, 70, "demo_float32"),
        Check("compiled", compiled, 110, videos),
        Check("memory", memory, 60),
        Check("resume_deterministic", partial(resume, is_deterministic=True), 90, videos),
        Check("tests", tests, 180),
    ]


if __name__ == "__main__":
    OPTIONS = gpu_kit.parse_options(__doc__, lanes=6)
    CHECKS = make_checks(is_tiny=OPTIONS.tiny, is_cuda=OPTIONS.device == "cuda")
    sys.exit(gpu_kit.main("smoke", CHECKS, OPTIONS))
