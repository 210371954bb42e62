"""Files of a run on own videos, from which the same command goes on.

lists/train.csv, val.csv, test.csv, classes.txt, unreadable.csv    the split
own.json                                                           what was asked for
network.yaml, own.yaml                                             the config that reproduces it
"""

import csv
import io
import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from slowfast.datasets.annotations.kinetics import fields_of
from slowfast.own.choices import Choice, yaml_lines
from slowfast.own.videos import OwnVideos
from slowfast.utils.io import read_json, write_csv, write_json, write_lines
from slowfast.zoo.names import is_name

logger = logging.getLogger(__name__)

LISTS, REQUEST, CONFIG, NETWORK = "lists", "own.json", "own.yaml", "network.yaml"


def write_lists(folder: Path, videos: OwnVideos, unreadable: Sequence[tuple[str, str]]) -> None:
    """Write a list of each part, names of the classes, and the videos that cannot be read."""
    for name, records in videos.parts.items():
        rows = ([videos.name(record), *fields_of(record)] for record in records)
        write_lines(folder / LISTS / f"{name}.csv", map(_csv_line, rows))
    write_lines(folder / LISTS / "classes.txt", videos.class_names)
    if unreadable:
        write_csv(folder / LISTS / "unreadable.csv", ["path", "reason"], unreadable)


def _csv_line(cells: Sequence[str]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow(cells)
    return text.getvalue()


def write_config(
    folder: Path, rows: Sequence[Choice], network: Sequence[Choice], title: str
) -> Path:
    """Write the YAML of the run, with the reasons, over the one of its network; last of all."""
    write_lines(folder / NETWORK, [f"# {title}", *yaml_lines(list(network))])
    path = folder / CONFIG
    header = ["# Written by slowfast train; slowfast train --cfg of this file runs it again."]
    write_lines(path, [*header, f"_BASE_: {NETWORK}", *yaml_lines(list(rows))])
    return path


def find_config(folder: Path, request: Mapping[str, Any]) -> Path | None:
    """The YAML of the run that this request began in `folder`; None where there is none.

    ValueError where another request began it, and something was trained.
    """
    path = folder / CONFIG
    if not path.is_file():
        return None
    earlier = read_json(folder / REQUEST)
    changed = [
        f"{name}: {earlier.get(name)!r} -> {value!r}"
        for name, value in request.items()
        if earlier.get(name) != value
    ]
    if changed and not any(folder.glob("checkpoints/*.pyth")):
        logger.info("%s: begins anew, as nothing was trained there", folder)
        return None
    if changed:
        raise ValueError(
            f"--out: {folder} holds a run that was begun in another way ({'; '.join(changed)}). "
            f"Choose another folder; slowfast train --cfg {path} goes on with that run as it is"
        )
    return path


def write_request(folder: Path, request: Mapping[str, Any]) -> None:
    """Write what was asked for."""
    write_json(folder / REQUEST, dict(request))


def check_out(folder: Path) -> None:
    """ValueError where a run of another kind lies in `folder`."""
    if (folder / "config.yaml").exists() and not (folder / CONFIG).exists():
        raise ValueError(
            f"--out: {folder} holds a run that was made with --cfg; choose another folder"
        )


def absolute(path: str) -> str:
    """The whole path, for a YAML that is run from anywhere; addresses and names of weights stay."""
    return path if "://" in path or is_name(path) else os.path.abspath(os.path.expanduser(path))
