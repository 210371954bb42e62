"""Faults of a dataset: in its files, in its labels, and what occurs in it twice."""

import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from slowfast.curation.probe import Facts, examine_all, known_facts
from slowfast.curation.shards import EVERYTHING, Shard, refuse_unfinished
from slowfast.curation.splits import Entry, Split
from slowfast.datasets.decoding.packets import VideoIndex
from slowfast.datasets.decoding.part import frames_within
from slowfast.datasets.decoding.video import MAX_PIXELS, UnreadableVideo
from slowfast.datasets.records import Record
from slowfast.utils.io import atomic_write, write_csv, write_json

# Kinds of faults that make an entry useless, and those that a user may want to live with.
USELESS = (
    *("missing", "unreadable", "no frames", "wrong label"),
    *("same path twice", "duplicate", "in train and val"),
)
TOLERABLE = ("short", "damaged")
_OF_FILES = ("missing", "unreadable", "no frames", *TOLERABLE)
STATE = "state.jsonl"
KINDS = (*USELESS, *TOLERABLE, "class without a video", "wrong list")


class Fault(NamedTuple):
    """A fault. kind: one of KINDS. line: 0 where it is not the fault of one line."""

    kind: str
    split: str
    line: int
    path: str
    reason: str


def check(
    splits: Sequence[Split],
    output: str | Path,
    *,
    span: Callable[[float | None], float],
    class_names: dict[int, str],
    workers: int,
    max_pixels: int = MAX_PIXELS,
) -> list[Fault]:
    """Read every video, write report.json and faults.csv to the folder `output`; all faults.

    What was read is in state.jsonl there, so that a run that was killed goes on.
    """
    records = _records(splits)
    with EVERYTHING.open_state(Path(output) / STATE) as state:
        facts = examine_all(records, state, workers=workers, max_pixels=max_pixels)
    return _report(splits, Path(output), facts, span=span, class_names=class_names)


def examine_share(
    splits: Sequence[Split], output: str | Path, shard: Shard, *, workers: int, max_pixels: int
) -> tuple[int, list[tuple[str, str]]]:
    """Read a shard's videos for `merge_checks`: their number, and (path, reason) of bad ones."""
    records = [record for record in _records(splits) if shard.has(record.path)]
    with shard.open_state(Path(output) / STATE) as state:
        facts = examine_all(records, state, workers=workers, max_pixels=max_pixels)
    reasons = {path: f.error or f.damage if f else "no such file" for path, f in facts.items()}
    return len(facts), [(path, reason) for path, reason in reasons.items() if reason]


def merge_checks(
    splits: Sequence[Split],
    output: str | Path,
    *,
    span: Callable[[float | None], float],
    class_names: dict[int, str],
) -> list[Fault]:
    """The `check` of what shards have read; ValueError that names shards that have not ended."""
    with EVERYTHING.open_state(Path(output) / STATE) as state:
        facts, unknown = known_facts(_records(splits), state)
    refuse_unfinished(unknown, Path(output) / STATE)
    return _report(splits, Path(output), facts, span=span, class_names=class_names)


def _records(splits: Sequence[Split]) -> list[Record]:
    return [entry.record for split in splits for entry in split.entries if entry.record]


def _report(
    splits: Sequence[Split],
    output: Path,
    facts: dict[str, Facts | None],
    *,
    span: Callable[[float | None], float],
    class_names: dict[int, str],
) -> list[Fault]:
    faults = find_faults(splits, facts, span=span, class_names=class_names)
    _write_report(output, splits, faults, class_names)
    return faults


def find_faults(
    splits: Sequence[Split],
    facts: dict[str, Facts | None],
    *,
    span: Callable[[float | None], float],
    class_names: dict[int, str],
) -> list[Fault]:
    """All faults. `facts` by path (see `examine_all`); `span`: frames under a clip, by fps."""
    faults = [Fault("wrong list", s.name, 0, "", s.problem) for s in splits if s.problem]
    for split in splits:
        faults += _faults_of_labels(split, class_names)
        faults += _faults_of_files(split, facts, span)
    return faults + list(_repetitions(splits, facts))


def _faults_of_labels(split: Split, class_names: dict[int, str]) -> Iterator[Fault]:
    for entry in split.entries:
        if entry.problem:
            yield Fault("wrong label", split.name, entry.line, _path(entry), entry.problem)
    counts = count_classes(split, class_names)
    absent = [name for name, count in counts.items() if not count]
    if split.is_training and split.entries and absent:
        named = ", ".join(absent[:10]) + (", ..." if len(absent) > 10 else "")
        reason = f"{len(absent)} of {len(counts)} classes have no video: {named}"
        yield Fault("class without a video", split.name, 0, "", reason)


def _faults_of_files(
    split: Split, facts: dict[str, Facts | None], span: Callable[[float | None], float]
) -> Iterator[Fault]:
    for path, entry in _unique(split).items():
        for kind, reason in _problems(facts[path], span):
            if kind != "short" or entry.record.part is None:
                yield Fault(kind, split.name, entry.line, path, reason)
    for entry in split.entries:
        if entry.record is not None and entry.record.part is not None:
            for kind, reason in _problems_of_part(entry.record, facts[entry.record.path], span):
                yield Fault(kind, split.name, entry.line, entry.record.name, reason)


def _problems_of_part(
    record: Record, facts: Facts | None, span: Callable[[float | None], float]
) -> Iterator[tuple[str, str]]:
    """(kind, reason) of each thing wrong with a part of a video that can be read."""
    if facts is None or facts.error:
        return
    try:
        numbers = frames_within(VideoIndex(facts.num_frames, facts.fps), record.part)
    except UnreadableVideo as error:
        yield "unreadable", str(error)
        return
    needed = math.floor(span(facts.fps) + 1e-6)
    if len(numbers) < needed:
        yield "short", f"{len(numbers)} frames, a clip spans {needed}"


def _problems(
    facts: Facts | None, span: Callable[[float | None], float]
) -> Iterator[tuple[str, str]]:
    """(kind, reason) of each thing wrong with one video."""
    if facts is None:
        yield "missing", "no such file"
    elif facts.error:
        yield "no frames" if facts.error.startswith("NoFrames") else "unreadable", facts.error
    else:
        # A clip never needs the fraction of a frame at the end of its span.
        needed = math.floor(span(facts.fps) + 1e-6)
        if facts.num_frames < needed:
            yield "short", f"{facts.num_frames} frames, a clip spans {needed}"
        if facts.damage:
            yield "damaged", facts.damage


def _repetitions(splits: Sequence[Split], facts: dict[str, Facts | None]) -> Iterator[Fault]:
    """Paths and contents that occur again in their split; training entries that others hold too."""
    held_out: dict[str, str] = {}  # path or digest -> where
    for split in splits:
        if not split.is_training:
            for entry in split.entries:
                if entry.record is not None:
                    where, name = split.where(entry), _name(entry)
                    held_out.setdefault(name, where)
                    held_out.setdefault(_digest(entry, facts), f"{where} ({name})")
    held_out.pop("", None)
    for split in splits:
        paths: dict[str, str] = {}
        digests: dict[str, str] = {}
        for entry in split.entries:
            path = _name(entry)
            if not path or entry.problem or (path in paths and entry.record.key is not None):
                continue
            digest, labels = _digest(entry, facts), list(entry.labels)
            if path in paths:
                reason = f"labels {labels}, as in {paths[path]}"
                yield Fault("same path twice", split.name, entry.line, path, reason)
            elif digest in digests:
                reason = f"labels {labels}, same content as {digests[digest]}"
                yield Fault("duplicate", split.name, entry.line, path, reason)
            if split.is_training and (where := held_out.get(path) or held_out.get(digest)):
                yield Fault("in train and val", split.name, entry.line, path, f"as {where}")
            paths.setdefault(path, f"{split.where(entry)} with {labels}")
            if digest:
                digests.setdefault(digest, f"{split.where(entry)} with {labels} ({path})")


def count_classes(split: Split, class_names: dict[int, str]) -> dict[str, int]:
    """Entries of each class, by name."""
    counts = Counter(label for entry in split.entries for label in entry.labels)
    return {name: counts[label] for label, name in class_names.items()}


def _write_report(
    folder: Path, splits: Sequence[Split], faults: Sequence[Fault], class_names: dict[int, str]
) -> None:
    counts = Counter(fault.kind for fault in faults)
    report = {
        "splits": {
            split.name: {
                "entries": len(split.entries),
                "videos": len(_unique(split)),
                "classes": count_classes(split, class_names),
            }
            for split in splits
        },
        "counts": {kind: counts[kind] for kind in KINDS},
        "faults": [fault._asdict() for fault in faults],
    }
    write_json(folder / "report.json", report)
    write_csv(folder / "faults.csv", Fault._fields, faults)


def fixed_path(split: Split) -> Path:
    """The file that `write_fixed` writes; FileExistsError if that is there already."""
    path = split.path.with_suffix(f".fixed{split.path.suffix}")
    if path.exists():
        raise FileExistsError(f"{path} is there already; remove it to have it written anew")
    return path


def write_fixed(split: Split, faults: Sequence[Fault], kinds: Sequence[str]) -> int:
    """The list without lines that have one of these faults; returns how many lines are left.

    The others stay as they are, byte by byte.
    """
    faults = [fault for fault in faults if fault.split == split.name and fault.kind in kinds]
    lines = {fault.line for fault in faults}
    # What is wrong with a file is told once, and true of all lines that name it.
    paths = {fault.path for fault in faults if fault.kind in _OF_FILES}
    kept = {e.line for e in split.entries if e.line not in lines and _path(e) not in paths}
    with open(split.path, encoding="utf-8", errors="surrogateescape", newline="") as file:
        lines = [line for number, line in enumerate(file, start=1) if number in kept]
    with atomic_write(fixed_path(split), "w") as file:
        file.writelines(lines)
    return len(lines)


def _unique(split: Split) -> dict[str, Entry]:
    """The first entry of each path."""
    unique: dict[str, Entry] = {}
    for entry in split.entries:
        if entry.record is not None:
            unique.setdefault(entry.record.path, entry)
    return unique


def _path(entry: Entry) -> str:
    return "" if entry.record is None else entry.record.path


def _name(entry: Entry) -> str:
    """The path, with the part of the file if it is one; the same for all key frames of a video."""
    return _path(entry) if entry.record is None or entry.record.part is None else entry.record.name


def _digest(entry: Entry, facts: dict[str, Facts | None]) -> str:
    """Digest of the file, and the part of it if it is one; "" where it cannot be read."""
    found = facts[entry.record.path]
    if not found or not found.digest:
        return ""
    return found.digest + _name(entry).removeprefix(entry.record.path)
