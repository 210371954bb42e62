"""Remarks on classes that the lists of a run have no video of, and on lists of a single class."""

from collections import Counter
from collections.abc import Collection, Iterator, Sequence

import numpy as np

from slowfast.datasets.clip_dataset import ClipDataset
from slowfast.datasets.packed_records import PackedRecords
from slowfast.datasets.records import Record

_NUM_SHOWN = 5


def class_sets(record: Record, target: int | None = None) -> Sequence[Collection[int]]:
    """The classes of the video, or of each of its boxes; none where they are unknown.

    target: of several, the number of the one that is asked for, from 0.
    """
    if record.key is not None:
        return record.key.labels
    if record.spans is not None:
        return [record.spans.all()]
    if target is not None:
        return [record.labels[target : target + 1]]
    return [record.labels or ([record.label] if record.label >= 0 else [])]


def class_remarks(train: ClipDataset, val: ClipDataset, counts: Sequence[int]) -> list[str]:
    """Sentences on the lists of a run; none where all is well.

    counts: classes of each target. Names of classes are those of the training list, of several
    targets one after another. In detection only classes that are judged count.
    """
    names, start, remarks = train.class_names, 0, []
    judged = None if val.truth is None else set(val.truth.classes)
    for target, count in enumerate(counts):
        own = names[start : start + count] if names else None
        called = "" if len(counts) == 1 else f"target {target + 1}: "
        place = None if len(counts) == 1 else target
        expected = set(range(count)) if judged is None else judged
        found = _remarks(_tally(train, place), _tally(val, place), expected, own)
        remarks += [f"{called}{remark}" for remark in found]
        start += count
    return remarks


def count_examples(dataset: ClipDataset, counts: Sequence[int]) -> list[int]:
    """Examples (videos, or boxes) of each class, of several targets one after another."""
    found = []
    for target, count in enumerate(counts):
        tally, _ = _tally(dataset, None if len(counts) == 1 else target)
        found += [tally[label] for label in range(count)]
    return found


def untrained_remark(
    num_trained: Sequence[int], num_tested: Sequence[int], names: Sequence[str] | None
) -> str:
    """A sentence on classes that a test has, and the training had not; "" where there are none.

    num_trained, num_tested: examples of each class.
    """
    pairs = enumerate(zip(num_trained, num_tested, strict=True))
    untrained = [label for label, (before, now) in pairs if now and not before]
    if not untrained:
        return ""
    return (
        f"the test list has {sum(num_tested[label] for label in untrained)} examples of classes "
        f"that the training list lacked: {_named(untrained, names)}"
    )


def _tally(dataset: ClipDataset, target: int | None) -> tuple[Counter, int]:
    """Examples (videos or boxes) of each class, and the number of all, also without a class."""
    records = dataset.records
    if isinstance(records, PackedRecords) and records.is_plain:
        pairs = zip(*np.unique(records.classes(target), return_counts=True), strict=True)
        return Counter({int(label): int(count) for label, count in pairs}), len(records)
    tally, num_examples = Counter(), 0
    for record in records:
        for classes in class_sets(record, target):
            tally.update(classes)
            num_examples += 1
    return tally, num_examples


def _remarks(
    train: tuple[Counter, int],
    val: tuple[Counter, int],
    expected: set[int],
    names: Sequence[str] | None,
) -> Iterator[str]:
    """Sentences on one target; train, val: see `_tally`."""
    (in_train, num_train), (in_val, _) = train, val
    missing = sorted(expected - in_train.keys())
    if missing:
        yield (
            f"the training list has examples of {len(expected) - len(missing)} of "
            f"{len(expected)} classes (MODEL.NUM_CLASSES); none of {_named(missing, names)}"
        )
    if len(in_train) == 1 and in_train.total() == num_train:
        yield (
            f"all {num_train} examples of the training list belong to one class, "
            f"{_named(list(in_train), names)}: there is nothing to tell it from, so loss and "
            "accuracy say nothing; add examples of something else as another class"
        )
    unknown = sorted((in_val.keys() & expected) - in_train.keys())
    if unknown:
        num_unknown = sum(in_val[label] for label in unknown)
        yield (
            f"the validation list has {num_unknown} examples of classes that the training list "
            f"lacks, and that cannot be learned: {_named(unknown, names)}"
        )


def _named(labels: Sequence[int], names: Sequence[str] | None) -> str:
    """Numbers with names, the first of many."""
    shown = [f"{label} ({names[label]})" if names else str(label) for label in labels[:_NUM_SHOWN]]
    more = len(labels) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")
