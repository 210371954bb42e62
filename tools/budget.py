"""Run one adaptive network (ADAPTIVE.ENABLE) at any compute budget: budget.py {table,extract}

python tools/budget.py table --cfg A3D_X3D_M.yaml --checkpoint a3d_x3d_m.pyth --budgets 1G 4G 50ms
python tools/budget.py extract --config 0.63,8,160 --cfg A3D_X3D_M.yaml \
    --checkpoint a3d_x3d_m.pyth --output outputs/small
"""

import argparse
import logging
import sys
from pathlib import Path

import torch

from slowfast.analysis.budget_files import front_text, write_table
from slowfast.analysis.budget_table import measure_table
from slowfast.config.budget import parse_budget
from slowfast.config.cli import load_cfg
from slowfast.engine.budget import table_path
from slowfast.engine.calibrate import calibrate
from slowfast.engine.extract import extract
from slowfast.engine.predict_videos import build_single_process
from slowfast.engine.stop import StopRequest
from slowfast.models.configuration import Configuration, build_full_configuration
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
    commands = parser.add_subparsers(required=True, metavar="{table,extract}")
    table = commands.add_parser("table", help="cost and accuracy of all configurations")
    _add_common(table)
    table.add_argument(
        "--output", metavar="FILE", help=".json (default: budget_table.json beside the weights)"
    )
    table.add_argument(
        "--budgets", nargs="+", default=[], metavar="4G", help="name the best for these, too"
    )
    table.add_argument(
        "--repeats", type=int, default=20, help="timed clips (default: %(default)s; 0: no latency)"
    )
    table.add_argument("--threads", type=int, help="of the CPU (default: torch's)")
    table.set_defaults(run=run_table)
    cut = commands.add_parser("extract", help="write a configuration as a plain network")
    _add_common(cut)
    cut.add_argument(
        "--config", required=True, metavar="W,T,S", help="width, frames, crop, e.g. 0.63,5,178"
    )
    cut.add_argument("--output", required=True, metavar="DIR", help="folder of the files")
    cut.set_defaults(run=run_extract)
    return parser.parse_args(argv)


def _add_common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--cfg", required=True, metavar="FILE", help="YAML file of the network")
    parser.add_argument("--checkpoint", required=True, metavar="FILE", help="its weights")
    parser.add_argument(
        "--opts", dest="options", nargs="+", default=[], metavar="KEY VALUE", help="overrides"
    )


def run_table(args: argparse.Namespace) -> int:
    """Measure all configurations, write the files, print what to run at which budget."""
    path = Path(args.output or table_path(args.checkpoint))
    if path.suffix != ".json":
        raise ValueError(f"--output: {path} must end in .json")
    for text in args.budgets:
        parse_budget(text)
    if args.threads:
        torch.set_num_threads(args.threads)
    stop = StopRequest()
    table = measure_table(args.cfg, args.checkpoint, args.options, repeats=args.repeats, stop=stop)
    picks = write_table(path, table, budgets=args.budgets)
    print(front_text(table, picks))
    about = table.about
    logger.info(
        "%d of %d videos, %s views, on %s; files: %s, .csv, .png",
        *(about["num_videos"], about["num_test_videos"], about["views"], about["device"], path),
    )
    return 128 + stop.signum if stop.signum else 0


def run_extract(args: argparse.Namespace) -> int:
    """Measure the statistics if they are missing, write the network."""
    cfg, configuration = load_cfg(args.cfg, args.options), Configuration.parse(args.config)
    if configuration != build_full_configuration(cfg, cfg.DATA.TEST_CROP_SIZE):
        calibrate(build_single_process(cfg), args.checkpoint, [configuration])
    weights, yaml = extract(cfg, args.checkpoint, configuration, args.output)
    logger.info("%s is a plain network: %s and %s", configuration, weights, yaml)
    return 0


if __name__ == "__main__":
    sys.exit(main())
