"""Write docs/models.md, docs/papers.md and the lines "Published:" of the YAMLs from one table.

The table is docs/published.yaml: the rows of papers and model zoos, and what runs each here.

python tools/recipes.py models > docs/models.md
python tools/recipes.py papers > docs/papers.md
python tools/recipes.py headers
"""

import argparse
import re
import sys
import textwrap
from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

import yaml

from slowfast.utils.cli import make_parser, parse, run_tool

ROOT = Path(__file__).resolve().parents[1]
TABLE = ROOT / "docs" / "published.yaml"
_METRICS = {"top1": "top-1", "top5": "top-5", "map": "mAP"}
_MODELS = """\
# Models

<!-- Made from configs/ and docs/published.yaml: python tools/recipes.py models > docs/models.md -->

All recipes below `configs/`, their sizes, and published results. This project has not trained on
these datasets. GMACs are the multiply-adds of convolutions, linear layers and matrix products of
one clip, at the crops of training and test. [papers.md](papers.md) has the rows of the papers'
tables, also the ones that are missing here.

"""
_PAPERS = """\
# The papers, row by row

<!-- Made from docs/published.yaml: python tools/recipes.py papers > docs/papers.md -->

The command for each row. Numbers are as the papers print them: parameters in millions, GFLOPs
(multiply-adds) of one clip, accuracies in %. Without a remark, both sizes agree with our count, to
one unit of the last printed place; a test holds that.

The commands train, and then test with the views of the table. Add `DATA.PATH_TO_DATA_DIR`. If you
have weights, add `TRAIN.ENABLE False TEST.CHECKPOINT_FILE_PATH weights.pyth`. In an installation
write `slowfast train` for `python tools/run_net.py`.

"""
_MODEL_HEAD = "| config | network | size | published |\n|---|---|---|---|\n"


def main(argv: list[str] | None = None) -> int:
    """Returns the exit code."""
    parser = make_parser(__doc__)
    parser.add_argument("what", choices=("models", "papers", "headers"))
    return run_tool(run, parse(parser, argv))


def run(args: argparse.Namespace) -> None:
    """Print a page, or rewrite the headers."""
    rows = list(read_rows())
    if args.what == "headers":
        for path in recipes():
            rewrite_header(path, rows)
    else:
        sys.stdout.write(models_page() if args.what == "models" else papers_page(rows))


def read_rows() -> Iterator[dict[str, Any]]:
    """Rows of the table, each with the fields of its table; every value is the text as printed."""
    content = yaml.load(TABLE.read_text(encoding="utf-8"), Loader=yaml.BaseLoader)
    for table in content["tables"]:
        common = {key: value for key, value in table.items() if key != "rows"}
        for row in table["rows"]:
            yield {**common, **content["sources"][table["source"]], **row}


def recipes() -> list[Path]:
    """YAML files of published or own recipes, without those of the demo and of tiny sets."""
    files = sorted((ROOT / "configs").rglob("*.yaml"))
    return [path for path in files if not {"demo", "tiny"} & set(path.parts)]


def name_of(path: Path) -> str:
    """The name that rows have for a YAML file."""
    return path.relative_to(ROOT / "configs").with_suffix("").as_posix()


def rows_of(path: Path, rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows whose results are those of a YAML file, or of the one that it is another name of."""
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    if set(content) == {"_BASE_"}:
        return rows_of((path.parent / content["_BASE_"]).resolve(), rows)
    name = name_of(path)
    return [row for row in rows if row.get("config") == name and row.get("is_recipe") != "False"]


def published_lines(rows: list[dict[str, Any]]) -> list[str]:
    """A line for each result of a config; nothing where no number is known."""
    sources: dict[tuple, list[str]] = {}
    for row in rows:
        if metrics := tuple(f"{_METRICS[key]} {row[key]}" for key in _METRICS if key in row):
            setting = row["data"], row.get("views"), row.get("when"), row.get("point")
            point = f" at {row['gflops']} GMACs" if "point" in row else ""
            where = f"{row['source']}, {row['table']}"
            sources.setdefault((setting, metrics, point), []).append(where)
    kept = [key for key in sources if not any(_says_more(other, key) for other in sources)]
    if kept:
        return [_line(*key, dict.fromkeys(sources[key])) for key in kept]
    tables = dict.fromkeys(f"{row['table']} of {row['source']}" for row in rows)
    return [f"in {' and '.join(tables)}; its accuracy is not copied here."] if tables else []


def _says_more(other: tuple, one: tuple) -> bool:
    """Whether another result has the metrics of one, and more of them."""
    return other[0] == one[0] and set(other[1]) > set(one[1])


def _line(setting: tuple, metrics: tuple, point: str, sources: Iterable[str]) -> str:
    data, views, when, _ = setting
    with_what = [text for text in (when, f"{views} views" if views else None) if text]
    notes = "; ".join([*with_what, *sources])
    return f"{data} {', '.join(metrics)}{point} ({notes})."


def rewrite_header(path: Path, rows: list[dict[str, Any]]) -> None:
    """Put the results of a config into its header; a config without any keeps its own words."""
    if block := published_block(path, rows):
        source = path.read_text(encoding="utf-8")
        path.write_text(re.sub(PUBLISHED, lambda _: block, source, count=1), encoding="utf-8")


def published_block(path: Path, rows: list[dict[str, Any]]) -> str:
    """The lines of a header from "Published:" on, or nothing where no number is known."""
    lines = published_lines(rows_of(path, rows))
    paragraphs = [f"Published: {lines[0]}", *(f"  {line}" for line in lines[1:])] if lines else []
    wrapped = (
        textwrap.wrap(text, 98, subsequent_indent="    ", break_on_hyphens=False)
        for text in paragraphs
    )
    return "".join(f"# {line}\n" for lines in wrapped for line in lines)


PUBLISHED = re.compile(r"# Published: .*\n(#.*\n)*")


def header_facts(path: Path) -> tuple[str, str, str]:
    """Title, size and published result that a YAML file begins with."""
    lines = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            break
        lines.append(line[2:])
    title = " ".join(lines[: lines.index("")])
    size = next(line for line in lines if line.startswith("Size: "))
    first = next(i for i, line in enumerate(lines) if line.startswith("Published: "))
    published = " ".join(map(str.strip, lines[first:])).removeprefix("Published: ")
    return title, size.removeprefix("Size: "), published


def models_page() -> str:
    """The text of docs/models.md."""
    parts = [_MODELS]
    for dataset, paths in groupby(recipes(), lambda path: name_of(path).partition("/")[0]):
        parts.append(f"## {dataset}\n\n{_MODEL_HEAD}")
        parts += [_model_row(path, dataset) for path in paths]
        parts.append("\n")
    return "".join(parts).rstrip("\n") + "\n"


def _model_row(path: Path, dataset: str) -> str:
    title, size, published = header_facts(path)
    name = name_of(path).removeprefix(f"{dataset}/")
    link = f"[{name}](../{path.relative_to(ROOT).as_posix()})"
    return f"| {link} | {_cell(title)} | {_cell(size)} | {_cell(published)} |\n"


def papers_page(rows: list[dict[str, Any]]) -> str:
    """The text of docs/papers.md."""
    parts = [_PAPERS]
    of_papers = [row for row in rows if row.get("paper")]
    for source, of_source in groupby(of_papers, lambda row: row["source"]):
        of_source = list(of_source)
        parts.append(f"## {source}\n\n[{of_source[0]['title']}]({of_source[0]['link']})\n\n")
        for _, of_table in groupby(of_source, lambda row: row["table"]):
            parts.append(_paper_table(list(of_table)))
    return "".join(parts).rstrip("\n") + "\n"


def _paper_table(rows: list[dict[str, Any]]) -> str:
    first = rows[0]
    about = [first[key] for key in ("about", "data") if key in first]
    about += [f"{first['views']} views"] if "views" in first else []
    title = f"{first['table']}: {', '.join(about)}" if about else first["table"]
    head = f"### {title}\n\n| row | printed | here |\n|---|---|---|\n"
    cells = ((row["name"], _printed(row), _command(row)) for row in rows)
    return head + "".join(f"| {' | '.join(map(_cell, row))} |\n" for row in cells) + "\n"


def _printed(row: dict[str, Any]) -> str:
    sizes = [f"{row['params']} M"] if "params" in row else []
    sizes += [f"{row['gflops']} G"] if "gflops" in row else []
    metrics = [f"{title} {row[key]}" for key, title in _METRICS.items() if key in row]
    return ", ".join(sizes + metrics)


def _command(row: dict[str, Any]) -> str:
    notes = (row[key] for key in ("known", "note") if key in row)
    return ". ".join([_what_runs(row), *(note[0].upper() + note[1:] for note in notes)])


def _what_runs(row: dict[str, Any]) -> str:
    if "missing" in row:
        return f"not here yet: {row['missing']}"
    if "command" in row:
        return row["command"] if row["command"].startswith("see ") else f"`{row['command']}`"
    words = ["--cfg", f"configs/{row['config']}.yaml"]
    options = [row["options"]] if "options" in row else []
    if "point" in row:
        words = ["python tools/budget.py table", *words, "--checkpoint a3d.pyth", *options]
        return f"`{' '.join(words)}`: {row['point']}"
    return f"`{' '.join(['python tools/run_net.py', *words, *options])}`"


def _cell(text: str) -> str:
    return text.replace("|", r"\|").replace("<", r"\<")


if __name__ == "__main__":
    sys.exit(main())
