"""The network of a run: a small one that learns from scratch, or that of weights or of a recipe."""

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from slowfast.config.cli import import_modules
from slowfast.config.defaults import DEFAULTS, get_cfg
from slowfast.config.derived import NETWORK_KEYS, is_in
from slowfast.config.node import flatten
from slowfast.datasets.clips.samplers import build_segment_sampler
from slowfast.datasets.traits import DATASETS
from slowfast.engine.predict import load_predicted
from slowfast.models.build import build_meta_inputs, build_model
from slowfast.own.choices import Choice

logger = logging.getLogger(__name__)

_SMALL, _CROP = "a small X3D learns from few videos", "small clips, quick on a CPU, too"
_SCRATCH = [
    Choice("MODEL.MODEL_NAME", "X3D", _SMALL),
    Choice("MODEL.DROPOUT_RATE", 0.2, "a small network needs little"),
    Choice("X3D.BOTTLENECK_FACTOR", 2.25, _SMALL),
    Choice("X3D.DIM_C1", 8, _SMALL),
    Choice("X3D.DIM_C5", 512, _SMALL),
    Choice("RESNET.TRANS_FUNC", "x3d_transform", "blocks of X3D"),
    Choice("RESNET.ZERO_INIT_FINAL_BN", True, "blocks begin as identities"),
    Choice("DATA.INPUT_CHANNEL_NUM", [3], "one pathway, RGB"),
    Choice("DATA.TRAIN_JITTER_SCALES", [104, 132], _CROP),
    Choice("DATA.TRAIN_CROP_SIZE", 96, _CROP),
    Choice("DATA.TEST_CROP_SIZE", 104, "whole frames of a test are this high"),
]
# Of a recipe or checkpoint: what makes its network, and the clips that it was made for.
_KEPT = [*NETWORK_KEYS, "IMPORTS", "TEST.SHORT_SIDE"]
_KEPT += ["MODEL.DROPOUT_RATE", "MODEL.DROPCONNECT_RATE", "MODEL.FC_INIT_STD"]
_KEPT += ["MODEL.FACTORY_CLASSIFIER"]
_KEPT += ["SOLVER.OPTIMIZING_METHOD", "SOLVER.ZERO_WD_1D_PARAM", "SOLVER.CLIP_GRAD_L2NORM"]
_KEPT += ["DATA.NUM_FRAMES", "DATA.SAMPLING_RATE", "DATA.SAMPLING", "DATA.SAMPLED_FRAMES"]
_KEPT += ["DATA.TARGET_FPS", "DATA.MEAN", "DATA.STD", "DATA.INPUT_CHANNEL_NUM"]
_KEPT += ["DATA.KEEP_ASPECT", "DATA.RESIZE_BACKEND", "DATA.TRAIN_JITTER_SCALES"]
_KEPT += ["DATA.TRAIN_CROP_SIZE", "DATA.TEST_CROP_SIZE"]


@dataclass(frozen=True)
class Network:
    """Keys that make a network, and the file of its weights, "" for none. title: its origin."""

    title: str
    rows: list[Choice]
    weights: str = ""

    @property
    def values(self) -> dict[str, Any]:
        """Values of all keys, of others their defaults."""
        return {**dict(flatten(DEFAULTS)), **{row.key: row.value for row in self.rows}}


@dataclass(frozen=True)
class StepCost:
    """A training step per clip, on the CPU in float32: bytes that it holds, seconds.

    stages: names of the parts of the network, in the order of their use, without the head.
    """

    memory: int
    seconds: float
    num_params: int
    stages: list[str]


def find_network(weights: str, recipe: str) -> Network:
    """The network of a recipe, else of the weights' own config, else a small one from scratch."""
    if not weights and not recipe:
        return Network("small X3D", _SCRATCH)
    cfg, title = load_predicted(recipe or None, weights), Path(recipe or weights).name
    _check_use(cfg.DATA.MODALITY, cfg.DETECTION.ENABLE, title)
    values, defaults = dict(flatten(cfg)), dict(flatten(DEFAULTS))
    traits = DATASETS.get(cfg.TRAIN.DATASET)
    kept = {k: v for k, v in values.items() if is_in(k, _KEPT) and v != defaults.get(k)}
    if traits.is_bgr_in_reference != cfg.DATA.REVERSE_INPUT_CHANNEL:
        kept["DATA.REVERSE_INPUT_CHANNEL"] = True
    if cfg.DATA.SAMPLING == "auto" and traits.build_sampler is build_segment_sampler:
        kept["DATA.SAMPLING"] = "segments"
    return Network(title, [Choice(k, v, f"as in {title}") for k, v in kept.items()], weights)


def _check_use(modality: str, has_boxes: bool, title: str) -> None:
    if modality != "rgb" or has_boxes:
        kind = "boxes" if has_boxes else f"DATA.MODALITY {modality}"
        raise ValueError(
            f"--from: {title} is a network for {kind}; only networks that classify whole RGB "
            "videos are fine-tuned here. Others take a config: slowfast train --cfg"
        )


def build_step_cost(words: Sequence[Any]) -> StepCost:
    """Measure a step of two clips with the network of the config KEY, VALUE, ..."""
    cfg = get_cfg()
    cfg.merge_from_list(list(words))
    import_modules(cfg.IMPORTS)
    model = build_model(cfg).train()
    shapes = build_meta_inputs(cfg, cfg.DATA.TRAIN_CROP_SIZE)[0]
    clips = [torch.zeros(2, *shape.shape[1:]) for shape in shapes]
    memory, seconds = _measure_step(model, clips)
    named = [name for name, part in model.named_children() if any(True for _ in part.parameters())]
    num_params = sum(parameter.numel() for parameter in model.parameters())
    return StepCost(memory // 2, seconds / 2, num_params, named[:-1])


def _measure_step(model: nn.Module, clips: list[Tensor]) -> tuple[int, float]:
    """Bytes that the backward pass needs, and seconds of the faster of two more steps."""
    sizes: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        sizes[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        model(clips).sum().backward()
    times = []
    for _ in range(2):
        start = time.perf_counter()
        model(clips).sum().backward()
        times.append(time.perf_counter() - start)
    return sum(sizes.values()), min(times)


def frozen_stages(stages: Sequence[str]) -> list[str]:
    """The first two fifths of the parts of a network, which know edges and textures."""
    return list(stages[: round(0.4 * len(stages))])
