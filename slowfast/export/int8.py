"""Eight-bit networks: OpenVINO's post-training quantisation, and what it costs in accuracy."""

import logging
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from slowfast.config.node import ConfigNode
from slowfast.datasets.build import build_loader
from slowfast.export.clips import build_like_test, read_clips
from slowfast.export.formats import FACTS, check_installed
from slowfast.export.readers import read_exported
from slowfast.export.write import (
    Written,
    files_bytes,
    largest_difference,
    placed_together,
    write_checked,
)
from slowfast.tasks import build_evaluator
from slowfast.tasks.evaluate import Network, build_evaluation_loop
from slowfast.utils.io import json_text

logger = logging.getLogger(__name__)


def quantize(source: Path, facts: dict[str, Any], clips: Sequence[list[Tensor]]) -> Any:
    """The OpenVINO model of a float32 file, with weights and activations of eight bits.

    Their ranges are measured on `clips`, 1,C,T,H,W of each pathway.
    """
    import nncf
    import openvino

    logging.getLogger("nncf").setLevel(logging.ERROR)
    count = facts["num_clips"] or 1
    batches = [[torch.cat([part] * count).numpy() for part in clip] for clip in clips]
    model = nncf.quantize(
        openvino.Core().read_model(source), nncf.Dataset(batches), subset_size=len(batches)
    )
    model.set_rt_info(json_text({**facts, "inside": "int8"}), [FACTS])
    return model


def write_int8(
    network: nn.Module,
    facts: dict[str, Any],
    path: Path,
    *,
    calibration: Sequence[list[Tensor]],
    clips: Sequence[list[Tensor]],
) -> Written:
    """Write the network, quantised on the clips `calibration`; `clips` tell how it differs.

    ValueError where the float32 file that it is made from does not say what torch says.
    """
    import openvino

    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        source = Path(folder) / "float32.xml"
        write_checked(network, facts, source, to="openvino", clips=clips)
        model = quantize(source, facts, calibration)
    with placed_together(path) as temporary:
        openvino.save_model(model, temporary, compress_to_fp16=False)
        num_bytes = files_bytes(temporary.parent)
    written = read_exported(path, "openvino")
    difference = largest_difference(written, network, clips, [facts["num_clips"] or 1])
    return Written(written, num_bytes, difference)


def build_calibration(cfg: ConfigNode, num_videos: int) -> list[list[Tensor]]:
    """Clips of so many training videos, cut as tests cut them; ValueError without any."""
    check_installed(["nncf"], "--int8")
    dataset = build_like_test(cfg, "train")
    if dataset is None:
        raise ValueError("--int8: is calibrated on training videos, and the config has no list")
    return read_clips(dataset, num_videos, cfg.DATA.MEAN, cfg.DATA.STD)


def build_metrics(cfg: ConfigNode, networks: Sequence[Network]) -> list[dict[str, float]]:
    """Metrics of each network on the test set, whose videos are read once for all.

    [], with a warning, where the config has no test set.
    """
    if build_like_test(cfg, "test") is None:
        return []
    loader = build_loader(cfg, "test")
    judged = [(network, build_evaluator(cfg, loader.dataset)) for network in networks]
    build_evaluation_loop(cfg).run(loader, judged, title="test")
    return [evaluator.evaluate().metrics for _, evaluator in judged]
