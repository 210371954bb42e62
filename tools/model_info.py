"""Print parameters and GMACs (convolutions, linear layers, matrix products) of configs.

python tools/model_info.py configs/Kinetics/x3d/X3D_M.yaml configs/SSv1
python tools/model_info.py configs --json tests/golden/complexity.json   # after a config changed
"""

import argparse
import sys
from dataclasses import asdict
from pathlib import Path

from tabulate import tabulate

from slowfast.config.cli import load_cfg
from slowfast.models.complexity import build_complexity
from slowfast.utils.io import write_json


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("paths", nargs="+", type=Path, help="YAML files, or folders of them")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write exact numbers there, too")
    args = parser.parse_args()

    results = {}
    for path in args.paths:
        files = sorted(path.rglob("*.yaml")) if path.is_dir() else [path]
        if not files:
            sys.exit(f"{path}: no YAML file in this folder")
        for file in files:
            try:
                results[file.as_posix()] = build_complexity(load_cfg(file))
            except (OSError, ValueError) as error:
                # A mistake in the file names it, with its line; one elsewhere does not.
                message = str(error)
                sys.exit(message if message.startswith(str(file)) else f"{file}: {message}")
    rows = [
        (name, c.params / 1e6, c.macs_train / 1e9, c.macs_test / 1e9) for name, c in results.items()
    ]
    header = ["config", "params (M)", "GMACs train crop", "GMACs test crop"]
    print(tabulate(rows, header, floatfmt=".3f"))
    if args.json:
        write_json(args.json, {name: asdict(c) for name, c in results.items()})


if __name__ == "__main__":
    main()
