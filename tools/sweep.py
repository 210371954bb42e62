"""Train a config with other values of its keys and several seeds, and compare what comes out.

All values are checked before anything trains. Whatever stops it, the same command goes on where it
was; what is done is not trained again. Ends with tables of the runs and of the points, and a page
that compares them.

python tools/sweep.py X.yaml --grid SOLVER.BASE_LR 0.01 0.1 --grid MODEL.DROPOUT_RATE 0 0.5
python tools/sweep.py X.yaml --optuna 20 --range SOLVER.BASE_LR 1e-3 1 log SOLVER.MAX_EPOCH 10
python tools/sweep.py X.yaml --grid SOLVER.BASE_LR 0.01 0.1 --seeds 3 --slurm array.sbatch
"""

import argparse
import sys
from pathlib import Path

from slowfast.shipped import config_argument
from slowfast.utils.cli import add_output, add_overrides, at_least, make_parser, parse, run_tool


def main(argv: list[str] | None = None) -> int:
    """Returns the exit code."""
    parser = make_parser(__doc__)
    parser.add_argument(
        "cfg",
        type=config_argument,
        metavar="YAML",
        help="config of all runs, a file or the name of a shipped recipe",
    )
    pair = {"action": "append", "nargs": "+", "default": []}
    parser.add_argument("--grid", metavar="WORD", help="KEY VALUE VALUE ...: values to try", **pair)
    parser.add_argument("--seeds", type=at_least(1), default=1, help="runs of each (default: 1)")
    add_output(parser, "folder (default: runs/sweep)", metavar="FOLDER", default="runs/sweep")
    parser.add_argument("--jobs", type=at_least(1), default=1, help="runs at once (default: 1)")
    parser.add_argument(
        "--optuna", type=at_least(1), default=0, metavar="TRIALS", help="search by so many runs"
    )
    parser.add_argument(
        "--range", metavar="WORD", help="KEY LOW HIGH [log] [int]: what --optuna searches", **pair
    )
    parser.add_argument(
        "--metric", default="", help="higher is better (default: top1_acc, map, ..., what is there)"
    )
    ends = parser.add_mutually_exclusive_group()
    ends.add_argument(
        "--slurm", type=Path, metavar="FILE", help="write a Slurm array in place of running it"
    )
    ends.add_argument(
        "--table", action="store_true", help="write the tables of what is done; train nothing"
    )
    add_overrides(parser)
    return run_tool(
        run,
        parse(parser, argv, is_key=is_override),
        interrupted="interrupted; the same command goes on from here",
    )


def is_override(word: str) -> bool:
    """Whether an override begins here; a value in capitals, such as X3D, is none."""
    from slowfast.config.defaults import DEFAULTS
    from slowfast.utils.cli import looks_like_key

    return looks_like_key(word) and ("." in word or word in DEFAULTS)


def run(args: argparse.Namespace) -> int:
    """Run the sweep and print its tables."""
    from slowfast.sweep.points import read_axes, read_ranges
    from slowfast.sweep.sweep import SweepPlan, run_sweep, write_slurm_array, write_tables

    plan = SweepPlan(
        args.cfg,
        args.overrides,
        Path(args.output),
        axes=read_axes(args.grid),
        ranges=read_ranges(args.range),
        num_seeds=args.seeds,
        num_trials=args.optuna,
        metric=args.metric,
    )
    if args.slurm:
        print(write_slurm_array(plan, args.slurm, num_jobs=args.jobs))
        return 0
    text, failures = (write_tables(plan), []) if args.table else run_sweep(plan, num_jobs=args.jobs)
    print(text)
    if failures:
        print("\n".join([f"{len(failures)} run(s) failed:", *failures]))
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
