"""Videos packed into tars with an index each, which are read without being unpacked.

What goes into which tar follows from the lists, and from the sizes of the videos, alone: several
machines write the tars that one would.
"""

import errno
import hashlib
import os
import tarfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import IO, NamedTuple

from tqdm import tqdm

from slowfast.curation.prepare import find_videos, names_below
from slowfast.curation.shards import EVERYTHING, Shard, partial_folder, refuse_unfinished
from slowfast.curation.splits import Split, label_problems, read_csv_splits
from slowfast.curation.workers import Failure, run_parallel
from slowfast.datasets.annotations.kinetics import ListRules, fields_of, typed_separator
from slowfast.datasets.decoding.tar_index import (
    VERSION,
    Member,
    TarIndex,
    index_path,
    parse_index,
)
from slowfast.utils.io import atomic_write, check_is_file, json_text, write_csv

STATE, FAILURES = "pack.jsonl", "failures.csv"


class Source(NamedTuple):
    """A video, its name in a tar, and its bytes and time of change when it was looked at."""

    path: str
    name: str
    size: int
    mtime: int


class Tar(NamedTuple):
    """A tar to be, by its name in the output folder."""

    name: str
    sources: tuple[Source, ...]


def pack_lists(
    lists: Sequence[str | Path],
    videos: str,
    output: str | Path,
    *,
    tar_bytes: int,
    separator: str,
    workers: int,
    shard: Shard = EVERYTHING,
) -> tuple[int, int, list[tuple[str, str]]]:
    """Pack the videos of lists `path label`, or without lists all that lie below `videos`.

    Writes a list of the same name for each, whose paths are members of the tars, and failures.csv
    where there are failures; a shard leaves both to the merge. Returns how many tars and videos
    there are, of a shard its own, and (path, or line without one, reason) of each failure.
    """
    if not videos and not lists:
        raise ValueError("give --videos, --csv or both")
    separator, output = typed_separator(separator), Path(output)
    rules = ListRules(separator=separator, prefix=videos, is_multi_label=True)
    splits = read_csv_splits(lists, rules)
    root = Path(videos or Path(lists[0]).parent)
    if output.resolve() == root.resolve():
        raise ValueError(f"--output: {output} is the folder of the videos")
    records = [entry.record for split in splits for entry in split.entries if entry.record]
    paths = [record.path for record in records] if lists else find_videos(root)
    names = names_below(dict.fromkeys(paths), root)
    tars, failed = plan_tars(names, tar_bytes)
    done, reasons = write_tars(tars, output, workers=workers, shard=shard)
    failures = [*failed.items(), *reasons.items(), *label_problems(splits)]
    num_videos = sum(len(tar.sources) for tar in done)
    if shard.is_share:
        return len(done), num_videos, failures
    places = {source.path: f"{tar.name}/{source.name}" for tar in done for source in tar.sources}
    for split in splits:
        with atomic_write(output / split.path.name, "w") as file:
            file.writelines(_lines(split, places, separator))
    (output / FAILURES).unlink(missing_ok=True)
    if failures:
        write_csv(output / FAILURES, ["path", "reason"], failures)
    return len(done), num_videos, failures


def _lines(split: Split, places: dict[str, str], separator: str) -> Iterator[str]:
    for entry in split.entries:
        if not entry.problem and entry.record.path in places:
            yield separator.join([places[entry.record.path], *fields_of(entry.record)]) + "\n"


def plan_tars(names: dict[str, str], tar_bytes: int) -> tuple[list[Tar], dict[str, str]]:
    """Tars of about so many bytes of videos, in their order, and why some cannot be read."""
    tars, sources, total, failed = [], [], 0, {}
    for path, name in names.items():
        try:
            check_is_file(path)
            status = os.stat(path)
            if not os.access(path, os.R_OK):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        except OSError as error:
            failed[path] = f"{type(error).__name__}: {error.strerror}"
            continue
        if sources and total + status.st_size > tar_bytes:
            tars.append(sources)
            sources, total = [], 0
        sources.append(Source(path, name, status.st_size, int(status.st_mtime)))
        total += status.st_size
    tars += [sources] if sources else []
    return [Tar(f"{n:05d}.tar", tuple(sources)) for n, sources in enumerate(tars)], failed


def write_tars(
    tars: Sequence[Tar], output: Path, *, workers: int, shard: Shard = EVERYTHING
) -> tuple[list[Tar], dict[str, str]]:
    """Write what is not there yet, of a shard its own; the ones that are there, and reasons."""
    _refuse_others(tars, output)
    tars, reasons = [tar for tar in tars if shard.has(tar.name)], {}
    with shard.open_state(output / STATE) as state:
        left = [tar for tar in tars if not is_written(tar, output)]
        if shard.is_merge:
            refuse_unfinished([tar.name for tar in left], output / STATE, what="tars")
        with partial_folder(output) as folder:
            work = partial(write_tar, folder=folder, output=output)
            with closing(run_parallel(work, left, workers=workers)) as results:
                for tar, result in tqdm(results, "packing", total=len(left), unit="tar"):
                    if isinstance(result, Failure):
                        reasons[str(output / tar.name)] = result.reason
                    else:
                        state.add(tar.name, len(tar.sources))
    return [tar for tar in tars if str(output / tar.name) not in reasons], reasons


def _refuse_others(tars: Iterable[Tar], output: Path) -> None:
    """ValueError for tars in the output folder that are none of these, as of other --csv."""
    names = {tar.name for tar in tars}
    others = sorted(path.name for path in output.glob("*.tar") if path.name not in names)
    if others:
        raise ValueError(
            f"--output: {output} holds {others[0]}, which these videos do not make"
            f"{f' (and {len(others) - 1} more)' if len(others) > 1 else ''}; remove what another "
            "pack left, or give a new folder"
        )


def is_written(tar: Tar, output: Path) -> bool:
    """Whether a tar is there, whole, of these videos as they are now."""
    path = output / tar.name
    try:
        index = parse_index(Path(index_path(str(path))).read_bytes())
        is_whole = path.stat().st_size == index.size
    except (OSError, ValueError):
        return False
    wanted = {source.name: (source.size, source.mtime) for source in tar.sources}
    return is_whole and wanted == {name: (m.size, m.mtime) for name, m in index.members.items()}


def write_tar(tar: Tar, *, folder: Path, output: Path) -> None:
    """Write a tar, and then its index, under other names until they are whole."""
    path, target = folder / tar.name, output / tar.name
    with open(path, "wb") as raw:
        file, sums = _Hashed(raw), {}
        with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as members:
            for source in tar.sources:
                sums[source.name] = _add(members, source)
        raw.flush()
        os.fsync(raw.fileno())
    index = TarIndex(path.stat().st_size, file.digest.hexdigest(), _members(path, sums))
    Path(index_path(str(target))).unlink(missing_ok=True)
    os.replace(path, target)
    with atomic_write(index_path(str(target)), "w") as text:
        text.write(json_text({"version": VERSION, **index._asdict()}) + "\n")


def _add(members: tarfile.TarFile, source: Source) -> int:
    """Add a video; the CRC-32 of its bytes."""
    info = tarfile.TarInfo(source.name)
    info.size, info.mtime, info.mode = source.size, source.mtime, 0o644
    with open(source.path, "rb") as raw:
        if os.fstat(raw.fileno()).st_size != source.size:
            raise OSError(f"{source.path} changed while it was packed; run the command again")
        file = _Summed(raw)
        members.addfile(info, file)
    return file.crc


def _members(path: Path, sums: dict[str, int]) -> dict[str, Member]:
    """Members as any program that reads tars finds them."""
    with tarfile.open(path, "r:") as members:
        return {
            info.name: Member(info.offset_data, info.size, sums[info.name], int(info.mtime))
            for info in members
        }


class _Hashed:
    """A file that is written from start to end; digest: of all that was written."""

    def __init__(self, file: IO[bytes]):
        self._file, self.digest = file, hashlib.sha256()

    def write(self, data: bytes) -> int:
        self.digest.update(data)
        return self._file.write(data)

    def tell(self) -> int:
        return self._file.tell()


class _Summed:
    """A file that is read from start to end; crc: of all that was read."""

    def __init__(self, file: IO[bytes]):
        self._file, self.crc = file, 0

    def read(self, size: int) -> bytes:
        data = self._file.read(size)
        self.crc = zlib.crc32(data, self.crc)
        return data
