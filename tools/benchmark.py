"""Time our way against the plain one: tools/benchmark.py {model,data,loader,test} [options]"""

import argparse
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # benchmarks/ is not part of the package

from benchmarks.data import (  # noqa: E402
    add_data_arguments,
    add_test_arguments,
    run_data,
    run_test,
)
from benchmarks.loader import add_loader_arguments, run_loader  # noqa: E402
from benchmarks.model import add_model_arguments, run_model  # noqa: E402

_BENCHMARKS = {
    "model": (
        "training step and inference against a network of contiguous nn.Conv3d",
        add_model_arguments,
        run_model,
    ),
    "data": ("training clips against decoding whole videos", add_data_arguments, run_data),
    "loader": (
        "training clips per second from a loader with workers, for each way of storing videos",
        add_loader_arguments,
        run_loader,
    ),
    "test": ("all views of a video against reopening it for each", add_test_arguments, run_test),
}


def main(argv: list[str] | None = None) -> int:
    """Prints tables; returns the exit code."""
    parser = argparse.ArgumentParser(description="Both ways take turns; numbers are medians.")
    commands = parser.add_subparsers(required=True, metavar="{" + ",".join(_BENCHMARKS) + "}")
    for name, (description, add_arguments, run) in _BENCHMARKS.items():
        command = commands.add_parser(name, help=description, description=description)
        add_arguments(command)
        command.set_defaults(run=run)
    args = parser.parse_args(argv)
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # torch's profiler writes to the terminal
    try:
        print(args.run(args))
    except (ValueError, OSError) as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
