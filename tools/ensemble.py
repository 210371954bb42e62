"""Fuse the saved scores of several tested runs, such as one on RGB and one on optical flow.

python tools/ensemble.py outputs/rgb outputs/flow --weights 1 1.5 --out fused.json

RUN is an OUTPUT_DIR, or a file of scores (TEST.SAVE_RESULTS_PATH).
"""

import argparse
import sys

from slowfast.evaluation.fusion import as_table, fuse, read_scores, write_fusion


def main(argv: list[str] | None = None) -> int:
    """Returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", nargs="+", metavar="RUN", help="two or more tested runs")
    parser.add_argument(
        "--weights", nargs="+", type=float, metavar="X", help="of the runs (default: all 1)"
    )
    parser.add_argument("--out", metavar="FILE", help="also write a .json or .csv file")
    args = parser.parse_intermixed_args(argv)
    try:
        runs = [read_scores(run) for run in args.runs]
        fusion = fuse(runs, args.weights or [1.0] * len(runs))
        if args.out:
            write_fusion(args.out, fusion)
    except (ValueError, OSError) as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    print(as_table(fusion))
    left_out = f", {fusion.num_left_out} left out: unreadable in some run" * bool(
        fusion.num_left_out
    )
    print(f"{fusion.num_videos} videos{left_out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
