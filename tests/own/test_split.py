"""The split that is made where there is none."""

from collections import Counter

import pytest

from slowfast.datasets.records import Record
from slowfast.own.split import PARTS, group_by_pattern, split_groups

PEOPLE = [
    Record(f"class{label}/person{person}_{take}.mp4", label)
    for label in range(4)
    for person in range(5)
    for take in range(2)
]


def name(record):
    return record.path


def alone(records):
    return {record.path: [record] for record in records}


def labels(records):
    return Counter(record.label for record in records)


def test_each_class_has_its_share_in_each_part():
    parts = split_groups(alone(PEOPLE), held_out=0.2, seed=0)
    assert labels(parts["train"]) == dict.fromkeys(range(4), 6)
    assert labels(parts["val"]) == labels(parts["test"]) == dict.fromkeys(range(4), 2)


def test_no_group_is_in_two_parts():
    groups = group_by_pattern(PEOPLE, name, r"person(\d)")
    parts = split_groups(groups, held_out=0.2, seed=0)
    people = [{record.path.split("person")[1][0] for record in parts[part]} for part in PARTS]
    assert list(map(len, people)) == [3, 1, 1] and len(set.union(*people)) == 5


def test_every_video_is_in_one_part():
    parts = split_groups(alone(PEOPLE), held_out=0.15, seed=0)
    assert sorted(map(name, sum(parts.values(), []))) == sorted(map(name, PEOPLE))


def test_split_follows_the_seed():
    parts = [split_groups(alone(PEOPLE), held_out=0.2, seed=seed) for seed in (0, 0, 1)]
    assert parts[0] == parts[1] != parts[2]


def test_class_of_three_videos_is_in_each_part():
    records = [Record(f"{number}.mp4", 0) for number in range(3)]
    parts = split_groups(alone(records), held_out=0.1, seed=0)
    assert [len(parts[part]) for part in PARTS] == [1, 1, 1]


def test_rare_labels_of_several_are_dealt_out_first():
    common = [Record(f"{number}.mp4", labels=(0,)) for number in range(20)]
    rare = [Record(f"rare{number}.mp4", labels=(0, 1)) for number in range(3)]
    parts = split_groups(alone([*common, *rare]), held_out=0.15, seed=0)
    assert all(any(1 in record.labels for record in parts[part]) for part in PARTS)


def test_part_is_not_empty_where_groups_are_uneven():
    sizes = {"a": 6, "b": 5, "c": 1}
    groups = {key: [Record(f"{key}{n}", 0) for n in range(size)] for key, size in sizes.items()}
    parts = split_groups(groups, held_out=0.15, seed=0)
    assert all(parts[part] for part in PARTS)


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("(", "is no regular expression"),
        ("person[0-3]", "finds nothing in 8 of 40 paths"),
        ("_[01]", "makes 2 groups"),
    ],
)
def test_pattern_that_makes_no_groups_is_refused(pattern, message):
    with pytest.raises(ValueError, match=message):
        group_by_pattern(PEOPLE, name, pattern)
