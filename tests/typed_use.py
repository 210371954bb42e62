"""The public names in a program, which a type checker reads; nobody runs it."""

from pathlib import Path

import numpy as np
from torch import nn
from typing_extensions import assert_type

import slowfast
from slowfast.config.node import ConfigNode
from slowfast.datasets.clip_dataset import ClipDataset
from slowfast.datasets.reading import WatchedLoader
from slowfast.engine.predict import VideoResult
from slowfast.streams.timeline import Timeline


def use(folder: Path) -> None:
    cfg = slowfast.load_cfg("X3D_S", ["NUM_GPUS", 0])
    assert_type(cfg, ConfigNode)
    assert_type(slowfast.build_model(cfg), nn.Module)
    assert_type(slowfast.build_dataset(cfg, "train"), ClipDataset)
    assert_type(slowfast.build_loader(cfg, "train"), WatchedLoader)
    trained = slowfast.train(cfg)
    assert_type(trained, slowfast.TrainResult)
    assert_type(trained.metrics, dict[str, float])
    assert_type(slowfast.test(cfg), slowfast.TestResult)
    predictor = slowfast.Predictor.from_run(folder)
    assert_type(predictor, slowfast.Predictor)
    for name, score in predictor(np.zeros((8, 64, 64, 3), np.uint8), fps=30.0, topk=1):
        assert_type((name, score), tuple[str, float])
    assert_type(predictor.predict(["a.mp4", folder / "b.mp4"]), list[VideoResult])
    assert_type(predictor.timeline("long.mp4", window=2.0), Timeline)
