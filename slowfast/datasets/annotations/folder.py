"""Videos in one sub-folder per class, without any list."""

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from os.path import relpath
from pathlib import Path

from slowfast.config.node import ConfigNode
from slowfast.datasets.annotations.class_names import check_number
from slowfast.datasets.annotations.list_files import check_files_exist
from slowfast.datasets.annotations.locate import walk_videos
from slowfast.datasets.decoding.flow import as_flow
from slowfast.datasets.records import Annotations, Record
from slowfast.utils.seeding import derive_seed
from slowfast.utils.video_names import SUFFIXES, is_video

logger = logging.getLogger(__name__)


def find_class_videos(folder: Path) -> dict[str, list[str]]:
    """Videos of each sub-folder and below it; classes and videos are sorted, a class may be empty.

    ValueError if there is no video at all.
    """
    classes = sorted(
        path for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")
    )
    videos = {path.name: walk_videos(path) for path in classes}
    if not any(videos.values()):
        raise ValueError(
            f"DATA.PATH_TO_DATA_DIR: no video in the sub-folders of {str(folder)!r}, one for each "
            f"class (looked for {sorted(SUFFIXES)} in {list(videos)})"
        )
    return videos


def hold_out(
    videos: Mapping[str, Sequence[str]], share: float
) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """Videos for training and for validation: a share of each class, chosen by their names.

    The choice is the same on every machine. A class of two or more has at least one in each part.
    """
    train, val = {}, {}
    for name, paths in videos.items():
        drawn = sorted(paths, key=lambda path: derive_seed(name, os.path.basename(path)))
        count = min(max(round(len(paths) * share), 1), len(paths) - 1) if len(paths) > 1 else 0
        val[name], train[name] = sorted(drawn[:count]), sorted(drawn[count:])
    return train, val


def hold_out_names(
    videos: Mapping[str, Sequence[str]], folder: Path, share: float
) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """As `hold_out`, but files of the same name below their classes, in `folder`, stay together."""
    names = {path: relpath(path, folder / name) for name in videos for path in videos[name]}
    _, held = hold_out({"": sorted(set(names.values()))}, share)
    is_held = set(held[""])
    return tuple(
        {
            name: [p for p in paths if (names[p] in is_held) == part]
            for name, paths in videos.items()
        }
        for part in (False, True)
    )


def join_classes(videos: Mapping[str, Sequence[str]], folder: Path) -> list[Record]:
    """Records with all classes of each video, whose path is the one in the first of them.

    Files of the same name below their classes, which lie in `folder`, and of the same size are the
    same video.
    """
    joined: dict[tuple[str, int], tuple[str, list[int]]] = {}
    for label, (name, paths) in enumerate(videos.items()):
        for path in paths:
            size = os.path.getsize(path) if os.path.exists(path) else -1
            key = relpath(path, folder / name), size
            joined.setdefault(key, (path, []))[1].append(label)
    num_joined = sum(len(labels) > 1 for _, labels in joined.values())
    logger.info("%s: %d of %d videos have several classes", folder, num_joined, len(joined))
    return [Record(path, labels=tuple(labels)) for path, labels in joined.values()]


def _is_split(folder: Path) -> bool:
    """Whether it has folders of classes; a class that is called "train" has videos of its own."""
    if not folder.is_dir():
        return False
    entries = list(os.scandir(folder))
    return any(entry.is_dir() for entry in entries) and not any(is_video(e.name) for e in entries)


def _split_videos(
    folder: Path, split: str, share: float, *, is_multi_label: bool
) -> tuple[Path, dict[str, list[str]]]:
    """The folder of a split's classes, and its videos by class: all those of training."""
    has_splits = _is_split(folder / "train")
    place = folder / "train" if has_splits else folder
    train = find_class_videos(place)
    given = [name for name in ("val", "test") if has_splits and (folder / name).is_dir()]
    if not given:
        parts = hold_out_names(train, place, share) if is_multi_label else hold_out(train, share)
        return place, parts[split != "train"]
    if split == "train":
        return place, train
    place = folder / (split if split in given else given[0])
    videos = find_class_videos(place)
    unknown = sorted(set(videos) - set(train))
    if unknown:
        raise ValueError(f"{place}: classes that are not in {folder / 'train'}: {unknown}")
    return place, {name: videos.get(name, []) for name in train}


def build_folder(cfg: ConfigNode, split: str) -> Annotations:
    """{train,val,test}/<class>/ in DATA.PATH_TO_DATA_DIR; <class>/ with DATA.VAL_SHARE held out.

    Where only one of val and test is there it serves as both; without either, a share of train.
    With DATA.MULTI_LABEL a video has all classes in which it lies (see `join_classes`).
    """
    folder, share = Path(cfg.DATA.PATH_TO_DATA_DIR), cfg.DATA.VAL_SHARE
    if not folder.is_dir():
        raise ValueError(f"DATA.PATH_TO_DATA_DIR: no folder {str(folder)!r} ({folder.absolute()})")
    is_multi_label = cfg.DATA.MULTI_LABEL
    place, videos = _split_videos(folder, split, share, is_multi_label=is_multi_label)
    class_names = list(videos)
    check_number(class_names, folder, cfg.MODEL.NUM_CLASSES)
    if is_multi_label:
        records = join_classes(videos, place)
    else:
        pairs = enumerate(videos.values())
        records = [Record(path, label) for label, paths in pairs for path in paths]
    if not records:
        raise ValueError(
            f"DATA.VAL_SHARE: {share} of each class of {str(folder)!r} leaves no video for {split}"
        )
    if cfg.DATA.MODALITY == "flow":
        # The videos say what there is and, by their names, what is held out.
        records = [
            replace(record, path=os.path.join(cfg.DATA.PATH_PREFIX, relpath(record.path, folder)))
            for record in as_flow(records)
        ]
        check_files_exist(records, folder, hint="their flow is looked for in DATA.PATH_PREFIX")
    return Annotations(records, class_names)
