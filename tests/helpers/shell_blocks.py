"""Commands in the code blocks of a Markdown page, as bash reads them."""

import os
import re
import shlex
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.helpers.paths import ROOT

_BLOCK = re.compile(
    r"(?:^<!-- (?P<note>.*?) -->\n)?^ *```(?P<language>\w*)\n(?P<text>.*?)^ *```",
    re.DOTALL | re.MULTILINE,
)
# Programs with which a command of a block begins, after variables and prompts of other programs.
PROGRAMS = ("slowfast", "python", "make", "torchrun", "srun", "sbatch", "git", "pip", "hf", "aws")
PROGRAMS += ("source", "ffmpeg", "python3", "docker")
_COMMAND = re.compile(rf"^(?:[A-Z_]+=\S* )*(?:{'|'.join(PROGRAMS)}) ", re.MULTILINE)
# Nothing is found on that PATH: bash gives each command to this function, which notes it.
_NOTE = r"""
command_not_found_handle() { printf '%s\0' "$@" $'\x1e' >&3; }
source() { command_not_found_handle source "$@"; }
SLURM_ARRAY_TASK_ID=0
"""


@dataclass(frozen=True)
class Block:
    """Text of a block, the line of its page, and the comment right above it ("" for none)."""

    text: str
    line: int
    note: str


def read_blocks(page: Path) -> list[Block]:
    """Blocks of a page that hold commands."""
    source = page.read_text(encoding="utf-8")
    return [
        Block(match["text"], source.count("\n", 0, match.start()) + 1, match["note"] or "")
        for match in _BLOCK.finditer(source)
        if match["language"] in ("", "bash") and _COMMAND.search(match["text"])
    ]


def commands_of(text: str, folder: Path) -> list[list[str]]:
    """Words of each command, which bash split and expanded in `folder`, where configs/ lies."""
    if not (folder / "configs").exists():
        (folder / "configs").symlink_to(ROOT / "configs")
    done = subprocess.run(
        [shutil.which("bash"), "-c", f"exec 3>&1 1>&2\n{_NOTE}{text}"],
        env={"PATH": "/nowhere", "HOME": os.environ["HOME"]},
        cwd=folder,
        capture_output=True,
        text=True,
    )
    assert "syntax error" not in done.stderr, done.stderr
    words = done.stdout.split("\0")
    commands: list[list[str]] = [[]]
    for word in words[:-1]:
        if word == "\x1e":  # no line end, at which bash would write in two parts
            commands.append([])
        else:
            commands[-1].append(word)
    return commands[:-1]


def of_table(page: Path, heading: str) -> list[list[str]]:
    """Commands that stand as code in the tables below a heading."""
    section = (
        page.read_text(encoding="utf-8").partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    )
    rows = [line for line in section.splitlines() if line.startswith("|")]
    return [shlex.split(text) for row in rows for text in re.findall(r"`(slowfast [^`]+)`", row)]
