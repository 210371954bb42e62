"""Forms of configs that PySlowFast and its forks take. The YAMLs hold what decided about theirs."""

import logging

import pytest
import yaml

from slowfast.config.cli import load_cfg
from slowfast.config.foreign import increasing_steps
from slowfast.models import MODELS

SLOW = "RESNET: {DEPTH: 50}\nDATA: {INPUT_CHANNEL_NUM: [3]}\n"
X3D = "RESNET: {TRANS_FUNC: x3d_transform}\nDATA: {INPUT_CHANNEL_NUM: [3]}\n"
EPIC = """\
TRAIN: {DATASET: epickitchens, FINETUNE: True}
TEST: {ENABLE: False, DATASET: epickitchens}
BN: {FREEZE: True, MOMENTUM: 0.1, USE_PRECISE_STATS: True}
MODEL: {NUM_CLASSES: [97, 300], MODEL_NAME: SlowFast, LOSS_FUNC: cross_entropy}
EPICKITCHENS: {TRAIN_PLUS_VAL: False}
"""
OLD_AVA = """\
TRAIN: {DATASET: ava}
TEST: {DATASET: ava}
DETECTION: {ENABLE: True}
BN: {MOMENTUM: 0.1}
MODEL: {LOSS_FUNC: bce}
AVA: {TRAIN_PREDICT_BOX_LISTS: }
"""


@pytest.fixture
def load(tmp_path):
    def load_text(text: str, *overrides):
        (tmp_path / "x.yaml").write_text(text)
        return load_cfg(tmp_path / "x.yaml", overrides)

    return load_text


@pytest.fixture
def refuse(load):
    def error(text: str, *overrides) -> str:
        with pytest.raises(ValueError) as caught:
            load(text, *overrides)
        return str(caught.value)

    return error


@pytest.mark.parametrize(
    ("name", "ours", "text"),
    [
        ("PTVX3D", "X3D", X3D),
        ("PTVCSN", "CSN", "DATA: {INPUT_CHANNEL_NUM: [3]}\n"),
        ("PTVR2plus1D", "R2Plus1D", "DATA: {INPUT_CHANNEL_NUM: [3]}\n"),
        ("PTVSlowFast", "SlowFast", ""),
        ("PTVResNet", "ResNet", "MODEL: {ARCH: slow}\n" + SLOW),
    ],
)
def test_pytorchvideo_name_of_a_network_is_taken_as_ours(load, caplog, name, ours, text):
    assert load(text, "MODEL.MODEL_NAME", name).MODEL.MODEL_NAME == ours
    assert f"MODEL.MODEL_NAME: {name!r} is here {ours!r}, the same network" in caplog.text


@pytest.mark.parametrize(("name", "ours"), [("ptvkinetics", "kinetics"), ("ptvssv2", "ssv2")])
def test_pytorchvideo_name_of_a_dataset_is_taken_as_ours(load, caplog, name, ours):
    cfg = load(f"TRAIN: {{DATASET: {name}}}\nTEST: {{DATASET: {name}}}\n")
    assert (cfg.TRAIN.DATASET, cfg.TEST.DATASET) == (ours, ours)
    assert f"TRAIN.DATASET: {name!r} is here {ours!r}" in caplog.text


def test_name_that_a_user_registered_is_kept(load, caplog, monkeypatch):
    monkeypatch.setitem(MODELS._entries, "PTVX3D", None)
    assert load(X3D, "MODEL.MODEL_NAME", "PTVX3D").MODEL.MODEL_NAME == "PTVX3D"
    assert caplog.text == ""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("MODEL: {MODEL_NAME: MaskMViT}\nTASK: ssl\n", "MODEL.MODEL_NAME: 'MaskMViT'"),
        ("TRAIN: {DATASET: imagenet}\n", "TRAIN.DATASET: 'imagenet' is not supported: ImageNet"),
        ("TASK: ssl\nMODEL: {NUM_CLASSES: 0}\n", "TASK: 'ssl' is not supported: self-supervised"),
        ("MODEL: {LOSS_FUNC: contrastive_loss}\n", "MODEL.LOSS_FUNC: 'contrastive_loss' is not su"),
    ],
)
def test_one_line_names_what_is_not_part_of_this_project(refuse, text, expected):
    message = refuse(text)
    assert message.startswith(expected) and len(message.splitlines()) == 1


def test_what_is_not_part_of_this_project_comes_before_mistakes_of_the_file(refuse):
    message = refuse("TASK: ssl\nSOLVER:\n  BASE_LR: 0.6\n  BASE_LR: 0.1\n")
    assert message.endswith(
        "x.yaml:1: TASK: 'ssl' is not supported: self-supervised training is "
        "not part of this project"
    )


def test_name_of_another_dataset_does_not_matter_where_it_is_not_read(load):
    assert load("TEST: {ENABLE: False, DATASET: imagenet}\n").TEST.DATASET == "imagenet"


def test_unknown_model_is_named_when_the_config_is_loaded(refuse):
    message = refuse("MODEL: {MODEL_NAME: x3d}\n")
    assert message.startswith("MODEL.MODEL_NAME: 'x3d' is not one of [")
    assert "'ResNet', " in message
    assert message.endswith("; did you mean X3D?")


def test_evaluation_of_self_supervised_weights_is_ordinary_training(load, caplog):
    assert load("TASK: ssl_eval_k400\n").TASK == ""
    assert "TASK: 'ssl_eval_k400' is here '', training from weights that TRAIN.CH" in caplog.text


def test_config_of_epic_kitchens_loads_with_warnings(load, caplog):
    cfg = load(EPIC)
    assert (cfg.TRAIN.DATASET, cfg.MODEL.NUM_CLASSES) == ("kinetics", [97, 300])
    assert cfg.MODEL.FROZEN_BN
    assert {record.levelno for record in caplog.records} == {logging.WARNING}
    for key in ("TRAIN.DATASET", "BN.MOMENTUM", "BN.FREEZE", "TRAIN.FINETUNE", "EPICKITCHENS."):
        assert key in caplog.text


def test_early_detection_config_gets_the_sigmoids_that_it_always_had(load, caplog):
    assert load(OLD_AVA).MODEL.HEAD_ACT == "sigmoid"
    assert "MODEL.HEAD_ACT: is 'sigmoid'" in caplog.text


def test_activation_that_is_written_down_stays(refuse):
    assert "MODEL.HEAD_ACT: 'softmax' must be" in refuse(OLD_AVA, "MODEL.HEAD_ACT", "softmax")


def test_steps_that_do_not_increase_mean_what_they_mean_in_the_reference(load, caplog):
    text = {"LR_POLICY": "steps_with_relative_lrs", "STEPS": [0, 10, 5, 5], "MAX_EPOCH": 20}
    cfg = load(yaml.safe_dump({"SOLVER": {**text, "LRS": [1, 0.1, 0.01, 0.001]}}))
    assert (cfg.SOLVER.STEPS, cfg.SOLVER.LRS) == ([0, 10], [1, 0.001])
    assert "SOLVER.STEPS: [0, 10, 5, 5] do not increase; as in the reference, that" in caplog.text


@pytest.mark.parametrize("steps", [[0, 10, 5, 5], [0, 3, 3, 8], [0, 25, 7, 30], [0, 4, 9, 2]])
def test_increasing_steps_give_the_rates_of_the_reference(steps):
    def rate_there(epoch):
        ends = [*steps, 20]
        return rates[next(i for i, end in enumerate(ends) if epoch < end) - 1]

    rates = [1, 0.1, 0.01, 0.001]
    ours, factors = increasing_steps(steps, rates, 20)
    for epoch in range(20):
        assert factors[sum(step <= epoch for step in ours) - 1] == rate_there(epoch)
