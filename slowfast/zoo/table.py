"""Table of published weights, weights.yaml, and what the recipes say of their results."""

import difflib
import re
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from slowfast.shipped import recipe_header, recipes
from slowfast.zoo.class_lists import class_list

_TABLE = Path(__file__).with_name("weights.yaml")
_METRICS = {"top1": "top-1", "top5": "top-5", "map": "mAP"}
_RESULT = re.compile(r"[\w. ]+? ((?:top-1|mAP) [\d.]+(?:, top-5 [\d.]+)?).*?\((.+)\)\.")
_VIEWS = re.compile(r"(\d+ x \d+) views")
_SUFFIXES = (".pkl", ".pyth", ".pth", ".pth.tar")
# Weights of images have the recipes that start from them, and no names of classes.
IMAGES = "ImageNet"
_CLASSES = {"K400": "kinetics400", "K600": "kinetics600", "SSv1": "ssv1", "SSv2": "ssv2"}
_CLASSES |= {"Charades": "charades", "AVA 2.1": "ava", "AVA 2.2": "ava"}


@dataclass(frozen=True)
class Result:
    """Accuracy as printed, "top-1 73.5, top-5 91.1", of "10 x 3" views; "" where none is known."""

    metrics: str = ""
    views: str = ""

    def value(self, metric: str) -> str:
        """The number of a metric as it is printed, "" where it is not known."""
        match = re.search(rf"{metric} ([\d.]+)", self.metrics)
        return match[1] if match else ""


@dataclass(frozen=True)
class Weights:
    """A row of the table, with what holds for its group and its source (see weights.yaml)."""

    name: str
    config: str
    data: str
    source: str
    page: str
    licence: str
    address: str
    published: Sequence[str]
    sha256: str = ""
    order: str = ""
    options: str = ""
    when: str = ""
    suffix: str = ""
    views: str = ""
    params: float | None = None
    top1: float | None = None
    top5: float | None = None
    map: float | None = None

    @property
    def is_page(self) -> bool:
        """Whether the address is a page with a button, which no program should press."""
        return bool(self.suffix)

    @property
    def file_name(self) -> str:
        """Name in the cache."""
        path = self.address.partition("?")[0]
        found = (suffix for suffix in _SUFFIXES if path.endswith(suffix))
        return self.name + (self.suffix or next(found))

    @property
    def recipe(self) -> Path:
        """YAML file of the recipe."""
        return recipes()[self.config]

    def trained_recipe(self) -> Path:
        """The recipe that the weights are a result of; ValueError for weights of images."""
        if self.data == IMAGES:
            raise ValueError(
                f"zoo:{self.name}: weights of images, to start a training from: set "
                f"TRAIN.CHECKPOINT_FILE_PATH zoo:{self.name}, for instance with --cfg {self.config}"
            )
        return self.recipe

    @property
    def overrides(self) -> list[str]:
        """KEY, VALUE, ... that go with the recipe."""
        return shlex.split(self.options)

    @property
    def set_names(self) -> tuple[str, str]:
        """Names of the set, in the table and of the list of its classes."""
        return self.data, _CLASSES.get(self.data, "")

    @property
    def class_names(self) -> list[str] | None:
        """Names of the classes in the order of their numbers; None where they are not known."""
        if self.data not in _CLASSES:
            return None
        names = class_list(_CLASSES[self.data])
        return sorted(names) if names and self.order == "alphabetical" else names

    @property
    def result(self) -> Result:
        """The publisher's result, of the row or else of the recipe's header."""
        own = {title: getattr(self, key) for key, title in _METRICS.items()}
        if any(own.values()):
            metrics = ", ".join(f"{title} {value}" for title, value in own.items() if value)
            return Result(metrics, self.views)
        return _of_header(recipe_header(self.recipe), self.published, self.when)

    @property
    def size(self) -> str:
        """Millions of parameters as published, or else as counted for the recipe."""
        if self.params or self.data == IMAGES:
            return str(self.params or "")
        match = re.search(r"Size: ([\d.]+) M", "\n".join(recipe_header(self.recipe)))
        return match[1] if match else ""


@cache
def weights() -> dict[str, Weights]:
    """All rows by name, in the order of the table."""
    content = yaml.safe_load(_TABLE.read_text(encoding="utf-8"))
    found: dict[str, Weights] = {}
    for group in content["weights"]:
        common: dict[str, Any] = {key: value for key, value in group.items() if key != "rows"}
        for row in group["rows"]:
            found[row["name"]] = Weights(**common, **content["sources"][group["source"]], **row)
    return found


def find_weights(name: str) -> Weights:
    """The row of a name, in any case; ValueError names those that are near."""
    rows = {key.lower(): row for key, row in weights().items()}
    if name.lower() in rows:
        return rows[name.lower()]
    parts = [key for key in rows if name.lower() in key]
    near = parts or difflib.get_close_matches(name.lower(), rows, n=5)
    hint = f"did you mean {', '.join(rows[key].name for key in near[:8])}? " if near else ""
    raise ValueError(f"zoo:{name}: there are no such weights; {hint}`slowfast zoo` lists all")


def _of_header(header: Sequence[str], published: Sequence[str], when: str) -> Result:
    """The result of one of the sources, the first with one, that was got in the same way."""
    for source in published:
        for metrics, notes in _results(header):
            ways = [note for note in notes if note.startswith("from ")]
            if ways == ([when] if when else []) and _is_of(source, notes):
                views = next((match[1] for note in notes if (match := _VIEWS.fullmatch(note))), "")
                return Result(metrics, views)
    return Result()


def _is_of(source: str, notes: Iterable[str]) -> bool:
    return any(note.startswith(f"{source}, ") for note in notes)


def _results(header: Sequence[str]) -> list[tuple[str, list[str]]]:
    """Metrics and notes of each result below "Published:"; lines further in go on with one."""
    first = next(
        (n for n, line in enumerate(header) if line.startswith("Published: ")), len(header)
    )
    texts: list[str] = []
    for line in header[first:]:
        if texts and line.startswith("    "):
            texts[-1] += f" {line.strip()}"
        else:
            texts.append(line.removeprefix("Published: ").strip())
    found = (_RESULT.fullmatch(text) for text in texts)
    return [(match[1], match[2].split("; ")) for match in found if match]
