"""From a config and weights to an exported file, which is checked before it gets its name."""

import json
import logging
import os
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from slowfast.adaptive.network import LoadedNetwork, load_for_evaluation
from slowfast.config.derived import class_counts, pathway_strides
from slowfast.config.node import ConfigNode, flatten
from slowfast.datasets.build import build_clip_pack
from slowfast.export.formats import (
    FORMATS,
    OUTPUT,
    Format,
    check_installed,
    pathway_names,
    trace_program,
)
from slowfast.export.readers import ExportedNetwork, read_exported
from slowfast.models.build import build_meta_inputs
from slowfast.utils.io import json_text

logger = logging.getLogger(__name__)

Scores = Callable[[Sequence[Tensor]], Tensor]  # of clips, one tensor for each pathway

# Largest difference of logits or of logarithms of scores, over the largest of them, between a file
# and torch, both in float32.
TOLERANCE = 1e-4
_LEAST_SCORE = 1e-30  # float32 has its full precision above it


@dataclass(frozen=True)
class Written:
    """An exported file, all files that belong to it in bytes, and how it differs from torch."""

    network: ExportedNetwork
    num_bytes: int
    difference: float


def choose_format(name: str, path: str | Path, *, is_dynamic: bool) -> Format:
    """The row of FORMATS; ValueError where a package is missing or the file has another suffix."""
    format = FORMATS[name]
    check_installed(format.packages, f"--to {name}")
    if Path(path).suffix != format.suffix:
        raise ValueError(f"--output {path}: a file of --to {name} must end in {format.suffix}")
    if is_dynamic and format.is_fixed:
        raise ValueError(f"--dynamic: --to {name} fixes the number of clips: say --batch N")
    return format


@contextmanager
def placed_together(path: Path) -> Iterator[Path]:
    """A path of the same name in a temporary folder, whose files move beside `path` in the end.

    `path` itself moves last. After an error what was there is untouched.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as folder:
        yield Path(folder) / path.name
        for file in sorted(Path(folder).iterdir(), key=lambda file: file.name == path.name):
            os.replace(file, path.with_name(file.name))


def files_bytes(folder: Path) -> int:
    """Bytes of all files in a folder."""
    return sum(file.stat().st_size for file in folder.iterdir())


@torch.no_grad()
def largest_difference(
    run: Scores,
    network: Scores,
    clips: Sequence[list[Tensor]],
    num_clips: Sequence[int],
) -> float:
    """Largest difference of scores over the largest score, over all `clips` and sizes of batches.

    In a batch a clip stands beside others, or, of a lone one, itself played backwards.
    """
    largest = 0.0
    others = [*clips, *([part.flip(2) for part in clip] for clip in clips)]
    for count in num_clips:
        order = [others[number % len(others)] for number in range(count)]
        batch = [torch.cat(parts) for parts in zip(*order, strict=True)]
        expected = network(batch)
        largest_score = expected.abs().max().clamp(min=_LEAST_SCORE)
        difference = (run(batch) - expected).abs().max() / largest_score
        largest = max(largest, float(difference))
        if not bool(difference == difference):  # NaN is no agreement
            return float("nan")
    return largest


def unsaturated(run: Scores, activation: str) -> Scores:
    """`run`, with the logarithms of what a softmax or a sigmoid gives.

    These tell small scores apart, as logits do: a softmax that is sure of a class gives 1 and zeros
    for very different logits.
    """
    if activation == "none":
        return run
    return lambda clips: run(clips).clamp(min=_LEAST_SCORE).log()


def write_checked(
    network: nn.Module,
    facts: dict[str, Any],
    path: Path,
    *,
    to: str,
    clips: Sequence[list[Tensor]],
) -> Written:
    """Write the network to `path`, read it back, and compare; ValueError where they differ.

    Then, as after any error, a file that was there before is still the same.
    """
    num_clips = facts["num_clips"]
    is_dynamic = num_clips is None
    format = choose_format(to, path, is_dynamic=is_dynamic)
    shapes = [(num_clips or 1, *given["shape"][1:]) for given in facts["inputs"]]
    is_for_torch = format.backend == "torch"
    program = trace_program(network, shapes, is_dynamic=is_dynamic, is_for_torch=is_for_torch)
    with warnings.catch_warnings(), placed_together(path) as temporary:
        warnings.simplefilter("ignore")  # of torch about torch
        format.write(program, temporary, json_text(facts))
        exported = read_exported(temporary, format.backend)
        sizes = [1, 2] if is_dynamic else [num_clips]
        activation = facts["output"]["activation"]
        both = (unsaturated(run, activation) for run in (exported, network))
        difference = largest_difference(*both, clips, sizes)
        if not difference <= TOLERANCE:
            raise ValueError(
                f"{path}: not written: its scores differ from torch's by {difference:.1e} of the "
                f"largest (in logarithms, if they are of a softmax or sigmoid), allowed are "
                f"{TOLERANCE:.0e}"
            )
        num_bytes = files_bytes(temporary.parent)
    return Written(exported, num_bytes, difference)


def build_network(cfg: ConfigNode, checkpoint: str | Path) -> LoadedNetwork:
    """The network to export, on the CPU; ValueError for those that are not exported."""
    if cfg.DETECTION.ENABLE:
        raise ValueError(
            "DETECTION.ENABLE: True: networks that classify boxes are not exported, only those of "
            "whole clips"
        )
    if cfg.TEST.BUDGET:
        raise ValueError(
            f"TEST.BUDGET: {cfg.TEST.BUDGET!r} must be '': `tools/budget.py extract --at W,T,S` "
            "writes the network of one operating point with its YAML; export these"
        )
    if cfg.ADAPTIVE.ENABLE:
        logger.warning(
            "the whole adaptive network is exported; `tools/budget.py extract` first for an "
            "operating point"
        )
    return load_for_evaluation(cfg, checkpoint, torch.device("cpu"))


def build_facts(
    cfg: ConfigNode, checkpoint: str | Path, class_names: list[str] | None, num_clips: int | None
) -> dict[str, Any]:
    """Facts on the inputs and outputs of an exported network, stored in its file.

    num_clips: of a batch; None for any number.
    """
    frames, crop = cfg.TEST.WHOLE_VIDEO, cfg.DATA.TEST_CROP_SIZE
    meta, strides = build_meta_inputs(cfg, crop, num_frames=frames)[0], pathway_strides(cfg)
    colors = "BGR" if build_clip_pack(cfg, "test").reverse_channels else "RGB"
    inputs = [
        {
            "name": name,
            "shape": [num_clips, *clip.shape[1:]],
            "frame_stride": stride,
        }
        for name, clip, stride in zip(pathway_names(len(meta)), meta, strides, strict=True)
    ]
    return {
        "inputs": inputs,
        "num_clips": num_clips,
        "axes": "N,C,T,H,W",
        "type": "float32",
        "values": "(pixel / 255 - mean) / std",
        "mean": list(cfg.DATA.MEAN),
        "std": list(cfg.DATA.STD),
        "channels": colors if cfg.DATA.MODALITY == "rgb" else "x, y of flow",
        "output": {"name": OUTPUT, "activation": cfg.MODEL.HEAD_ACT, "axes": "N,classes"},
        "class_counts": list(class_counts(cfg.MODEL.NUM_CLASSES)),
        "class_names": class_names,
        "checkpoint": str(checkpoint),
        "config": json.loads(json_text(dict(flatten(cfg)))),
        "torch": torch.__version__,
    }
