"""Published weights of the recipes: what there is, its licence, and the files.

Wherever a tool takes a file of weights it takes zoo:NAME: the file is fetched once, and kept.

python tools/zoo.py                       # all
python tools/zoo.py x3d --dataset K400    # those with this word in a line
python tools/zoo.py show X3D_S            # address, licence, published result, commands
python tools/zoo.py get X3D_S             # fetch it, compare its hash, print its path
python tools/zoo.py check                 # ask every address whether it still answers
python tools/zoo.py where                 # the folder of the files, and what is in it
python tools/zoo.py classes kinetics400   # names of the classes of a set, one a line
"""

import argparse
import sys

from tabulate import tabulate

from slowfast.utils.cli import Command, at_least, parse_command, run_tool

_HELP = ("-h", "--help")
_HEADERS = ("name", "data", "top-1 or mAP", "views", "M params", "source", "licence")


def main(argv: list[str] | None = None) -> int:
    """Returns the exit code: 1 where a file cannot be had, or an address does not answer."""
    words = list(sys.argv[1:] if argv is None else argv)
    if not words or words[0] not in (*_COMMANDS, *_HELP):
        words = ["list", *words]
    command, args = parse_command(__doc__, _COMMANDS, words)
    return run_tool(command.run, args, interrupted="interrupted; the same command goes on")


def add_choice(parser: argparse.ArgumentParser) -> None:
    """Words and a dataset."""
    parser.add_argument("words", nargs="*", metavar="WORD", help="in name, data, source or config")
    parser.add_argument("--dataset", metavar="NAME", help="K400 or kinetics400, SSv2, AVA, ...")


def add_names(parser: argparse.ArgumentParser) -> None:
    """Names of weights."""
    parser.add_argument("names", nargs="+", metavar="NAME", help="as in the list")


def add_list_arguments(parser: argparse.ArgumentParser) -> None:
    """A choice, and the kind of table."""
    add_choice(parser)
    parser.add_argument("--markdown", action="store_true", help="as docs/zoo.md has it")


def add_check_arguments(parser: argparse.ArgumentParser) -> None:
    """A choice, and how long to wait."""
    add_choice(parser)
    parser.add_argument(
        "--timeout", type=at_least(1), default=20, metavar="S", help="seconds (default: 20)"
    )


def chosen(args: argparse.Namespace) -> list:
    """Rows of the table that fit all words and the dataset; ValueError for none."""
    from slowfast.zoo.table import weights

    found = []
    for row in weights().values():
        text = " ".join((row.name, row.data, row.source, row.config)).lower()
        is_of = [name.lower().startswith((args.dataset or "").lower()) for name in row.set_names]
        if any(is_of) and all(word.lower() in text for word in args.words):
            found.append(row)
    if not found:
        asked = [*args.words, *([f"--dataset {args.dataset}"] if args.dataset else [])]
        raise ValueError(f"{' '.join(asked)}: no published weights fit; `slowfast zoo` lists all")
    return found


def run_list(args: argparse.Namespace) -> None:
    """Print a line for each of the chosen weights."""
    from slowfast.zoo.weights import cached_path

    rows = chosen(args)
    if args.markdown:
        print(markdown(rows))
        return
    lines = []
    for row in rows:
        is_here = "yes" if cached_path(row).is_file() else "by hand" if row.is_page else ""
        lines.append([*cells(row), is_here])
    print(tabulate(lines, headers=[*_HEADERS, "here"], disable_numparse=True))
    print(f"{len(lines)} weights; zoo:NAME stands for a file of weights. Accuracies are published")


def cells(row) -> list[str]:
    """Cells of a line about weights."""
    result = row.result
    value = result.value("top-1") or result.value("mAP")
    licence = row.licence.partition(" (")[0]
    return [row.name, row.data, value, result.views, row.size, row.source, licence]


def markdown(rows: list) -> str:
    """The table with links to the addresses, and to the pages that they stand on."""
    lines = [f"| {' | '.join(_HEADERS)} |", f"|{'---|' * len(_HEADERS)}"]
    for row in rows:
        name, *middle, source, licence = cells(row)
        linked = [f"[`{name}`]({row.address})", *middle, f"[{source}]({row.page})", licence]
        lines.append(f"| {' | '.join(linked)} |")
    return "\n".join(lines)


def run_show(args: argparse.Namespace) -> None:
    """Print all that is known of weights."""
    from slowfast.zoo.table import find_weights

    print("\n\n".join(facts(find_weights(name)) for name in args.names))


def facts(row) -> str:
    """Lines about weights, with the commands that take them."""
    from slowfast.zoo.table import IMAGES
    from slowfast.zoo.weights import cached_path

    result, path = row.result, cached_path(row)
    views = f" ({result.views} views)" if result.views else ""
    names = row.class_names
    lines = [
        ("config", f"{row.config}{f' {row.options}' if row.options else ''}"),
        ("data", f"{row.data}{f', {row.when}' if row.when else ''}"),
        ("published", f"{result.metrics}{views}" if result.metrics else "no number"),
        ("parameters", f"{row.size} M" if row.size else "not stated"),
        ("licence", row.licence),
        ("source", row.page),
        ("address", row.address),
        ("sha256", f"{row.sha256}..." if row.sha256 else "not published: recorded at first use"),
        ("file", f"{path}{'' if path.is_file() else ' (not there yet)'}"),
        ("classes", f"{len(names)} names" if names else "no names"),
    ]
    of, more = f"--cfg {row.config}", f" {row.options}" if row.options else ""
    if row.data != IMAGES:
        lines += [
            ("predict", f"slowfast predict VIDEO --checkpoint zoo:{row.name}"),
            ("test", f"slowfast test {of} TEST.CHECKPOINT_FILE_PATH zoo:{row.name}{more}"),
        ]
    lines += [("train", f"slowfast train {of} TRAIN.CHECKPOINT_FILE_PATH zoo:{row.name}{more}")]
    return "\n".join([f"zoo:{row.name}", *(f"  {title:<11}{text}" for title, text in lines)])


def run_get(args: argparse.Namespace) -> None:
    """Fetch files, and print where they are."""
    from slowfast.zoo.weights import fetch

    for name in args.names:
        print(fetch(name.removeprefix("zoo:"), is_thorough=True))


def run_check(args: argparse.Namespace) -> int:
    """Ask addresses; 1 where one does not answer as it should."""
    from tqdm import tqdm

    from slowfast.zoo.check import ask_all

    rows = chosen(args)
    bar = tqdm(ask_all(rows, timeout=args.timeout), total=len(rows), unit="address", disable=None)
    answers = list(bar)
    lines = [
        ["" if answer.is_good else "!", answer.row.name, _megabytes(answer.size), answer.words]
        for answer in answers
    ]
    print(tabulate(lines, headers=["", "name", "MB", "answer"], disable_numparse=True))
    num_good = sum(answer.is_good for answer in answers)
    print(f"{num_good} of {len(answers)} addresses answer")
    return int(num_good < len(answers))


def run_where(args: argparse.Namespace) -> None:
    """Print the folder, and the files of the zoo in it."""
    from slowfast.zoo.table import weights
    from slowfast.zoo.weights import cache_folder, cached_path

    paths = [path for row in weights().values() if (path := cached_path(row)).is_file()]
    for path in paths:
        print(f"{_megabytes(path.stat().st_size):>9} MB  {path.name}")
    print(f"{cache_folder()}: {len(paths)} files; SLOWFAST_CACHE names another folder")


def run_classes(args: argparse.Namespace) -> None:
    """Print the names of the classes of a set."""
    from slowfast.zoo.class_lists import class_list, class_lists

    names = class_list(args.set)
    if names is None:
        raise ValueError(f"{args.set}: there is no list of its classes, but of {class_lists()}")
    print("\n".join(names))


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.1f}" if size else ""


def add_set(parser: argparse.ArgumentParser) -> None:
    """A set."""
    parser.add_argument("set", metavar="SET", help="kinetics400, ssv2, ava, ...")


def add_nothing(_parser: argparse.ArgumentParser) -> None:
    """A command without arguments."""


_COMMANDS = {
    "list": Command(
        "list published weights (also without a command)", add_list_arguments, run_list
    ),
    "show": Command("say what is known of weights, and the commands for them", add_names, run_show),
    "get": Command("fetch files, compare their hashes, print their paths", add_names, run_get),
    "check": Command("ask addresses whether they answer", add_check_arguments, run_check),
    "where": Command("print the folder of the files", add_nothing, run_where),
    "classes": Command("print the names of the classes of a set", add_set, run_classes),
}


if __name__ == "__main__":
    sys.exit(main())
