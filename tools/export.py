"""Write a trained network for others: a folder for the Hugging Face Hub, or a file for another
runtime, which is checked to say what torch says.

python tools/export.py --run outputs/mine --to hub --name me/signs --license mit --output signs
python tools/export.py --cfg X3D_M.yaml --checkpoint x3d_m.pyth --to onnx --output x3d_m.onnx
python tools/export.py --cfg X3D_M.yaml --checkpoint x3d_m.pyth --to openvino --dynamic \
    --output x3d_m.xml --video clip.mp4
python tools/export.py --cfg X3D_M.yaml --checkpoint x3d_m.pyth --to openvino --int8 300 \
    --output x3d_m_int8.xml
"""

import argparse
import logging
import re
import sys
from pathlib import Path
from typing import Any

from slowfast.utils.cli import (
    add_cfg,
    add_checkpoint,
    add_output,
    add_overrides,
    add_repeats,
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
    parser.add_argument(
        "--run", metavar="OUTPUT_DIR", help="of a training: its config and the weights it tested"
    )
    add_cfg(parser, "YAML file of the network (default: the checkpoint's own)", required=False)
    add_checkpoint(parser, required=False)
    formats = ("hub", "onnx", "openvino", "pt2", "torchscript")
    parser.add_argument("--to", choices=formats, required=True, help="what to write")
    add_output(parser, "folder, or file .onnx, .xml, .pt2 or .torchscript", required=True)
    _add_hub(parser)
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
    if bool(args.run) == bool(args.checkpoint) or (args.run and args.cfg):
        parser.error("give --run OUTPUT_DIR, or --checkpoint and where it holds no config --cfg")
    _check_hub(parser, args)
    if args.int8 and args.to != "openvino":
        parser.error(f"--int8: is for --to openvino, not {args.to}")
    if args.dynamic and args.batch != 1:
        parser.error("--batch and --dynamic exclude each other")
    return args


def _add_hub(parser: argparse.ArgumentParser) -> None:
    """Options of the model card."""
    group = parser.add_argument_group("with --to hub")
    add = group.add_argument
    add("--name", default="", metavar="USER/NAME", help="that it will have on the Hub")
    add("--license", default="", metavar="ID", help="of the weights, as the Hub writes it: mit")
    add("--dataset", default="", metavar="NAME", help="in the card (default: TRAIN.DATASET)")
    add_repeats(group, default=0, least=0)


def _check_hub(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    card = ("name", "license", "dataset", "repeats")
    other = ("batch", "dynamic", "video", "int8")
    for name in other if args.to == "hub" else card:
        if getattr(args, name) != parser.get_default(name):
            parser.error(f"--{name}: has no effect on --to {args.to}")
    if args.name and not re.fullmatch(r"[\w.-]+/[\w.-]+", args.name):
        parser.error(f"--name: {args.name!r} is not USER/NAME, e.g. me/signs")
    if not re.fullmatch(r"[a-z0-9.+-]*", args.license):
        parser.error(
            f"--license: {args.license!r} is no short name of the Hub, such as mit, apache-2.0, "
            "cc-by-4.0, cc-by-nc-4.0 or other"
        )


def run(args: argparse.Namespace) -> None:
    """Export."""
    from slowfast.analysis.report.run_folder import find_run
    from slowfast.share.hub_folder import find_tested

    folder = find_run(args.run) if args.run else None
    if folder is not None:
        checkpoint, is_tested = find_tested(folder)
        args.cfg, args.checkpoint = str(folder.path / "config.yaml"), str(checkpoint)
        folder = folder if is_tested else None
    if args.to == "hub":
        write_hub(args, folder)
    else:
        write_file(args)


def write_hub(args: argparse.Namespace, folder: Any) -> None:
    """Write the folder, say what is in it; folder: of the run whose results the card has."""
    from slowfast.engine.predict import load_predicted
    from slowfast.share.hub_folder import CardChoices, build_hub_folder

    cfg = load_predicted(args.cfg, args.checkpoint, args.overrides)
    choices = CardChoices(args.name, args.license, args.dataset, args.repeats)
    weights = build_hub_folder(cfg, args.checkpoint, Path(args.output), choices, run=folder)
    which = "the moving average (EMA)" if weights.is_moving_average else "the model"
    logger.info("%s: weights of %s from %s", args.output, which, args.checkpoint)
    if not args.license:
        logger.warning("--license: none is chosen; without one nobody may use the weights")
    if folder is None:
        logger.warning("the card has no results: give --run OUTPUT_DIR of a run that was tested")
    name = args.name or "USER/NAME"
    print(f"read {args.output}/README.md, then: hf upload {name} {args.output}")


def write_file(args: argparse.Namespace) -> None:
    """Write the file of another runtime, print what it takes."""
    from slowfast.engine.predict import load_predicted
    from slowfast.export.clips import build_check_clips
    from slowfast.export.write import build_facts, build_network, choose_format, write_checked
    from slowfast.runtime.launch import single_process

    choose_format(args.to, args.output, is_dynamic=args.dynamic)
    options = [*args.overrides, "NUM_GPUS", 0]
    cfg = single_process(load_predicted(args.cfg, args.checkpoint, options))
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
