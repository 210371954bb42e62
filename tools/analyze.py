"""Look into trained networks: analyze.py {arrow,tempo,filters,features,pareto} RUN ... --out DIR

A RUN is an OUTPUT_DIR, or CONFIG.yaml,WEIGHTS; NAME=RUN names it in tables and plots.

python tools/analyze.py arrow outputs/vov3d I3D=outputs/i3d --out outputs/arrow
python tools/analyze.py tempo X3D=X3D_M.yaml,x3d_m.pyth --out outputs/tempo --opts NUM_GPUS 0
"""

import argparse
import signal
import sys

from slowfast.analysis.arrow import add_arrow_arguments, run_arrow
from slowfast.analysis.features import add_features_arguments, run_features
from slowfast.analysis.filters import add_filters_arguments, run_filters
from slowfast.analysis.pareto import add_pareto_arguments, run_pareto
from slowfast.analysis.tempo import add_tempo_arguments, run_tempo
from slowfast.utils.arguments import at_least
from slowfast.utils.logging import setup_logging

_ON_VIDEOS = ("arrow", "tempo", "features")
# Keys of the config that options of these set.
_KEYS = {
    "TEST.NUM_ENSEMBLE_VIEWS": "views",
    "TEST.NUM_SPATIAL_CROPS": "crops",
    "RNG_SEED": "seed",
}
_ANALYSES = {
    "arrow": (
        "accuracy on normal, reversed, shuffled and single-frame clips, and per class",
        add_arrow_arguments,
        run_arrow,
    ),
    "tempo": ("accuracy as the sampling stride grows", add_tempo_arguments, run_tempo),
    "filters": (
        "distribution of the weights of temporal kernels by offset and layer",
        add_filters_arguments,
        run_filters,
    ),
    "features": (
        "features of a layer as npz, and their t-SNE",
        add_features_arguments,
        run_features,
    ),
    "pareto": (
        "accuracy against GMACs, parameters and measured latency",
        add_pareto_arguments,
        run_pareto,
    ),
}


def main(argv: list[str] | None = None) -> int:
    """Prints a table; returns the exit code."""
    args = parse_args(argv)
    setup_logging(None, is_main=True)
    try:
        print(args.run(args))
    except (ValueError, OSError) as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 128 + signal.SIGINT
    print(f"files: {args.out}")
    return 0


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    """What all analyses take, and what each takes beside that."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True, metavar="{" + ",".join(_ANALYSES) + "}")
    for name, (description, add_arguments, run) in _ANALYSES.items():
        command = commands.add_parser(name, help=description, description=description)
        command.add_argument(
            "runs", nargs="+", metavar="[NAME=]RUN", help="OUTPUT_DIR or CONFIG.yaml,WEIGHTS"
        )
        command.add_argument("--out", required=True, metavar="DIR", help="folder for the files")
        command.add_argument(
            "--opts",
            dest="options",
            nargs="+",
            default=[],
            metavar="KEY VALUE",
            help="overrides of the configs of all runs",
        )
        if name in _ON_VIDEOS:
            _add_video_arguments(command)
        add_arguments(command)
        command.set_defaults(run=run)
    args = parser.parse_args(argv)
    for key, name in _KEYS.items():
        if getattr(args, name, None) is not None:
            args.options = [*args.options, key, getattr(args, name)]
    return args


def _add_video_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--videos", type=at_least(1), metavar="N", help="so many of the test split (default: all)"
    )
    parser.add_argument("--views", type=at_least(1), help="clips per video (default: the config's)")
    parser.add_argument("--crops", type=int, choices=(1, 3), help="crops (default: the config's)")
    parser.add_argument("--seed", type=int, help="of all that is drawn (default: the config's)")


if __name__ == "__main__":
    sys.exit(main())
