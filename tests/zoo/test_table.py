import re
from collections import Counter

import pytest

from slowfast.config.yaml_file import read_entries
from slowfast.shipped import recipes
from slowfast.zoo.class_lists import class_list, class_lists
from slowfast.zoo.table import IMAGES, find_weights, weights

ROWS = list(weights().values())
COUNTS = {"kinetics400": 400, "kinetics600": 600, "kinetics700": 700, "ssv1": 174, "ssv2": 174}
COUNTS |= {"ava": 80, "ava_scored": 60, "charades": 157, "ucf101": 101, "hmdb51": 51}
COUNTS |= {"jhmdb": 21, "ucf101_24": 24, "diving48": 48}


def test_names_differ_in_more_than_case():
    counts = Counter(row.name.lower() for row in ROWS)
    assert [name for name, count in counts.items() if count > 1] == []


def test_no_two_names_are_one_file():
    assert len({row.address for row in ROWS}) == len(ROWS)
    assert len({row.file_name for row in ROWS}) == len(ROWS)


def test_addresses_are_whole():
    assert [
        row.name for row in ROWS if not re.fullmatch(r"https?://[\w.-]+/\S+", row.address)
    ] == []


def test_files_have_the_suffix_of_weights():
    suffixes = (".pkl", ".pyth", ".pth", ".pth.tar")
    assert [row.file_name for row in ROWS if not row.file_name.endswith(suffixes)] == []


def test_the_hash_is_the_one_in_the_name_of_the_file():
    hashed = [row for row in ROWS if row.sha256]
    assert {row.source for row in hashed} == {"torchvision", "MMAction2"}
    assert [row.name for row in hashed if f"-{row.sha256}.pth" not in row.address] == []


def test_every_row_has_a_recipe():
    assert [row.config for row in ROWS if row.config not in recipes()] == []


def num_classes(row):
    entries = {entry.key: entry.value for entry in read_entries(row.recipe)}
    return entries["MODEL.NUM_CLASSES"]


def test_the_classes_have_as_many_names_as_the_recipe_has_outputs():
    trained = [row for row in ROWS if row.data != IMAGES]
    assert [row.name for row in trained if len(row.class_names) != num_classes(row)] == []


def test_all_but_few_results_are_known():
    unknown = {row.name for row in ROWS if row.data != IMAGES and not row.result.metrics}
    assert unknown == {"TRN_BNInception_8f-SSv1", "TRN_BNInception_8f-SSv2"}


@pytest.mark.parametrize(
    ("name", "metrics", "views"),
    [
        ("X3D_S", "top-1 73.5", "10 x 3"),
        ("SLOW_8x8_R50-AVA", "mAP 19.5", ""),
        ("IR_CSN_152_32x2-IG65M", "top-1 82.6", "10 x 3"),
        ("R2PLUS1D_34_32x1", "top-1 80.0", "10 x 1"),
        ("X3D_XS-pytorchvideo", "top-1 69.12, top-5 88.63", "10 x 3"),
        ("vov3d_M_F32-SSv1", "top-1 50.1, top-5 79.2", "2 x 3"),
    ],
)
def test_results_are_those_of_the_publisher(name, metrics, views):
    result = find_weights(name).result
    assert (result.metrics, result.views) == (metrics, views)


def test_weights_of_images_have_no_recipe_to_test():
    with pytest.raises(ValueError, match="TRAIN.CHECKPOINT_FILE_PATH zoo:GOOGLENET"):
        find_weights("GOOGLENET").trained_recipe()


def test_lists_of_classes_have_so_many_different_names():
    assert {name: len(class_list(name)) for name in class_lists()} == COUNTS
    assert {name: len(set(class_list(name))) for name in class_lists()} == COUNTS


def test_names_have_no_spaces_around():
    names = [name for listed in class_lists() for name in class_list(listed)]
    assert [name for name in names if name != name.strip() or not name] == []


@pytest.mark.parametrize(
    ("names", "listed"),
    [
        (["K400", "kinetics400", "Kinetics-400"], "kinetics400"),
        (["SSv2", "sthv2", "something-something-v2"], "ssv2"),
        (["UCF101-24", "ucf101_24"], "ucf101_24"),
        (["AVA"], "ava"),
    ],
)
def test_lists_have_the_names_that_people_say(names, listed):
    assert [class_list(name) for name in names] == [class_list(listed)] * len(names)


def test_no_other_name_is_a_list():
    assert [class_list(name) for name in ("names", "kinetics", "", "../classes/ava", "é")] == [
        None
    ] * 5


def test_classes_of_kinetics_are_alphabetical():
    for name in ("kinetics400", "kinetics600", "kinetics700"):
        assert class_list(name) == sorted(class_list(name))


@pytest.mark.parametrize(
    ("name", "number", "first"),
    [
        ("kinetics400", 290, "sharpening knives"),  # of PySlowFast's kinetics_classnames.json
        ("ssv1", 0, "Holding something"),
        ("ssv2", 0, "Approaching something with your camera"),
        ("ava", 11, "stand"),  # AVA's id 12
        ("charades", 59, "Sitting in a chair"),  # c059
    ],
)
def test_names_have_the_numbers_of_the_published_weights(name, number, first):
    assert class_list(name)[number] == first


def test_actions_of_ava_that_are_scored_are_some_of_all_in_their_order():
    everything, scored = class_list("ava"), class_list("ava_scored")
    assert [name for name in everything if name in scored] == scored


def test_authors_who_sorted_the_names_have_other_numbers():
    ours, theirs = (
        find_weights(f"{name}-SSv1").class_names for name in ("vov3d_M_F16", "TSM_R50_8f")
    )
    assert ours != theirs == sorted(ours)
