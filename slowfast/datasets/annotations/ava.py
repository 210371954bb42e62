"""AVA v2.1 and v2.2: what people do, in a key frame of each second. Formats: DATA.md."""

import csv
import os
from collections.abc import Iterable
from pathlib import Path

from slowfast.config.node import ConfigNode
from slowfast.datasets.annotations.box_csv import (
    BoxRow,
    box_table,
    build_annotation_folder,
    build_box_rows,
    group_by_image,
    image_key,
)
from slowfast.datasets.annotations.class_names import read_label_map
from slowfast.datasets.annotations.frame_lists import FrameList, read_frame_list
from slowfast.datasets.annotations.list_files import check_files_exist, find_file
from slowfast.datasets.annotations.locate import Place, VideoFinder, listed_place
from slowfast.datasets.records import Annotations, KeyFrame, Record, frame_files
from slowfast.utils.box_table import BoxTruth

# The annotated seconds; the second of the first image file, and how many there are of each second.
SECONDS = range(902, 1799)
_FIRST_SECOND = 900
_IMAGES_PER_SECOND = 30
_VAL_STEP = 4
_VAL_HINT = "validation takes seconds that 4 divides unless AVA.FULL_TEST_ON_VAL"


def read_exclusions(path: Path) -> frozenset[str]:
    """Keys of the frames in a csv `video,second`."""
    keys = set()
    with open(path, encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        reader = csv.reader(file)
        for fields in filter(any, reader):
            try:
                video, second = fields
                keys.add(image_key(video.strip(), int(second)))
            except ValueError:
                raise ValueError(
                    f"{path}:{reader.line_num}: {','.join(fields)!r} is not `video,second`"
                ) from None
    return frozenset(keys)


def places_in_lists(
    lists: Iterable[dict[str, FrameList]], root: str, videos: Iterable[str]
) -> dict[str, Place]:
    """The images of each video; none where no list has it, so that it is named when it is read."""
    listed = {video: found.frames for part in lists for video, found in part.items()}
    nothing = frame_files([])
    return {video: listed_place(listed.get(video, nothing), root, video) for video in videos}


def key_frame_records(
    rows: Iterable[BoxRow], places: dict[str, Place], *, file_start: int
) -> list[Record]:
    """A record for each key frame with its boxes; video files begin at second `file_start`."""
    records = []
    for (video, second), (boxes, labels) in group_by_image(rows).items():
        path, frames = places[video]
        if frames is None:
            place = second - file_start
        else:
            place = (second - _FIRST_SECOND) * _IMAGES_PER_SECOND
        key = KeyFrame(image_key(video, second), place, boxes, labels, in_seconds=frames is None)
        records.append(Record(path, frames=frames, key=key))
    return records


def build_ava(cfg: ConfigNode, split: str) -> Annotations:
    """Key frames with boxes; in "val" and "test" also the ground truth.

    A video that has boxes but no frames is unreadable, not an error.
    """
    folder, num_classes = build_annotation_folder(cfg), cfg.MODEL.NUM_CLASSES
    path = find_file("AVA.LABEL_MAP_FILE", folder, cfg.AVA.LABEL_MAP_FILE)
    classes = read_label_map(path, num_classes=num_classes)
    names = [classes.get(column, f"class {column + 1}") for column in range(num_classes)]
    if split == "train":
        rows = build_box_rows(cfg, "TRAIN_GT_BOX_LISTS", numbers=SECONDS)
        rows += build_box_rows(cfg, "TRAIN_PREDICT_BOX_LISTS", numbers=SECONDS, is_detected=True)
        return Annotations(build_records(cfg, split, rows), names)
    true_rows = rows = build_box_rows(cfg, "GROUNDTRUTH_FILE", numbers=SECONDS)
    if cfg.AVA.TEST_BOXES == "predicted":
        rows = build_box_rows(cfg, "TEST_PREDICT_BOX_LISTS", numbers=SECONDS, is_detected=True)
    excluded = frozenset()
    if cfg.AVA.EXCLUSION_FILE and cfg.AVA.METRIC != "activitynet":  # which excludes nothing
        excluded = read_exclusions(find_file("AVA.EXCLUSION_FILE", folder, cfg.AVA.EXCLUSION_FILE))
    step = 1 if split == "test" or cfg.AVA.FULL_TEST_ON_VAL else _VAL_STEP
    rows = [row for row in rows if row.number % step == 0 and row.key not in excluded]
    true_rows = [row for row in true_rows if row.number % step == 0 and row.label in classes]
    if not true_rows:
        raise ValueError(
            f"AVA.GROUNDTRUTH_FILE: {cfg.AVA.GROUNDTRUTH_FILE!r} has no boxes for {split} in the "
            f"classes of AVA.LABEL_MAP_FILE; {_VAL_HINT}"
        )
    truth = BoxTruth(box_table(true_rows), classes, excluded)
    return Annotations(build_records(cfg, split, rows), names, truth=truth)


def build_records(cfg: ConfigNode, split: str, rows: list[BoxRow]) -> list[Record]:
    """Key frames of these boxes, in video files or among the images of the frame lists."""
    if not rows:
        raise ValueError(
            f"AVA: the lists hold no boxes for {split}; detected ones need a score of "
            f"AVA.DETECTION_SCORE_THRESH {cfg.AVA.DETECTION_SCORE_THRESH}, {_VAL_HINT}"
        )
    videos, data = list(dict.fromkeys(row.video for row in rows)), cfg.DATA.PATH_TO_DATA_DIR
    if cfg.AVA.VIDEO_DIR:
        key, root = "AVA.VIDEO_DIR", cfg.AVA.VIDEO_DIR
        finder = VideoFinder(root)
        places = {video: Place(finder.find(f"{video}.mp4")) for video in videos}
    else:
        key, root = "AVA.FRAME_DIR", cfg.AVA.FRAME_DIR or os.path.join(data, "frames")
        lists_key = "TRAIN_LISTS" if split == "train" else "TEST_LISTS"
        folder = cfg.AVA.FRAME_LIST_DIR or os.path.join(data, "frame_lists")
        paths = [find_file(f"AVA.{lists_key}", folder, name) for name in cfg.AVA[lists_key]]
        places = places_in_lists([read_frame_list(path, root) for path in paths], root, videos)
    records = key_frame_records(rows, places, file_start=cfg.AVA.VIDEO_START_SECOND)
    check_files_exist(records, Path(root), hint=f"paths start from {key}")
    return records
