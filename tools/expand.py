"""Search for a network by progressive expansion (X3D): from a tiny one, along one axis at a time.

Each step makes a network of about twice the cost along each axis: frame rate (tau), frames (t),
crop (s), width (w), bottleneck (b), depth (d). All are trained and tested; the best one is the
start of the next step. Whatever stops the search, the same command goes on where it was.

python tools/expand.py --cfg configs/demo/x2d_motion.yaml --output outputs/expansion --steps 4
python tools/expand.py --cfg START.yaml --output FOLDER --target 0.6G --jobs 4 [KEY VALUE ...]
python tools/expand.py --dry-run                             # the steps of the paper, costs alone
python tools/expand.py --dry-run --cfg START.yaml            # the candidates of the first step
python tools/expand.py --dry-run --cfg START.yaml --order b tau s
"""

import argparse
import sys
from pathlib import Path

from slowfast.shipped import CONFIGS
from slowfast.utils.cli import (
    add_cfg,
    add_output,
    add_overrides,
    at_least,
    make_parser,
    parse,
    run_tool,
)

AXES = ("tau", "t", "s", "w", "b", "d")
_X2D = CONFIGS / "Kinetics" / "x3d" / "X2D.yaml"


def main(argv: list[str] | None = None) -> int:
    """Returns the exit code."""
    parser = make_parser(__doc__)
    add_cfg(parser, "YAML file of the start, an X3D or VoV3D", required=False)
    add_output(parser, "folder of the search", metavar="FOLDER")
    parser.add_argument("--steps", type=at_least(0), metavar="N", help="end after so many steps")
    parser.add_argument(
        "--target",
        metavar="COST",
        help="end when a clip costs so much, e.g. 0.6G or 40M (multiply-adds); what is too much is "
        "taken back from the last expansion",
    )
    parser.add_argument(
        "--jobs", type=at_least(1), default=1, metavar="J", help="trainings at once (default: 1)"
    )
    parser.add_argument(
        "--axes", nargs="+", choices=AXES, default=list(AXES), help="to expand (default: all)"
    )
    parser.add_argument(
        "--metric", default="top1_acc", help="of test_results.json (default: %(default)s)"
    )
    parser.add_argument(
        "--plain",
        action="store_true",
        help="train all candidates as the config says, without the paper's rules: twice the batch "
        "and half the epochs up to step 7, drop-connect from step 11 on",
    )
    parser.add_argument("--dry-run", action="store_true", help="print costs, train nothing")
    parser.add_argument(
        "--order", nargs="+", choices=AXES, metavar="AXIS", help="of a dry run: axis of each step"
    )
    add_overrides(parser)
    return run_tool(
        run, parse(parser, argv), interrupted="interrupted; the same command goes on from here"
    )


def run(args: argparse.Namespace) -> None:
    """Search, or print costs."""
    if args.dry_run:
        print(dry_run(args))
        return
    from slowfast.analysis.search import Settings, run_search

    _check(args)
    settings = Settings(tuple(args.axes), args.metric, not args.plain)
    path = run_search(
        *(args.cfg, args.overrides, args.output, settings),
        num_steps=args.steps,
        target=parse_target(args.target),
        num_jobs=args.jobs,
    )
    print((Path(args.output) / "expansion.md").read_text(encoding="utf-8"))
    print(f"the network: {path}; files: {args.output}/expansion.csv, .md, .png")


def _check(args: argparse.Namespace) -> None:
    for name, value in (("--cfg", args.cfg), ("--output", args.output)):
        if not value:
            raise ValueError(f"{name}: a search needs it; --dry-run alone prints the paper's steps")
    if args.steps is None and args.target is None:
        raise ValueError("--steps, --target: one of them must say where the search ends")
    if args.order:
        raise ValueError("--order: is for --dry-run; a search finds the order by itself")


def parse_target(text: str | None) -> float | None:
    """GMACs of `0.6G` or `600M`."""
    from slowfast.config.derived import parse_budget

    if text is None:
        return None
    try:
        budget = parse_budget(text)
    except ValueError:
        budget = None
    if budget is None or budget.cost != "gmacs":
        raise ValueError(f"--target: {text!r} is not multiply-adds of a clip like 0.6G or 40M")
    return budget.limit


def dry_run(args: argparse.Namespace) -> str:
    """A table of costs: the paper's steps, those of an order, or the candidates of a step."""
    from slowfast.analysis.expansion_report import candidates_table, order_table, paper_table

    if args.order:
        return order_table(args.cfg or _X2D, args.overrides, args.order)
    if not args.cfg:
        return paper_table(_X2D, args.overrides)
    return candidates_table(args.cfg, args.overrides, args.axes)


if __name__ == "__main__":
    sys.exit(main())
