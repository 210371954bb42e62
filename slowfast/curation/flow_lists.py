"""Lists of videos -> lists of their optical flow."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from slowfast.config.node import ConfigNode
from slowfast.curation.flow import FlowJob, FlowSettings, describe, make_flow
from slowfast.curation.prepare import FAILURES, find_videos
from slowfast.curation.shards import EVERYTHING, Shard
from slowfast.curation.splits import Split, label_problems, read_csv_splits
from slowfast.datasets.annotations.kinetics import ListRules, fields_of, typed_separator
from slowfast.datasets.build import DATASETS, SECTIONS
from slowfast.datasets.records import Record
from slowfast.datasets.traits import names_with
from slowfast.utils.io import write_csv, write_lines

logger = logging.getLogger(__name__)

_CLASS_NAMES = "classes.txt"


@dataclass(frozen=True)
class FlowList:
    """A list to write: its name, the videos and their classes, the classes' names."""

    name: str
    records: list[Record]
    class_names: list[str] | None = None


def _list_lines(records: Sequence[Record], done: dict[str, FlowJob], output: Path) -> Iterator[str]:
    for record in records:
        if record.path in done:
            target = done[record.path].target
            count = [] if record.part else [str(describe(output / target)["num_frames"])]
            yield " ".join([target, *count, *fields_of(record)])


def _write_list(one: FlowList, done: dict[str, FlowJob], output: Path) -> None:
    if any(record.labels or record.label >= 0 for record in one.records):
        path, lines = output / f"{one.name}.csv", list(_list_lines(one.records, done, output))
        if lines:
            write_lines(path, lines)
        logger.info("%s: %d of %d lines", path.name, len(lines), len(one.records))
    if one.class_names:
        write_lines(output / _CLASS_NAMES, one.class_names)


def make_flow_lists(
    lists: Sequence[FlowList],
    root: str | Path,
    output: str | Path,
    settings: FlowSettings,
    *,
    problems: Sequence[tuple[str, str]] = (),
    workers: int,
    shard: Shard = EVERYTHING,
) -> tuple[int, list[tuple[str, str]]]:
    """`make_flow` of the videos of lists, and lists `folder frames class` of their flow beside it.

    A shard leaves lists and failures.csv to the merge.
    failures.csv there has all failures, `problems` (where, reason) first; returns them and the
    number of videos that are done. Lists without classes and empty ones are not written.
    """
    output = Path(output)
    records = [record for one in lists for record in one.records]
    done, failed = make_flow(records, root, output, settings, workers=workers, shard=shard)
    failures = [*problems, *failed.items()]
    if shard.is_share:
        return len(done), failures
    for one in lists:
        _write_list(one, done, output)
    (output / FAILURES).unlink(missing_ok=True)
    if failures:
        write_csv(output / FAILURES, ["path", "reason"], failures)
    return len(done), failures


def read_flow_lists(
    paths: Sequence[str | Path], videos: str, output: str | Path, *, separator: str
) -> tuple[list[FlowList], Path, list[tuple[str, str]]]:
    """Lists, the folder their paths start from, and wrong lines (where, reason).

    The videos of lists `path label`, or without lists all below the folder `videos`.
    """
    if not (videos or paths):
        raise ValueError("give --cfg, --csv or --videos")
    for path in paths:
        if Path(path).resolve().parent == Path(output).resolve():
            raise ValueError(f"--output: {output} holds {path}, which a new list would replace")
    root = Path(videos or Path(paths[0]).parent)
    if not paths:
        return [FlowList("all", [Record(path) for path in find_videos(root)])], root, []
    rules = ListRules(separator=typed_separator(separator), prefix=videos, is_multi_label=True)
    splits = read_csv_splits(paths, rules)
    lists = [FlowList(split.name, _records(split), _names_beside(split)) for split in splits]
    return lists, root, label_problems(splits)


def _records(split: Split) -> list[Record]:
    return [entry.record for entry in split.entries if entry.record and not entry.problem]


def _names_beside(split: Split) -> list[str] | None:
    path = split.path.with_name(_CLASS_NAMES)
    return path.read_text(encoding="utf-8").splitlines() if path.is_file() else None


def build_flow_lists(cfg: ConfigNode, output: str | Path) -> tuple[list[FlowList], Path]:
    """The videos of a config's datasets, and the folder their paths start from."""
    if cfg.DATA.MODALITY != "rgb":
        raise ValueError(
            f"DATA.MODALITY: {cfg.DATA.MODALITY!r} must be 'rgb' here: the config of the videos "
            "whose flow is computed"
        )
    root = Path(cfg.DATA.PATH_PREFIX or cfg.DATA.PATH_TO_DATA_DIR)
    if Path(output).resolve() in (root.resolve(), Path(cfg.DATA.PATH_TO_DATA_DIR).resolve()):
        raise ValueError(f"--output: {output} holds the videos or their lists; give another folder")
    lists = []
    for split in (*["train", "val"] * cfg.TRAIN.ENABLE, *["test"] * cfg.TEST.ENABLE):
        dataset = cfg[SECTIONS[split]].DATASET
        traits = DATASETS.get(dataset)
        if not traits.has_flow:
            raise ValueError(f"{dataset!r}: flow is for the datasets {names_with('has_flow')}")
        annotations = traits.build_annotations(cfg, split)
        lists.append(FlowList(split, annotations.records, annotations.class_names))
    return lists, root
