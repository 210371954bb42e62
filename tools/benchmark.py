"""Time our way against the plain one: benchmark.py {model,export,data,loader,test,stores} [options]

Both ways take turns; numbers are medians.

python tools/benchmark.py model --model x3d_m vov3d_m --threads 1
python tools/benchmark.py loader --workers 4
"""

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path

from slowfast.utils.cli import (
    Command,
    add_output,
    add_overrides,
    add_repeats,
    add_threads,
    at_least,
    imported_later,
    parse_command,
    run_tool,
)

_ROOT = Path(__file__).parents[1]
_MODELS = {
    "s3d": "configs/Kinetics/s3d/S3D.yaml",
    "slow_8x8": "configs/Kinetics/slow/SLOW_8x8_R50.yaml",
    "slowfast_8x8": "configs/Kinetics/slowfast/SLOWFAST_8x8_R50.yaml",
    "vov3d_m": "configs/Kinetics/vov3d/vov3d_M.yaml",
    "x3d_m": "configs/Kinetics/x3d/X3D_M.yaml",
}

_EXPORTED = [
    *(_MODELS[name] for name in ("vov3d_m", "x3d_m", "slowfast_8x8")),
    *("configs/Kinetics/s3d/S3D_G.yaml", "configs/Kinetics/tsm/TSM_R50_8f.yaml"),
    "configs/Kinetics/mvit/MVITv2_S_16x4.yaml",
]


def main(argv: list[str] | None = None) -> int:
    """Returns the exit code."""
    command, args = parse_command(__doc__, _BENCHMARKS, argv)
    return run_tool(command.run, args)


def _benchmark(
    summary: str, place: str, add_arguments: Callable[[argparse.ArgumentParser], None]
) -> Command:
    """The function at `place` gets all arguments by their names and returns tables."""
    measure = imported_later(place)

    def add_all(parser: argparse.ArgumentParser) -> None:
        add_output(parser, "write the tables there, too")
        add_arguments(parser)

    def run(args: argparse.Namespace) -> None:
        sys.path.insert(0, str(_ROOT))  # benchmarks/ is not part of the package
        os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # torch's profiler writes to the terminal
        output = vars(args).pop("output")
        tables = measure(args)
        print(tables)
        if output:
            Path(output).write_text(f"{tables}\n", encoding="utf-8")

    return Command(summary, add_all, run)


def _add_model(parser: argparse.ArgumentParser) -> None:
    files = {"nargs": "+", "dest": "cfg", "default": [*_MODELS.values()]}
    parser.add_argument("--cfg", **files, metavar="FILE", help="YAML files to measure")
    parser.add_argument(
        "--model",
        **files,
        type=_model_file,
        metavar="NAME",
        help=f"the same by name: {', '.join(_MODELS)} (default: all of these)",
    )
    parser.add_argument("--batch", type=at_least(1), default=4, help="clips (default: %(default)s)")
    parser.add_argument("--frames", type=int, help="frames (default: as in the YAML)")
    parser.add_argument("--crop", type=int, default=112, help="pixels (default: %(default)s)")
    add_threads(parser, default=2)
    add_repeats(parser, default=9)
    add_overrides(parser)


def _add_export(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--cfg", nargs="+", default=_EXPORTED, metavar="FILE", help="YAML files")
    add_threads(parser, default=1)
    add_repeats(parser, default=5)
    add_overrides(parser)


def _model_file(name: str) -> str:
    """Type of an argument; argparse names it in its message."""
    if name not in _MODELS:
        raise argparse.ArgumentTypeError(f"{name!r} is not one of {sorted(_MODELS)}")
    return _MODELS[name]


def _add_clip(parser: argparse.ArgumentParser, *, crop_size: int) -> None:
    parser.add_argument("--frames", type=int, default=16, help="per clip (default: %(default)s)")
    parser.add_argument("--rate", type=int, default=5, help="step between (default: %(default)s)")
    parser.add_argument(
        "--crop-size", type=int, default=crop_size, help="pixels (default: %(default)s)"
    )


def _add_training_clip(parser: argparse.ArgumentParser) -> None:
    _add_clip(parser, crop_size=224)
    parser.add_argument(
        "--short-side",
        type=int,
        nargs=2,
        default=(256, 320),
        metavar="PIXELS",
        help="smallest and largest (default: 256 320)",
    )


def _add_data(parser: argparse.ArgumentParser) -> None:
    _add_training_clip(parser)
    add_repeats(parser, default=20)


def _add_loader(parser: argparse.ArgumentParser) -> None:
    _add_training_clip(parser)
    parser.add_argument("--workers", type=int, default=2, help="of each (default: %(default)s)")
    parser.add_argument(
        "--batch-size", type=int, default=4, help="clips per batch (default: %(default)s)"
    )
    parser.add_argument(
        "--num-clips", type=int, default=48, help="clips per round (default: %(default)s)"
    )
    add_repeats(parser, default=5)


def _add_test(parser: argparse.ArgumentParser) -> None:
    _add_clip(parser, crop_size=256)
    parser.add_argument("--clips", type=int, default=10, help="per video (default: %(default)s)")
    parser.add_argument(
        "--crops", type=int, default=3, choices=(1, 3), help="per clip (default: %(default)s)"
    )
    add_repeats(parser, default=3)


def _add_stores(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--num-clips", type=at_least(100), default=5000, help="videos (default: %(default)s)"
    )
    parser.add_argument("--workers", type=int, default=2, help="of each (default: %(default)s)")
    parser.add_argument(
        "--batch-size", type=at_least(1), default=20, help="clips per batch (default: %(default)s)"
    )


_BENCHMARKS = {
    "model": _benchmark(
        "training step and inference against a network of contiguous nn.Conv3d",
        "benchmarks.model:run_model",
        _add_model,
    ),
    "export": _benchmark(
        "latency, size and agreement of exported networks in each backend, on one test clip",
        "benchmarks.export:run_export",
        _add_export,
    ),
    "data": _benchmark(
        "training clips against decoding whole videos", "benchmarks.data:run_data", _add_data
    ),
    "loader": _benchmark(
        "training clips per second from a loader with workers, for each way of storing videos",
        "benchmarks.loader:run_loader",
        _add_loader,
    ),
    "test": _benchmark(
        "all views of a video against reopening it for each", "benchmarks.data:run_test", _add_test
    ),
    "stores": _benchmark(
        "training clips per second from tars and an S3 server of this machine, against plain files",
        "benchmarks.stores:run_stores",
        _add_stores,
    ),
}


if __name__ == "__main__":
    sys.exit(main())
