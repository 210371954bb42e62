"""Lines of plain lists: their formats, and hints about mistakes in them."""

import os
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from slowfast.utils.video_names import is_url

# Values of DATA.LIST_FORMAT beside "auto": fields between the path and the labels.
KINDS = {"labels": (), "frames": ("num_frames",), "parts": ("start", "end")}
_INTEGER = re.compile(r"-?[0-9]+")
_TIME = re.compile(r"(?:[0-9]+:){0,2}[0-9]+(?:\.[0-9]*)?")
# A field that is no part of the path: integers, perhaps several with commas between, or a time.
_NUMBER = re.compile(r"-?[0-9]+(?:,[0-9]+)*,?|-?[0-9]+\.[0-9]*|(?:[0-9]+:){1,2}[0-9]+(?:\.[0-9]*)?")

_MOST = 120  # characters of a line in a message
_SEPARATORS = {
    ",": ("commas", "','"),
    "\t": ("tabs", "'\\t'"),
    ";": ("semicolons", "';'"),
    "|": ("bars", "'|'"),
    " ": ("spaces", "' '"),
}
_DRIVE = re.compile(r"[A-Za-z]:[\\/]")
_SPLITS = {"train", "val", "validate", "validation", "test"}


class ListedVideo(NamedTuple):
    """A line of a list. num_frames: of a folder of images. part: first and last second."""

    path: str
    labels: tuple[int, ...]
    num_frames: int | None = None
    part: tuple[float, float] | None = None


@dataclass(frozen=True)
class LineFormat:
    """Format of the lines of a list; kind: one of KINDS; num_labels: None means any number."""

    kind: str
    separator: str
    num_labels: int | None = 1

    def __str__(self) -> str:
        labels = ["label"] * (self.num_labels or 1) + ["..."] * (self.num_labels is None)
        return self.separator.join(["path", *KINDS[self.kind], *labels])

    def parse(self, line: str) -> ListedVideo:
        """The video of a line; ValueError says what is wrong with it."""
        if self.kind == "labels" and self.num_labels == 1:
            if video := _parse_plain(line, self.separator):
                return video
        extra = len(KINDS[self.kind])
        is_exact = extra and self.num_labels is not None  # further numbers belong to the path
        most = extra + self.num_labels if is_exact else None
        path, fields = split_fields(line, self.separator, most)
        if not path or not fields:
            raise ValueError(self._no_label(line))
        if len(fields) <= extra:
            raise ValueError(f"{in_message(line)} is not `{self}`")
        labels = _parse_labels(fields[extra:], line)
        if self.num_labels not in (None, len(labels)):
            raise ValueError(self._other_number(len(labels), line))
        if self.kind == "frames":
            return ListedVideo(path, labels, num_frames=_parse_count(fields[0], line))
        if self.kind == "parts":
            return ListedVideo(path, labels, part=_parse_part(fields[0], fields[1], line))
        return ListedVideo(path, labels)

    def _no_label(self, line: str) -> str:
        before, last = _split_last(line.strip(), self.separator)
        where = f"in {in_message(line)} (separator {self.separator!r})"
        if not before:
            return f"no label {where}"
        return f"the label {in_message(last)} is not an integer {where}"

    def _other_number(self, num_labels: int, line: str) -> str:
        """Say which settings would explain the numbers of a line."""
        num_fields = len(KINDS[self.kind]) + num_labels
        wanted = f"{self.num_labels} label" + "s" * (self.num_labels > 1)
        advice = ["DATA.MULTI_LABEL True if all are labels"]
        if self.num_labels > 1:
            advice = ["MODEL.NUM_CLASSES to a number for each label of a line"]
        if num_labels > 1 and self.num_labels == 1 and self.kind == "labels":
            advice.append("MODEL.NUM_CLASSES [.., ..] for a label of each of several targets")
        if num_fields == self.num_labels + 1:
            advice.append("DATA.LIST_FORMAT frames if the first counts the images of a folder")
        if num_fields == self.num_labels + 2:
            advice.append("DATA.LIST_FORMAT parts if the first two are start and end in seconds")
        numbers = f"{num_fields} number" + "s" * (num_fields > 1)
        return (
            f"{in_message(line)} has {numbers}, but a line is `{self}` with {wanted}; "
            f"set {', '.join(advice)}; quote a path that ends in a number"
        )


def _parse_plain(line: str, separator: str) -> ListedVideo | None:
    """The video of a line of a path without quotes and one label; None where it may be another.

    Most lists have no other lines, and this takes a third of the time.
    """
    path, _, label = line.rpartition(separator)
    end = path[-3:]
    is_name = end.isalnum() and not end.isdecimal() and separator not in end and path[0] != '"'
    return ListedVideo(path, (int(label),)) if is_name and _INTEGER.fullmatch(label) else None


# Letters beyond ASCII, without spaces and ends of lines.
_LETTERS = "\u00a1-\u167f\u1681-\u1fff\u2030-\u205e\u2060-\u2fff\u3001-\U0010ffff"


def plain_pattern(separator: str, kind: str) -> re.Pattern | None:
    """Folder with its last slash, name, of a part start and end, and label of each plain line.

    Those are lines of a path that needs no `local_path` and ends in a suffix, perhaps in quotes,
    and one label. None where the separator may be within a suffix, and for other kinds.
    """
    if any(map(str.isalnum, separator)) or kind not in ("labels", "parts"):
        return None
    end = "(?:[A-Za-z][A-Za-z0-9]{2}|[A-Za-z0-9][A-Za-z][A-Za-z0-9]|[A-Za-z0-9]{2}[A-Za-z])"
    folder, name = f"(?:[ !#-~\\t{_LETTERS}]*/)?", f"[ !#-.0-~\\t{_LETTERS}]*{end}"
    gap = re.escape(separator)
    times = rf"([0-9]{{1,12}}(?:\.[0-9]{{1,12}})?){gap}" * 2 if kind == "parts" else ""
    path = rf"(?P<quote>\"?)(?![ \t~$])({folder})({name})(?P=quote)"
    return re.compile(rf"^{path}{gap}{times}([0-9]{{1,9}})$", re.MULTILINE | re.ASCII)


def split_fields(line: str, separator: str, most: int | None = None) -> tuple[str, list[str]]:
    """The path of a line, and the numbers after it, at most so many.

    Split from the right, so that a path may hold the separator; in quotes it may end in a number.
    """
    rest, fields = line.strip(), []
    while len(fields) != most:
        before, field = _split_last(rest, separator)
        if not before or not _NUMBER.fullmatch(field) or (field[-1] == "," and not fields):
            break
        fields.append(field)
        rest = before
    return _unquoted(rest), fields[::-1]


def _split_last(text: str, separator: str) -> tuple[str, str]:
    """Text before the last field, "" where there is none, and the field without quotes."""
    if text[-1:] == '"' and (start := text.rfind('"', 0, -1)) > 0:
        head = text[:start]
        head = head if head.endswith(separator) else head.rstrip()
        if head.endswith(separator):
            return head.removesuffix(separator).strip(), text[start + 1 : -1].strip()
    before, _, after = text.rpartition(separator)
    return before.strip(), after.strip()


def _unquoted(field: str) -> str:
    if len(field) >= 2 and field[0] == field[-1] == '"':
        return field[1:-1].replace('""', '"')
    return field


def _parse_labels(fields: Sequence[str], line: str) -> tuple[int, ...]:
    words = fields
    if len(fields) > 1 or "," in fields[0]:
        words = [word for field in fields for word in field.split(",") if word]
    for word in words:
        if not _INTEGER.fullmatch(word):
            raise ValueError(f"the label {word!r} is not an integer in {in_message(line)}")
    return tuple(map(int, words))


def _parse_count(field: str, line: str) -> int:
    if not field.isdecimal():
        raise ValueError(f"the number of frames {field!r} is no integer in {in_message(line)}")
    return int(field)


def _parse_part(first: str, last: str, line: str) -> tuple[float, float]:
    """Start and end in seconds, also from h:mm:ss."""
    times = []
    for field in (first, last):
        if not _TIME.fullmatch(field):
            raise ValueError(f"the time {field!r} is not in seconds from 0 in {in_message(line)}")
        seconds = 0.0
        for word in field.split(":"):
            seconds = 60 * seconds + float(word)
        times.append(seconds)
    if not times[0] < times[1]:
        raise ValueError(
            f"the part from {first} to {last} s in {in_message(line)} must end after its start"
        )
    return times[0], times[1]


class Disk(NamedTuple):
    """Facts about a path of a list, by which formats are told apart."""

    is_folder: Callable[[str], bool]
    exists: Callable[[str], bool]
    num_images: Callable[[str], int]
    is_video_name: Callable[[str], bool]


def recognise(lines: Sequence[str], separator: str, num_labels: int | None, disk: Disk) -> str:
    """The kind of some lines of a list; "labels" unless they are clearly of another one."""
    rows = [split_fields(line, separator) for line in lines]
    if num_labels is None:
        return _recognise_multi_label(rows, disk)
    usual = Counter(len(fields) for _, fields in rows).most_common(1)[0][0] if rows else 0
    if usual == num_labels + 2 and any(_has_times(fields) for _, fields in rows):
        return "parts"
    counted = [split_fields(line, separator, num_labels + 1) for line in lines]
    paths = [path for path, fields in counted if len(fields) > num_labels]
    if any(map(disk.is_folder, paths)):
        return "frames"
    # By their names, where nothing is there.
    is_clear = usual == num_labels + 1 and not any(map(disk.exists, paths))
    return "frames" if is_clear and not any(map(disk.is_video_name, paths)) else "labels"


def _recognise_multi_label(rows: Sequence[tuple[str, list[str]]], disk: Disk) -> str:
    """Any number of labels: folders whose first number is that of their images have it in front."""
    rows = [(path, fields) for path, fields in rows if len(fields) > 1]
    if any(_has_times(fields) for _, fields in rows):
        return "parts"
    counts = [(disk.num_images(path), fields[0]) for path, fields in rows if disk.is_folder(path)]
    num_fitting = sum(str(count) == field for count, field in counts)
    return "frames" if num_fitting > len(counts) / 2 else "labels"


def _has_times(fields: Sequence[str]) -> bool:
    return len(fields) > 2 and any("." in field or ":" in field for field in fields[:2])


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
    if line[0] in "[{":
        yield "this looks like JSON: a list has a line for each video"
    for other, (name, typed) in () if split_fields(line, separator)[1] else _SEPARATORS.items():
        field = line.rpartition(other)[2].strip().strip('"')
        if other != separator and other in line and field.lstrip("-").isdecimal():
            yield f"fields seem to be separated by {name}: set DATA.PATH_LABEL_SEPARATOR {typed}"
    if number == 1 and not re.search(r"[0-9./\\]", line):
        yield "this looks like a header: remove it (pandas: to_csv(..., header=False, index=False))"
    if line.endswith(separator):
        yield f"the line ends in {separator!r}: remove that, or write a label after it"
    if line.partition(separator)[0].strip('"').isdecimal():
        yield "the label seems to stand first: it follows the path"
    numbers = [field.strip() for field in line.split(separator)[-2:]]
    if len(numbers) == 2 and all(re.fullmatch(r"[0-9]+\.[0-9]+", number) for number in numbers):
        yield "its last numbers look like the times of a part: the label follows them"
    if last in _SPLITS and re.search(r"[0-9]$", line.removesuffix(last).rstrip(f" {separator}")):
        yield f"{last!r} seems to be a split: write a list for each of them, without that column"
    if separator in line:
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
    if label[:1] in tuple("[({"):
        yield "write labels without brackets: 0,3"
    if label and not _NUMBER.fullmatch(label.strip("\"'")):
        yield (
            "labels are numbers from 0: number the names, and write them in this order into "
            "classes.txt beside the list"
        )


def local_path(name: str) -> str:
    """The path that a list means: `~`, `$HOME/...` and file:// are understood.

    Other addresses stay; fsspec's tar://NAME::TAR becomes TAR/NAME. ValueError for one that fsspec
    knows nothing of.
    """
    if name[:1] == "~":
        return os.path.expanduser(name)
    if name[:1] == "$" and "/" in name:
        variable, _, rest = name.partition("/")
        found = os.path.expandvars(variable)
        if found == variable and not os.path.lexists(variable):
            raise ValueError(f"the path {in_message(name)} begins with a variable that is not set")
        return os.path.join(found, rest)
    return _local_address(name) if is_url(name) else name


def _local_address(url: str) -> str:
    protocol, _, rest = url.partition("://")
    if protocol.lower() == "file":
        return unquote(urlsplit(url).path, errors="surrogateescape")
    if protocol == "tar" and "::" in rest:
        member, _, tar = rest.partition("::")
        return f"{local_path(tar)}/{member.lstrip('/')}"
    check_protocol(url)
    return url


@cache
def _problem_of(protocol: str) -> str:
    """Say why addresses of a protocol cannot be read; "" if nothing speaks against it."""
    from fsspec import get_filesystem_class

    try:
        get_filesystem_class(protocol)
    except (ImportError, ValueError) as error:
        return " ".join(str(error).split())
    return ""


def check_protocol(url: str) -> None:
    """ValueError for an address that no installed package of fsspec reads."""
    if problem := _problem_of(url.partition("://")[0]):
        raise ValueError(f"the path {in_message(url)} cannot be read: {problem}")


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
    shorter = next(filter(os.path.isfile, (path.rpartition(end)[0] for end in " ,\t;")), None)
    if shorter is not None:
        yield f"there is {in_message(shorter)}: the text after it is not understood"
    folder, stem = os.path.split(path)
    if stem and not os.path.splitext(stem)[1] and os.path.isdir(folder):
        named = (entry for entry in sorted(os.listdir(folder)) if entry.startswith(f"{stem}."))
        if found := next(named, None):
            yield f"there is {found!r}: write names with their suffix"
