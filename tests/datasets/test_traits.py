"""Rules between the config and the traits of the datasets that it names."""

import pytest

from slowfast.config.checks import check_cfg
from slowfast.config.defaults import get_cfg
from slowfast.datasets.build import DATASETS, DatasetTraits, build_span_sampler

FLOW = ["DATA.MODALITY", "flow", "DATA.INPUT_CHANNEL_NUM", [2]]
FLOW += ["DATA.MEAN", [0.5, 0.5], "DATA.STD", [0.1, 0.1]]
SIGMOID = ["MODEL.HEAD_ACT", "sigmoid", "MODEL.LOSS_FUNC", "bce"]
AVA = ["TRAIN.DATASET", "ava", "TEST.DATASET", "ava"]
DETECTION = [*AVA, "DETECTION.ENABLE", True, *SIGMOID]
CHARADES = ["TRAIN.DATASET", "charades", "TEST.DATASET", "charades"]
MULTI_LABEL = [*CHARADES, "DATA.MULTI_LABEL", True, *SIGMOID]


def check(*overrides):
    cfg = get_cfg()
    cfg.merge_from_list(["DATA.INPUT_CHANNEL_NUM", [3], *overrides])
    check_cfg(cfg)


@pytest.mark.parametrize(
    "overrides",
    [
        DETECTION,
        MULTI_LABEL,
        [*MULTI_LABEL, "TRAIN.DATASET", "kinetics", "TEST.DATASET", "folder"],
        ["MODEL.NUM_CLASSES", [4, 3]],
        [*DETECTION, "TRAIN.DATASET", "jhmdb", "TEST.DATASET", "ucf101_24"],
        # A dataset that is not used may be anything.
        [*DETECTION, "TRAIN.DATASET", "kinetics", "TRAIN.ENABLE", False],
        ["TRAIN.DATASET", "none", "TRAIN.ENABLE", False],
        # One of the two datasets reads them.
        ["DATA.SOURCE", "videos", "TRAIN.DATASET", "ssv2"],
        ["DATA.SPLIT_NUMBER", 3, "TRAIN.DATASET", "ucf101", "TEST.DATASET", "hmdb51"],
        FLOW,
        ["DATA.SAMPLING", "dense", "TRAIN.DATASET", "ssv1", "TEST.DATASET", "ssv2"],
        [*CHARADES, *MULTI_LABEL, "DATA.SAMPLING", "segments"],
        [*FLOW, "TRAIN.DATASET", "folder", "DATA.PATH_PREFIX", "flow"],
    ],
)
def test_datasets_that_fit_pass(overrides):
    check(*overrides)


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (["TEST.DATASET", "kinetix"], f"TEST.DATASET: 'kinetix' is not one of {sorted(DATASETS)}"),
        (AVA, "DETECTION.ENABLE: False must be True with TRAIN.DATASET 'ava'"),
        (CHARADES, "DATA.MULTI_LABEL: False must be True with TRAIN.DATASET 'charades'"),
        (
            [*DETECTION, "TEST.DATASET", "kinetics"],
            "TEST.DATASET: 'kinetics' is not one of ['ava', 'jhmdb', 'ucf101_24'] with "
            "DETECTION.ENABLE True",
        ),
        (
            [*CHARADES, "DATA.SAMPLING", "window"],
            "TRAIN.DATASET: 'charades' is not one of ['kinetics', 'folder', 'ssv1', 'ssv2', "
            "'ucf101', 'hmdb51'] with DATA.SAMPLING 'window'",
        ),
        (
            [*MULTI_LABEL, "TEST.DATASET", "ssv2"],
            "'ssv2' is not one of ['kinetics', 'folder', 'charades'] with DATA",
        ),
        (
            ["MODEL.NUM_CLASSES", [4, 3], "TEST.DATASET", "folder"],
            "TEST.DATASET: 'folder' is not one of ['kinetics'] with MODEL.NUM_CLASSES [4, 3]",
        ),
        (
            [*FLOW, "TEST.DATASET", "ava"],
            "TEST.DATASET: 'ava' is not one of ['kinetics', 'folder', 'ssv1', 'ssv2', 'ucf101', "
            "'hmdb51', 'jhmdb', 'ucf101_24'] with DATA.MODALITY 'flow'",
        ),
        (
            [*FLOW, "TRAIN.DATASET", "folder"],
            "DATA.PATH_PREFIX: must name the folder of the flow with TRAIN.DATASET 'folder' and ",
        ),
        (
            ["DATA.SOURCE", "videos", "TRAIN.DATASET", "ssv1"],
            "DATA.SOURCE: 'videos' has no effect with TRAIN.DATASET 'ssv1', TEST.DATASET "
            "'kinetics', only with ['ssv2', 'charades', 'jhmdb', 'ucf101_24']",
        ),
        (
            ["DATA.SPLIT_NUMBER", 2, "TRAIN.DATASET", "ucf101", "TRAIN.ENABLE", False],
            "DATA.SPLIT_NUMBER: 2 has no effect with TEST.DATASET 'kinetics', only with "
            "['ucf101', 'hmdb51', 'jhmdb', 'ucf101_24']",
        ),
    ],
)
def test_datasets_that_do_not_fit_are_named(overrides, expected):
    with pytest.raises(ValueError) as caught:
        check(*overrides)
    assert expected in str(caught.value)


def test_rules_hold_for_a_dataset_of_a_user(register_dataset):
    traits = DatasetTraits(lambda _cfg, _split: None, build_span_sampler, num_splits=2)
    register_dataset("mine", traits)
    names = ["TRAIN.DATASET", "mine", "TEST.DATASET", "mine"]
    check(*names, "DATA.SPLIT_NUMBER", 2)
    for overrides, expected in (
        (["DATA.SPLIT_NUMBER", 3], "3 is not within 1..2, the splits of TRAIN.DATASET 'mine'"),
        (FLOW, "TRAIN.DATASET: 'mine' is not one of .* with DATA.MODALITY 'flow'"),
        (["DATA.MULTI_LABEL", True, *SIGMOID], "'mine' is not one of .* with DATA"),
    ):
        with pytest.raises(ValueError, match=expected):
            check(*names, *overrides)
