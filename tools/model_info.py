"""Print parameters and GMACs (convolutions, linear layers, matrix products) of configs.

python tools/model_info.py configs/Kinetics/x3d/X3D_M.yaml --by-module
python tools/model_info.py configs/Kinetics/x3d/X3D_M.yaml configs/SSv1
python tools/model_info.py configs --output tests/golden/complexity.json  # after a config changed
"""

import argparse
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from slowfast.shipped import config_argument
from slowfast.utils.cli import add_output, at_least, make_parser, parse, run_tool


def main(argv: list[str] | None = None) -> int:
    """Returns the exit code."""
    parser = make_parser(__doc__)
    parser.add_argument(
        "paths",
        nargs="+",
        type=lambda text: Path(config_argument(text)),
        metavar="CONFIG",
        help="YAML files, folders of them, or names of shipped recipes",
    )
    add_output(parser, "write exact numbers there, too (.json)", alias="--json", type=Path)
    parser.add_argument(
        "--by-module",
        action="store_true",
        help="also a table of each config's modules, with activations, at the test crop (seconds)",
    )
    parser.add_argument(
        "--depth",
        type=at_least(1),
        default=2,
        metavar="N",
        help="modules inside each other in it: s2.pathway0_res0 is 2 (default: %(default)s)",
    )
    return run_tool(run, parse(parser, argv))


def run(args: argparse.Namespace) -> None:
    """Print a line per config, write the file."""
    from dataclasses import asdict

    from tabulate import tabulate

    from slowfast.utils.io import write_json

    results = {}
    for path in find_configs(args.paths):
        results[path.as_posix()] = count(path)
    rows = [
        (name, c.params / 1e6, c.macs_train / 1e9, c.macs_test / 1e9) for name, c in results.items()
    ]
    header = ["config", "params (M)", "GMACs train crop", "GMACs test crop"]
    print(tabulate(rows, header, floatfmt=".3f"))
    for name in results if args.by_module else ():
        print(f"\n{name}\n{module_table(name, depth=args.depth)}")
    if args.output:
        write_json(args.output, {name: asdict(c) for name, c in results.items()})


def module_table(path: str, *, depth: int) -> str:
    """Costs of the modules of a config's network, the whole network first."""
    from tabulate import tabulate

    from slowfast.config.cli import load_cfg
    from slowfast.models import build_model
    from slowfast.models.build import build_meta_inputs
    from slowfast.models.complexity import count_by_module

    cfg = load_cfg(path)
    costs = count_by_module(build_model(cfg), *build_meta_inputs(cfg, cfg.DATA.TEST_CROP_SIZE))
    rows = [
        (cost.name or "all", cost.params / 1e6, cost.macs / 1e9, cost.activations / 1e6)
        for cost in costs
        if cost.depth <= depth
    ]
    header = ["module", "params (M)", "GMACs", "activations (M)"]
    return tabulate(rows, header, floatfmt=".3f")


def find_configs(paths: Iterable[Path]) -> Iterator[Path]:
    """The files, and of folders all YAML files below them; ValueError where there are none."""
    for path in paths:
        files = sorted(path.rglob("*.yaml")) if path.is_dir() else [path]
        if not files:
            raise ValueError(f"{path}: no YAML file in this folder")
        yield from files


def count(path: Path):
    """Parameters and MACs of a config; ValueError, naming the file, for mistakes in it."""
    from slowfast.config.cli import load_cfg
    from slowfast.models.complexity import build_complexity

    try:
        return build_complexity(load_cfg(path))
    except (OSError, ValueError) as error:
        # A mistake in the file names it, with its line; one elsewhere does not.
        message = str(error)
        raise ValueError(
            message if message.startswith(str(path)) else f"{path}: {message}"
        ) from error


if __name__ == "__main__":
    sys.exit(main())
