"""Pictures of what a network looks at: class activation in space and time, frames that matter."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch.nn.functional as F
from tabulate import tabulate
from torch import from_numpy

from slowfast.analysis.runs import RunFiles, load_run_cfg, parse_runs
from slowfast.analysis.why.activation import Activation, activate, find_layer, occlude
from slowfast.analysis.why.pictures import (
    Row,
    check_colormap,
    compose,
    draw_strip,
    write_overlay,
)
from slowfast.analysis.why.subject import ShownClip, Subject, build_subject
from slowfast.datasets.synthetic import find_mask
from slowfast.models.operating_point import OperatingPoint
from slowfast.utils.io import write_csv, write_json

FILLS = ("neighbour", "mean", "none")


@dataclass(frozen=True)
class CamSettings:
    """Choices of `run_cam`.

    layers: none are found (see `find_layer`). label: name or number of the class to explain; "":
    the likeliest; "true": the video's own. fill: of `occlude`, or none.
    """

    layers: tuple[str, ...] = ()
    method: str = "grad_cam"
    label: str = ""
    fill: str = "neighbour"
    colormap: str = "inferno"


@dataclass(frozen=True)
class Explained:
    """A clip with its activation by operating point, and what each frame is worth to the class.

    maps: by name, T,H,W of 0..1: of all pathways together, then of each. losses: of logit and of
    share, a value a frame; None: not measured. inside, chance: share of the activation, and of all
    pixels, that lies on the moving shapes; of the motion set only.
    """

    clip: ShownClip
    activations: dict[str, Activation]
    maps: dict[str, np.ndarray]
    losses: tuple[np.ndarray, np.ndarray] | None
    inside: float | None
    chance: float | None

    @property
    def first(self) -> Activation:
        """The activation at the first point."""
        return next(iter(self.activations.values()))

    @property
    def per_frame(self) -> np.ndarray:
        """Share of the activation in each frame."""
        sums = next(iter(self.maps.values())).sum((1, 2))
        return sums / max(float(sums.sum()), 1e-12)


def explain(subject: Subject, clip: ShownClip, settings: CamSettings) -> Explained:
    """Activation of a clip at all points of a subject, and its occlusion in time."""
    inputs = subject.inputs([clip.clip])
    label = _class_number(settings.label, clip, subject.class_names)
    activations, maps = {}, {}
    for point, network in subject.networks.items():
        layers = settings.layers or (find_layer(network, inputs),)
        found = activate(network, inputs, layers, label=label, method=settings.method)
        label = found.label  # one class at all points
        activations[point] = found
        together, parts = found.on_clip(clip.grid)
        if point:
            maps[point] = together
        else:
            maps = _named_maps(together, parts)
    losses = None
    if settings.fill != "none":
        losses = occlude(subject.logits_of, clip.clip, label, fill=settings.fill)
    share = share_inside(next(iter(maps.values())), clip)
    return Explained(clip, activations, maps, losses, *(share or (None, None)))


def _named_maps(together: np.ndarray, parts: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
    if len(parts) == 1:
        return {"activation": together}
    return {"mean": together} | {f"pathway {n}": part for n, part in enumerate(parts)}


def _class_number(word: str, clip: ShownClip, names: Sequence[str]) -> int | None:
    if not word:
        return None
    if word == "true":
        if clip.label < 0:
            raise ValueError(f"--class: the class of {clip.path} is not known")
        return clip.label
    if word in names:
        return list(names).index(word)
    if word.isdigit() and int(word) < len(names):
        return int(word)
    raise ValueError(
        f"--class: {word!r} is no class, nor a number below {len(names)}; some are {names[:5]}"
    )


def share_inside(maps: np.ndarray, clip: ShownClip) -> tuple[float, float] | None:
    """Shares of the activation and of all pixels on the moving shapes, 0..1; None: unknown ones.

    The mask of the video is scaled and cut as its frames are; only of square videos of the motion
    set that fill the clip.
    """
    mask = find_mask(clip.path)
    if mask is None or clip.numbers.max() >= len(mask) or clip.grid[1] != clip.grid[2]:
        return None
    shown = from_numpy(mask[clip.numbers].astype(np.float32))
    shown = F.interpolate(shown[None], clip.grid[1:], mode="area")[0].numpy()
    total = float(maps.sum())
    return (float((maps * shown).sum()) / total if total else 0.0), float(shown.mean())


def run_cam(
    runs: Sequence[str],
    overrides: Sequence,
    *,
    output: str | Path,
    videos: Sequence[str],
    points: Sequence[OperatingPoint],
    settings: CamSettings,
) -> str:
    """Explain videos with all runs, write pictures and tables into `output`, return a table.

    videos: files and folders, or one number: so many of the test split.
    """
    folder, lines, about, table = Path(output), [], [], []
    for files in parse_runs(runs):
        subject = load_subject(files, overrides, videos=videos, points=points)
        used = set()
        for clip in subject.clips():
            found = explain(subject, clip, settings)
            name = _unused(f"{files.slug}_{Path(clip.path).stem}", used)
            _draw(folder / name, found, subject, settings)
            fact = _facts(files.name, found, subject)
            about.append(fact | {"picture": f"{name}.png", "video": f"{name}.mp4"})
            lines += _lines(files.name, found)
            table.append([fact[key] for key in ("run", "path", "class", "score", "layers")])
            table[-1] += [int(found.per_frame.argmax()), fact.get("inside"), fact.get("chance")]
    header = ["run", "path", "frame", "number", "activation", "logit_loss", "share_loss"]
    write_csv(folder / "cam.csv", header, lines)
    write_json(folder / "cam.json", {**vars(settings), "videos": about, **_means(about)})
    return tabulate(
        table,
        ["run", "video", "class", "score", "layers", "frame", "inside", "chance"],
        floatfmt=".3f",
    )


def analyze_cam(
    runs: Sequence[str],
    overrides: Sequence,
    *,
    output: str | Path,
    videos: Sequence[str],
    layer: Sequence[str],
    at: Sequence[str],
    **choices: str,
) -> str:
    """`run_cam` of the words of a command line."""
    fill = choices.pop("occlude")
    settings = CamSettings(tuple(layer), fill=fill, **choices)
    check_colormap(settings.colormap)
    points = [OperatingPoint.parse(text) for text in at]
    return run_cam(runs, overrides, output=output, videos=videos, points=points, settings=settings)


def load_subject(
    files: RunFiles,
    overrides: Sequence,
    *,
    videos: Sequence[str],
    points: Sequence[OperatingPoint] = (),
) -> Subject:
    """The network of a run, and the videos that are named or counted."""
    one_view = ["TEST.NUM_ENSEMBLE_VIEWS", 1, "TEST.NUM_SPATIAL_CROPS", 1]
    try:
        cfg, weights = load_run_cfg(files, [*one_view, *overrides])
        if len(videos) == 1 and videos[0].isdigit() and not Path(videos[0]).exists():
            return build_subject(cfg, weights, num_videos=int(videos[0]), points=points)
        return build_subject(cfg, weights, videos=videos, points=points)
    except ValueError as error:
        raise ValueError(f"{files.name}: {error}") from error


def _unused(name: str, used: set[str]) -> str:
    """The name, with a number where another video has it."""
    found = next(n for n in (name, *(f"{name}_{k}" for k in range(1, 10**6))) if n not in used)
    used.add(found)
    return found


def caption(found: Explained, subject: Subject) -> str:
    """The class that is explained, its score, and the video's own class."""
    names, label = subject.class_names, found.first.label
    score = float(subject.scores_of(found.first.logits)[label])
    true = f", is {names[found.clip.label]}" if found.clip.label >= 0 else ""
    return f"{names[label]} {score:.2f}{true}"


def _draw(path: Path, found: Explained, subject: Subject, settings: CamSettings) -> None:
    frames, text = found.clip.frames(), caption(found, subject)
    rows = [Row("frames", None), *(Row(name, maps) for name, maps in found.maps.items())]
    bars = {"activation\nper frame (share)": found.per_frame}
    if found.losses is not None:
        bars[f"loss of logit\nwithout it ({settings.fill})"] = found.losses[0]
    title = f"{Path(found.clip.path).name}: {text}"
    colormap = settings.colormap
    draw_strip(path.with_name(f"{path.name}.png"), title, frames, rows, bars, colormap=colormap)
    pictures = compose(frames, next(iter(found.maps.values())), text, colormap)
    write_overlay(path.with_name(f"{path.name}.mp4"), pictures, found.clip.rate)


def _facts(run: str, found: Explained, subject: Subject) -> dict:
    """About a clip, for a JSON."""
    label, names, clip = found.first.label, subject.class_names, found.clip
    facts = {
        **{"run": run, "path": clip.path, "class": names[label]},
        "true_class": names[clip.label] if clip.label >= 0 else None,
        "score": float(subject.scores_of(found.first.logits)[label]),
        "layers": ", ".join(found.first.layers),
        "maps": [list(part.shape) for part in found.first.parts],
    }
    if found.inside is not None:
        facts |= {"inside": found.inside, "chance": found.chance}
    if len(found.activations) > 1:
        scores = {p: subject.scores_of(a.logits)[label] for p, a in found.activations.items()}
        facts["score_at"] = {point: float(score) for point, score in scores.items()}
    return facts


def _lines(run: str, found: Explained) -> list[list]:
    """A line a frame for the csv."""
    nothing = [""] * len(found.per_frame)
    logit, share = found.losses if found.losses is not None else (nothing, nothing)
    values = zip(found.clip.numbers.tolist(), found.per_frame, logit, share, strict=True)
    return [[run, found.clip.path, frame, *each] for frame, each in enumerate(values)]


def _means(about: Sequence[dict]) -> dict:
    """Mean share inside and chance of each run that has them."""
    found: dict[str, dict[str, float]] = {}
    for run in dict.fromkeys(fact["run"] for fact in about):
        facts = [fact for fact in about if fact["run"] == run and "inside" in fact]
        if facts:
            found[run] = {key: float(np.mean([f[key] for f in facts])) for key in _SHARES}
    return {"means": found} if found else {}


_SHARES = ("inside", "chance")
