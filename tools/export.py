"""Write a trained network as a file for another runtime, and check that it says what torch says.

python tools/export.py --cfg X3D_M.yaml --checkpoint x3d_m.pyth --to onnx --output x3d_m.onnx
python tools/export.py --cfg X3D_M.yaml --checkpoint x3d_m.pyth --to openvino --dynamic \
    --output x3d_m.xml --video clip.mp4
python tools/export.py --cfg X3D_M.yaml --checkpoint x3d_m.pyth --to openvino --int8 300 \
    --output x3d_m_int8.xml
"""

import argparse
import logging
import sys
from pathlib import Path
from typing import Any

from slowfast.utils.cli import (
    add_cfg,
    add_checkpoint,
    add_output,
    add_overrides,
    add_threads,
    at_least,
    make_parser,
    parse,
    run_tool,
)

logger = logging.getLogger("slowfast.export")


def main(argv: list[str] | None = None) -> int:
    """Returns the exit code."""
    return run_tool(run, parse_args(argv))


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    """The arguments."""
    parser = make_parser(__doc__)
    add_cfg(parser)
    add_checkpoint(parser)
    formats = ("onnx", "openvino", "pt2", "torchscript")
    parser.add_argument("--to", choices=formats, required=True, help="kind of file")
    add_output(parser, "file to write: .onnx, .xml, .pt2 or .torchscript", required=True)
    parser.add_argument(
        "--batch", type=at_least(1), default=1, metavar="N", help="clips (default: %(default)s)"
    )
    parser.add_argument("--dynamic", action="store_true", help="any number of clips")
    parser.add_argument(
        "--video", metavar="FILE", help="to check with (default: two videos of the test set)"
    )
    parser.add_argument(
        "--int8",
        type=at_least(1),
        metavar="N",
        help="with openvino: quantise, calibrated on N training videos, and test before and after",
    )
    add_threads(parser, default=None)
    add_overrides(parser)
    args = parse(parser, argv)
    if args.int8 and args.to != "openvino":
        parser.error(f"--int8: is for --to openvino, not {args.to}")
    if args.dynamic and args.batch != 1:
        parser.error("--batch and --dynamic exclude each other")
    return args


def run(args: argparse.Namespace) -> None:
    """Export, print what the file takes."""
    from slowfast.config.cli import load_cfg
    from slowfast.export.clips import build_check_clips
    from slowfast.export.write import build_facts, build_network, choose_format, write_checked
    from slowfast.runtime.launch import single_process

    choose_format(args.to, args.output, is_dynamic=args.dynamic)
    cfg = single_process(load_cfg(args.cfg, [*args.overrides, "NUM_GPUS", 0]))
    loaded = build_network(cfg, args.checkpoint)
    num_clips = None if args.dynamic else args.batch
    facts = build_facts(cfg, args.checkpoint, loaded.class_names, num_clips)
    clips, source = build_check_clips(cfg, args.video)
    path = Path(args.output)
    if args.int8:
        written = quantize(args, cfg, loaded.model, facts, clips)
    else:
        written = write_checked(loaded.model, facts, path, to=args.to, clips=clips)
    print(table(facts))
    logger.info(
        "%s: %.1f MB, scores differ from torch's by %.1e of the largest, on %s",
        *(path, written.num_bytes / 1e6, written.difference, source),
    )


def quantize(args: argparse.Namespace, cfg: Any, network: Any, facts: dict, clips: list) -> Any:
    """Write the file of eight bits, and print the metrics of the test set before and after."""
    from tabulate import tabulate

    from slowfast.export.int8 import build_calibration, build_metrics, write_int8

    calibration = build_calibration(cfg, args.int8)
    logger.info("calibrated on clips of %d training videos", len(calibration))
    path = Path(args.output)
    written = write_int8(network, facts, path, calibration=calibration, clips=clips)
    if found := build_metrics(cfg, [network, written.network]):
        before, after = found
        rows = [[name, value, after[name]] for name, value in before.items()]
        print(tabulate(rows, headers=["test set", "float32", "int8"], floatfmt=".2f"))
    return written


def table(facts: dict) -> str:
    """Inputs and output, one a line."""
    batch = facts["num_clips"] or "any"
    lines = [
        f"{given['name']}: {facts['type']} N,C,T,H,W = {batch} x "
        + " x ".join(map(str, given["shape"][1:]))
        + (f", every {given['frame_stride']}th frame" if given["frame_stride"] > 1 else "")
        for given in facts["inputs"]
    ]
    lines += [
        f"values: {facts['values']}, mean {facts['mean']}, std {facts['std']}, {facts['channels']}",
        f"{facts['output']['name']}: N,{sum(facts['class_counts'])} "
        f"({facts['output']['activation']})",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
