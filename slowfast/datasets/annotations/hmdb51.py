"""HMDB51: three official splits, each a file per class that marks its videos."""

from pathlib import Path

from slowfast.config.node import ConfigNode
from slowfast.datasets.annotations.class_names import check_number
from slowfast.datasets.annotations.list_files import check_files_exist, read_lines
from slowfast.datasets.annotations.locate import VideoFinder
from slowfast.datasets.decoding.flow import as_flow
from slowfast.datasets.list_lines import in_message
from slowfast.datasets.records import Annotations, Record
from slowfast.utils.video_names import is_hidden

_MARKS = {"0": None, "1": "train", "2": "test"}


def read_split(folder: Path, number: int) -> dict[str, dict[str, list[str]]]:
    """{class: {"train" or "test": names of its videos}} of split `number`, classes sorted.

    The files are <class>_test_split<number>.txt with lines `video.avi mark`; mark 0 leaves a video
    out, 1 is for training and 2 for testing.
    """
    ending = f"_test_split{number}.txt"
    paths = [path for path in folder.glob(f"*{ending}") if not is_hidden(path.name)]
    paths.sort(key=lambda path: path.name.removesuffix(ending))
    if not paths:
        others = sorted({path.name[-len(ending) :] for path in folder.glob("*_test_split*.txt")})
        raise ValueError(
            f"DATA.PATH_TO_DATA_DIR: {str(folder)!r} holds no *{ending} (DATA.SPLIT_NUMBER "
            f"{number}; looked in {folder.absolute()}; there: {[f'*{name}' for name in others]})"
        )
    return {path.name.removesuffix(ending): _read_marks(path) for path in paths}


def _read_marks(path: Path) -> dict[str, list[str]]:
    videos = {"train": [], "test": []}
    for number, line in read_lines(path):
        video, _, mark = line.rpartition(" ")
        if mark not in _MARKS or not video:
            raise ValueError(
                f"{path}:{number}: {in_message(line)} is not a video and one of {list(_MARKS)}"
            )
        if _MARKS[mark]:
            videos[_MARKS[mark]].append(video.strip())
    return videos


def build_hmdb51(cfg: ConfigNode, split: str) -> Annotations:
    """<class>_test_splitN.txt in DATA.PATH_TO_DATA_DIR, N = DATA.SPLIT_NUMBER; <class>/<video>."""
    folder = Path(cfg.DATA.PATH_TO_DATA_DIR)
    videos = read_split(folder, cfg.DATA.SPLIT_NUMBER)
    class_names = list(videos)
    check_number(class_names, folder, cfg.MODEL.NUM_CLASSES)
    is_flow, root = cfg.DATA.MODALITY == "flow", cfg.DATA.PATH_PREFIX or cfg.DATA.PATH_TO_DATA_DIR
    finder = VideoFinder(root, takes_folders=is_flow)
    records = [
        Record(finder.find(f"{name}/{video}"), label)
        for label, name in enumerate(class_names)
        for video in videos[name]["train" if split == "train" else "test"]
    ]
    if not records:
        raise ValueError(f"{folder}: split {cfg.DATA.SPLIT_NUMBER} holds no videos for {split}")
    records = as_flow(records) if is_flow else records
    check_files_exist(records, folder)
    return Annotations(records, class_names)
