"""Fuse the saved scores of several tested runs, such as one on RGB and one on optical flow.

python tools/ensemble.py outputs/rgb outputs/flow --weights 1 1.5 --output fused.json

RUN is an OUTPUT_DIR, or a file of scores (TEST.SAVE_RESULTS_PATH). Boxes of detectors
(DETECTION.PROPOSALS rpn) are fused where they overlap.
"""

import argparse
import sys

from slowfast.utils.cli import add_output, make_parser, parse, run_tool


def main(argv: list[str] | None = None) -> int:
    """Returns the exit code."""
    parser = make_parser(__doc__)
    parser.add_argument("runs", nargs="+", metavar="RUN", help="two or more tested runs")
    add_output(parser, "also write a .json or .csv file")
    parser.add_argument(
        "--weights", nargs="+", type=float, metavar="X", help="of the runs (default: all 1)"
    )
    return run_tool(run, parse(parser, argv))


def run(args: argparse.Namespace) -> None:
    """Print a table, write the file."""
    from slowfast.evaluation import box_fusion, fusion

    weights = args.weights or [1.0] * len(args.runs)
    if box_fusion.holds_boxes(args.runs[0]):
        fused = box_fusion.fuse_runs(args.runs, weights)
        if args.output:
            box_fusion.write_rows(args.output, fused)
        print(box_fusion.as_table(fused))
        return
    fused = fusion.fuse([fusion.read_scores(run) for run in args.runs], weights)
    if args.output:
        fusion.write_fusion(args.output, fused)
    print(fusion.as_table(fused))
    left_out = f", {fused.num_left_out} left out: unreadable in some run"
    print(f"{fused.num_videos} videos{left_out if fused.num_left_out else ''}")


if __name__ == "__main__":
    sys.exit(main())
