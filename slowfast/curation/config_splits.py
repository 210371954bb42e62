"""Splits of a config's datasets, with the mistakes that are in them."""

from collections.abc import Sequence
from dataclasses import replace

from slowfast.config.node import ConfigNode
from slowfast.curation.splits import Entry, Split, read_csv_split
from slowfast.datasets.annotations.class_names import read_target_names
from slowfast.datasets.annotations.kinetics import ListRules, list_rules
from slowfast.datasets.annotations.list_files import find_file
from slowfast.datasets.build import DATASETS, SECTIONS, build_sampler
from slowfast.datasets.clips.samplers import ClipSampler, SpanSampler


def span_sampler(num_frames: int, sampling_rate: int) -> ClipSampler:
    """Sampler of plain lists, whose span says how long a video has to be."""
    return SpanSampler(num_frames, sampling_rate, target_fps=30)


def read_plain_split(folder: str, name: str, rules: ListRules) -> Split:
    """The list <name>.csv in DATA.PATH_TO_DATA_DIR, line by line, with the classes' names."""
    path = find_file("DATA.PATH_TO_DATA_DIR", folder, f"{name}.csv")
    split = read_csv_split(path, rules, is_training=name == "train")
    names = read_target_names(path.parent, rules.counts)
    if len(rules.counts) > 1:  # of several targets the same name may be a class
        targets = [target for target, count in enumerate(rules.counts, 1) for _ in range(count)]
        names = names or [str(number) for count in rules.counts for number in range(count)]
        names = [f"{target}: {name}" for target, name in zip(targets, names, strict=True)]
    return replace(split, class_names=names)


def build_splits(cfg: ConfigNode, names: Sequence[str]) -> tuple[list[Split], ClipSampler]:
    """Splits of the config's datasets, and the sampler of the first, which knows a clip's length.

    Plain lists are read line by line, so that each mistake in them is found; other formats end at
    the first, and the split has it as its problem. ValueError where that holds for all splits.
    """
    splits = []
    for name in names:
        traits, is_training = DATASETS.get(cfg[SECTIONS[name]].DATASET), name == "train"
        try:
            if traits.has_plain_lists and cfg.DATA.MODALITY == "rgb":
                split = read_plain_split(
                    cfg.DATA.PATH_TO_DATA_DIR, name, list_rules(cfg.DATA, cfg.MODEL.NUM_CLASSES)
                )
            else:
                annotations = traits.build_annotations(cfg, name)
                entries = [Entry(0, record, record.classes()) for record in annotations.records]
                split = Split(name, entries, is_training, class_names=annotations.class_names)
        except ValueError as error:
            split = Split(name, [], is_training, problem=str(error))
        splits.append(split)
    if not any(split.entries for split in splits):
        raise ValueError(splits[0].problem)
    return splits, build_sampler(cfg, names[0])
