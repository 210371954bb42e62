"""Work of several machines in one output folder: shares of videos, and files that nobody shares."""

import argparse
import os
import re
import shutil
import socket
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

from slowfast.curation.workers import StateFile
from slowfast.utils.system import is_alive

# Folder of what a run has not finished, in the output folder: this, host, process, random letters.
_PARTIAL = ".partial-"


@dataclass(frozen=True)
class Shard:
    """Share `number`, from 0 on, of `count`. is_merge: takes no video, joins what shards did."""

    number: int = 0
    count: int = 1
    is_merge: bool = False

    def __post_init__(self):
        if not 0 <= self.number < self.count:
            raise ValueError(
                f"--shard: {self} is none of the shards 0/{max(self.count, 1)} to "
                f"{max(self.count, 1) - 1}/{max(self.count, 1)}; they count from 0"
            )

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"

    @property
    def is_share(self) -> bool:
        """Whether others do the rest."""
        return self.count > 1

    def has(self, name: str) -> bool:
        """Whether a video is in this share, by a hash that is the same on all machines."""
        return _place(name, self.count) == self.number

    def file(self, path: str | Path) -> Path:
        """This shard's own file beside `path`; `path` itself where there are no shares."""
        path = Path(path)
        own = f"{path.stem}.{self.number}-of-{self.count}{path.suffix}"
        return path.with_name(own) if self.is_share else path

    def open_state(self, path: str | Path) -> StateFile:
        """This shard's state, which also knows what all others have written until now."""
        return StateFile(self.file(path), also=[path, *files_of_shards(path)])


EVERYTHING, MERGE = Shard(), Shard(is_merge=True)


def _place(name: str, count: int) -> int:
    digest = blake2b(os.fsencode(name), digest_size=8).digest()
    return int.from_bytes(digest, "little") % count


def parse_shard(text: str) -> Shard:
    """The words of --shard: 0/4 is the first of four; a type for argparse."""
    match = re.fullmatch(r"(\d{1,6})/(\d{1,6})", text)
    try:
        if not match:
            raise ValueError(f"{text!r} is not of the form 0/4, the first of four shards")
        return Shard(int(match[1]), int(match[2]))
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error).removeprefix("--shard: ")) from error


def add_shard(parser: argparse.ArgumentParser) -> None:
    """--shard and --merge, either of which gives `shard`."""
    group = parser.add_mutually_exclusive_group()
    group.add_argument(
        "--shard",
        type=parse_shard,
        default=EVERYTHING,
        metavar="I/N",
        help="only these of the videos, 0/4 to 3/4 on four machines with the same --output; each "
        "needs the same words else",
    )
    group.add_argument(
        "--merge",
        dest="shard",
        action="store_const",
        const=MERGE,
        help="join what all shards did, with the same words else; names shards that are missing",
    )


def files_of_shards(path: str | Path) -> dict[Path, int]:
    """The files that shards wrote beside `path`, and the number of shares of each."""
    path = Path(path)
    name = re.compile(rf"{re.escape(path.stem)}\.\d+-of-(\d+){re.escape(path.suffix)}")
    found = path.parent.iterdir() if path.parent.is_dir() else ()
    matches = {file: name.fullmatch(file.name) for file in sorted(found)}
    return {file: int(match[1]) for file, match in matches.items() if match}


def refuse_unfinished(left: Sequence[str], path: str | Path, what: str = "videos") -> None:
    """ValueError that names the shards that something is missing of. `left`: names in the shard."""
    if not left:
        return
    counts = set(files_of_shards(path).values())
    if len(counts) != 1:
        worked = f"shares of {' and '.join(map(str, sorted(counts)))} worked here" * bool(counts)
        raise ValueError(
            f"--merge: {len(left)} {what} are not done, for example {left[0]} "
            f"({worked or 'no --shard has worked here with these words'}); "
            "run the same command without --merge to do the rest"
        )
    (count,) = counts
    missing = sorted(Counter(_place(name, count) for name in left).items())
    named = ", ".join(f"{number}/{count} ({num} {what})" for number, num in missing[:20])
    raise ValueError(
        f"--merge: shards are missing or have not ended: {named}"
        f"{', ...' if len(missing) > 20 else ''}; for example {left[0]}. "
        f"Run the same command with --shard {missing[0][0]}/{count}"
        f"{' and so on' if len(missing) > 1 else ''}, then with --merge again"
    )


@contextmanager
def partial_folder(output: Path) -> Iterator[Path]:
    """A new folder, gone in the end; removes folders of killed runs of this machine."""
    host = socket.gethostname()
    output.mkdir(parents=True, exist_ok=True)
    name = re.compile(rf"{re.escape(_PARTIAL + host)}-(\d+)-\w+")
    for path in output.iterdir():
        match = name.fullmatch(path.name)
        if match and not is_alive(int(match[1])):
            shutil.rmtree(path, ignore_errors=True)
    with tempfile.TemporaryDirectory(
        prefix=f"{_PARTIAL}{host}-{os.getpid()}-", dir=output, ignore_cleanup_errors=True
    ) as folder:
        yield Path(folder)
