"""Write a small set of H.264 videos whose classes are told apart only by the order of their frames.

python tools/make_motion_dataset.py --output data/motion --train 400 --val 80 --test 80
"""

import argparse
import os

from slowfast.datasets.synthetic import SPLITS, MotionSettings, make_dataset


def main() -> None:
    default = MotionSettings()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", required=True, help="folder of the set")
    for split in SPLITS:
        count = getattr(default, split)
        parser.add_argument(f"--{split}", type=int, default=count, help=f"videos in {split}.csv")
    parser.add_argument("--size", type=int, default=default.size, help="height and width in pixels")
    parser.add_argument("--frames", type=int, default=default.frames, help="frames per video")
    parser.add_argument("--fps", type=int, default=default.fps, help="frames per second")
    parser.add_argument("--seed", type=int, default=default.seed, help="seed of all randomness")
    workers = min(os.cpu_count() or 1, 8)
    parser.add_argument("--workers", type=int, default=workers, help="processes")
    parser.add_argument("--force", action="store_true", help="replace a set with other settings")
    args = vars(parser.parse_args())
    output, workers, force = (args.pop(name) for name in ("output", "workers", "force"))
    try:
        made = make_dataset(output, MotionSettings(**args), workers=workers, force=force)
    except ValueError as error:
        parser.error(str(error))
    print(f"{output}: complete, {made} videos made now")


if __name__ == "__main__":
    main()
