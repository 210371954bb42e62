"""Every key with its default, limits and comment: as help in a terminal, and as docs/config.md.

python -m slowfast.config.document > docs/config.md
"""

import difflib
import re
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import reduce
from pathlib import Path
from typing import Any

from slowfast.config import defaults
from slowfast.config.limits import OneOf
from slowfast.config.node import KINDS
from slowfast.config.unsupported import (
    RENAMED,
    RENAMED_NAMES,
    UNSUPPORTED,
    UNSUPPORTED_NAMES,
    unsupported_reason,
)

_INTRODUCTION = """\
# Config keys

<!-- Made from slowfast/config/defaults.py: python -m slowfast.config.document > docs/config.md -->

A YAML file sets `TRAIN: {BATCH_SIZE: 16}`, the end of a command line `TRAIN.BATCH_SIZE 16`.
`python tools/run_net.py --help-config` prints this list, `--help-config TRAIN` one section of it.
"Ours" are keys that PySlowFast does not have. Its keys that have no effect here are
[at the end](#not-supported).

"""
_NOT_SUPPORTED = """\
## Not supported

Keys of PySlowFast and VoV3D that have no effect here. A file with them loads, and each is named in
a warning.

| key | reason |
|---|---|
"""


_OTHER_NAMES = """
## Names of other versions

Keys and names of PySlowFast, its earlier versions and its forks that mean something here. Each is
taken with a warning.

| key | there | here |
|---|---|---|
"""
_OTHER_PROJECTS = """
## Not part of this project

A config that asks for one of these is refused in one line.

| key | name | reason |
|---|---|---|
"""

_NO_SECTION = "No section"


@dataclass(frozen=True)
class Key:
    """One key: its default, the values that it takes, its comment."""

    name: str
    default: Any
    allowed: str
    comment: str


@dataclass
class Section:
    """A section and its keys; the keys outside of sections have one with an empty name."""

    name: str
    comment: str
    keys: list[Key] = field(default_factory=list)


def read_sections() -> list[Section]:
    """The sections of `defaults.py` in its order."""
    cfg = defaults.get_cfg()
    limits = {key: limit for key, _, limit in cfg.limits()}
    sections = {"": Section("", "")}
    for name, comment, is_section in _assignments(Path(defaults.__file__).read_text("utf-8")):
        if is_section:
            sections[name] = Section(name, comment)
            continue
        default = reduce(getattr, name.split("."), cfg)
        key = Key(name, default, _allowed(default, limits.get(name)), comment)
        sections[name.rpartition(".")[0]].keys.append(key)
    return list(sections.values())


def _assignments(source: str) -> Iterator[tuple[str, str, bool]]:
    """Name, the comment above and whether it is a section, for each assignment to `_C`."""
    comment: list[str] = []
    for line in source.splitlines():
        if line.startswith("# ") and not line.startswith("# ---"):
            comment.append(line[2:])
            continue
        if match := re.match(r"_C\.(\S+) = (ConfigNode)?", line):
            yield match[1], " ".join(comment), bool(match[2])
        comment = []


def _allowed(default: Any, limit: Any) -> str:
    if isinstance(limit, OneOf) or default is None:
        return str(limit)
    kind = " or ".join(KINDS[kind] for kind in getattr(limit, "kinds", (type(default),)))
    return f"{kind}, {limit}" if limit else kind


def help_text(name: str = "") -> str:
    """All keys, those of a section, or one key; ValueError for other names says near ones."""
    sections = read_sections()
    if not name:
        return "\n".join(map(_section_text, sections))
    texts = {key.name.upper(): _key_text(key) for section in sections for key in section.keys}
    texts |= {section.name.upper(): _section_text(section) for section in sections}
    if name.upper() in texts:
        return texts[name.upper()]
    if reason := unsupported_reason(name):
        return f"{name} is not supported: {reason}\n"
    near = difflib.get_close_matches(name.upper(), texts, n=3)
    hint = f"did you mean {' or '.join(near)}? " if near else ""
    names = ", ".join(section.name for section in sections if section.name)
    raise ValueError(f"{name!r} is not a section or key; {hint}The sections are {names}")


def _section_text(section: Section) -> str:
    title = section.name or _NO_SECTION
    head = textwrap.fill(f"{title}. {section.comment}" if section.comment else title, 100)
    return f"{head}\n\n" + "".join(map(_key_text, section.keys))


def _key_text(key: Key) -> str:
    head = textwrap.wrap(f"{key.name} = {key.default!r} ({key.allowed})", 96)
    return "\n    ".join([*head, *textwrap.wrap(key.comment, 96)]) + "\n"


def markdown() -> str:
    """The text of docs/config.md."""
    sections = read_sections()
    titles = [section.name or _NO_SECTION for section in sections]
    links = [f"[{title}](#{title.lower().replace(' ', '-').replace('.', '')})" for title in titles]
    index = textwrap.fill(" · ".join(links), 110, break_long_words=False, break_on_hyphens=False)
    unsupported = [f"| `{key}` | {_cell(reason)} |\n" for key, reason in UNSUPPORTED.items()]
    tables = map(_section_markdown, titles, sections)
    parts = [_INTRODUCTION, index, "\n\n", *tables, _NOT_SUPPORTED, *unsupported]
    return "".join([*parts, _OTHER_NAMES, *_other_names(), _OTHER_PROJECTS, *_other_projects()])


def _other_names() -> Iterator[str]:
    for there, here in RENAMED.items():
        yield f"| `{there}` | | `{here}` |\n"
    for key, names in RENAMED_NAMES.items():
        for there, (here, sense) in names.items():
            yield f"| `{key}` | `{there}` | `{here!r}`, {_cell(sense)} |\n"


def _other_projects() -> Iterator[str]:
    for key, names in UNSUPPORTED_NAMES.items():
        for name, reason in names.items():
            yield f"| `{key}` | `{name}` | {_cell(reason)} |\n"


def _section_markdown(title: str, section: Section) -> str:
    comment = f"{textwrap.fill(_cell(section.comment), 110)}\n\n" if section.comment else ""
    head = "| key | default | allowed | meaning |\n|---|---|---|---|\n" if section.keys else ""
    rows = [
        f"| `{key.name}` | `{key.default!r}` | {_cell(key.allowed)} | {_cell(key.comment)} |\n"
        for key in section.keys
    ]
    return f"## {title}\n\n{comment}{head}{''.join(rows)}{chr(10) if rows else ''}"


def _cell(text: str) -> str:
    """The text without a meaning in Markdown."""
    return re.sub(r"[|<*]", r"\\\g<0>", text)


if __name__ == "__main__":
    sys.stdout.write(markdown())
