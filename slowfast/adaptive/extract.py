"""An operating point of an adaptive network as one of its own: a plain checkpoint and YAML."""

from pathlib import Path

import torch

from slowfast.adaptive.calibrate import calibrate
from slowfast.adaptive.calibration_file import file_hash
from slowfast.adaptive.network import cut_network
from slowfast.checkpoint import files
from slowfast.checkpoint.convert import split_sub_bn
from slowfast.checkpoint.initialize import load_for_test
from slowfast.config.checks import check_cfg
from slowfast.config.derived import pathway_strides
from slowfast.config.node import ConfigNode
from slowfast.datasets.build import build_frame_sizes
from slowfast.models import build_model
from slowfast.models.build import build_meta_inputs
from slowfast.models.operating_point import (
    OperatingPoint,
    ReducedNetwork,
    build_full_point,
    build_reduce,
)
from slowfast.runtime.launch import single_process
from slowfast.utils.io import atomic_write

# Largest difference of scores, over the largest score, between the adaptive and the plain network.
_TOLERANCE = 1e-4


def extract(
    cfg: ConfigNode, checkpoint: str | Path, point: OperatingPoint, output_dir: str | Path
) -> tuple[Path, Path]:
    """Write an operating point of the weights in `checkpoint` as a plain network: checkpoint, YAML.

    Its statistics are measured if they are missing, in this process alone. ValueError where no
    plain network does the same.
    """
    name = str(point).replace(",", "_")
    weights, yaml = Path(output_dir) / f"{name}.pyth", Path(output_dir) / f"{name}.yaml"
    plain_cfg = build_extracted_cfg(cfg, point, weights)
    is_whole = point == build_full_point(cfg, cfg.DATA.TEST_CROP_SIZE)
    missing = [] if is_whole else [point]
    found = calibrate(single_process(cfg), checkpoint, missing)
    model = build_model(cfg).eval()
    patterns = cfg.TRAIN.CHECKPOINT_CLEAR_NAME_PATTERN
    report = load_for_test(model, checkpoint, clear_name_patterns=patterns)
    adaptive = cut_network(model, point, found.get(point), build_reduce(cfg))
    values = split_sub_bn(adaptive.network.state_dict())[0]
    plain = build_model(plain_cfg).eval()
    plain.load_state_dict(values)
    _compare(plain, adaptive, build_meta_inputs(cfg, cfg.DATA.TEST_CROP_SIZE)[0])
    state = {
        "model_state": values,
        "cut_from": {"parent": file_hash(checkpoint), "configuration": str(point)},
    }
    if report.class_names is not None:
        state["class_names"] = report.class_names
    files.save(weights, state)
    with atomic_write(yaml, "w") as file:
        file.write(
            f"# Configuration {point} (width,frames,crop) of {checkpoint}, cut out by "
            f"tools/budget.py:\n#   python tools/run_net.py --cfg {yaml}\n{plain_cfg.dump()}"
        )
    return weights, yaml


def build_extracted_cfg(cfg: ConfigNode, point: OperatingPoint, weights: str | Path) -> ConfigNode:
    """The config of the plain network; ValueError where none does the same on plain clips.

    Test clips have the point's crop, of frames reduced alike, and of the frames of whole clips
    those that it keeps.
    The crop of training, by which heads pool, is the next multiple of the networks' stride.
    """
    data, stride = cfg.DATA, pathway_strides(cfg)[0]
    if not cfg.ADAPTIVE.ENABLE:
        raise ValueError("ADAPTIVE.ENABLE: False; only adaptive networks are cut")
    if data.SAMPLED_FRAMES:
        raise ValueError("DATA.SAMPLED_FRAMES: must be 0 for a network that is to be cut")
    full = build_full_point(cfg, data.TEST_CROP_SIZE)
    point.check_within(full, min_width=cfg.ADAPTIVE.MIN_WIDTH)
    is_reduced = point.frames * stride < data.NUM_FRAMES
    if stride > 1 and (is_reduced or point.crop < data.TRAIN_CROP_SIZE):
        raise ValueError(_two_pathways(point, stride, data.NUM_FRAMES, data.TRAIN_CROP_SIZE))
    train_crop = min(data.TRAIN_CROP_SIZE, -(-point.crop // 32) * 32)
    scale = train_crop / data.TRAIN_CROP_SIZE
    sizes = build_frame_sizes(cfg, "test")
    is_own_height = sizes.short_side == sizes.crop and cfg.TEST.NUM_SPATIAL_CROPS > 1
    short_side = 0 if is_own_height else round(sizes.short_side / sizes.crop * point.crop)
    plain = cfg.clone()
    plain.defrost()
    plain.merge_from_list(
        [
            *("MODEL.WIDTH", point.width, "ADAPTIVE.ENABLE", False),
            *("DATA.NUM_FRAMES", point.frames * stride),
            *("DATA.SAMPLED_FRAMES", data.NUM_FRAMES if is_reduced else 0),
            *("DATA.TEST_CROP_SIZE", point.crop, "DATA.TRAIN_CROP_SIZE", train_crop),
            "DATA.TRAIN_JITTER_SCALES",
            [round(scale * size) for size in data.TRAIN_JITTER_SCALES],
            *("TRAIN.ENABLE", False, "TRAIN.CHECKPOINT_FILE_PATH", ""),
            *("TRAIN.CHECKPOINT_CLEAR_NAME_PATTERN", ()),
            *("TEST.ENABLE", True, "TEST.BUDGET", "", "TEST.BUDGET_TABLE", ""),
            *("TEST.SHORT_SIDE", short_side),
            *("TEST.CHECKPOINT_FILE_PATH", str(weights)),
            *("OUTPUT_DIR", str(Path(weights).with_suffix(""))),
        ]
    )
    check_cfg(plain)
    plain.freeze()
    return plain


def _two_pathways(point: OperatingPoint, stride: int, num_frames: int, train_crop: int) -> str:
    return (
        f"configuration {point}: the fast pathway keeps {num_frames} frames and the crop "
        f"{train_crop} while the slow one is reduced, and a plain network has one crop and rate of "
        "frames for both; only widths can be cut out of a network with two pathways, e.g. "
        f"{point.width:g},{num_frames // stride},{train_crop} (TEST.BUDGET runs any "
        "configuration)"
    )


@torch.no_grad()
def _compare(plain: torch.nn.Module, adaptive: ReducedNetwork, shapes: list[torch.Tensor]) -> None:
    """ValueError unless both say the same of a random clip."""
    generator = torch.Generator().manual_seed(0)
    clips = [torch.randn(clip.shape, generator=generator) for clip in shapes]
    expected = adaptive(clips)
    found = plain(adaptive.reduce(clips, adaptive.point))
    difference = float((found - expected).abs().max() / expected.abs().max())
    if not difference <= _TOLERANCE:
        raise ValueError(
            f"configuration {adaptive.point}: the scores of the network that was cut out "
            f"differ by {difference:.1e} of the largest"
        )
