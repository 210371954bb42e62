"""Which video files to predict, and the files that the predictions go to."""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from slowfast.datasets.video_files import walk_videos
from slowfast.engine.predict_videos import VideoResult
from slowfast.utils.io import write_csv, write_json
from slowfast.utils.video_names import SUFFIXES


def find_videos(paths: Iterable[str | Path]) -> list[Path]:
    """The files, and of folders all videos below them in alphabetical order; each file once.

    ValueError names a folder without videos. Files need not exist: reading them tells.
    """
    found: dict[Path, None] = {}
    for path in map(Path, paths):
        inside = [path]
        if path.is_dir():
            inside = [Path(file) for file in walk_videos(path)]
            if not inside:
                raise ValueError(f"{path}: no video in this folder (looked for {sorted(SUFFIXES)})")
        found.update(dict.fromkeys(inside))
    return list(found)


def write_results(path: str | Path, results: Sequence[VideoResult], about: dict[str, Any]) -> None:
    """Write results to a .json file, below the values of `about`, or to a .csv file, atomically.

    The csv has a line per video and class, and one with the reason for an unreadable video.
    """
    check_output(path)
    if Path(path).suffix.lower() == ".json":
        videos = [
            {"path": printable(result.path), "error": result.error}
            if result.error
            else {
                "path": printable(result.path),
                "predictions": [
                    {"class": p.label, "name": p.name, "score": p.score} for p in result.predictions
                ],
            }
            for result in results
        ]
        write_json(path, {**about, "videos": videos})
        return
    rows = []
    for result in results:
        shown = printable(result.path)
        rows += [
            [shown, rank, p.label, p.name, p.score, ""]
            for rank, p in enumerate(result.predictions, start=1)
        ]
        if result.error:
            rows.append([shown, "", "", "", "", result.error])
    write_csv(path, ["path", "rank", "class", "name", "score", "error"], rows)


def check_output(path: str | Path) -> None:
    """ValueError unless `write_results` knows the format."""
    if Path(path).suffix.lower() not in (".json", ".csv"):
        raise ValueError(f"{path}: the file of results must end in .json or .csv")


def printable(path: str) -> str:
    """The path with escapes in place of bytes that are not UTF-8."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")
