"""Weights of a network with the same names and shapes that computes something else."""

import logging

import torch

from slowfast.adaptive.network import load_for_evaluation, other_network
from slowfast.checkpoint.files import read_config
from slowfast.models import build_model
from tests.helpers.configs import cfg_with


def tsn(name):
    values = {
        "MODEL.MODEL_NAME": name,
        "MODEL.NUM_CLASSES": 3,
        "RESNET.DEPTH": 18,
        "RESNET.TRANS_FUNC": "basic_transform",
        "RESNET.WIDTH_PER_GROUP": 8,
        "DATA.INPUT_CHANNEL_NUM": [3],
        "DATA.NUM_FRAMES": 2,
        "DATA.TEST_CROP_SIZE": 32,
        "DATA.TRAIN_CROP_SIZE": 32,
    }
    return cfg_with(values)


def test_a_test_names_the_network_that_the_weights_were_trained_with(tmp_path, caplog):
    cfg = tsn("TSN")
    content = {"model_state": build_model(cfg).state_dict(), "cfg": cfg.dump()}
    torch.save(content, tmp_path / "tsn.pyth")
    with caplog.at_level(logging.WARNING):
        load_for_evaluation(tsn("TSM"), tmp_path / "tsn.pyth", torch.device("cpu"))
    assert "MODEL.MODEL_NAME: 'TSM', but the weights were trained with 'TSN'" in caplog.text


def test_the_same_network_is_not_named(tmp_path, caplog):
    cfg = tsn("TSN")
    content = {"model_state": build_model(cfg).state_dict(), "cfg": cfg.dump()}
    torch.save(content, tmp_path / "tsn.pyth")
    with caplog.at_level(logging.WARNING):
        load_for_evaluation(tsn("TSN"), tmp_path / "tsn.pyth", torch.device("cpu"))
    assert "trained with" not in caplog.text


def test_keys_that_make_no_other_network_may_differ():
    trained = {"DATA.NUM_FRAMES": 8, "RESNET.DEPTH": 50, "TEST.BATCH_SIZE": 8}
    now = {"DATA.NUM_FRAMES": 4, "RESNET.DEPTH": 101, "TEST.BATCH_SIZE": 4}
    assert other_network(trained, now) == [
        "RESNET.DEPTH: 101, but the weights were trained with 50"
    ]


def test_a_config_that_cannot_be_read_names_nothing():
    assert read_config("a: [1") == {} == read_config(None)
