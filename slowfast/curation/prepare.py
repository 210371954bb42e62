"""Videos of lists or folders made quick to load; what is done is not done again."""

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import astuple
from functools import partial
from pathlib import Path

from tqdm import tqdm

from slowfast.curation.convert import (
    Job,
    Prepared,
    PrepareSettings,
    convert,
    image_name,
    num_bytes,
)
from slowfast.curation.probe import fingerprint
from slowfast.curation.shards import (
    EVERYTHING,
    Shard,
    files_of_shards,
    partial_folder,
    refuse_unfinished,
)
from slowfast.curation.splits import Split, label_problems, read_csv_splits
from slowfast.curation.workers import Failure, StateFile, run_parallel
from slowfast.datasets.annotations.kinetics import ListRules, fields_of, typed_separator
from slowfast.datasets.records import Record
from slowfast.utils.io import atomic_write, write_csv
from slowfast.utils.video_names import SUFFIXES, is_plain_path
from slowfast.utils.walk import walk_videos

STATE, FAILURES = "prepare.jsonl", "failures.csv"


def find_videos(folder: str | Path) -> list[str]:
    """Paths of the videos below a folder, in alphabetical order; ValueError if there are none."""
    found = walk_videos(folder)
    if not found:
        raise ValueError(f"{folder}: no video in this folder (looked for {sorted(SUFFIXES)})")
    return found


def name_targets(paths: Iterable[str], root: str | Path, *, as_images: bool) -> dict[str, str]:
    """Path -> what it becomes, at the same place below the output folder as it has below `root`.

    Two videos that differ in their suffix keep it. Frame lists have no room for spaces. ValueError
    for two videos that would become the same, or one of them a folder of the other.
    """
    names = names_below(paths, root)
    if as_images:
        names = {path: "_".join(name.split()) for path, name in names.items()}
    stems = Counter(os.path.splitext(name)[0] for name in names.values())
    suffix = "" if as_images else ".mp4"
    targets = {}
    for path, name in names.items():
        stem = os.path.splitext(name)[0]
        targets[path] = (stem if stems[stem] == 1 else name) + suffix
    sources: dict[str, str] = {}
    for path, target in targets.items():
        if (other := sources.setdefault(target, path)) != path:
            raise ValueError(f"{other} and {path}: both would become {target}; rename one of them")
    for target, path in sources.items():
        for parent in map(str, Path(target).parents):
            if parent in sources:
                raise ValueError(
                    f"{sources[parent]} and {path}: would become {parent} and {target} inside it; "
                    "rename one of them"
                )
    return targets


def names_below(paths: Iterable[str], root: str | Path) -> dict[str, str]:
    """Path -> where it lies below `root`; the whole path, without its first /, outside of it.

    ValueError for a path that is none of a disk.
    """
    paths = list(paths)
    for path in paths:
        if not is_plain_path(path) and not os.path.exists(path):
            raise ValueError(f"{path}: an address or member of a tar; give files of a disk")
    names = {path: os.path.relpath(path, root) for path in paths}
    return {
        path: os.path.abspath(path).lstrip(os.sep) if name.startswith(os.pardir + os.sep) else name
        for path, name in names.items()
    }


def _key(source: str, target: str, settings: PrepareSettings) -> str | None:
    """Changes with the video and with what is made of it; None where there is no video."""
    changes_with = fingerprint(Record(source))
    *shape, _ = astuple(settings)  # the last one is a limit on what is read
    return None if changes_with is None else f"{changes_with}|{target}|{tuple(shape)}"


def prepare(
    targets: dict[str, str],
    output: str | Path,
    settings: PrepareSettings,
    *,
    workers: int,
    shard: Shard = EVERYTHING,
) -> tuple[dict[str, Prepared], dict[str, str]]:
    """Make what is not there yet; returns what is there by source, and reasons by source.

    Of a shard's own videos alone. ValueError for an output folder with files that this function did
    not make.
    """
    output = Path(output)
    is_used = output.exists() and any(output.iterdir())
    if is_used and not (output / STATE).exists() and not files_of_shards(output / STATE):
        raise ValueError(
            f"{output}: holds files that this program did not make; give a new or empty folder"
        )
    targets = {source: name for source, name in targets.items() if shard.has(name)}
    keys = {source: _key(source, target, settings) for source, target in targets.items()}
    failed = {source: "missing: no such file" for source, key in keys.items() if key is None}
    with shard.open_state(output / STATE) as state:
        done = _what_is_done(keys, targets, output, state)
        left = {s: key for s, key in keys.items() if s not in done and s not in failed}
        if shard.is_merge:
            failed |= {s: state.failures[key] for s, key in left.items() if key in state.failures}
            refuse_unfinished([targets[s] for s in left if s not in failed], output / STATE)
            return done, failed
        jobs = [Job(source, targets[source]) for source in left]
        for job, result in _convert_all(jobs, output, settings, workers=workers):
            if isinstance(result, Failure):
                failed[job.source] = result.reason
                state.add_failure(keys[job.source], result.reason)
            else:
                done[job.source] = result
                state.add(keys[job.source], result)
    return done, failed


def _what_is_done(
    keys: dict[str, str | None], targets: dict[str, str], output: Path, state: StateFile
) -> dict[str, Prepared]:
    """Made of this video as it is now, with these settings, and still there; by source."""
    made = {s: Prepared(*state.values[key]) for s, key in keys.items() if key in state.values}
    return {s: one for s, one in made.items() if num_bytes(output / targets[s]) == one.num_bytes}


def _convert_all(
    jobs: Sequence[Job], output: Path, settings: PrepareSettings, *, workers: int
) -> Iterator[tuple[Job, Prepared | Failure]]:
    with partial_folder(output) as folder:
        work = partial(convert, output=output, partial_folder=folder, settings=settings)
        with closing(run_parallel(work, jobs, workers=workers)) as results:
            yield from tqdm(results, "preparing", total=len(jobs), unit="video", disable=None)


def _lines(rows: Sequence[tuple[Prepared, Record]], separator: str) -> Iterator[str]:
    for made, record in rows:
        yield separator.join([made.target, *fields_of(record)]) + "\n"


def _frame_lines(rows: Sequence[tuple[Prepared, Record]]) -> Iterator[str]:
    yield "original_vido_id video_id frame_id path labels\n"
    for number, (made, record) in enumerate(rows):
        label = ",".join(fields_of(record))
        name = os.path.basename(made.target)
        for frame in range(made.num_frames):
            path = f"{made.target}/{image_name(name, frame + 1)}"
            yield f'{made.target} {number} {frame} {path} "{label}"\n'


def _lines_of(split: Split, done: dict[str, Prepared], separator: str | None) -> Iterator[str]:
    """Lines of a new list, of frames where there is no separator."""
    used = [entry.record for entry in split.entries if not entry.problem]
    rows = [(done[record.path], record) for record in used if record.path in done]
    return _frame_lines(rows) if separator is None else _lines(rows, separator)


def prepare_lists(
    lists: Sequence[str | Path],
    videos: str,
    output: str | Path,
    settings: PrepareSettings,
    *,
    separator: str,
    workers: int,
    shard: Shard = EVERYTHING,
) -> tuple[dict[str, Prepared], list[tuple[str, str]]]:
    """`prepare` the videos of lists `path label`, or without lists all that lie below `videos`.

    Writes a list of the same name for each, and failures.csv where there are failures; a shard
    leaves both to the merge. Returns what is there by source, and (path, or line without one,
    reason) of each failure.
    """
    if not videos and not lists:
        raise ValueError("give --videos, --csv or both")
    separator = typed_separator(separator)
    rules = ListRules(separator=separator, prefix=videos, is_multi_label=True)
    splits = read_csv_splits(lists, rules)
    entries = [entry for split in splits for entry in split.entries]
    root, output = Path(videos or Path(lists[0]).parent), Path(output)
    if output.resolve().is_relative_to(root.resolve()):
        raise ValueError(f"--output: {output} lies in {root}, the folder of the videos")
    paths = [entry.record.path for entry in entries if entry.record] if lists else find_videos(root)
    targets = name_targets(dict.fromkeys(paths), root, as_images=settings.as_images)
    done, failed = prepare(targets, output, settings, workers=workers, shard=shard)
    failures = [*failed.items(), *label_problems(splits)]
    if shard.is_share:
        return done, failures
    for split in splits:
        with atomic_write(output / split.path.name, "w") as file:
            file.writelines(_lines_of(split, done, None if settings.as_images else separator))
    (output / FAILURES).unlink(missing_ok=True)
    if failures:
        write_csv(output / FAILURES, ["path", "reason"], failures)
    return done, failures
