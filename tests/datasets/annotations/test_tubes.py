import pickle
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from slowfast.config.defaults import get_cfg
from slowfast.datasets.annotations.tubes import (
    JHMDB,
    UCF101_24,
    build_jhmdb,
    build_ucf101_24,
    find_places,
)
from tests.helpers.annotation_files import build_annotations


def make_frames(folder, video, count=3, suffix=".jpg"):
    (folder / video).mkdir(parents=True)
    for number in range(1, count + 1):
        (folder / video / f"{number:05d}{suffix}").write_bytes(b"")


def make_video(folder, video):
    path = folder / video
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"")


@pytest.fixture
def jhmdb(tmp_path):
    """Text ground truth of one training and two test videos, and their frames."""
    (tmp_path / "groundtruths_jhmdb").mkdir()
    for name, label in (("clap_v", 3), ("clap_w", 3), ("climb_stairs_u", 4)):
        for frame in (1, 3):
            path = tmp_path / f"groundtruths_jhmdb/{name}_{frame:05d}.txt"
            path.write_text(f"{label} 32 24 160 120\n")
    (tmp_path / "splits").mkdir()
    (tmp_path / "splits/clap_test_split1.txt").write_text("v.avi 1\nw.avi 2\n")
    (tmp_path / "splits/climb_stairs_test_split1.txt").write_text("u.avi 2\n")
    for video in ("clap/v", "clap/w", "climb_stairs/u"):
        make_frames(tmp_path / "Frames", video, suffix=".png")
    return tmp_path


build = partial(
    build_annotations, build_jhmdb, num_classes=21, section="AVA", TEST_BOXES="ground_truth"
)


def keys(annotations):
    return [record.key.key for record in annotations.records]


def test_every_annotated_frame_is_a_key_frame(jhmdb):
    annotations = build(jhmdb, "train")
    first, last = annotations.records
    assert (first.key.key, last.key.key) == ("clap/v,0001", "clap/v,0003")
    assert (first.key.place, last.key.place, last.key.in_seconds) == (0, 2, False)
    assert first.key.labels == ((2,),) and annotations.class_names[2] == "clap"
    np.testing.assert_allclose(first.key.boxes, [[0.1, 0.1, 0.5, 0.5]], rtol=1e-6)
    assert first.frames.path(0) == str(jhmdb / "Frames/clap/v/00001.png")


def test_evaluation_takes_the_test_videos(jhmdb):
    annotations = build(jhmdb, "val")
    expected = ["clap/w,0001", "clap/w,0003", "climb_stairs/u,0001", "climb_stairs/u,0003"]
    assert keys(annotations) == expected == annotations.truth.table.keys.tolist()
    assert annotations.truth.table.labels.tolist() == [2, 2, 3, 3]
    assert len(annotations.truth.classes) == 21


def test_detected_boxes_are_taken_from_a_csv(jhmdb):
    (jhmdb / "annotations").mkdir()
    (jhmdb / "annotations/p.csv").write_text(
        "clap/w,2,0.1,0.2,0.3,0.4,,0.9\nclap/w,3,0.1,0.2,0.3,0.4,,0.1\nclap/v,1,0.1,0.2,0.3,0.4,,1\n"
    )
    annotations = build(jhmdb, "test", TEST_BOXES="predicted", TEST_PREDICT_BOX_LISTS=["p.csv"])
    assert keys(annotations) == ["clap/w,0002"] and len(annotations.truth.table) == 4


@pytest.mark.parametrize("folder", ["Frames", "."])
def test_flow_lies_where_the_frames_or_videos_did(jhmdb, tmp_path, folder):
    flow = tmp_path / "flow"
    for video in ("clap/v", "clap/w", "climb_stairs/u"):
        (flow / folder / video).mkdir(parents=True)
        for number in (1, 2):
            for axis in "xy":
                (flow / folder / video / f"flow_{axis}_{number:05d}.jpg").write_bytes(b"")
    cfg = get_cfg()
    cfg.merge_from_list(["DATA.MODALITY", "flow", "DATA.PATH_PREFIX", str(flow)])
    cfg.merge_from_list(["DATA.PATH_TO_DATA_DIR", str(jhmdb), "MODEL.NUM_CLASSES", 21])
    records = build_jhmdb(cfg, "train").records
    assert [record.is_flow for record in records] == [True, True]
    assert Path(records[0].path) == flow / folder / "clap/v" and records[1].key.place == 2


def test_found_boxes_need_no_list(jhmdb):
    cfg = get_cfg()
    cfg.merge_from_list(["DETECTION.ENABLE", True, "DETECTION.PROPOSALS", "rpn"])
    cfg.merge_from_list(["DATA.PATH_TO_DATA_DIR", str(jhmdb), "MODEL.NUM_CLASSES", 21])
    assert len(build_jhmdb(cfg, "test").records) == 4


def test_detected_boxes_of_other_videos_only_are_an_error(jhmdb):
    (jhmdb / "annotations").mkdir()
    (jhmdb / "annotations/p.csv").write_text("w,2,0.1,0.2,0.3,0.4,,0.9\n")
    with pytest.raises(ValueError, match="TEST_PREDICT_BOX_LISTS.*for example 'clap/w'"):
        build(jhmdb, "test", TEST_BOXES="predicted", TEST_PREDICT_BOX_LISTS=["p.csv"])


def test_detected_boxes_without_a_list_are_an_error(jhmdb):
    with pytest.raises(ValueError, match=r"TEST_PREDICT_BOX_LISTS: \[\] .*TEST_BOXES ground_truth"):
        build(jhmdb, "test", TEST_BOXES="predicted", TEST_PREDICT_BOX_LISTS=[])


def test_another_number_of_classes_is_an_error(jhmdb):
    with pytest.raises(ValueError, match="MODEL.NUM_CLASSES: 21 is not 24.*ucf101_24"):
        build_annotations(build_ucf101_24, jhmdb, num_classes=21)


def test_a_class_that_the_set_does_not_have_is_an_error(jhmdb):
    (jhmdb / "groundtruths_jhmdb/clap_v_00002.txt").write_text("22 32 24 160 120\n")
    with pytest.raises(ValueError, match="groundtruths_jhmdb: class 22 of clap/v is not within"):
        build(jhmdb, "train")


def test_a_folder_without_ground_truth_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="DATA.PATH_TO_DATA_DIR: .*no ground truth of jhmdb"):
        build(tmp_path, "train")


def test_a_folder_without_any_of_the_videos_is_an_error(jhmdb):
    (jhmdb / "Frames").rename(jhmdb / "elsewhere")
    with pytest.raises(
        ValueError, match="none of its videos exists.*rgb-images/clap/v.*DATA.PATH_PREFIX"
    ):
        build(jhmdb, "train")


def test_a_split_without_annotated_videos_is_an_error(jhmdb):
    (jhmdb / "splits/clap_test_split1.txt").write_text("other.avi 1\n")
    with pytest.raises(ValueError, match="no boxes in the videos of split 1"):
        build(jhmdb, "train")


def test_ground_truth_with_its_own_splits_comes_first(jhmdb):
    boxes = np.array([[2, 0, 0, 160, 120]], np.float32)
    content = {
        "gttubes": {"clap/v": {2: [boxes]}},
        "resolution": {"clap/v": (240, 320)},
        "train_videos": [["clap/v"]],
        "test_videos": [[]],
    }
    (jhmdb / "JHMDB-GT.pkl").write_bytes(pickle.dumps(content, protocol=2))
    assert keys(build(jhmdb, "train")) == ["clap/v,0002"]


def test_one_person_with_two_classes_is_one_box(jhmdb):
    (jhmdb / "groundtruths_jhmdb/clap_v_00001.txt").write_text("3 9 9 99 99\n5 9 9 99 99\n")
    assert build(jhmdb, "train").records[0].key.labels == ((2, 4),)


class TestPlaces:
    VIDEOS = ["Diving/v_Diving_g01_c01", "Fencing/v_Fencing_g01_c02"]

    @pytest.mark.parametrize("root", ["rgb-images", "Frames", "Rename_Images", "."])
    def test_frames_are_found_in_the_usual_folders(self, tmp_path, root):
        for video in self.VIDEOS:
            make_frames(tmp_path / root, video)
        places = find_places(self.VIDEOS, str(tmp_path), source="auto")
        assert [place.frames.count for place in places.values()] == [3, 3]

    @pytest.mark.parametrize(
        "root, suffix", [("videos", ".avi"), ("ReCompress_Videos", ".avi"), (".", ".mp4")]
    )
    def test_video_files_are_found_with_any_suffix(self, tmp_path, root, suffix):
        for video in self.VIDEOS:
            make_video(tmp_path / root, video + suffix)
        places = find_places(self.VIDEOS, str(tmp_path), source="auto")
        found = [place.path.replace("/./", "/") for place in places.values()]
        assert found == [str(tmp_path / root / video) + suffix for video in self.VIDEOS]

    def test_video_files_may_lie_together_without_their_classes(self, tmp_path):
        make_video(tmp_path, "v_Fencing_g01_c02.mp4")
        places = find_places(self.VIDEOS, str(tmp_path), source="auto")
        assert places[self.VIDEOS[1]].path == str(tmp_path / "v_Fencing_g01_c02.mp4")
        assert places[self.VIDEOS[0]].path == str(tmp_path / "v_Diving_g01_c01.avi")

    @pytest.mark.parametrize("source, has_frames", [("frames", True), ("videos", False)])
    def test_where_there_are_both_a_key_decides(self, tmp_path, source, has_frames):
        for video in self.VIDEOS:
            make_frames(tmp_path / "rgb-images", video)
            make_video(tmp_path / "videos", video + ".avi")
        places = find_places(self.VIDEOS, str(tmp_path), source=source)
        assert all((place.frames is not None) == has_frames for place in places.values())


@pytest.mark.parametrize("tubes, count", [(JHMDB, 21), (UCF101_24, 24)])
def test_classes_are_numbered_in_alphabetical_order(tubes, count):
    assert len(tubes.class_names) == count
    assert list(tubes.class_names) == sorted(tubes.class_names, key=str.casefold)
