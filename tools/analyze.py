"""Look into trained networks: analyze.py {arrow,tempo,filters,features,pareto,cam,...} RUN ...

A RUN is an OUTPUT_DIR, or CONFIG.yaml,WEIGHTS; NAME=RUN names it in tables and plots.

python tools/analyze.py arrow outputs/vov3d I3D=outputs/i3d --output outputs/arrow
python tools/analyze.py cam outputs/vov3d --videos a.mp4 b.mp4 --output outputs/cam
python tools/analyze.py tempo X3D=X3D_M.yaml,x3d_m.pyth --output outputs/tempo NUM_GPUS 0
"""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from slowfast.utils.cli import (
    Command,
    add_mixed_sets,
    add_output,
    add_overrides,
    add_repeats,
    add_threads,
    at_least,
    imported_later,
    parse_command,
    run_tool,
)

# Keys of the config that options of these set.
_KEYS = {
    "TEST.NUM_ENSEMBLE_VIEWS": "views",
    "TEST.NUM_SPATIAL_CROPS": "crops",
    "RNG_SEED": "seed",
}


def main(argv: list[str] | None = None) -> int:
    """Returns the exit code."""
    command, args = parse_args(argv)
    return run_tool(command.run, args)


def parse_args(argv: list[str] | None) -> tuple[Command, argparse.Namespace]:
    """Views, crops and seed become overrides of the configs of all runs."""
    command, args = parse_command(__doc__, _ANALYSES, argv)
    for key, name in _KEYS.items():
        if (value := vars(args).pop(name, None)) is not None:
            args.overrides += [key, value]
    return command, args


def _analysis(
    summary: str, place: str, add_arguments: Callable[[argparse.ArgumentParser], None]
) -> Command:
    """The function at `place` gets runs, overrides, output and the arguments of its own.

    It writes into the folder `output` and returns a table.
    """
    analyze = imported_later(place)

    def add_all(parser: argparse.ArgumentParser) -> None:
        parser.add_argument(
            "runs", nargs="+", metavar="[NAME=]RUN", help="OUTPUT_DIR or CONFIG.yaml,WEIGHTS"
        )
        add_output(parser, "folder for the files", metavar="DIR", required=True)
        add_arguments(parser)
        add_overrides(parser)

    def run(args: argparse.Namespace) -> None:
        print(analyze(args))
        print(f"files: {args.output}")

    return Command(summary, add_all, run)


def _add_videos(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--videos", type=at_least(1), metavar="N", help="so many of the test split (default: all)"
    )
    parser.add_argument("--views", type=at_least(1), help="clips per video (default: the config's)")
    parser.add_argument("--crops", type=int, choices=(1, 3), help="crops (default: the config's)")
    parser.add_argument("--seed", type=int, help="of all that is drawn (default: the config's)")


def _add_tempo(parser: argparse.ArgumentParser) -> None:
    _add_videos(parser)
    parser.add_argument(
        "--factors",
        type=_factor,
        nargs="+",
        default=[1.0, 1.4, 1.8, 2.2, 2.6, 3.2],
        metavar="X",
        help="of DATA.SAMPLING_RATE (default: %(default)s)",
    )


def _factor(text: str) -> float:
    """Type of an argument; argparse names it in its message."""
    value = float(text)
    if not 0 < value < 1000:
        raise argparse.ArgumentTypeError(f"{text} is not above 0 and below 1000")
    return value


def _add_filters(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--by",
        choices=["layer", "stage"],
        default="layer",
        help="what a panel shows: a layer (default), or all layers of a stage together",
    )


def _add_features(parser: argparse.ArgumentParser) -> None:
    _add_videos(parser)
    parser.add_argument(
        "--layer",
        default="penultimate",
        metavar="NAME",
        help="module whose output is averaged, such as s5 (default: penultimate, which is what "
        "the classifier gets)",
    )
    parser.add_argument(
        "--groups",
        type=Path,
        metavar="FILE",
        help="JSON or YAML {group: [names or numbers of classes]}, coloured in place of classes",
    )
    parser.add_argument(
        "--perplexity", type=float, default=30, help="of t-SNE (default: %(default)s)"
    )


def _add_pareto(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--points",
        type=Path,
        nargs="+",
        default=[],
        metavar="CSV",
        help="published points: name,gmacs,params,top1 (1e9, 1e6, percent), maybe latency_ms",
    )
    parser.add_argument(
        "--metric", default="top1_acc", help="in test_results.json (default: %(default)s)"
    )
    add_mixed_sets(parser)
    add_threads(parser)
    add_repeats(parser, default=20, least=0)


def _add_cam(parser: argparse.ArgumentParser) -> None:
    _add_shown(parser)
    parser.add_argument(
        "--layer",
        nargs="+",
        default=[],
        metavar="NAME",
        help="whose maps are drawn, such as s4; two pathways may have one each (default: the last "
        "with more than one place)",
    )
    parser.add_argument(
        "--method",
        choices=("grad_cam", "cam"),
        default="grad_cam",
        help="grad_cam (default): channels weighted by their mean gradient; cam: each place by its "
        "own, the class activation map where a linear classifier follows the mean",
    )
    parser.add_argument(
        "--class",
        dest="label",
        default="",
        metavar="NAME",
        help="to explain, a name or a number; true: the video's own (default: the likeliest)",
    )
    parser.add_argument(
        "--occlude",
        choices=("neighbour", "mean", "none"),
        default="neighbour",
        help="what takes the place of a frame to measure what it is worth (default: %(default)s)",
    )
    parser.add_argument(
        "--colormap", default="inferno", help="of matplotlib (default: %(default)s)"
    )
    parser.add_argument(
        "--at",
        nargs="+",
        default=[],
        metavar="WIDTH,FRAMES,CROP",
        help="operating points of an adaptive network, drawn below one another",
    )


def _add_feature_maps(parser: argparse.ArgumentParser) -> None:
    _add_shown(parser)
    parser.add_argument(
        "--layer",
        nargs="+",
        default=[],
        metavar="NAME",
        help="such as s2 or s1.pathway0_stem (default: the last with more than one place)",
    )


def _add_shown(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--videos",
        nargs="+",
        default=["4"],
        metavar="FILE",
        help="files or folders, or a number: so many of the test split (default: 4)",
    )


_ANALYSES = {
    "arrow": _analysis(
        "accuracy on normal, reversed, shuffled and single-frame clips, and per class",
        "slowfast.analysis.arrow:run_arrow",
        _add_videos,
    ),
    "tempo": _analysis(
        "accuracy as the sampling stride grows", "slowfast.analysis.tempo:run_tempo", _add_tempo
    ),
    "filters": _analysis(
        "distribution of the weights of temporal kernels by offset and layer",
        "slowfast.analysis.filters:run_filters",
        _add_filters,
    ),
    "features": _analysis(
        "features of a layer as npz, and their t-SNE",
        "slowfast.analysis.features:run_features",
        _add_features,
    ),
    "pareto": _analysis(
        "accuracy against GMACs, parameters and measured latency",
        "slowfast.analysis.pareto:run_pareto",
        _add_pareto,
    ),
    "cam": _analysis(
        "class activation over space and time as overlays, and the frames that matter",
        "slowfast.analysis.why.cam:analyze_cam",
        _add_cam,
    ),
    "feature_maps": _analysis(
        "maps of layers for videos, channel by channel",
        "slowfast.analysis.why.grids:run_feature_maps",
        _add_feature_maps,
    ),
    "weights": _analysis(
        "kernels of the first convolutions",
        "slowfast.analysis.why.grids:run_weights",
        lambda parser: None,
    ),
}


if __name__ == "__main__":
    sys.exit(main())
