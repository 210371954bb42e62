"""AVA v2.1 and v2.2: what people do, in a key frame of each second. Formats: DATA.md."""

import csv
import os
from collections.abc import Iterable
from functools import partial
from pathlib import Path

from slowfast.config.node import ConfigNode
from slowfast.datasets.annotations.box_csv import (
    BoxRow,
    annotation_folder,
    box_table,
    group_by_image,
    image_key,
    read_box_lists,
)
from slowfast.datasets.annotations.class_names import read_label_map
from slowfast.datasets.annotations.frame_lists import read_frame_list
from slowfast.datasets.annotations.list_files import check_files_exist, find_file
from slowfast.datasets.annotations.locate import VideoFinder, VideoPlace, listed_place
from slowfast.datasets.records import Annotations, FrameFiles, KeyFrame, Record, frame_files
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


def keep_evaluated(
    rows: Iterable[BoxRow],
    true_rows: Iterable[BoxRow],
    classes: dict[int, str],
    *,
    step: int,
    excluded: frozenset[str],
) -> tuple[list[BoxRow], BoxTruth | None]:
    """Boxes in every `step`-th second that are to be classified, and the truth about them.

    No truth: no box of these seconds has one of the `classes`.
    """
    true_rows = [row for row in true_rows if row.number % step == 0 and row.label in classes]
    rows = [row for row in rows if row.number % step == 0 and row.key not in excluded]
    return rows, BoxTruth(box_table(true_rows), classes, excluded) if true_rows else None


def find_places(
    videos: Iterable[str], root: str, lists: Iterable[Path] | None
) -> dict[str, VideoPlace]:
    """A place for each video: its images in frame lists, or with `lists` None a file below root.

    A video without images in any list gets a place as well, so that it is named when it is read.
    """
    if lists is None:
        finder = VideoFinder(root)
        return {video: VideoPlace(finder.find(f"{video}.mp4")) for video in videos}
    listed: dict[str, FrameFiles] = {}
    for path in lists:
        listed |= {video: found.frames for video, found in read_frame_list(path, root).items()}
    nothing = frame_files([])
    return {video: listed_place(listed.get(video, nothing), root, video) for video in videos}


def key_frame_records(
    rows: Iterable[BoxRow], places: dict[str, VideoPlace], *, file_start: int
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


def build_key_frames(cfg: ConfigNode, split: str, rows: list[BoxRow]) -> list[Record]:
    """Key frames of these boxes, in video files or among the images of the frame lists."""
    if not rows:
        raise ValueError(
            f"AVA: the lists hold no boxes for {split}; detected ones need a score of "
            f"AVA.DETECTION_SCORE_THRESH {cfg.AVA.DETECTION_SCORE_THRESH}, {_VAL_HINT}"
        )
    data_folder, lists = cfg.DATA.PATH_TO_DATA_DIR, None
    if cfg.AVA.VIDEO_DIR:
        key, root = "AVA.VIDEO_DIR", cfg.AVA.VIDEO_DIR
    else:
        key, root = "AVA.FRAME_DIR", cfg.AVA.FRAME_DIR or os.path.join(data_folder, "frames")
        folder = cfg.AVA.FRAME_LIST_DIR or os.path.join(data_folder, "frame_lists")
        name = "TRAIN_LISTS" if split == "train" else "TEST_LISTS"
        lists = [find_file(f"AVA.{name}", folder, file) for file in cfg.AVA[name]]
    places = find_places(dict.fromkeys(row.video for row in rows), root, lists)
    records = key_frame_records(rows, places, file_start=cfg.AVA.VIDEO_START_SECOND)
    check_files_exist(records, Path(root), hint=f"paths start from {key}")
    return records


def build_ava(cfg: ConfigNode, split: str) -> Annotations:
    """Key frames with boxes; in "val" and "test" also the ground truth.

    A video that has boxes but no frames is unreadable, not an error.
    """
    ava, num_classes = cfg.AVA, cfg.MODEL.NUM_CLASSES
    folder = annotation_folder(ava.ANNOTATION_DIR, cfg.DATA.PATH_TO_DATA_DIR)
    path = find_file("AVA.LABEL_MAP_FILE", folder, ava.LABEL_MAP_FILE)
    classes = read_label_map(path, num_classes=num_classes)
    names = [classes.get(column, f"class {column + 1}") for column in range(num_classes)]
    read = partial(read_box_lists, folder=folder, num_classes=num_classes, numbers=SECONDS)
    read_detected = partial(read, min_score=ava.DETECTION_SCORE_THRESH)
    if split == "train":
        rows = read("AVA.TRAIN_GT_BOX_LISTS", ava.TRAIN_GT_BOX_LISTS)
        rows += read_detected("AVA.TRAIN_PREDICT_BOX_LISTS", ava.TRAIN_PREDICT_BOX_LISTS)
        return Annotations(build_key_frames(cfg, split, rows), names)
    true_rows = rows = read("AVA.GROUNDTRUTH_FILE", [ava.GROUNDTRUTH_FILE])
    if ava.TEST_BOXES == "predicted":
        rows = read_detected("AVA.TEST_PREDICT_BOX_LISTS", ava.TEST_PREDICT_BOX_LISTS)
    excluded = frozenset()
    if ava.EXCLUSION_FILE and ava.METRIC != "activitynet":  # which excludes nothing
        excluded = read_exclusions(find_file("AVA.EXCLUSION_FILE", folder, ava.EXCLUSION_FILE))
    step = 1 if split == "test" or ava.FULL_TEST_ON_VAL else _VAL_STEP
    rows, truth = keep_evaluated(rows, true_rows, classes, step=step, excluded=excluded)
    if truth is None:
        raise ValueError(
            f"AVA.GROUNDTRUTH_FILE: {ava.GROUNDTRUTH_FILE!r} has no boxes for {split} in the "
            f"classes of AVA.LABEL_MAP_FILE; {_VAL_HINT}"
        )
    return Annotations(build_key_frames(cfg, split, rows), names, truth=truth)
