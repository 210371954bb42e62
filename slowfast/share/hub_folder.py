"""A folder for the Hugging Face Hub: weights, config, names of classes, model card, pictures."""

import logging
import re
import statistics
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from slowfast.adaptive.network import load_for_evaluation
from slowfast.analysis.report import classification, detection, multi_label
from slowfast.analysis.report.build import metric_tiles
from slowfast.analysis.report.pictures import draw_pictures
from slowfast.analysis.report.run_folder import RunFolder
from slowfast.analysis.report.scores import ScoredVideos, read_scores
from slowfast.analysis.report.sections import Tile
from slowfast.checkpoint import files
from slowfast.checkpoint.classes import target_counts
from slowfast.checkpoint.initialize import CoverageReport, convert_file
from slowfast.checkpoint.weights import Weights
from slowfast.config.derived import class_counts
from slowfast.config.node import ConfigNode, flatten
from slowfast.config.public import public_config
from slowfast.datasets.build import build_clip_pack
from slowfast.engine.predict import find_run, names_or_numbers
from slowfast.export.write import placed_together
from slowfast.models import build_model
from slowfast.models.complexity import build_complexity
from slowfast.runtime.device import device_name
from slowfast.runtime.latency import build_inferences, time_in_turns
from slowfast.share.card import Card, write_card
from slowfast.share.facts import about_test, input_rows, limit_lines, read_metrics, training_rows
from slowfast.utils.io import write_lines
from slowfast.zoo.names import CARD, CLASSES, CONFIG, WEIGHTS, local_file

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class CardChoices:
    """Parts of the card that no run knows.

    name: user/name on the Hub. dataset: "" for the name in the config. repeats: rounds of timing
    the network on this machine, 0 for no latency.
    """

    name: str = ""
    license: str = ""
    dataset: str = ""
    repeats: int = 0


def find_tested(run: RunFolder) -> tuple[Path, bool]:
    """The weights that the test of a run was of, else those that predictions take.

    The second tells whether the results are those of the weights.
    """
    if tested := run.results.get("checkpoint"):
        name = re.split(r"[\\/]", str(tested))[-1]
        own = files.best_path(run.path).with_name(name)
        for path in (own, local_file(str(tested))):
            if path.is_file():
                return path, True
        logger.warning("%s, which was tested, is gone: the card has no results", tested)
    return find_run(run.path)[1], False


def check_folder(folder: Path) -> None:
    """ValueError where files that would be written are there already, such as an edited card."""
    names = (WEIGHTS, CONFIG, CLASSES, CARD)
    if found := [name for name in names if (folder / name).exists()]:
        raise ValueError(
            f"--output {folder}: has {', '.join(found)} already; name a new folder, or remove them"
        )


def read_known_scores(run: RunFolder) -> ScoredVideos | None:
    """Scores of the test of a run of one target; None where no video of known label has them."""
    has_one_target = isinstance(run.config.MODEL.NUM_CLASSES, int)
    scores = read_scores(run) if has_one_target and not run.config.DETECTION.ENABLE else None
    return scores if scores is not None and len(scores.rows) else None


def result_tiles(run: RunFolder, scores: ScoredVideos | None) -> list[Tile]:
    """Metrics of the test, with intervals where the scores are there."""
    if run.config.DETECTION.ENABLE:
        return detection.box_tiles(run)
    if scores is None:
        return metric_tiles(run)
    is_multi_label = scores.labels.ndim == 2
    return (multi_label.map_tiles if is_multi_label else classification.result_tiles)(scores)


def with_test(card: Card, run: RunFolder, folder: Path) -> Card:
    """The card with what the test of a run says; draws pictures into the folder."""
    scores, title = read_known_scores(run), f"{card.model}, {card.dataset}"
    return replace(
        card,
        metrics=read_metrics(run.results, card.num_classes),
        results=result_tiles(run, scores),
        about_test=about_test(run.results),
        pictures=[path.name for path in draw_pictures(run, scores, folder=folder, title=title)],
    )


def build_weights(cfg: ConfigNode, checkpoint: str | Path) -> tuple[Weights, CoverageReport]:
    """The weights that tests take, under our names; ValueError unless they fill the network."""
    with torch.device("meta"):
        model = build_model(cfg)
    patterns = cfg.TRAIN.CHECKPOINT_CLEAR_NAME_PATTERN
    state, report = convert_file(model, checkpoint, clear_name_patterns=patterns)
    if report.missing or report.mismatched or report.replaced:
        raise ValueError(f"{checkpoint}: does not fill the network of the config\n{report.table()}")
    files.check_finite(state, checkpoint)
    facts: dict[str, Any] = {"class_names": report.class_names} if report.class_names else {}
    if counts := target_counts(model):
        facts["class_counts"] = list(counts)
    if report.num_examples:
        facts["num_examples"] = report.num_examples
    is_moving_average = bool(files.load(checkpoint).get("ema_state"))
    return Weights(Path(checkpoint), state, facts, is_moving_average), report


def build_costs(cfg: ConfigNode, checkpoint: str | Path, repeats: int) -> list[tuple[str, str]]:
    """Rows on the size of the network and its work for a clip, and with `repeats` its time."""
    size = build_complexity(cfg)
    rows = [
        ("parameters", f"{size.params / 1e6:.3f} M"),
        ("GMACs of a clip", f"{size.macs_test / 1e9:.3f}"),
    ]
    if repeats:
        device = torch.device("cpu")
        network = load_for_evaluation(cfg, checkpoint, device).model
        works = build_inferences(cfg, [network])
        time_in_turns(*works, repeats=2)  # warm up
        (times,) = time_in_turns(*works, repeats=repeats)
        milliseconds = 1e3 * statistics.median(times)
        rows.append((f"latency of a clip, {device_name(device)}", f"{milliseconds:.1f} ms"))
    return rows


def build_hub_folder(
    cfg: ConfigNode,
    checkpoint: str | Path,
    folder: Path,
    choices: CardChoices,
    *,
    run: RunFolder | None = None,
) -> Weights:
    """Write the folder, all or nothing; returns the weights that are in it.

    run: whose results the card has, None for none. ValueError where it would overwrite something,
    or the weights do not fill the network.
    """
    check_folder(folder)
    weights, report = build_weights(cfg, checkpoint)
    counts, values = class_counts(cfg.MODEL.NUM_CLASSES), dict(flatten(cfg))
    names = names_or_numbers(report.class_names, counts)
    examples = report.num_examples if len(report.num_examples or []) == len(names) else None
    is_bgr = build_clip_pack(cfg, "test").reverse_channels
    costs = build_costs(cfg, checkpoint, choices.repeats)
    with placed_together(folder / CARD) as path:
        card = Card(
            model=cfg.MODEL.MODEL_NAME,
            name=choices.name,
            license=choices.license,
            dataset=choices.dataset or cfg.TRAIN.DATASET,
            num_classes=sum(counts),
            costs=costs,
            inputs=input_rows(values, "BGR" if is_bgr else "RGB"),
            training=training_rows(values, is_moving_average=weights.is_moving_average),
            num_examples=list(zip(names, examples or [], strict=False)),
            limits=limit_lines(values),
            has_boxes=cfg.DETECTION.ENABLE,
        )
        card = with_test(card, run, path.parent) if run and run.results else card
        path.write_text(write_card(card), encoding="utf-8")
        files.save_safetensors(path.with_name(WEIGHTS), weights.state, dict(weights.facts))
        path.with_name(CONFIG).write_text(public_config(cfg.dump()), encoding="utf-8")
        write_lines(path.with_name(CLASSES), names)
    return weights
