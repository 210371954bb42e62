"""Turn checkpoints into ones to keep or to give away.

of any known kind, for the model of a config:
python tools/convert_checkpoint.py SLOWFAST_8x8_R50.pkl --cfg SLOWFAST_8x8_R50.yaml \\
    --output slowfast.pyth
python tools/convert_checkpoint.py resnet50.pth --cfg I3D_8x8_R50.yaml --output i3d.pyth  # 2D -> 3D
python tools/convert_checkpoint.py checkpoint_best.pyth --cfg run.yaml --output x.safetensors
python tools/convert_checkpoint.py zoo:X3D_S --output x3d_s.safetensors

of own runs, as .pyth or .safetensors, without --cfg:
python tools/convert_checkpoint.py checkpoint_best.pyth --strip --output small.pyth
python tools/convert_checkpoint.py checkpoint_best.pyth --ema --output ema.pyth
python tools/convert_checkpoint.py --average epoch_8.pyth epoch_9.pyth epoch_10.pyth \\
    --output mean.pyth
"""

import argparse
import logging
import sys
from pathlib import Path

from slowfast.utils.cli import add_cfg, add_output, add_overrides, make_parser, parse, run_tool

logger = logging.getLogger("slowfast.convert")


def main(argv: list[str] | None = None) -> int:
    """Returns the exit code."""
    args = parse_args(argv)
    is_own = args.average or args.ema or args.strip
    return run_tool(run_own if is_own else run, args)


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    """The output may also stand behind the input, without --output."""
    parser = make_parser(__doc__)
    kinds = "PyTorch, Caffe2 or safetensors file, or a name (hf:user/name, zoo:NAME)"
    parser.add_argument("sources", nargs="+", metavar="INPUT", help=kinds)
    ways = parser.add_mutually_exclusive_group()
    add_cfg(ways, "YAML file of the model to convert for", required=False)
    add = ways.add_argument
    add("--average", action="store_true", help="mean of the weights of several checkpoints")
    add("--ema", action="store_true", help="the moving average of TRAIN.EMA_DECAY alone")
    add("--strip", action="store_true", help="what tests take, without the optimizer's state")
    add_output(parser, "file to write: .pyth, or .safetensors", type=Path)
    add_overrides(parser)
    args = parse(parser, argv)
    has_recipe = args.cfg or args.sources[0].startswith("zoo:")
    if not (has_recipe or args.average or args.ema or args.strip):
        parser.error("say what to do: --cfg FILE, --average, --ema or --strip")
    if args.output is None and len(args.sources) == 2 and not args.average:
        args.output = Path(args.sources.pop())
    if args.output is None:
        parser.error("name one file to write: --output FILE")
    if len(args.sources) > 1 and not args.average:
        parser.error(f"one INPUT, not {len(args.sources)}: {' '.join(args.sources)}")
    if args.overrides and not has_recipe:
        parser.error(f"{' '.join(args.overrides)}: overrides go with --cfg")
    return args


def run(args: argparse.Namespace) -> None:
    """Convert the file, print what became of each tensor."""
    import torch

    from slowfast.checkpoint.classes import target_counts
    from slowfast.checkpoint.initialize import convert_file
    from slowfast.checkpoint.weights import Weights, write_weights
    from slowfast.engine.predict import load_predicted
    from slowfast.models import build_model

    (source,) = args.sources
    cfg = load_predicted(args.cfg, source, args.overrides)
    with torch.device("meta"):
        model = build_model(cfg)
    state, report = convert_file(
        model,
        source,
        clear_name_patterns=cfg.TRAIN.CHECKPOINT_CLEAR_NAME_PATTERN,
        min_coverage=cfg.TRAIN.CHECKPOINT_MIN_COVERAGE,
    )
    print(report.table())
    facts = {"class_names": report.class_names} if report.class_names else {}
    if (counts := target_counts(model)) and not report.replaced:
        facts["class_counts"] = list(counts)
    write_weights(Weights(report.path, state, facts, False), args.output)
    print(f"wrote {args.output}: {len(state)} tensors")
    if incomplete := len(report.missing) + len(report.mismatched) + len(report.replaced):
        print(
            f"not complete: {incomplete} of the model's tensors are not in it; fine-tune it first"
        )


def run_own(args: argparse.Namespace) -> None:
    """Write the weights alone, print the sizes of the files before and after."""
    from slowfast.checkpoint.weights import average_weights, read_weights, write_weights
    from slowfast.zoo.names import local_file

    parts = [read_weights(source) for source in args.sources]
    if args.ema and not parts[0].is_moving_average:
        raise ValueError(
            f"{args.sources[0]}: --ema: has no moving average (TRAIN.EMA_DECAY was 0); --strip "
            "writes its weights"
        )
    weights = average_weights(parts) if args.average else parts[0]
    if args.average:
        logger.info(
            "batch norm statistics are averaged, too; better is to measure them anew, by an epoch "
            "of training with SOLVER.BASE_LR 0 and BN.USE_PRECISE_STATS True"
        )
    size = write_weights(weights, args.output)
    sizes = [local_file(source).stat().st_size for source in args.sources]
    which = "the moving average (EMA)" if weights.is_moving_average else "the model"
    before = " + ".join(f"{number / 1e6:.1f}" for number in sizes)
    print(f"{before} MB -> {args.output}: {size / 1e6:.1f} MB, the weights of {which}")


if __name__ == "__main__":
    sys.exit(main())
