"""Weights of temporal kernels by temporal offset and layer (arXiv 1712.04851, Fig. 5)."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from tabulate import tabulate
from torch import nn

from slowfast.analysis.runs import RunFiles, parse_runs
from slowfast.checkpoint.initialize import load_for_test
from slowfast.config.cli import load_cfg
from slowfast.models import build_model
from slowfast.utils.io import write_csv, write_json
from slowfast.utils.plots import COLORS, new_figure, save_figure, tidy, wrap

QUANTILES = (0.0, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 1.0)
_HEADER = ["run", "layer", "offset", "weights", "mean", "std", "energy"]
_NUM_COLUMNS = 6
_TITLE_LENGTH = 26


@dataclass(frozen=True)
class OffsetStatistics:
    """All weights of a layer at one temporal offset: 0 is the middle of the kernel.

    quantiles: one for each of QUANTILES. energy: share (0..1) of the layer's sum of squares.
    """

    layer: str
    offset: float
    num_weights: int
    mean: float
    std: float
    quantiles: tuple[float, ...]
    energy: float


def temporal_kernels(model: nn.Module) -> dict[str, torch.Tensor]:
    """Weights out,in,T,H,W of the convolutions that span more than one frame, by name, in order."""
    return {
        name: module.weight.detach()
        for name, module in model.named_modules()
        if isinstance(module, nn.Conv3d) and module.kernel_size[0] > 1
    }


def by_stage(kernels: dict[str, torch.Tensor]) -> dict[str, list[torch.Tensor]]:
    """The kernels of each top module together; apart where they differ in length."""
    groups: dict[str, list[torch.Tensor]] = {}
    for name, weight in kernels.items():
        groups.setdefault(f"{name.split('.')[0]}, {weight.shape[2]} frames", []).append(weight)
    return groups


def statistics(layer: str, weights: Sequence[torch.Tensor]) -> list[OffsetStatistics]:
    """One for each temporal offset of kernels of the same length."""
    length = weights[0].shape[2]
    taps = [torch.cat([w[:, :, tap].flatten() for w in weights]).double() for tap in range(length)]
    energy = sum(float((tap**2).sum()) for tap in taps)
    return [
        OffsetStatistics(
            layer,
            number - (length - 1) / 2,
            tap.numel(),
            float(tap.mean()),
            float(tap.std(correction=0)),
            tuple(np.quantile(tap.numpy(), QUANTILES).tolist()),
            float((tap**2).sum()) / energy if energy else 1 / length,
        )
        for number, tap in enumerate(taps)
    ]


def draw_filters(path: Path, rows: Sequence[OffsetStatistics], name: str) -> None:
    """A panel for each layer in the order of the network, in it a box for each offset."""
    layers: dict[str, list[OffsetStatistics]] = {}
    for row in rows:
        layers.setdefault(row.layer, []).append(row)
    num_columns = min(_NUM_COLUMNS, len(layers))
    num_rows = -(-len(layers) // num_columns)
    figure = new_figure(
        max(7.0, 2.3 * num_columns), 2.1 * num_rows + 1.6, f"Weights by temporal offset: {name}"
    )
    grid = figure.subplots(num_rows, num_columns, squeeze=False, sharey=True)
    for axes, (layer, offsets) in zip(grid.flat, layers.items(), strict=False):
        size = _root_mean_square(offsets)
        boxes = [_box(row, size) for row in offsets]
        places = [row.offset for row in offsets]
        artists = axes.bxp(
            boxes, positions=places, widths=0.6, showfliers=False, showmeans=True, patch_artist=True
        )
        for box in artists["boxes"]:
            box.set_facecolor("#9ecae1")
        for line in artists["medians"]:
            line.set_color(COLORS[3])
        for mark in artists["means"]:
            mark.set(markerfacecolor=COLORS[0], markeredgecolor=COLORS[0])
        axes.set_title(wrap(layer, _TITLE_LENGTH), fontsize=8, parse_math=False)
        axes.axhline(0, color="black", lw=0.6)
        axes.set_xticks(places, [f"{place:g}" for place in places])
        axes.tick_params(labelsize=8)
        tidy(axes)
    for axes in grid.flat[len(layers) :]:
        axes.set_axis_off()
    legend = "box: 25 to 75 %, whiskers: 1 to 99 %, line: median, triangle: mean"
    figure.supxlabel(f"temporal offset (frames)\n{legend}", fontsize=10)
    figure.supylabel("weight / root mean square of its panel", fontsize=10)
    save_figure(figure, path)


def _root_mean_square(offsets: Sequence[OffsetStatistics]) -> float:
    """Size of the weights of a panel, by which panels of all layers have one scale."""
    return float(np.sqrt(np.mean([row.mean**2 + row.std**2 for row in offsets]))) or 1.0


def _box(row: OffsetStatistics, size: float) -> dict:
    quantile = dict(zip(QUANTILES, row.quantiles, strict=True))
    names = {"whislo": 0.01, "q1": 0.25, "med": 0.5, "q3": 0.75, "whishi": 0.99}
    values = {name: quantile[share] / size for name, share in names.items()}
    return {"mean": row.mean / size, **values}


def measure_filters(files: RunFiles, options: Sequence, *, merges: bool) -> list[OffsetStatistics]:
    """Statistics of each layer, or with `merges` of each stage; ValueError without any."""
    cfg = load_cfg(files.config, options)
    model, patterns = build_model(cfg), cfg.TRAIN.CHECKPOINT_CLEAR_NAME_PATTERN
    paths = cfg.TEST.CHECKPOINT_FILE_PATH, cfg.TRAIN.CHECKPOINT_FILE_PATH
    weights = files.find_weights(cfg.OUTPUT_DIR, *paths)
    load_for_test(model, weights, clear_name_patterns=patterns)
    kernels = temporal_kernels(model)
    if not kernels:
        raise ValueError(f"{files.name}: no convolution of this network spans several frames")
    groups = by_stage(kernels) if merges else {name: [w] for name, w in kernels.items()}
    return [row for name, weights in groups.items() for row in statistics(name, weights)]


def run_filters(runs: Sequence[str], overrides: Sequence, *, output: str | Path, by: str) -> str:
    """Write a table of all runs and a plot for each into the folder `output`, return a table.

    by: "layer", or "stage" for all layers of a stage together.
    """
    folder, lines, content, table = Path(output), [], [], []
    for files in parse_runs(runs):
        rows = measure_filters(files, overrides, merges=by == "stage")
        for row in rows:
            cells = [row.layer, row.offset, row.num_weights, row.mean, row.std, row.energy]
            lines.append([files.name, *cells, *row.quantiles])
        content.append({"run": files.name, "offsets": [vars(row) for row in rows]})
        draw_filters(folder / f"filters_{files.slug}.png", rows, files.name)
        middle = [row.energy for row in rows if abs(row.offset) < 1]
        table.append([files.name, len({row.layer for row in rows}), 100 * np.mean(middle)])
    quantiles = [f"q{100 * share:g}" for share in QUANTILES]
    write_csv(folder / "filters.csv", [*_HEADER, *quantiles], lines)
    write_json(folder / "filters.json", {"quantiles": QUANTILES, "runs": content})
    return tabulate(table, ["run", f"{by}s", "energy in the middle, %"], floatfmt=".1f")
