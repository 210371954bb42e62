"""One adaptive network (ADAPTIVE.ENABLE) at any budget: budget.py {table,extract,compare}

python tools/budget.py table --cfg A3D_X3D_M.yaml --checkpoint a3d_x3d_m.pyth --budgets 1G 4G 50ms
python tools/budget.py extract --at 0.63,8,160 --cfg A3D_X3D_M.yaml \
    --checkpoint a3d_x3d_m.pyth --output outputs/small
python tools/budget.py compare --cfg A3D_X3D_M.yaml --adaptive a3d_1.pyth a3d_2.pyth \
    --alone x3d_1.pyth x3d_2.pyth --output outputs/compared.json
"""

import argparse
import logging
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from slowfast.utils.cli import (
    Command,
    add_cfg,
    add_checkpoint,
    add_output,
    add_overrides,
    add_repeats,
    add_threads,
    parse_command,
    run_tool,
)

logger = logging.getLogger("slowfast.budget")


def main(argv: list[str] | None = None) -> int:
    """Returns the exit code."""
    command, args = parse_command(__doc__, _COMMANDS, argv)
    return run_tool(command.run, args)


def add_table_arguments(parser: argparse.ArgumentParser) -> None:
    add_cfg(parser)
    add_checkpoint(parser)
    add_output(parser, ".json (default: <weights>.budget_table.json)")
    parser.add_argument(
        "--budgets", nargs="+", default=[], metavar="4G", help="name the best for these, too"
    )
    add_threads(parser)
    add_repeats(parser, default=20, least=0)
    add_overrides(parser)


def run_table(args: argparse.Namespace) -> int:
    """Measure all operating points, in one process or several."""
    from slowfast.adaptive.budget import table_path
    from slowfast.config.derived import parse_budget

    path = _json_path(args.output or table_path(args.checkpoint))
    for text in args.budgets:
        parse_budget(text)
    return _launch(table, args, path)


def _launch(work: Callable, args: argparse.Namespace, path: Path) -> int:
    """The exit code of work(args, path, overrides of the process), in all processes."""
    from slowfast.adaptive.scores import NO_TRAINING
    from slowfast.config.cli import load_cfg
    from slowfast.runtime.launch import launch_tool

    cfg = load_cfg(args.cfg, [*args.overrides, *NO_TRAINING])
    return launch_tool(partial(work, args, path), cfg)


def table(args: argparse.Namespace, path: Path, placing: list) -> int:
    """Measure the points; the main process writes the files, prints what to run at which budget."""
    from slowfast.adaptive.report import front_text, write_table
    from slowfast.adaptive.table import measure_table
    from slowfast.runtime.stop import StopRequest
    from slowfast.utils import distributed

    stop, options = StopRequest(), [*args.overrides, *placing]
    table = measure_table(args.cfg, args.checkpoint, options, repeats=args.repeats, stop=stop)
    if not distributed.is_main_process():
        return 0
    path = _path_of(path, is_partial=bool(stop.signum))
    picks = write_table(path, table, budgets=args.budgets)
    print(front_text(table, picks))
    about = table.about
    logger.info(
        "%d of %d videos, %s views, on %s; files: %s, .csv, .png",
        *(about["num_videos"], about["num_test_videos"], about["views"], about["device"], path),
    )
    return stop.exit_code if stop.signum else 0


def add_extract_arguments(parser: argparse.ArgumentParser) -> None:
    add_cfg(parser)
    add_checkpoint(parser)
    add_output(parser, "folder of the files", metavar="DIR", required=True)
    parser.add_argument(
        *("--at", "--config"),
        required=True,
        metavar="W,T,S",
        help="operating point: width, frames, crop, e.g. 0.63,5,178",
    )
    add_overrides(parser)


def run_extract(args: argparse.Namespace) -> None:
    """Write the network of an operating point."""
    from slowfast.adaptive.extract import extract
    from slowfast.config.cli import load_cfg
    from slowfast.models.operating_point import OperatingPoint

    cfg, point = load_cfg(args.cfg, args.overrides), OperatingPoint.parse(args.at)
    weights, yaml = extract(cfg, args.checkpoint, point, args.output)
    logger.info("%s is a plain network: %s and %s", point, weights, yaml)


def add_compare_arguments(parser: argparse.ArgumentParser) -> None:
    add_cfg(parser, "YAML file of the adaptive networks")
    add_output(parser, ".json", required=True)
    parser.add_argument(
        "--adaptive", nargs="+", required=True, metavar="FILE", help="weights, one file a seed"
    )
    parser.add_argument(
        "--alone", nargs="+", default=[], metavar="FILE", help="weights of ADAPTIVE.ENABLE False"
    )
    parser.add_argument(
        *("--at", "--configs"),
        nargs="+",
        default=[],
        metavar="W,T,S",
        help="operating points (default: those of the table)",
    )
    add_threads(parser)
    add_overrides(parser)


def run_compare(args: argparse.Namespace) -> int:
    """Score all networks at the same operating points, in one process or several."""
    from slowfast.models.operating_point import OperatingPoint

    args.points = [OperatingPoint.parse(text) for text in args.at]
    return _launch(comparison, args, _json_path(args.output))


def comparison(args: argparse.Namespace, path: Path, placing: list) -> int:
    """Score the networks; the main process writes the files, prints means."""
    from slowfast.adaptive.compare import compare, comparison_text, write_comparison
    from slowfast.runtime.stop import StopRequest
    from slowfast.utils import distributed

    stop, options = StopRequest(), [*args.overrides, *placing]
    comparison = compare(
        *(args.cfg, args.adaptive, args.alone, options),
        points=args.points,
        stop=stop,
    )
    if not distributed.is_main_process():
        return 0
    path = _path_of(path, is_partial=bool(stop.signum))
    write_comparison(path, comparison)
    print(comparison_text(comparison))
    about = comparison.about
    logger.info(
        "top-1 (%%) of %d of %d videos, mean and sample deviation; files: %s, .csv",
        *(about["num_videos"], about["num_test_videos"], path),
    )
    return stop.exit_code if stop.signum else 0


def _path_of(path: Path, *, is_partial: bool) -> Path:
    """The file to write: a partial table never replaces a whole one, a whole one removes it."""
    partial = path.with_suffix(".partial.json")
    for suffix in () if is_partial else (".json", ".csv", ".png"):
        partial.with_suffix(suffix).unlink(missing_ok=True)
    return partial if is_partial else path


def _json_path(path: str | Path) -> Path:
    if Path(path).suffix != ".json":
        raise ValueError(f"--output: {path} must end in .json")
    return Path(path)


_COMMANDS = {
    "table": Command("cost and accuracy of all operating points", add_table_arguments, run_table),
    "extract": Command(
        "write an operating point as a plain network", add_extract_arguments, run_extract
    ),
    "compare": Command(
        "accuracy beside networks trained alone, with and without calibration",
        add_compare_arguments,
        run_compare,
    ),
}


if __name__ == "__main__":
    sys.exit(main())
