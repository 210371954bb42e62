"""AVA v2.1 and v2.2: what people do, in a key frame of each second. Formats: docs/data."""

import csv
import logging
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import av

from slowfast.config.derived import finds_boxes
from slowfast.config.node import ConfigNode
from slowfast.datasets.annotations.box_lists import (
    BoxRow,
    annotation_folder,
    box_table,
    group_by_image,
    image_key,
    parse_number,
    read_box_lists,
)
from slowfast.datasets.annotations.class_names import read_label_map
from slowfast.datasets.annotations.frame_lists import read_frame_list
from slowfast.datasets.annotations.list_files import check_files_exist, find_file
from slowfast.datasets.annotations.locate import VideoFinder, VideoPlace, listed_place
from slowfast.datasets.records import Annotations, FrameFiles, KeyFrame, Record, frame_files
from slowfast.utils.box_table import BoxTruth
from slowfast.utils.video_names import is_video

logger = logging.getLogger(__name__)

# The second with which AVA's own files and images begin; its annotations begin at 902.
_FIRST_SECOND = 900
_VAL_STEP = 4
_NUM_PROBED = 10


def read_exclusions(path: Path) -> frozenset[str]:
    """Keys of the frames in a csv `video,second`."""
    keys = set()
    with open(path, encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        reader = csv.reader(file)
        for fields in filter(any, reader):
            try:
                video, second = fields
                keys.add(image_key(video.strip(), parse_number(second)))
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

    All key frames of such a second count, also those at a part of it. No truth: no box of these
    seconds has one of the `classes`.
    """
    true_rows = [row for row in true_rows if _is_in_step(row, step) and row.label in classes]
    rows = [row for row in rows if _is_in_step(row, step) and row.key not in excluded]
    return rows, BoxTruth(box_table(true_rows), classes, excluded) if true_rows else None


def _is_in_step(row: BoxRow, step: int) -> bool:
    return int(row.number) % step == 0


def choose_step(rows: Iterable[BoxRow], split: str, *, is_full: bool) -> int:
    """Seconds from one key frame that is evaluated to the next: 4 in validation, as everybody does.

    1 where the set has none of these seconds.
    """
    if split == "test" or is_full:
        return 1
    if any(_is_in_step(row, _VAL_STEP) for row in rows):
        return _VAL_STEP
    logger.warning(
        "no key frame lies at a second that %d divides: validation takes all of them, as with "
        "AVA.FULL_TEST_ON_VAL True",
        _VAL_STEP,
    )
    return 1


def find_first_second(rows: Sequence[BoxRow], lengths: Mapping[str, float]) -> int:
    """Second of the annotations with which the files begin, by the `lengths` of some videos.

    0 where all annotated seconds of these lie within the files; else 900 where the annotations
    begin no earlier, as for AVA's cut quarters of an hour.
    """
    known = [(row.number, lengths[row.video]) for row in rows if row.video in lengths]
    is_within = known and all(number <= length + 1 for number, length in known)
    is_late = min(row.number for row in rows) >= _FIRST_SECOND
    first = _FIRST_SECOND if is_late and not is_within else 0
    logger.info("AVA.VIDEO_START_SECOND: the files begin at second %d, by their lengths", first)
    return first


def probe_lengths(places: Mapping[str, VideoPlace]) -> dict[str, float]:
    """Seconds of the first few videos that can be opened, by their headers."""
    lengths: dict[str, float] = {}
    for video, (path, frames) in places.items():
        if len(lengths) == _NUM_PROBED:
            break
        length = _file_length(path) if frames is None else len(frames) / frames.fps
        if length:
            lengths[video] = length
    return lengths


def _file_length(path: str) -> float | None:
    if not os.path.isfile(path):  # also a pipe, for which one would wait
        return None
    try:
        with av.open(path) as file:
            return file.duration / av.time_base if file.duration else None
    except (av.FFmpegError, UnicodeDecodeError):  # it is named when it is read
        return None


def find_places(
    videos: Iterable[str], root: str, lists: Iterable[Path] | None, *, fps: float
) -> dict[str, VideoPlace]:
    """A place for each video: its images in frame lists, or with `lists` None a file below root.

    A video without images in any list gets a place as well, so that it is named when it is read.
    fps: images per second.
    """
    if lists is None:
        finder = VideoFinder(root)
        names = {video: video if is_video(video) else f"{video}.mp4" for video in videos}
        return {video: VideoPlace(finder.find(name)) for video, name in names.items()}
    listed: dict[str, FrameFiles] = {}
    for path in lists:
        listed |= {video: found.frames for video, found in read_frame_list(path, root).items()}
    nothing = frame_files([])
    return {
        video: listed_place(replace(listed.get(video, nothing), fps=fps), root, video)
        for video in videos
    }


def key_frame_records(
    rows: Iterable[BoxRow], places: dict[str, VideoPlace], *, first_second: float
) -> list[Record]:
    """A record for each key frame with its boxes; files and images begin at `first_second`."""
    records = []
    for (video, second), (boxes, labels) in group_by_image(rows).items():
        path, frames = places[video]
        place = second - first_second
        if frames is not None:
            place = round(place * frames.fps)
        key = KeyFrame(image_key(video, second), place, boxes, labels, in_seconds=frames is None)
        records.append(Record(path, frames=frames, key=key))
    _warn_of_outside([record for record in records if record.frames])
    return records


def _warn_of_outside(records: Sequence[Record]) -> None:
    """Count key frames that lie outside of the images of their videos."""
    outside = [r for r in records if not 0 <= r.key.place < len(r.frames) + r.frames.fps]
    if outside:
        first = outside[0]
        logger.warning(
            "%d of %d key frames lie outside of the images, for example %s, image %d of %d: do "
            "AVA.FPS, images per second, and AVA.VIDEO_START_SECOND fit?",
            *(len(outside), len(records), first.key.key, first.key.place + 1, len(first.frames)),
        )


def build_key_frames(cfg: ConfigNode, split: str, rows: list[BoxRow]) -> list[Record]:
    """Key frames of these boxes, in video files or among the images of the frame lists."""
    if not rows:
        raise ValueError(
            f"AVA: the lists hold no boxes for {split}; detected ones need a score of "
            f"AVA.DETECTION_SCORE_THRESH {cfg.AVA.DETECTION_SCORE_THRESH} (AVA.TEST_BOXES "
            "ground_truth needs none)"
        )
    data_folder, lists = cfg.DATA.PATH_TO_DATA_DIR, None
    if cfg.AVA.VIDEO_DIR:
        key, root = "AVA.VIDEO_DIR", cfg.AVA.VIDEO_DIR
    else:
        key, root = "AVA.FRAME_DIR", cfg.AVA.FRAME_DIR or os.path.join(data_folder, "frames")
        folder = cfg.AVA.FRAME_LIST_DIR or os.path.join(data_folder, "frame_lists")
        name = "TRAIN_LISTS" if split == "train" else "TEST_LISTS"
        lists = [find_file(f"AVA.{name}", folder, file) for file in cfg.AVA[name]]
    places = find_places(dict.fromkeys(row.video for row in rows), root, lists, fps=cfg.AVA.FPS)
    first_second = cfg.AVA.VIDEO_START_SECOND
    if first_second is None:
        first_second = find_first_second(rows, probe_lengths(places))
    records = key_frame_records(rows, places, first_second=first_second)
    check_files_exist(records, Path(root), hint=f"paths start from {key}")
    return records


def _warn_of_unseen(true_keys: Iterable[str], rows: Iterable[BoxRow], min_score: float) -> None:
    """Count key frames without any detected box: all of their actions are missed."""
    keys = set(true_keys)
    if unseen := sorted(keys - {row.key for row in rows}):
        logger.warning(
            "%d of %d key frames of the ground truth have no detected box with a score of %g or "
            "more, for example %s; their actions count as missed",
            len(unseen),
            len(keys),
            min_score,
            unseen[0],
        )


def build_ava(cfg: ConfigNode, split: str) -> Annotations:
    """Key frames with boxes; in "val" and "test" also the ground truth.

    A video that has boxes but no frames is unreadable, not an error.
    """
    ava, num_classes = cfg.AVA, cfg.MODEL.NUM_CLASSES
    folder = annotation_folder(ava.ANNOTATION_DIR, cfg.DATA.PATH_TO_DATA_DIR)
    path = find_file("AVA.LABEL_MAP_FILE", folder, ava.LABEL_MAP_FILE)
    classes = read_label_map(path, num_classes=num_classes)
    names = [classes.get(column, f"class {column + 1}") for column in range(num_classes)]
    read = partial(read_box_lists, folder=folder, num_classes=num_classes)
    is_training = split == "train"
    true_key = "TRAIN_GT_BOX_LISTS" if is_training else "GROUNDTRUTH_FILE"
    true_lists = ava.TRAIN_GT_BOX_LISTS if is_training else [ava.GROUNDTRUTH_FILE]
    true_rows = rows = read(f"AVA.{true_key}", true_lists)
    seconds = [row.number for row in true_rows]
    numbers = (min(seconds), max(seconds)) if seconds else None
    read_detected = partial(read, numbers=numbers, min_score=ava.DETECTION_SCORE_THRESH)
    if is_training:
        rows += read_detected("AVA.TRAIN_PREDICT_BOX_LISTS", ava.TRAIN_PREDICT_BOX_LISTS)
        return Annotations(build_key_frames(cfg, split, rows), names)
    excluded = frozenset()
    if ava.EXCLUSION_FILE and ava.METRIC != "activitynet":  # which excludes nothing
        excluded = read_exclusions(find_file("AVA.EXCLUSION_FILE", folder, ava.EXCLUSION_FILE))
    is_given = ava.TEST_BOXES == "predicted" and not finds_boxes(cfg.DETECTION)
    if is_given:
        rows = read_detected("AVA.TEST_PREDICT_BOX_LISTS", ava.TEST_PREDICT_BOX_LISTS)
    step = choose_step(true_rows, split, is_full=ava.FULL_TEST_ON_VAL)
    rows, truth = keep_evaluated(rows, true_rows, classes, step=step, excluded=excluded)
    if truth is None:
        raise ValueError(
            f"AVA.GROUNDTRUTH_FILE: {ava.GROUNDTRUTH_FILE!r} has no boxes for {split} in the "
            f"classes of AVA.LABEL_MAP_FILE {ava.LABEL_MAP_FILE!r}"
        )
    if is_given:
        _warn_of_unseen(truth.table.keys, rows, ava.DETECTION_SCORE_THRESH)
    return Annotations(build_key_frames(cfg, split, rows), names, truth=truth)
