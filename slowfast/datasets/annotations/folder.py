"""Videos in one sub-folder per class, without any list."""

import logging
import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from os.path import relpath
from pathlib import Path

from slowfast.config.node import ConfigNode
from slowfast.datasets.annotations.class_names import check_number
from slowfast.datasets.annotations.list_files import check_files_exist
from slowfast.datasets.annotations.locate import VideoPlace, frames_among
from slowfast.datasets.decoding.flow import as_flow
from slowfast.datasets.records import Annotations, Record
from slowfast.utils.seeding import derive_seed
from slowfast.utils.video_names import SUFFIXES, composed
from slowfast.utils.walk import Level, PassedOver, read_level, walk

logger = logging.getLogger(__name__)

_SPLITS = {"train", "val", "test"}
# Names by which others call them.
_OTHER_NAMES = {
    **{name: name for name in ("train", "val", "test")},  # Train, VAL
    "training": "train",
    **dict.fromkeys(("valid", "validate", "validation", "dev", "eval"), "val"),
    "testing": "test",
}
_NUM_SHOWN = 10

# Name of a class -> its videos.
Places = Mapping[str, Sequence[VideoPlace]]


def find_class_videos(folder: Path) -> dict[str, list[VideoPlace]]:
    """Videos of each sub-folder and below it; classes and videos are sorted, a class may be empty.

    A class is of video files, or of folders that hold nothing but the images of a video. A line
    says what is left out. ValueError if there is no video at all.
    """
    passed = PassedOver()
    top, *levels = walk(folder, passed)
    for path in top.videos:
        passed.add("videos outside of the folders of classes", path)
    passed.add_files(top)
    classes = defaultdict(list)
    for level in levels:
        name, *_ = Path(level.path).relative_to(folder).parts
        classes[composed(name)].append(level)
    videos = {name: _find_places(classes[name], passed) for name in sorted(classes)}
    passed.log(folder)
    if not any(videos.values()):
        raise ValueError(
            f"DATA.PATH_TO_DATA_DIR: no video in the sub-folders of {str(folder)!r}, one for each "
            f"class (looked for {sorted(SUFFIXES)}, and for folders of images, in {list(videos)})"
        )
    return videos


def _find_places(levels: Sequence[Level], passed: PassedOver) -> list[VideoPlace]:
    """The videos of a class from all its folders, its own first."""
    own, *inner = levels
    files = [path for level in levels for path in level.videos]
    frames = [level for level in inner if level.is_frames]
    for level in (own, *(level for level in inner if not level.is_frames)):
        passed.add_files(level)
    if files:
        for level in frames:
            passed.add("folders of images beside videos", level.path)
        return [VideoPlace(path) for path in sorted(files)]
    if own.has_images and not frames:
        raise ValueError(
            f"{own.path}: images lie in the folder of the class itself; the images of each video "
            "belong into a folder of their own, CLASS/VIDEO/00001.jpg"
        )
    places = [VideoPlace(level.path, frames_among(level.files, level.path)) for level in frames]
    return sorted(places)


def hold_out(
    videos: Places, share: float
) -> tuple[dict[str, list[VideoPlace]], dict[str, list[VideoPlace]]]:
    """Videos for training and for validation: a share of each class, chosen by their names.

    The choice is the same on every machine. A class of two or more has at least one in each part.
    """
    train, val = {}, {}
    for name, places in videos.items():
        drawn = sorted(places, key=lambda place: _draw(name, place))
        count = min(max(round(len(places) * share), 1), len(places) - 1) if len(places) > 1 else 0
        val[name], train[name] = sorted(drawn[:count]), sorted(drawn[count:])
    return train, val


def hold_out_names(
    videos: Places, folder: Path, share: float
) -> tuple[dict[str, list[VideoPlace]], dict[str, list[VideoPlace]]]:
    """As `hold_out`, but files of the same name below their classes, in `folder`, stay together."""
    names = {_below_class(place, folder) for places in videos.values() for place in places}
    _, held = hold_out({"": [VideoPlace(name) for name in sorted(names)]}, share)
    held_names = {place.path for place in held[""]}
    return tuple(
        {
            name: [p for p in places if (_below_class(p, folder) in held_names) == part]
            for name, places in videos.items()
        }
        for part in (False, True)
    )


def _below_class(place: VideoPlace, folder: Path) -> str:
    """The path of a video below the folder of its class, which lies in `folder`."""
    _, *names = Path(place.path).relative_to(folder).parts
    return composed(os.path.join(*names))


def join_classes(videos: Places, folder: Path) -> list[Record]:
    """Records with all classes of each video, whose path is the one in the first of them.

    Files of the same name below their classes, which lie in `folder`, and of the same size are the
    same video.
    """
    joined: dict[tuple[str, int], tuple[VideoPlace, list[int]]] = {}
    for label, places in enumerate(videos.values()):
        for place in places:
            key = _below_class(place, folder), _size(place)
            joined.setdefault(key, (place, []))[1].append(label)
    num_joined = sum(len(labels) > 1 for _, labels in joined.values())
    logger.info("%s: %d of %d videos have several classes", folder, num_joined, len(joined))
    return [
        Record(place.path, frames=place.frames, labels=tuple(labels))
        for place, labels in joined.values()
    ]


def _size(place: VideoPlace) -> int:
    """Bytes of a file, or number of images; -1 where there is none."""
    if place.frames is not None:
        return place.frames.count
    return os.path.getsize(place.path) if os.path.exists(place.path) else -1


def _draw(class_name: str, place: VideoPlace) -> int:
    return derive_seed(class_name, composed(os.path.basename(place.path)))


def _is_split(folder: Path) -> bool:
    """Whether it has folders of classes; a class that is called "train" has videos of its own."""
    if not folder.is_dir():
        return False
    level, siblings = (
        read_level(os.fspath(path), PassedOver()) for path in (folder, folder.parent)
    )
    if level.videos or not level.folders:
        return False
    inner = (read_level(os.path.join(folder, name), PassedOver()) for name in level.folders)
    return _SPLITS.issuperset(siblings.folders) or not all(level.is_frames for level in inner)


def _check_names(folder: Path, *, has_splits: bool) -> None:
    """ValueError where folders of splits have other names; what lies beside ours is told."""
    passed = PassedOver()
    others = [name for name in read_level(os.fspath(folder), passed).folders if name not in _SPLITS]
    named = {name: _OTHER_NAMES.get(name.lower()) for name in others}
    splits = {name: split for name, split in named.items() if split and _is_split(folder / name)}
    is_alone = len(splits) == len(others) and "train" in splits.values()
    if splits and (has_splits or is_alone):
        wanted = ", ".join(f"{name!r} to {split!r}" for name, split in splits.items())
        raise ValueError(
            f"DATA.PATH_TO_DATA_DIR: the folders of splits in {str(folder)!r} must be called "
            f"train, val and test: rename {wanted}"
        )
    for name in others if has_splits else ():
        passed.add("folders beside train, val and test", os.path.join(folder, name))
    if has_splits:
        passed.log(folder)


def split_folders(folder: Path) -> dict[str, Path]:
    """Folders of the splits that are there, train first; {} where classes lie in the folder itself.

    ValueError where they have other names.
    """
    has_splits = _is_split(folder / "train")
    _check_names(folder, has_splits=has_splits)
    paths = {name: folder / name for name in ("train", "val", "test")} if has_splits else {}
    return {name: path for name, path in paths.items() if path.is_dir()}


def find_held_out(folder: Path, place: Path, train: Places) -> Places:
    """Videos of the classes of training, which lie in `place`; ValueError for other classes."""
    videos = find_class_videos(folder)
    unknown = sorted(name for name in videos if videos[name] and name not in train)
    if unknown:
        raise ValueError(f"{folder}: classes that are not in {place}: {unknown}")
    return {name: videos.get(name, []) for name in train}


def _split_videos(
    folder: Path, split: str, share: float, *, is_multi_label: bool
) -> tuple[Path, Places]:
    """The folder of a split's classes, and its videos by class: all those of training."""
    folders = split_folders(folder)
    place = folders.pop("train", folder)
    train = find_class_videos(place)
    if not folders:
        parts = hold_out_names(train, place, share) if is_multi_label else hold_out(train, share)
        return place, parts[split != "train"]
    if split == "train":
        return place, train
    held_out = folders.get(split) or next(iter(folders.values()))
    return held_out, find_held_out(held_out, place, train)


def _warn_of_empty(videos: Places, folder: Path, split: str) -> None:
    """Name the classes of which a split has no video."""
    empty = [name for name, places in videos.items() if not places]
    if empty:
        shown = ", ".join(empty[:_NUM_SHOWN]) + (", ..." if len(empty) > _NUM_SHOWN else "")
        logger.warning(
            "%s: no video for %s in %d of %d classes: %s",
            *(folder, "training" if split == "train" else split, len(empty), len(videos), shown),
        )


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
    _warn_of_empty(videos, place, split)
    check_number(class_names, folder, cfg.MODEL.NUM_CLASSES)
    if is_multi_label:
        records = join_classes(videos, place)
    else:
        records = [
            Record(place.path, label, frames=place.frames)
            for label, places in enumerate(videos.values())
            for place in places
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
