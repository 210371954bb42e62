"""From a user's videos to the config of a run: read, split, measure, choose, write."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from slowfast.config.defaults import DEFAULTS, get_cfg
from slowfast.config.node import flatten
from slowfast.own import files
from slowfast.own.choices import Choice, Choices
from slowfast.own.measure import Lengths, measure_videos
from slowfast.own.split import PARTS, group_by_pattern, split_groups
from slowfast.own.videos import ALL, OwnVideos, read_videos
from slowfast.shipped import config_path
from slowfast.utils.system import num_usable_cores
from slowfast.utils.words import counted
from slowfast.zoo.names import is_name, local_file
from slowfast.zoo.weights import named_weights

logger = logging.getLogger(__name__)

# Keys that are said in another way.
_OTHERWISE = {
    "OUTPUT_DIR": "--out",
    "DATA.PATH_TO_DATA_DIR": "the folder or csv",
    "TRAIN.DATASET": "the folder or csv",
    "TEST.DATASET": "the folder or csv",
    "TRAIN.CHECKPOINT_FILE_PATH": "--from",
}


def prepare_run(
    source: str,
    out: str,
    *,
    weights: str,
    recipe: str,
    group: str,
    held_out: float,
    overrides: Sequence[str],
) -> Path:
    """The YAML of the run on these videos, which is written if there is none yet.

    The paths of a csv start from its folder, or from DATA.PATH_PREFIX.
    weights: a file to start from, recipe: a YAML with the network, "" for none. group: a regular
    expression for parts of paths that belong together. held_out: the share of each class for
    validation, and for the test. overrides: KEY, VALUE, ... ValueError for mistakes, those about
    the videos and words before torch is imported.
    """
    folder = Path(files.absolute(out))
    given = _given(overrides)
    request: dict[str, Any] = {
        "videos": files.absolute(source),
        "from": weights,
        "cfg": recipe,
        "group": group,
    }
    request |= {"held_out": held_out, "overrides": list(map(str, overrides))}
    files.check_out(folder)
    if path := files.find_config(folder, request):
        logger.info("%s: goes on with the run that was begun here, and with its split", path)
        return path
    weights = _find_weights(weights)
    if recipe and not config_path(recipe).is_file():
        raise ValueError(f"--cfg: there is no file {recipe}")
    root = given.pop("DATA.PATH_PREFIX", "")
    videos = read_videos(source, root, is_multi_label=given.get("DATA.MULTI_LABEL"))
    _check_number(given.get("MODEL.NUM_CLASSES"), videos, source)
    _groups(videos, group)  # a mistake in the pattern shows before videos are opened
    if weights:
        local_file(weights)  # fetched before videos are opened, as it may fail
    videos, lengths, unreadable = measure_videos(videos, workers=num_usable_cores())
    if groups := _groups(videos, group):
        seed = int(given.get("RNG_SEED", DEFAULTS.RNG_SEED))
        videos = replace(videos, parts=split_groups(groups, held_out=held_out, seed=seed))
    _check_parts(videos, source)
    rows, network, title = _choose(videos, lengths, given, folder, weights=weights, recipe=recipe)
    files.write_lists(folder, videos, unreadable)
    files.write_request(folder, request)
    return files.write_config(folder, rows, network, title)


def _find_weights(weights: str) -> str:
    """The weights, of the folder of a run its best checkpoint; nothing is fetched yet.

    ValueError for a file, folder or name that there is not.
    """
    if is_name(weights):
        named_weights(weights)
    elif weights and not local_file(weights).is_file():
        folder = Path(weights)
        if not folder.is_dir():
            raise ValueError(f"--from: there is no file {weights}")
        from slowfast.engine.predict import find_run  # imports torch

        return str(find_run(folder.parent if folder.name == "checkpoints" else folder)[1])
    return weights


def _given(overrides: Sequence[str]) -> dict[str, Any]:
    """Values of the overrides by key, of their types."""
    cfg, defaults = get_cfg(), dict(flatten(DEFAULTS))
    cfg.merge_from_list(list(overrides))
    given = {k: v for k, v in flatten(cfg) if k in overrides[::2] or v != defaults.get(k)}
    for key in given.keys() & _OTHERWISE.keys():
        raise ValueError(f"{key}: {given[key]!r} is said by {_OTHERWISE[key]} here")
    return given


def _check_number(wanted: Any, videos: OwnVideos, source: str) -> None:
    num = len(videos.class_names)
    if wanted is not None and wanted != num:
        raise ValueError(
            f"MODEL.NUM_CLASSES: {wanted}, but {source} has {num} classes: "
            f"{', '.join(videos.class_names[:10])}{', ...' if num > 10 else ''}. Leave the key out"
        )


def _groups(videos: OwnVideos, pattern: str) -> dict[str, list]:
    """Records that stay in one part, by name; {} where there are parts already."""
    if ALL not in videos.parts:
        if pattern:
            raise ValueError("--group: the videos are split already, into train, val or test")
        return {}
    records = videos.parts[ALL]
    if pattern:
        return group_by_pattern(records, videos.name, pattern)
    return {videos.name(record): [record] for record in records}


def _check_parts(videos: OwnVideos, source: str) -> None:
    """ValueError for an empty part; the log has the number of videos in each."""
    sizes = {part: len(videos.parts[part]) for part in PARTS}
    if empty := [part for part, size in sizes.items() if not size]:
        raise ValueError(
            f"{source}: no video is left for {' and '.join(empty)} of {sum(sizes.values())}; "
            "more videos of each class are needed, or more groups"
        )
    counts = ", ".join(f"{size} {part}" for part, size in sizes.items())
    logger.info("%s: %d classes; videos: %s", source, len(videos.class_names), counts)


def _choose(
    videos: OwnVideos,
    lengths: Lengths,
    given: Mapping[str, Any],
    folder: Path,
    *,
    weights: str,
    recipe: str,
) -> tuple[list[Choice], list[Choice], str]:
    """Choices of the run, those of its network, and the network's origin; imports torch."""
    from slowfast.checkpoint.files import best_path
    from slowfast.config.cli import import_modules, load_cfg_of_values
    from slowfast.own import choose
    from slowfast.own.measure import look_at_machine
    from slowfast.own.network import build_step_cost, find_network

    import_modules(given.get("IMPORTS", []))
    network, machine = find_network(weights, recipe), look_at_machine()
    if "IMPORTS" in given:
        every = [*network.values["IMPORTS"], *given["IMPORTS"]]
        given = {**given, "IMPORTS": list(dict.fromkeys(every))}
    choices, num_train, is_scratch = Choices(given), len(videos.parts["train"]), not weights
    choose.choose_data(choices, videos, str(folder / files.LISTS))
    choose.choose_clip(choices, network.values, lengths, is_scratch=is_scratch and not recipe)
    base = [word for row in network.rows for word in (row.key, row.value)]
    cost = build_step_cost([*base, *choices.words()])
    is_gpu = choose.choose_device(choices, machine)
    batch = choose.choose_batch(choices, cost, machine, num_train, is_gpu=is_gpu)
    optimizer = {**network.values, **given}["SOLVER.OPTIMIZING_METHOD"]
    numbers = choose.find_recipe(optimizer, is_scratch=is_scratch)
    seconds = choose.choose_training(choices, cost, num_train, batch, numbers)
    names, is_multi_label = videos.class_names, videos.is_multi_label
    choose.choose_strength(choices, names, cost.num_params, is_multi_label=is_multi_label)
    if weights:
        choose.choose_start(choices, files.absolute(weights), cost, num_train)
    choose.choose_output(choices, str(folder), str(best_path(folder)))
    rows = choices.finish()
    chosen = {row.key: row for row in (*network.rows, *rows)}
    values = {key: row.value for key, row in chosen.items()}
    load_cfg_of_values(
        values, "what was chosen"
    )  # mistakes between keys, before anything is written
    _log_choices(list(chosen.values()), cost.num_params, 0 if is_gpu else seconds)
    return rows, network.rows, network.title


def _log_choices(rows: Sequence[Choice], num_params: int, seconds: float) -> None:
    from tabulate import tabulate

    cells = [(row.key, row.value, row.why) for row in rows]
    header, widths = ["key", "value", "why"], [None, 40, None]
    logger.info(
        "chosen (KEY VALUE at the end of the command overrides any of these):\n%s",
        tabulate(cells, headers=header, maxcolwidths=widths, disable_numparse=True),
    )
    time = f"; all epochs take about {_duration(seconds)} on this CPU" if seconds else ""
    logger.info("%.2f M parameters%s", num_params / 1e6, time)


def _duration(seconds: float) -> str:
    minutes = round(seconds / 60)
    return f"{minutes} minutes" if minutes > 1 else counted(round(seconds), "second")
