"""List the shipped recipes, all or those that a pattern names, with what their headers say.

Wherever a tool takes a config, the name will do: whole, or its last part where no other ends so.

python tools/configs.py
python tools/configs.py x3d
python tools/configs.py 'SSv2/*/*F16'
"""

import argparse
import sys
from fnmatch import fnmatchcase
from pathlib import Path

from slowfast.shipped import CONFIGS, recipe_header, recipes
from slowfast.utils.cli import make_parser, parse, run_tool


def main(argv: list[str] | None = None) -> int:
    """Returns the exit code."""
    parser = make_parser(__doc__)
    parser.add_argument(
        "pattern", nargs="?", metavar="PATTERN", help="part of a name, or with * and ? all of it"
    )
    return run_tool(run, parse(parser, argv))


def run(args: argparse.Namespace) -> None:
    """Print a line per recipe, or all that is known of those that were asked for."""
    found = {name: path for name, path in recipes().items() if fits(name, args.pattern)}
    if not found:
        raise ValueError(f"{args.pattern}: none of the {len(recipes())} recipes has such a name")
    if args.pattern:
        print("\n\n".join(f"{name}\n  {path}\n{facts(path)}" for name, path in found.items()))
        return
    width = max(map(len, found))
    for name, path in found.items():
        print(f"{name:{width}}  {title(path)}")
    print(f"{len(found)} recipes in {CONFIGS}; with a PATTERN also sizes and published results")


def fits(name: str, pattern: str | None) -> bool:
    """Whether a name is asked for; case does not count."""
    if not pattern:
        return True
    name, pattern = name.lower(), pattern.lower()
    return fnmatchcase(name, pattern) if set("*?[") & set(pattern) else pattern in name


def title(path: Path) -> str:
    """The first paragraph of a header, in one line."""
    lines = recipe_header(path)
    return " ".join(lines[: lines.index("")] if "" in lines else lines)


def facts(path: Path) -> str:
    """The title, and the last lines of the header: size and published results."""
    lines = recipe_header(path)
    first = next((n for n, line in enumerate(lines) if line.startswith("Size: ")), len(lines))
    return "\n".join(f"  {line}" for line in [title(path), *lines[first:]])


if __name__ == "__main__":
    sys.exit(main())
