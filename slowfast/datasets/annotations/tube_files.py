"""Ground truth of JHMDB and UCF101-24 from the files in which people share it.

Readers yield a row for each box of the given videos, "class/video", with frames counted from 1.
"""

import os
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from tqdm import tqdm

from slowfast.datasets.annotations.box_lists import BoxRow
from slowfast.datasets.annotations.list_files import read_lines
from slowfast.utils.unpickle import load_arrays
from slowfast.utils.video_names import SUFFIXES, is_hidden

_SPLIT_FOLDERS = ("", "splitfiles", "splits", "ucfTrainTestlist")


def read_pickle(path: Path, *, split_number: int, is_train: bool) -> Iterator[BoxRow]:
    """JHMDB-GT.pkl or UCF101v2-GT.pkl (ACT, MOC), which hold the splits too; no code is run."""
    names = ("train_videos" if is_train else "test_videos", "gttubes", "resolution")
    splits, tubes, resolution = _load_pickled(path, names)
    if not 1 <= split_number <= len(splits):
        raise ValueError(
            f"DATA.SPLIT_NUMBER: {split_number} is not within 1..{len(splits)}, as {path} has "
            "no more splits"
        )
    for video in splits[split_number - 1]:
        height, width = resolution[video]
        for label, instances in tubes.get(video, {}).items():
            for instance in instances:
                frames, boxes = np.split(np.asarray(instance, np.float64), [1], axis=1)
                yield from _rows(video, frames[:, 0], boxes, int(label), (width, height))


def _load_pickled(path: Path, names: Sequence[str]) -> list:
    """Entries of a pickled dictionary."""
    try:
        with open(path, "rb") as file:
            content = load_arrays(file)
        return [content[name] for name in names]
    except Exception as error:  # a damaged file fails in any way: EOFError, IndexError, ...
        raise ValueError(
            f"{path}: {type(error).__name__}: {error}; not ground truth as ACT and MOC share it"
        ) from error


def read_mat(path: Path, videos: Collection[str], size: tuple[int, int]) -> Iterator[BoxRow]:
    """finalAnnots.mat; `size` is the (width, height) to which its boxes refer."""
    for video in _as_list(_load_mat(path, "annot")):
        name = str(video["name"]).strip()
        if name not in videos:
            continue
        for tube in _as_list(video["tubes"]):
            # Sides are stored as 8 or 16 bits, in which x + width overflows.
            boxes = np.atleast_2d(np.asarray(tube["boxes"], np.float64))
            boxes[:, 2:] += boxes[:, :2]  # x,y,width,height -> x1,y1,x2,y2
            frames = int(tube["sf"]) + np.arange(len(boxes))
            yield from _rows(name, frames, boxes, int(tube["class"]) - 1, size)


def read_masks(
    folder: Path, videos: Collection[str], class_names: Sequence[str]
) -> Iterator[BoxRow]:
    """JHMDB's own annotation, <class>/<video>/puppet_mask.mat: the box around each mask."""
    for video in tqdm(sorted(videos), desc=str(folder), disable=None, delay=2):
        path = folder / video / "puppet_mask.mat"
        if not path.is_file():
            continue
        masks = _load_mat(path, "part_mask")  # H,W,T, or H,W of a single frame
        masks = masks.reshape(*masks.shape[:2], -1) > 0
        height, width, _ = masks.shape
        (x1, x2), (y1, y2) = _extent(masks.any(0)), _extent(masks.any(1))
        name = video.split("/")[0]
        if name not in class_names:
            raise ValueError(f"{path}: {name!r} is not one of {list(class_names)}")
        frames = np.flatnonzero(masks.any((0, 1)))
        boxes = np.stack([x1, y1, x2, y2], 1)[frames]
        yield from _rows(video, frames + 1, boxes, class_names.index(name), (width, height))


def read_texts(
    folder: Path, videos: Collection[str], class_names: Sequence[str], size: tuple[int, int]
) -> Iterator[BoxRow]:
    """YOWO's files, one per frame with lines `class x1 y1 x2 y2`, pixels of a frame of `size`.

    They are <class>/<video>/<frame>.txt or <class>_<video>_<frame>.txt.
    """
    paths = sorted(path for path in folder.rglob("*.txt") if not is_hidden(path.name))
    for path in tqdm(paths, desc=str(folder), disable=None, delay=2):
        *parents, name = path.relative_to(folder).with_suffix("").parts
        if not parents:
            parents, name = _split_name(name, class_names)
        video = "/".join(parents)
        if video not in videos:
            continue
        if not name.isdecimal():
            raise ValueError(f"{path}: {name!r} is not the number of a frame")
        for number, line in read_lines(path):
            label, box = _parse_box(line, where=f"{path}:{number}")
            yield from _rows(video, [int(name)], [box], label - 1, size)


def _parse_box(line: str, *, where: str) -> tuple[int, list[float]]:
    try:
        label, x1, y1, x2, y2 = map(float, line.split())
    except ValueError:
        raise ValueError(f"{where}: {line!r} is not `class x1 y1 x2 y2`") from None
    return int(label), [x1, y1, x2, y2]


def read_split(folder: Path, *, split_number: int, is_train: bool) -> set[str]:
    """Videos "class/video" of a split.

    From {train,test}list01.txt (UCF101), <class>_test_split1.txt (JHMDB), or, for split 1,
    {train,test}list.txt (YOWO). ValueError where there is none of them.
    """
    word = "train" if is_train else "test"
    names = [f"{word}list{split_number:02d}.txt"] + [f"{word}list.txt"] * (split_number == 1)
    for parent in (folder / name for name in _SPLIT_FOLDERS):
        for path in (parent / name for name in names):
            if path.is_file():
                return {_video_of_line(line) for _, line in read_lines(path)}
        suffix = f"_test_split{split_number}.txt"
        paths = sorted(p for p in parent.glob(f"*{suffix}") if not is_hidden(p.name))
        if paths:
            return set(_read_class_lists(paths, suffix, "1" if is_train else "2"))
    raise ValueError(
        f"DATA.PATH_TO_DATA_DIR: {str(folder)!r} holds no list of split {split_number} (looked for "
        f"{names} and <class>_test_split{split_number}.txt there and in {_SPLIT_FOLDERS[1:]})"
    )


def _read_class_lists(paths: Iterable[Path], suffix: str, wanted: str) -> Iterator[str]:
    """Videos of files with lines `name.avi 1`: 1 is training, 2 is test."""
    for path in paths:
        for number, line in read_lines(path):
            name, _, use = line.rpartition(" ")
            if use not in ("0", "1", "2"):
                raise ValueError(f"{path}:{number}: {line!r} is not a name and 0, 1 or 2")
            if use == wanted:
                yield f"{path.name.removesuffix(suffix)}/{_without_suffix(name.strip())}"


def _video_of_line(line: str) -> str:
    """class/video of `class/video.avi 1` or `labels/class/video/00001.txt`."""
    parts = re.sub(r"\s+\d+$", "", line).split("/")
    if re.fullmatch(r"\d+\.\w+", parts[-1]):
        parts.pop()
    return "/".join([*parts[-2:-1], _without_suffix(parts[-1])])


def _without_suffix(name: str) -> str:
    stem, suffix = os.path.splitext(name)
    return stem if suffix.lower() in SUFFIXES else name


def _split_name(name: str, class_names: Sequence[str]) -> tuple[list[str], str]:
    """([class, video], frame) of class_video_frame; classes may contain underscores too."""
    rest, _, frame = name.rpartition("_")
    fitting = [known for known in class_names if rest.startswith(f"{known}_")]
    label = max(fitting, key=len, default="")
    return [label, rest[len(label) + 1 :]], frame


def _rows(
    video: str, frames: Iterable[int], boxes: ArrayLike, label: int, size: tuple[int, int]
) -> Iterator[BoxRow]:
    """Rows of boxes N,4 in pixels of a frame of `size` (width, height)."""
    shares = np.asarray(boxes, np.float64) / (*size, *size)
    for frame, box in zip(frames, shares.tolist(), strict=True):
        yield BoxRow(video, int(frame), tuple(box), label)


def _load_mat(path: Path, name: str) -> Any:
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    try:
        return loadmat(path, simplify_cells=True)[name]
    except NotImplementedError:
        raise ValueError(
            f"{path}: a file of MATLAB 7.3 (HDF5), which is not read; save it in MATLAB with -v7"
        ) from None
    except KeyError:
        raise ValueError(f"{path}: there is no {name!r} in this file") from None
    except (MatReadError, ValueError, OSError, TypeError) as error:
        raise ValueError(f"{path}: {type(error).__name__}: {error}") from error


def _as_list(value: Any) -> list:
    """Structs of MATLAB: one comes as a dict, several as an array."""
    return [value] if isinstance(value, dict) else list(value)


def _extent(hit: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """First place and the one after the last that are true in each column."""
    return hit.argmax(0), len(hit) - hit[::-1].argmax(0)
