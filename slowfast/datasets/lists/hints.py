"""Hints about lines and paths that cannot be used: the likely cause, and what to do."""

import os
import re
from collections.abc import Iterator
from urllib.parse import unquote, urlsplit

_MOST = 120  # characters of a line in a message
_SEPARATORS = {
    ",": ("commas", "','"),
    "\t": ("tabs", "'\\t'"),
    ";": ("semicolons", "';'"),
    "|": ("bars", "'|'"),
    " ": ("spaces", "' '"),
}
_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://")
_DRIVE = re.compile(r"[A-Za-z]:[\\/]")
_SPLITS = {"train", "val", "validate", "validation", "test"}


def in_message(text: str) -> str:
    """A text in quotes, shortened if it is long."""
    text = text.strip()
    if len(text) > _MOST:
        text = f"{text[: _MOST // 2]} ... {text[-_MOST // 2 :]}"
    return repr(text)


def line_hint(line: str, number: int, separator: str, class_names: dict[str, int]) -> str:
    """The likeliest cause of a line that cannot be read, or ""; `class_names`: number of each."""
    return next(_causes(line.strip(), number, separator, class_names), "")


def _causes(line: str, number: int, separator: str, class_names: dict[str, int]) -> Iterator[str]:
    last = line.rpartition(separator)[2].strip()
    fields = [field.strip() for field in line.split(",")]
    if "youtube_id" in line or (len(fields) > 4 and fields[-1] in _SPLITS):
        yield (
            "this is an official csv of Kinetics: tools/dataset.py kinetics-lists makes lists of "
            "it and of the videos that you have"
        )
    if line.startswith("#"):
        yield "lists have no comments: remove the line"
    if any(space in line for space in "\u00a0\u2007\u202f\u3000"):
        yield "the line holds a no-break or wide space, which is no separator: replace it"
    for other, (name, typed) in _SEPARATORS.items():
        field = line.rpartition(other)[2].strip().strip('"')
        if other != separator and other in line and field.lstrip("-").isdecimal():
            yield f"fields seem to be separated by {name}: set DATA.PATH_LABEL_SEPARATOR {typed}"
    if number == 1 and not re.search(r"[0-9./\\]", line):
        yield "this looks like a header: remove it (pandas: to_csv(..., header=False, index=False))"
    yield from _causes_of_label(last, separator, class_names)


def _causes_of_label(label: str, separator: str, class_names: dict[str, int]) -> Iterator[str]:
    if label.lower() in ("nan", "none", "null", "", '""'):
        yield "the label is empty: give the video one, or remove the line"
    if re.fullmatch(r"[+-]?[0-9]+\.0*", label):
        yield (
            f"write {int(float(label))}: pandas writes labels so where one is missing; "
            "astype(int) turns them into integers"
        )
    if re.fullmatch(r"[+-]?[0-9]*\.[0-9]+", label):
        yield "labels are numbers of classes; values to regress are not supported"
    if re.fullmatch(r"\+[0-9]+", label):
        yield f"write {int(label)}"
    if label.endswith((",", ";")) and separator.strip() != label[-1]:
        yield f"remove the {label[-1]!r} at its end"
    if label in class_names:
        yield f"it is a name in classes.txt: write its number, {class_names[label]}"
    if label and not label.strip("\"'.").isdecimal():
        yield (
            "labels are numbers from 0: number the names, and write them in this order into "
            "classes.txt beside the list"
        )


def local_path(name: str) -> str:
    """The path that a list means: `~`, `$HOME/...` and file:// are understood.

    ValueError for the address of something that is not on this machine.
    """
    if name[:1] == "~":
        return os.path.expanduser(name)
    if name[:1] == "$" and "/" in name:
        variable, _, rest = name.partition("/")
        found = os.path.expandvars(variable)
        if found == variable and not os.path.lexists(variable):
            raise ValueError(f"the path {in_message(name)} begins with a variable that is not set")
        return os.path.join(found, rest)
    if "://" in name and (match := _URL.match(name)):
        if match[1].lower() != "file":
            raise ValueError(
                f"the path {in_message(name)} is an address, not a file: download the videos, and "
                "list where they lie"
            )
        return unquote(urlsplit(name).path, errors="surrogateescape")
    return name


def path_hint(name: str, path: str) -> str:
    """The likeliest cause of a path that leads nowhere, or ""; `name`: as it is in the list."""
    return next(_causes_of_path(name, path), "")


def _causes_of_path(name: str, path: str) -> Iterator[str]:
    if _DRIVE.match(name):
        yield "it is a path of Windows"
    if "\\" in name:
        yield "it has backslashes, which are part of the name here: write /"
    if name[:1] == name[-1:] == "'":
        yield "it stands in single quotes, which are part of the name: write double quotes"
    if name.endswith((",", ";")):
        yield f"it ends in {name[-1]!r}: does DATA.PATH_LABEL_SEPARATOR fit?"
    if re.match(r"[0-9]+[,;\t]", name):
        yield "it begins with a number: is it a column of line numbers (pandas: index=False)?"
    if name.startswith("#"):
        yield "lists have no comments"
    folder, stem = os.path.split(path)
    if stem and not os.path.splitext(stem)[1] and os.path.isdir(folder):
        named = (entry for entry in sorted(os.listdir(folder)) if entry.startswith(f"{stem}."))
        if found := next(named, None):
            yield f"there is {found!r}: write names with their suffix"
