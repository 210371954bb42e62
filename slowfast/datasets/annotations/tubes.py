"""JHMDB and UCF101-24: boxes in consecutive frames of short videos. Formats: docs/data."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from slowfast.config.derived import finds_boxes
from slowfast.config.node import ConfigNode
from slowfast.datasets.annotations import tube_files
from slowfast.datasets.annotations.box_lists import (
    BoxRow,
    annotation_folder,
    box_table,
    group_by_image,
    image_key,
    keep_usable,
    read_box_lists,
)
from slowfast.datasets.annotations.list_files import check_files_exist
from slowfast.datasets.annotations.locate import VideoPlace, find_videos_by_id
from slowfast.datasets.decoding.flow import as_flow
from slowfast.datasets.records import Annotations, KeyFrame, Record
from slowfast.utils.box_table import BoxTruth

# (width, height) to which boxes refer where their file does not say.
_SIZE = (320, 240)
# Folders of the images or videos, below DATA.PATH_PREFIX.
_ROOTS = ("rgb-images", "Frames", "Rename_Images", "videos", "ReCompress_Videos", "")


@dataclass(frozen=True)
class TubeSet:
    """A dataset: its classes in order, and its files or folders of ground truth, best first."""

    name: str
    class_names: Sequence[str]
    files: Sequence[str]

    def read(self, folder: Path, *, split_number: int, is_train: bool) -> list[BoxRow]:
        """Boxes of a split; frames count from 1. ValueError without any, or with a wrong class."""
        path = self._find(folder)
        split = {"split_number": split_number, "is_train": is_train}
        if path.suffix == ".pkl":
            rows = tube_files.read_pickle(path, **split)
        else:
            videos = tube_files.read_split(folder, **split)
            if path.suffix == ".mat":
                rows = tube_files.read_mat(path, videos, _SIZE)
            elif path.name == "puppet_mask":
                rows = tube_files.read_masks(path, videos, self.class_names)
            else:
                rows = tube_files.read_texts(path, videos, self.class_names, _SIZE)
        rows = keep_usable(rows, path)
        if not rows:
            raise ValueError(f"{path}: no boxes in the videos of split {split_number}")
        for row in rows:
            if not 0 <= row.label < len(self.class_names):
                raise ValueError(
                    f"{path}: class {row.label + 1} of {row.video} is not within "
                    f"1..{len(self.class_names)}, the classes of {self.name}"
                )
        return rows

    def _find(self, folder: Path) -> Path:
        for name in self.files:
            if (folder / name).exists():
                return folder / name
        raise ValueError(
            f"DATA.PATH_TO_DATA_DIR: {str(folder)!r} holds no ground truth of {self.name} "
            f"(looked for {list(self.files)})"
        )


JHMDB = TubeSet(
    "jhmdb",
    class_names=(
        "brush_hair catch clap climb_stairs golf jump kick_ball pick pour pullup push run "
        "shoot_ball shoot_bow shoot_gun sit stand swing_baseball throw walk wave"
    ).split(),
    files=(
        "JHMDB-GT.pkl",
        "finalAnnots.mat",
        "splitfiles/finalAnnots.mat",
        "puppet_mask",
        "labels",
        "groundtruths_jhmdb",
    ),
)

UCF101_24 = TubeSet(
    "ucf101_24",
    class_names=(
        "Basketball BasketballDunk Biking CliffDiving CricketBowling Diving Fencing "
        "FloorGymnastics GolfSwing HorseRiding IceDancing LongJump PoleVault RopeClimbing "
        "SalsaSpin SkateBoarding Skiing Skijet SoccerJuggling Surfing TennisSwing "
        "TrampolineJumping VolleyballSpiking WalkingWithDog"
    ).split(),
    files=(
        "UCF101v2-GT.pkl",
        "finalAnnots.mat",
        "splitfiles/finalAnnots.mat",
        "labels",
        "groundtruths_ucf",
    ),
)


def find_places(videos: Sequence[str], prefix: str, *, source: str) -> dict[str, VideoPlace]:
    """Frames or file of each video "class/video", in one of the usual folders or right there.

    Where there is none anywhere, their places in the first of these folders.
    """
    flat = [os.path.basename(video) for video in videos]
    tried = []
    for root, ids in [*((root, videos) for root in _ROOTS), ("", flat)]:
        places = find_videos_by_id(ids, os.path.join(prefix, root), source=source, suffix=".avi")
        tried.append(places)
        if any(map(_exists, places)):
            break
    else:
        places = tried[0]
    return dict(zip(videos, places, strict=True))


def _exists(place: VideoPlace) -> bool:
    return os.path.exists(place.path) if place.frames is None else place.frames.count > 0


def read_detected(
    lists: Sequence[str], folder: str, videos: Sequence[str], *, num_classes: int, min_score: float
) -> list[BoxRow]:
    """Detected boxes of these videos; ValueError without any."""
    key, known = "AVA.TEST_PREDICT_BOX_LISTS", set(videos)
    rows = read_box_lists(key, lists, folder, num_classes=num_classes, min_score=min_score)
    rows = [row for row in rows if row.video in known]
    if odd := [row for row in rows if not isinstance(row.number, int) or row.number < 1]:
        raise ValueError(f"{key}: {odd[0].key!r}: frames are whole numbers from 1")
    if not rows:
        raise ValueError(
            f"{key}: {lists} hold no boxes of the test videos, for example {videos[0]!r}, with a "
            f"score of AVA.DETECTION_SCORE_THRESH {min_score} or more; AVA.TEST_BOXES ground_truth "
            "needs none"
        )
    return rows


def key_frame_records(rows: Sequence[BoxRow], places: dict[str, VideoPlace]) -> list[Record]:
    """A record for each frame with its boxes."""
    records = []
    for (video, number), (boxes, labels) in group_by_image(rows).items():
        key = KeyFrame(image_key(video, number), number - 1, boxes, labels)
        records.append(Record(places[video].path, frames=places[video].frames, key=key))
    return records


def build_tube_set(cfg: ConfigNode, split: str, tubes: TubeSet) -> Annotations:
    """Every annotated frame; in "val" and "test" also the ground truth, of the test videos."""
    num_classes, is_train = len(tubes.class_names), split == "train"
    if cfg.MODEL.NUM_CLASSES != num_classes:
        raise ValueError(
            f"MODEL.NUM_CLASSES: {cfg.MODEL.NUM_CLASSES} is not {num_classes}, as many classes as "
            f"{tubes.name} has"
        )
    folder = cfg.DATA.PATH_TO_DATA_DIR
    rows = true_rows = tubes.read(
        Path(folder), split_number=cfg.DATA.SPLIT_NUMBER, is_train=is_train
    )
    videos = list(dict.fromkeys(row.video for row in true_rows))
    is_given = cfg.AVA.TEST_BOXES == "predicted" and not finds_boxes(cfg.DETECTION)
    if not is_train and is_given:
        rows = read_detected(
            cfg.AVA.TEST_PREDICT_BOX_LISTS,
            annotation_folder(cfg.AVA.ANNOTATION_DIR, folder),
            videos,
            num_classes=num_classes,
            min_score=cfg.AVA.DETECTION_SCORE_THRESH,
        )
    prefix = cfg.DATA.PATH_PREFIX or folder
    records = key_frame_records(rows, find_places(videos, prefix, source=cfg.DATA.SOURCE))
    hint = "paths start from DATA.PATH_PREFIX, or from DATA.PATH_TO_DATA_DIR where that is empty"
    records = as_flow(records) if cfg.DATA.MODALITY == "flow" else records
    check_files_exist(records, Path(prefix), hint=hint)
    truth = None
    if not is_train:
        truth = BoxTruth(box_table(true_rows), dict(enumerate(tubes.class_names)))
    return Annotations(records, list(tubes.class_names), truth=truth)


build_jhmdb = partial(build_tube_set, tubes=JHMDB)
build_ucf101_24 = partial(build_tube_set, tubes=UCF101_24)
