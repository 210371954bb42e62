"""Facts on the videos that a run was tested on, and a word where runs were tested on others.

They stand in test_results.json as `test_set`: dataset; split (null where the dataset has none);
num_videos, as listed; videos, a hash of their names and labels, whatever folder they lie in and
in whatever order; num_classes; classes, a hash of their names (null where unknown).
"""

import hashlib
import logging
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from slowfast.evaluation.fusion import video_keys
from slowfast.utils.io import read_json

logger = logging.getLogger(__name__)

# Fact -> how a message calls it.
_FACTS = {
    "dataset": "dataset",
    "split": "official split",
    "num_classes": "number of classes",
    "classes": "class names (their hash)",
    "num_videos": "number of videos",
    "videos": "videos and labels (their hash)",
}
_OF_A_SPLIT = ("num_videos", "videos")  # differ from one official split to the next
_HASH_LENGTH = 12


def hash_of(lines: Iterable[str]) -> str:
    """A short hash that does not depend on the order of the lines."""
    text = "\n".join(sorted(lines))
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:_HASH_LENGTH]


def set_facts(
    dataset: str,
    paths: Sequence[str],
    labels: Sequence[str],
    *,
    split: int | None,
    num_classes: int | Sequence[int],
    class_names: Sequence[str] | None,
) -> dict[str, Any]:
    """The facts, for a JSON; labels: a text for each path."""
    keys = video_keys(paths)
    return {
        "dataset": dataset,
        "split": split,
        "num_videos": len(paths),
        "videos": hash_of(f"{key}\t{label}" for key, label in zip(keys, labels, strict=True)),
        "num_classes": num_classes,
        "classes": hash_of(class_names) if class_names else None,
    }


def read_facts(run: str | Path) -> tuple[dict[str, Any], int | None]:
    """The facts in a run's test_results.json (or the file itself), and how many videos counted.

    Of older results no more than the number of videos; {} of files without any of this.
    """
    try:
        results = read_json(results_path(run))
        num_scored = results.get("num_videos")
        if isinstance(facts := results.get("test_set"), dict):
            return facts, num_scored
    except (OSError, ValueError, AttributeError):
        return {}, None  # whoever reads the metrics says what is wrong
    if not isinstance(num_scored, int):
        return {}, None
    return {"num_videos": num_scored + results.get("num_unreadable", 0)}, num_scored


def results_path(run: str | Path) -> Path:
    """The file of results of a run, which is given by its folder or by the file."""
    path = Path(run).resolve()
    return path / "test_results.json" if path.is_dir() else path


def differences(facts: Mapping[str, Mapping[str, Any]], *, across_splits: bool) -> list[str]:
    """Lines on the facts that differ between runs (name -> facts); [] where it is one set.

    across_splits: runs of different official splits of one dataset belong together.
    """
    lines = _lines(facts, _FACTS)
    splits = {one.get("split") for one in facts.values()}
    if not across_splits or len(splits) < 2 or None in splits:
        return lines
    lines = _lines(facts, [name for name in _FACTS if name not in ("split", *_OF_A_SPLIT)])
    for split in sorted(splits):
        own = {run: one for run, one in facts.items() if one.get("split") == split}
        lines += [f"split {split}: {line}" for line in _lines(own, _OF_A_SPLIT)]
    return lines


def _lines(facts: Mapping[str, Mapping[str, Any]], names: Iterable[str]) -> list[str]:
    lines = []
    for name in names:
        runs_of: dict[str, list[str]] = {}
        for run, one in facts.items():
            if one.get(name) is not None:
                runs_of.setdefault(str(one[name]), []).append(run)
        if len(runs_of) > 1:
            shown = "; ".join(f"{value} in {', '.join(runs)}" for value, runs in runs_of.items())
            lines.append(f"{_FACTS[name]}: {shown}")
    return lines


def check_same_set(
    runs: Sequence[str | Path],
    *,
    across_splits: bool,
    may_differ: bool,
) -> None:
    """ValueError, with what differs, where runs were tested on different videos or classes.

    may_differ: a warning in its place. Older results do not say on what; a warning names them.
    """
    found = {str(run): read_facts(run) for run in runs}
    facts = {run: one for run, (one, _) in found.items()}
    unknown = [run for run, one in facts.items() if "videos" not in one]
    if unknown and len(runs) > 1:
        logger.warning(
            "%s: written before results said what they were tested on; whether it is the same as "
            "of the others is not checked",
            ", ".join(unknown),
        )
    lines = "".join(f"\n  {line}" for line in differences(facts, across_splits=across_splits))
    if not lines:
        _tell_of_left_out({run: (one.get("num_videos"), n) for run, (one, n) in found.items()})
        return
    if not may_differ:
        raise ValueError(
            f"the runs were not tested on the same set, so their metrics do not belong together "
            f"(--mixed-sets takes them all the same):{lines}"
        )
    logger.warning("the runs were not tested on the same set:%s", lines)


def _tell_of_left_out(counts: Mapping[str, tuple[int | None, int | None]]) -> None:
    """Warn where the metrics of one set are of more videos in one run than in another.

    counts: of each run the videos listed and those that counted.
    """
    known = {run: pair for run, pair in counts.items() if None not in pair}
    if len({num_listed for num_listed, _ in known.values()}) == 1 < len(set(known.values())):
        shown = ", ".join(f"{n} of {total} in {run}" for run, (total, n) in known.items())
        logger.warning("the metrics are not of the same videos, some were unreadable: %s", shown)
