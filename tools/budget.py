"""One adaptive network (ADAPTIVE.ENABLE) at any budget: budget.py {table,extract,compare}

python tools/budget.py table --cfg A3D_X3D_M.yaml --checkpoint a3d_x3d_m.pyth --budgets 1G 4G 50ms
python tools/budget.py extract --config 0.63,8,160 --cfg A3D_X3D_M.yaml \
    --checkpoint a3d_x3d_m.pyth --output outputs/small
python tools/budget.py compare --cfg A3D_X3D_M.yaml --adaptive a3d_1.pyth a3d_2.pyth \
    --alone x3d_1.pyth x3d_2.pyth --output outputs/compared.json
"""

import argparse
import logging
import sys
from pathlib import Path

import torch

from slowfast.adaptive.budget import table_path
from slowfast.adaptive.compare import compare, comparison_text, write_comparison
from slowfast.adaptive.extract import extract
from slowfast.adaptive.report import front_text, write_table
from slowfast.adaptive.table import measure_table
from slowfast.config.budget import parse_budget
from slowfast.config.cli import load_cfg
from slowfast.models.operating_point import OperatingPoint
from slowfast.runtime.stop import StopRequest
from slowfast.utils.arguments import add_threads, add_timing_arguments
from slowfast.utils.logging import setup_logging

logger = logging.getLogger("slowfast.budget")


def main(argv: list[str] | None = None) -> int:
    """Returns the exit code."""
    args = parse_args(argv)
    setup_logging(None, is_main=True)
    try:
        return args.run(args)
    except (ValueError, OSError) as error:
        logger.error("%s: %s", type(error).__name__, error)
        return 1
    except KeyboardInterrupt:
        logger.error("interrupted")
        return 130


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    """What each command takes."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True, metavar="{table,extract,compare}")
    table = commands.add_parser("table", help="cost and accuracy of all configurations")
    _add_common(table)
    _add_checkpoint(table)
    table.add_argument(
        "--output", metavar="FILE", help=".json (default: <weights>.budget_table.json)"
    )
    table.add_argument(
        "--budgets", nargs="+", default=[], metavar="4G", help="name the best for these, too"
    )
    add_timing_arguments(table)
    table.set_defaults(run=run_table)
    cut = commands.add_parser("extract", help="write a configuration as a plain network")
    _add_common(cut)
    _add_checkpoint(cut)
    cut.add_argument(
        "--config", required=True, metavar="W,T,S", help="width, frames, crop, e.g. 0.63,5,178"
    )
    cut.add_argument("--output", required=True, metavar="DIR", help="folder of the files")
    cut.set_defaults(run=run_extract)
    compared = commands.add_parser(
        "compare", help="accuracy beside networks trained alone, with and without calibration"
    )
    _add_common(compared)
    compared.add_argument(
        "--adaptive", nargs="+", required=True, metavar="FILE", help="weights, one file a seed"
    )
    compared.add_argument(
        "--alone", nargs="+", default=[], metavar="FILE", help="weights of ADAPTIVE.ENABLE False"
    )
    compared.add_argument(
        "--configs", nargs="+", default=[], metavar="W,T,S", help="default: those of the table"
    )
    compared.add_argument("--output", required=True, metavar="FILE", help=".json")
    add_threads(compared)
    compared.set_defaults(run=run_compare)
    return parser.parse_args(argv)


def _add_common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--cfg", required=True, metavar="FILE", help="YAML file of the network")
    parser.add_argument(
        "--opts", dest="options", nargs="+", default=[], metavar="KEY VALUE", help="overrides"
    )


def _add_checkpoint(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--checkpoint", required=True, metavar="FILE", help="its weights")


def run_table(args: argparse.Namespace) -> int:
    """Measure all configurations, write the files, print what to run at which budget."""
    path = _json_path(args.output or table_path(args.checkpoint))
    for text in args.budgets:
        parse_budget(text)
    if args.threads:
        torch.set_num_threads(args.threads)
    stop = StopRequest()
    table = measure_table(args.cfg, args.checkpoint, args.options, repeats=args.repeats, stop=stop)
    path = _path_of(path, is_partial=bool(stop.signum))
    picks = write_table(path, table, budgets=args.budgets)
    print(front_text(table, picks))
    about = table.about
    logger.info(
        "%d of %d videos, %s views, on %s; files: %s, .csv, .png",
        *(about["num_videos"], about["num_test_videos"], about["views"], about["device"], path),
    )
    return 128 + stop.signum if stop.signum else 0


def run_compare(args: argparse.Namespace) -> int:
    """Score all networks at the same configurations, write the files, print means."""
    path, stop = _json_path(args.output), StopRequest()
    configurations = [OperatingPoint.parse(text) for text in args.configs]
    if args.threads:
        torch.set_num_threads(args.threads)
    comparison = compare(
        *(args.cfg, args.adaptive, args.alone, args.options),
        configurations=configurations,
        stop=stop,
    )
    path = _path_of(path, is_partial=bool(stop.signum))
    write_comparison(path, comparison)
    print(comparison_text(comparison))
    about = comparison.about
    logger.info(
        "top-1 (%%) of %d of %d videos, mean and sample deviation; files: %s, .csv",
        *(about["num_videos"], about["num_test_videos"], path),
    )
    return 128 + stop.signum if stop.signum else 0


def _path_of(path: Path, *, is_partial: bool) -> Path:
    """Where to write, so that a whole table stays; one that replaces what is partial removes it."""
    partial = path.with_suffix(".partial.json")
    for suffix in () if is_partial else (".json", ".csv", ".png"):
        partial.with_suffix(suffix).unlink(missing_ok=True)
    return partial if is_partial else path


def _json_path(path: str | Path) -> Path:
    if Path(path).suffix != ".json":
        raise ValueError(f"--output: {path} must end in .json")
    return Path(path)


def run_extract(args: argparse.Namespace) -> int:
    """Write the network of a configuration."""
    cfg, configuration = load_cfg(args.cfg, args.options), OperatingPoint.parse(args.config)
    weights, yaml = extract(cfg, args.checkpoint, configuration, args.output)
    logger.info("%s is a plain network: %s and %s", configuration, weights, yaml)
    return 0


if __name__ == "__main__":
    sys.exit(main())
