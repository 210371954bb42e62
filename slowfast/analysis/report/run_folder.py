"""Everything that a run has written so far, read from its OUTPUT_DIR."""

import csv
import json
import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from slowfast.config.cli import load_cfg
from slowfast.config.defaults import DEFAULTS
from slowfast.config.node import ConfigNode, flatten
from slowfast.utils.io import read_json, read_small_text


@dataclass(frozen=True)
class RunFolder:
    """OUTPUT_DIR of a run. What is not there yet, or is damaged, is empty."""

    path: Path

    @property
    def name(self) -> str:
        """Its folder's name, with that of the folder above it where it says little."""
        path = self.path.resolve()
        return f"{path.parent.name}/{path.name}"

    @cached_property
    def config(self) -> ConfigNode:
        """Its frozen config."""
        return load_cfg(self.path / "config.yaml")

    @cached_property
    def results(self) -> dict[str, Any]:
        """Content of test_results.json."""
        return self._json("test_results.json")

    @cached_property
    def environment(self) -> dict[str, Any]:
        """Commit, machine and versions, see `slowfast.config.environment`."""
        return self._json("environment.json")

    @cached_property
    def log(self) -> list[dict[str, Any]]:
        """Lines of log.jsonl; one that is still being written, or was cut, is left out."""
        rows = []
        for line in self.text("log.jsonl").splitlines():
            try:
                row = json.loads(line)
            except ValueError:
                continue
            if isinstance(row, dict):
                rows.append(row)
        return rows

    def lines_of(self, kind: str) -> list[dict[str, Any]]:
        """Lines of the log of this `_type`."""
        return [row for row in self.log if row.get("_type") == kind]

    def text(self, name: str) -> str:
        """Content of a text file; "" where there is none."""
        path = self.path / name
        try:
            return read_small_text(path) if path.is_file() else ""
        except (OSError, ValueError):
            return ""

    def csv_rows(self, name: str) -> list[dict[str, str]]:
        """Rows of a table with a header; [] where there is none."""
        return list(csv.DictReader(self.text(name).splitlines()))

    def _json(self, name: str) -> dict[str, Any]:
        try:
            found = read_json(self.path / name)
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def changed_keys(self) -> list[tuple[str, Any, Any]]:
        """(key, default, value) of each key of the config that differs from the defaults."""
        default = dict(flatten(DEFAULTS))
        return [
            (key, default.get(key), value)
            for key, value in sorted(flatten(self.config))
            if value != default.get(key) and key != "OUTPUT_DIR"
        ]


def number(value: Any) -> float:
    """A number of the log; NaN for what is none, such as null."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number else math.nan


def find_run(place: str | Path) -> RunFolder:
    """ValueError unless the folder has the config of a run."""
    path = Path(place)
    if not (path / "config.yaml").is_file():
        raise ValueError(
            f"{path}: there is no config.yaml here; a run is the OUTPUT_DIR of tools/run_net.py"
        )
    return RunFolder(path)
