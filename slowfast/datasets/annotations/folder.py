"""Videos in one sub-folder per class, without any list."""

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


def _is_split(folder: Path) -> bool:
    """Whether it has folders of classes; a class that is called "train" has videos of its own."""
    if not folder.is_dir():
        return False
    entries = list(os.scandir(folder))
    return any(entry.is_dir() for entry in entries) and not any(is_video(e.name) for e in entries)


def _split_videos(folder: Path, split: str, share: float) -> tuple[list[str], dict[str, list[str]]]:
    """Class names, and the videos of a split by class."""
    has_splits = _is_split(folder / "train")
    train = find_class_videos(folder / "train" if has_splits else folder)
    given = [name for name in ("val", "test") if has_splits and (folder / name).is_dir()]
    if not given:
        train, val = hold_out(train, share)
        return list(train), train if split == "train" else val
    if split == "train":
        return list(train), train
    place = folder / (split if split in given else given[0])
    videos = find_class_videos(place)
    unknown = sorted(set(videos) - set(train))
    if unknown:
        raise ValueError(f"{place}: classes that are not in {folder / 'train'}: {unknown}")
    return list(train), {name: videos.get(name, []) for name in train}


def build_folder(cfg: ConfigNode, split: str) -> Annotations:
    """{train,val,test}/<class>/ in DATA.PATH_TO_DATA_DIR; <class>/ with DATA.VAL_SHARE held out.

    Where only one of val and test is there it serves as both; without either, a share of train.
    """
    folder, share = Path(cfg.DATA.PATH_TO_DATA_DIR), cfg.DATA.VAL_SHARE
    if not folder.is_dir():
        raise ValueError(f"DATA.PATH_TO_DATA_DIR: no folder {str(folder)!r} ({folder.absolute()})")
    class_names, videos = _split_videos(folder, split, share)
    check_number(class_names, folder, cfg.MODEL.NUM_CLASSES)
    records = [
        Record(path, label) for label, name in enumerate(class_names) for path in videos[name]
    ]
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
