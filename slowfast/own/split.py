"""Videos dealt out to training, validation and test: each class in each part, groups whole."""

import random
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence

from slowfast.datasets.records import Record
from slowfast.utils.seeding import derive_seed
from slowfast.utils.words import shorten

PARTS = ("train", "val", "test")


def group_by_pattern(
    records: Sequence[Record], name: Callable[[Record], str], pattern: str
) -> dict[str, list[Record]]:
    """Records by what a regular expression finds in their names: its first group, else all of it.

    ValueError for an expression that is none, or that finds nothing in some names.
    """
    try:
        search = re.compile(pattern).search
    except re.error as error:
        raise ValueError(f"--group: {pattern!r} is no regular expression: {error}") from error
    groups, missed = defaultdict(list), []
    for record in records:
        if found := search(name(record)):
            key = found.group(1 if found.re.groups else 0) or found[0]
            groups[key].append(record)
        else:
            missed.append(name(record))
    if missed:
        raise ValueError(
            f"--group: {pattern!r} finds nothing in {len(missed)} of {len(records)} paths, for "
            f"example {missed[0]!r}"
        )
    if len(groups) < len(PARTS):
        raise ValueError(
            f"--group: {pattern!r} makes {len(groups)} groups of {len(records)} videos "
            f"({shorten(sorted(groups))}); training, validation and test need one each"
        )
    return dict(groups)


def split_groups(
    groups: Mapping[str, Sequence[Record]], *, held_out: float, seed: int
) -> dict[str, list[Record]]:
    """Parts of which validation and test get a share `held_out` of each class, as far as groups go.

    The rarest class is dealt out first, each group to the part that lacks its classes most
    (iterative stratification, Sechidis et al. 2011). No part is empty where there are three groups.
    The same on every machine for the same names and seed.
    """
    counts = {name: Counter(c for r in rs for c in r.classes()) for name, rs in groups.items()}
    order = sorted(counts)
    random.Random(derive_seed("own split", seed)).shuffle(order)
    order.sort(key=lambda name: -sum(counts[name].values()))  # stable: equal ones stay shuffled
    dealt = _deal({name: counts[name] for name in order}, held_out)
    for part in PARTS[1:]:
        training = [name for name in order if dealt[name] == "train"]
        if part not in dealt.values() and len(training) > 1:
            dealt[training[-1]] = part
    return {
        part: [record for name in groups if dealt[name] == part for record in groups[name]]
        for part in PARTS
    }


def _deal(counts: Mapping[str, Counter[int]], held_out: float) -> dict[str, str]:
    """Part of each group, which holds so many videos of each class."""
    wants = _wanted(counts, held_out)
    rest = {part: wanted.total() for part, wanted in wants.items()}
    of_class = defaultdict(list)
    for name, found in counts.items():
        for label in found:
            of_class[label].append(name)
    dealt: dict[str, str] = {}
    for label in sorted(of_class, key=lambda label: len(of_class[label])):
        for name in of_class[label]:
            if name not in dealt:
                part = max(PARTS, key=lambda part: (wants[part][label], rest[part]))
                dealt[name] = part
                wants[part].subtract(counts[name])
                rest[part] -= counts[name].total()
    return dealt


def _wanted(counts: Mapping[str, Counter[int]], held_out: float) -> dict[str, Counter[int]]:
    """Videos of each class that each part should get.

    With three groups or more that is one group at least, with two one for training and validation.
    """
    sizes = defaultdict(list)
    for found in counts.values():
        for label, count in found.items():
            sizes[label].append(count)
    wants = {part: Counter() for part in PARTS}
    for label, found in sizes.items():
        share = max(sum(found) * held_out, min(found))
        shares = share * (len(found) > 1), share * (len(found) > 2)
        wants["val"][label], wants["test"][label] = shares
        wants["train"][label] = sum(found) - sum(shares)
    return wants
