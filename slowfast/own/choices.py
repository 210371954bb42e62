"""Values that were chosen for a run, each with its reason."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from slowfast.config.derived import plain

GIVEN = "given on the command line"


@dataclass(frozen=True)
class Choice:
    """A config key with its value, and the reason for it."""

    key: str
    value: Any
    why: str


@dataclass
class Choices:
    """Choices in their order. given: values by key that the user has chosen, and which win."""

    given: Mapping[str, Any]
    rows: list[Choice] = field(default_factory=list)

    def pick(self, key: str, value: Any, why: str) -> Any:
        """Choose a value, unless the user has; the value that counts."""
        if key in self.given:
            value, why = self.given[key], GIVEN
        self.rows.append(Choice(key, value, why))
        return value

    def finish(self) -> list[Choice]:
        """All rows, with what the user gave beside them."""
        picked = {row.key for row in self.rows}
        others = [Choice(k, v, GIVEN) for k, v in self.given.items() if k not in picked]
        return self.rows + others

    def words(self) -> list[Any]:
        """KEY, VALUE, ... of all, as a config merges them."""
        return [word for row in self.finish() for word in (row.key, row.value)]


def yaml_lines(rows: list[Choice]) -> list[str]:
    """Lines of a YAML file: a section for the keys of each, the reasons as comments."""
    return _section([(row.key.split("."), row) for row in rows], "")


def _section(rows: list[tuple[list[str], Choice]], indent: str) -> list[str]:
    lines = []
    for name in dict.fromkeys(names[0] for names, _ in rows):
        inner = [(names[1:], row) for names, row in rows if names[0] == name]
        if inner[0][0]:
            lines += [f"{indent}{name}:", *_section(inner, indent + "  ")]
        else:
            row = inner[-1][1]
            value = yaml.safe_dump(plain(row.value), default_flow_style=True, width=10**6)
            lines.append(f"{indent}{name}: {value.splitlines()[0]}  # {row.why}")
    return lines
