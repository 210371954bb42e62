"""Turn a checkpoint of any known kind into one of this project's, for the model of a config.

python tools/convert_checkpoint.py SLOWFAST_8x8_R50.pkl --cfg SLOWFAST_8x8_R50.yaml \
    --output slowfast.pyth
python tools/convert_checkpoint.py resnet50.pth --cfg I3D_8x8_R50.yaml --output i3d.pyth  # 2D -> 3D
python tools/convert_checkpoint.py checkpoint_best.pyth --cfg run.yaml --output x.safetensors
"""

import argparse
import sys
from pathlib import Path

from slowfast.utils.cli import add_cfg, add_output, add_overrides, make_parser, parse, run_tool


def main(argv: list[str] | None = None) -> int:
    """Returns the exit code."""
    return run_tool(run, parse_args(argv))


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    """The output may also stand behind the input, without --output."""
    parser = make_parser(__doc__)
    kinds = "PyTorch, Caffe2 or safetensors file"
    parser.add_argument("source", type=Path, metavar="INPUT", help=kinds)
    parser.add_argument("target", type=Path, nargs="?", help=argparse.SUPPRESS)
    add_cfg(parser, "YAML file of the model")
    add_output(parser, "file to write: .pyth, or .safetensors", type=Path)
    add_overrides(parser)
    args = parse(parser, argv)
    if (args.output is None) == (args.target is None):
        parser.error("name one file to write: --output FILE")
    args.output = args.output or args.target
    return args


def run(args: argparse.Namespace) -> None:
    """Convert the file, print what became of each tensor."""
    import torch

    from slowfast.checkpoint import files
    from slowfast.checkpoint.classes import target_counts
    from slowfast.checkpoint.initialize import convert_file
    from slowfast.config.cli import load_cfg
    from slowfast.models import build_model

    cfg = load_cfg(args.cfg, args.overrides)
    with torch.device("meta"):
        model = build_model(cfg)
    state, report = convert_file(
        model,
        args.source,
        clear_name_patterns=cfg.TRAIN.CHECKPOINT_CLEAR_NAME_PATTERN,
        min_coverage=cfg.TRAIN.CHECKPOINT_MIN_COVERAGE,
    )
    print(report.table())
    facts = {"class_names": report.class_names} if report.class_names else {}
    if (counts := target_counts(model)) and not report.replaced:
        facts["class_counts"] = list(counts)
    if args.output.suffix == ".safetensors":
        files.save_safetensors(args.output, state, facts)
    else:
        files.save(args.output, {"model_state": state, **facts})
    print(f"wrote {args.output}: {len(state)} tensors")
    if incomplete := len(report.missing) + len(report.mismatched) + len(report.replaced):
        print(
            f"not complete: {incomplete} of the model's tensors are not in it; fine-tune it first"
        )


if __name__ == "__main__":
    sys.exit(main())
