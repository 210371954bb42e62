"""Features of a layer, exported and drawn in two dimensions (arXiv 1712.04851, Fig. 7)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from tabulate import tabulate
from torch import nn

from slowfast.analysis.runs import TrainedRun, load_runs
from slowfast.config.yaml_file import parse_plain
from slowfast.evaluation.evaluator import Evaluator
from slowfast.evaluation.video_scores import VideoScores
from slowfast.models.operating_point import ReducedNetwork
from slowfast.utils.classifier import classifier_name
from slowfast.utils.io import atomic_write, read_json, read_small_text, write_csv, write_json
from slowfast.utils.plots import new_figure, save_figure, shorten, style, wrap

PENULTIMATE = "penultimate"
_MAX_COLORS = 20
_OTHERS = "others"


class FeatureExtractor(nn.Module):
    """Means over all positions of what a module of `network` gives: N,channels of all pathways.

    layer: the module's name, or "penultimate" for what the classifier is given. With TEST.BUDGET
    the modules are those of the narrow network.
    """

    def __init__(self, network: nn.Module, layer: str):
        super().__init__()
        inner = network.network if isinstance(network, ReducedNetwork) else network
        name = classifier_name(inner) if layer == PENULTIMATE else layer
        modules = dict(inner.named_modules())
        if not layer or name not in modules:
            raise ValueError(
                f"--layer: {layer!r} is no module of this network; for instance "
                f"{some_layers(inner)}"
            )
        self.network = network
        self._layer, self._found = layer, []
        if layer == PENULTIMATE:
            modules[name].register_forward_pre_hook(self._keep_input)
        else:
            modules[name].register_forward_hook(self._keep_output)

    def forward(self, clips: list[torch.Tensor], boxes: torch.Tensor | None = None) -> torch.Tensor:
        self._found.clear()
        self.network(clips, boxes)
        if not self._found:
            raise ValueError(f"--layer: {self._layer!r} is not used when this network runs")
        return self._found[-1]

    # Averaged at once: later layers may change the maps in place.

    def _keep_input(self, _module: nn.Module, inputs: tuple[torch.Tensor]) -> None:
        x = inputs[0]
        self._found.append(x.flatten(1, -2).mean(1) if x.ndim > 2 else x)  # N,T,H,W,C -> N,C

    def _keep_output(self, _module: nn.Module, _inputs: tuple, output) -> None:
        outputs = output if isinstance(output, list | tuple) else [output]
        maps = [x for x in outputs if isinstance(x, torch.Tensor)]
        if not maps or any(x.ndim < 2 for x in maps):
            raise ValueError(f"--layer: {self._layer!r} gives no maps of features")
        self._found.append(torch.cat([_mean_of_positions(x) for x in maps], 1))


def _mean_of_positions(x: torch.Tensor) -> torch.Tensor:
    """Mean of maps N,C,T,H,W or tokens N,positions,C: N,C."""
    if x.ndim == 3:
        return x.mean(1)
    return x.flatten(2).mean(-1) if x.ndim > 2 else x


def some_layers(network: nn.Module) -> list[str]:
    """Names that `layer` may have: top modules, and the last of a list of blocks."""
    tops = network.named_children()
    names = (f"{n}.{len(m) - 1}" if isinstance(m, nn.ModuleList) else n for n, m in tops)
    return [PENULTIMATE, *names]


@dataclass(frozen=True)
class Features:
    """values (videos,channels) float32, the videos' classes (-1: unknown) and paths."""

    values: np.ndarray
    labels: np.ndarray
    paths: list[str]


class _Collector(Evaluator):
    """Keeps the features of all views; their number is known once the first of them are."""

    def __init__(self, num_videos: int, num_views: int):
        self._num_videos, self._num_views = num_videos, num_views
        super().__init__()

    def reset(self) -> None:
        self.scores: VideoScores | None = None

    def add(self, batch: dict, output: torch.Tensor) -> None:
        if self.scores is None:
            self.scores = VideoScores(self._num_videos, self._num_views, output.shape[1])
        self.scores.add(batch["indices"], batch["views"], output)

    def evaluate(self) -> None:
        """Features are not judged."""


def extract(run: TrainedRun, layer: str) -> Features:
    """Features of all readable videos, means over their views; ValueError where there are none."""
    if run.is_multi_label:
        raise ValueError(f"{run.name}: DATA.MULTI_LABEL: True, but a video is drawn as one class")
    extractor = FeatureExtractor(run.model, layer)
    records, found = run.dataset.records, _Collector(len(run.dataset), run.views.num_views)
    unreadable = run.loop.run(run.loader(run.views), [(extractor, found)], title=run.name)
    if found.scores is None:
        raise ValueError(f"{run.name}: no video could be read: {list(unreadable.reasons)[:3]}")
    values, seen = found.scores.join("sum")
    values = values[seen].float().numpy()
    kept = [record for record, is_seen in zip(records, seen.tolist(), strict=True) if is_seen]
    labels = np.array([record.label for record in kept])
    return Features(values, labels, [record.name for record in kept])


def embed(values: np.ndarray, *, perplexity: float, seed: int) -> np.ndarray:
    """t-SNE of features (videos,channels) in two dimensions.

    The perplexity is at most a third of the other videos. ValueError for less than three videos.
    """
    from sklearn.manifold import TSNE

    if len(values) < 3:
        raise ValueError(f"t-SNE needs three videos or more, there are {len(values)}")
    is_flat = np.ptp(values, axis=0).max() == 0 or values.shape[1] < 2
    tsne = TSNE(
        perplexity=min(perplexity, (len(values) - 1) / 3),
        init="random" if is_flat else "pca",
        random_state=seed,
    )
    return tsne.fit_transform(values.astype(np.float32))


def _read_groups(path: Path) -> dict[str, list]:
    try:
        is_json = path.suffix.lower() == ".json"
        content = read_json(path) if is_json else parse_plain(read_small_text(path))
    except ValueError as error:
        raise ValueError(f"{path}: cannot be read ({error})") from error
    if not isinstance(content, dict) or not all(isinstance(v, list) for v in content.values()):
        raise ValueError(f"{path}: groups are {{group: [names or numbers of classes]}}")
    return content


def load_groups(path: Path, class_names: Sequence[str]) -> dict[int, str]:
    """Class number -> group, from a JSON or YAML file {group: [names or numbers of classes]}."""
    numbers = {name: number for number, name in enumerate(class_names)}
    groups: dict[int, str] = {}
    for group, members in _read_groups(path).items():
        for member in members:
            if type(member) not in (int, str):  # a bare yes or no is True or False in YAML
                raise ValueError(
                    f"{path}: {member!r} in {group!r} is not the name of a class, perhaps for lack "
                    "of quotes, nor a number"
                )
            number = member if isinstance(member, int) else numbers.get(member, -1)
            if not 0 <= number < len(class_names):
                raise ValueError(
                    f"{path}: {member!r} in {group!r} is none of the {len(class_names)} classes"
                )
            if groups.setdefault(number, str(group)) != str(group):
                raise ValueError(f"{path}: {member!r} is in {groups[number]!r} and in {group!r}")
    return groups


def name_points(labels: np.ndarray, names: Mapping[int, str]) -> tuple[list[str], list[str]]:
    """Name what each video is drawn as, and give these names in the order of the legend.

    Of more than 20 names the most frequent keep theirs; the rest, and labels without a name, are
    "others", which come last.
    """
    points = [names.get(label, _OTHERS) for label in labels.tolist()]
    order = list(dict.fromkeys(names.values()))
    counts = {name: points.count(name) for name in order}
    kept = sorted(order, key=lambda name: -counts[name])[:_MAX_COLORS]
    kept = [name for name in order if name in kept and counts[name]]
    points = [name if name in kept else _OTHERS for name in points]
    return points, [*kept, *([_OTHERS] if _OTHERS in points else [])]


def draw_features(
    path: Path, panels: Mapping[str, np.ndarray], points: Sequence[list[str]], title: str
) -> None:
    """A panel of points for each run, coloured by name; `points` are those of each panel."""
    figure = new_figure(4.6 * len(panels) + 2.6, 5.2, title)
    grid = figure.subplots(1, len(panels), squeeze=False)[0]
    legend = list(dict.fromkeys(name for names in points for name in names))
    legend.sort(key=lambda name: name == _OTHERS)
    for axes, (run, embedding), names in zip(grid, panels.items(), points, strict=True):
        _draw_points(axes, embedding, names, legend)
        axes.set_title(wrap(run, 36), fontsize=11, parse_math=False)
        axes.set_xlabel("t-SNE dimension 1 (no unit)")
        axes.set_xticks([])
        axes.set_yticks([])
    grid[0].set_ylabel("t-SNE dimension 2 (no unit)")
    handles, _ = grid[0].get_legend_handles_labels()
    texts = [shorten(name, 32) for name in legend]
    shown = figure.legend(handles, texts, loc="outside right center", fontsize=9)
    for text in shown.get_texts():
        text.set_parse_math(False)
    save_figure(figure, path)


def _draw_points(axes, embedding: np.ndarray, names: list[str], legend: list[str]) -> None:
    for number, name in enumerate(legend):
        chosen = np.array([each == name for each in names])
        is_other = name == _OTHERS
        look = {"color": "lightgrey", "marker": "."} if is_other else style(number)
        look["zorder"] = 1 if is_other else 2
        axes.scatter(*embedding[chosen].T, s=26, **look, alpha=0.8, lw=0, label=name)


def save_features(path: Path, features: Features, embedding: np.ndarray, names: list[str]) -> None:
    """Write features, labels, paths, class_names and the embedding as npz, atomically."""
    with atomic_write(path) as file:
        np.savez(
            file,
            features=features.values,
            labels=features.labels,
            paths=np.array(features.paths, dtype=np.str_),
            class_names=np.array(names, dtype=np.str_),
            embedding=embedding,
        )


def run_features(
    runs: Sequence[str],
    overrides: Sequence,
    *,
    output: str | Path,
    videos: int | None,
    layer: str,
    groups: Path | None,
    perplexity: float,
) -> str:
    """Export and draw the features of all runs into the folder `output`, return a table.

    groups: a file as for `load_groups`, None colours classes. perplexity: of t-SNE.
    """
    if not perplexity > 0:
        raise ValueError(f"--perplexity: {perplexity} is not above 0")
    folder, panels, points, about, lines, data = Path(output), {}, [], [], [], []
    for run in load_runs(runs, overrides, num_videos=videos):
        names = dict(enumerate(run.class_names))
        colors = load_groups(groups, run.class_names) if groups else names
        features = extract(run, layer)
        embedding = embed(features.values, perplexity=perplexity, seed=run.dataset.seed)
        path = folder / f"features_{run.files.slug}.npz"
        save_features(path, features, embedding, run.class_names)
        panels[run.name] = embedding
        points.append(name_points(features.labels, colors)[0])
        data.append(f"{run.data}, {len(features.labels)} videos")
        num_videos, num_channels = features.values.shape
        about.append({**run.about(), "videos": num_videos, "channels": num_channels})
        rows = zip(features.paths, features.labels.tolist(), points[-1], embedding, strict=True)
        for path, label, point, (x, y) in rows:
            lines.append([run.name, path, label, names.get(label, ""), point, x, y])
    write_csv(folder / "features.csv", ["run", "path", "label", "class", "color", "x", "y"], lines)
    settings = {"layer": layer, "perplexity": perplexity}
    write_json(folder / "features.json", {**settings, "runs": about})
    title = f"t-SNE of features: {layer}\n{' or '.join(dict.fromkeys(data))}"
    draw_features(folder / "features.png", panels, points, title)
    table = [[each["run"], each["videos"], each["channels"]] for each in about]
    return tabulate(table, ["run", "videos", f"channels of {layer}"])
