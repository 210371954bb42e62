"""Write a small set of H.264 videos whose classes are told apart only by the order of their frames.

python tools/make_motion_dataset.py --output data/motion --train 400 --val 80 --test 80
"""

import argparse
import sys

from slowfast.datasets.synthetic import SPLITS, MotionSettings, make_dataset
from slowfast.utils.cli import add_output, add_workers, make_parser, parse, run_tool


def main(argv: list[str] | None = None) -> int:
    """Returns the exit code."""
    default, numbers = MotionSettings(), {"type": int, "metavar": "N"}
    parser = make_parser(__doc__)
    add_output(parser, "folder of the set", metavar="DIR", required=True)
    for split in SPLITS:
        count = getattr(default, split)
        parser.add_argument(f"--{split}", **numbers, default=count, help=f"videos in {split}.csv")
    parser.add_argument("--size", **numbers, default=default.size, help="height and width, pixels")
    parser.add_argument("--frames", **numbers, default=default.frames, help="frames per video")
    parser.add_argument("--fps", **numbers, default=default.fps, help="frames per second")
    parser.add_argument("--seed", **numbers, default=default.seed, help="seed of all randomness")
    parser.add_argument("--force", action="store_true", help="replace a set with other settings")
    add_workers(parser)
    return run_tool(run, parse(parser, argv))


def run(args: argparse.Namespace) -> None:
    """Make the videos that are not there yet."""
    settings = vars(args)
    output, workers, force = (settings.pop(name) for name in ("output", "workers", "force"))
    made = make_dataset(output, MotionSettings(**settings), workers=workers, force=force)
    print(f"{output}: complete, {made} videos made now")


if __name__ == "__main__":
    sys.exit(main())
