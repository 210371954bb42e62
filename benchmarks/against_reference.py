"""Training step and inference against the public code, network by network.

python benchmarks/against_reference.py --reference PATH_TO_A_PYSLOWFAST_CHECKOUT \
    [--vov3d PATH_TO_A_VOV3D_CHECKOUT] [--networks X3D-M SlowFast-8x8] [--rounds 9] [--threads 1]

Both networks run in processes of their own, with the same weights and clips, and take turns.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
WORKS = ("train", "infer")
TOLERANCE = 1e-3  # of the largest score, float32; 0.1 in bfloat16


@dataclass(frozen=True)
class Network:
    """YAML here and in the checkout; frames of each pathway."""

    ours: str
    reference: str
    frames: tuple[int, ...]
    package: str = "slowfast"


NETWORKS = {
    "VoV3D-M": Network(
        "configs/Kinetics/vov3d/vov3d_M.yaml",
        "configs/Kinetics/vov3d/vov3d_M.yaml",
        (16,),
        package="vov3d",
    ),
    "X3D-M": Network("configs/Kinetics/x3d/X3D_M.yaml", "configs/Kinetics/X3D_M.yaml", (16,)),
    "SlowFast-8x8": Network(
        "configs/Kinetics/slowfast/SLOWFAST_8x8_R50.yaml",
        "configs/Kinetics/SLOWFAST_8x8_R50.yaml",
        (8, 32),
    ),
    "Slow-8x8": Network(
        "configs/Kinetics/slow/SLOW_8x8_R50.yaml", "configs/Kinetics/SLOW_8x8_R50.yaml", (8,)
    ),
    "I3D-8x8": Network(
        "configs/Kinetics/i3d/I3D_8x8_R50.yaml", "configs/Kinetics/I3D_8x8_R50.yaml", (8,)
    ),
}


class Process:
    """A network in a process of its own (one_network.py)."""

    def __init__(self, task: dict[str, Any]):
        names = {"OMP_NUM_THREADS": str(task["threads"]), "PYTHONPATH": ""}
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("one_network.py")), json.dumps(task)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | names,
        )

    def ask(self, *command: Any) -> Any:
        """Result of a command of Worker; RuntimeError if the process has ended."""
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise RuntimeError(f"{command[0]}: the process has ended, see above")
        return json.loads(answer)

    def __enter__(self) -> "Process":
        return self

    def __exit__(self, *_error: object) -> None:
        self._process.stdin.close()
        self._process.wait()


def measure(name: str, args: argparse.Namespace) -> str:
    """A table of one network: medians with smallest and largest, memory, ratio."""
    network = NETWORKS[name]
    shapes = [[args.batch, 3, frames, args.crop, args.crop] for frames in network.frames]
    with tempfile.TemporaryDirectory() as folder:
        weights = str(Path(folder) / "weights.pyth")
        with Process(_task(network, args, package=network.package)) as reference:
            for command in (("clips", shapes), ("settle",), ("save", weights)):
                reference.ask(*command)
            with Process(_task(network, args, weights=weights)) as ours:
                ours.ask("clips", shapes)
                return _compare(name, reference, ours, args)


def _compare(name: str, reference: Process, ours: Process, args: argparse.Namespace) -> str:
    both = (reference, ours)
    difference = relative_difference(*(process.ask("scores") for process in both))
    if not difference < (0.1 if args.bf16 else TOLERANCE):
        raise RuntimeError(f"{name}: scores differ by {difference:.1e} of the largest one")
    for process in both:
        process.ask("forget")
    memory_before = [process.ask("peak") for process in both]
    times: dict[str, list[list[list[float]]]] = {}
    peaks = []
    for work in args.works:
        for process in both:  # two of each to warm up
            process.ask(work)
            process.ask(work)
        if work == "train":
            peaks = [process.ask("peak") for process in both]
        rounds = [[process.ask(work) for process in both] for _ in range(args.rounds)]
        times[work] = [list(column) for column in zip(*rounds, strict=True)]
    lines = [f"{name}: scores differ by {difference:.0e} of the largest one"]
    for work in args.works:
        title = "training step" if work == "train" else "inference"
        for number, kind in enumerate(("clock", "processor")):
            lines.append(_line(f"{title}, {kind}", times[work], number))
    if peaks:
        shown = [f"{at:.0f} ({old:.0f})" for at, old in zip(peaks, memory_before, strict=True)]
        lines.append(f"  peak of two steps, MB (before): reference {shown[0]}, ours {shown[1]}")
    return "\n".join(lines)


def _line(title: str, times: list[list[list[float]]], number: int) -> str:
    columns = [[1000 * seconds[number] for seconds in column] for column in times]
    shown = [
        f"{statistics.median(column):.0f} [{min(column):.0f}..{max(column):.0f}]"
        for column in columns
    ]
    ratio = statistics.median(columns[0]) / statistics.median(columns[1])
    return f"  {title + ', ms:':<30}reference {shown[0]}, ours {shown[1]}, ratio {ratio:.2f}"


def relative_difference(a: Sequence[Sequence[float]], b: Sequence[Sequence[float]]) -> float:
    """Largest difference of two tables of scores over the largest score."""
    largest = max(abs(x) for row in a for x in row)
    pairs = ((x, y) for rows in zip(a, b, strict=True) for x, y in zip(*rows, strict=True))
    return max(abs(x - y) for x, y in pairs) / largest


def _task(
    network: Network, args: argparse.Namespace, *, package: str = "", weights: str = ""
) -> dict[str, Any]:
    # No branch starts at zero, and no random draw differs.
    overrides = ["NUM_GPUS", 0, "RESNET.ZERO_INIT_FINAL_BN", False, "MODEL.DROPOUT_RATE", 0.0]
    for key in ("DATA.TRAIN_CROP_SIZE", "DATA.TEST_CROP_SIZE"):
        overrides += [key, args.crop]
    if package:
        checkout = args.vov3d if package == "vov3d" else args.reference
        path, config = [checkout], str(Path(checkout) / network.reference)
    else:
        path, config = [str(ROOT)], str(ROOT / network.ours)
        overrides += args.overrides
    return {
        "path": path,
        "package": package,
        "config": config,
        "overrides": overrides,
        "weights": weights,
        "threads": args.threads,
        "is_bf16": args.bf16 and not (package and args.backend != "torch"),
        "backend": args.backend,
    }


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line; argparse says what is wrong with it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--reference", required=True, metavar="FOLDER", help="PySlowFast checkout")
    parser.add_argument("--vov3d", metavar="FOLDER", help="checkout of VoV3D (default: left out)")
    parser.add_argument("--networks", nargs="+", choices=sorted(NETWORKS), default=list(NETWORKS))
    parser.add_argument("--rounds", type=int, default=9, help="of each (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=1, help="default: %(default)s")
    parser.add_argument("--batch", type=int, default=4, help="clips (default: %(default)s)")
    parser.add_argument("--crop", type=int, default=112, help="pixels (default: %(default)s)")
    parser.add_argument("--bf16", action="store_true", help="bfloat16 autocast in both")
    parser.add_argument("--works", nargs="+", choices=WORKS, default=WORKS, help="default: both")
    parser.add_argument(
        "--backend",
        choices=["torch", "onnxruntime", "openvino"],
        default="torch",
        help="of our inference; --bf16 with it leaves the reference in float32 (default: torch)",
    )
    parser.add_argument(
        "--set", nargs="+", dest="overrides", default=[], metavar="KEY VALUE", help="of ours"
    )
    args = parser.parse_args(argv)
    for folder in filter(None, (args.reference, args.vov3d)):
        if not (Path(folder) / "configs").is_dir():
            parser.error(f"{folder}: has no folder configs; give the root of a checkout")
    return args


def main(argv: Sequence[str] | None = None) -> int:
    """Measure the networks that the checkouts have."""
    args = parse_args(argv)
    for name in args.networks:
        if NETWORKS[name].package == "vov3d" and not args.vov3d:
            print(f"{name}: needs --vov3d, left out")
            continue
        print(measure(name, args), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
