from functools import partial

import numpy as np
import pytest

from slowfast.datasets.annotations.ava import build_ava, read_exclusions
from slowfast.datasets.decoding.open import open_frames
from slowfast.datasets.decoding.video import UnreadableVideo
from slowfast.datasets.synthetic import write_video
from tests.helpers.annotation_files import build_annotations

TRAIN, VAL, PREDICTED = "ava_train_v2.2.csv", "ava_val_v2.2.csv", "ava_val_predicted_boxes.csv"
LABEL_MAP = "ava_action_list_v2.2_for_activitynet_2019.pbtxt"
EXCLUDED = "ava_val_excluded_timestamps_v2.2.csv"
BOX, OTHER = "0.1,0.2,0.3,0.4", "0.5,0.5,0.9,0.9"


def write_lists(folder, videos):
    header = "original_vido_id video_id frame_id path labels\n"
    rows = [
        f'{video} {number} {frame} {video}/{video}_{frame + 1:06d}.jpg ""\n'
        for number, video in enumerate(videos)
        for frame in range(100)
    ]
    for name in ("train.csv", "val.csv"):
        (folder / "frame_lists" / name).write_text(header + "".join(rows))


@pytest.fixture
def folder(tmp_path):
    """Two videos of 100 listed frames, "-a" and "b", of which only the first image exists."""
    for name in ("frames/-a", "frames/b", "frame_lists", "annotations"):
        (tmp_path / name).mkdir(parents=True)
    write_lists(tmp_path, ["-a", "b"])
    for video in ("-a", "b"):
        (tmp_path / f"frames/{video}/{video}_000001.jpg").write_bytes(b"")
    write(
        tmp_path, LABEL_MAP, 'label { name: "sit" label_id: 1 } label { name: "run" label_id: 3 }'
    )
    write(tmp_path, EXCLUDED, "b,0904\n")
    write(tmp_path, TRAIN, f"-a,0902,{BOX},1,0\n-a,0902,{BOX},3,0\n-a,0903,{BOX},2,0\n")
    write(tmp_path, VAL, f"-a,0904,{BOX},1,0\n-a,0904,{BOX},2,0\nb,0905,{OTHER},3,0\n")
    write(tmp_path, PREDICTED, f"-a,0904,{OTHER},,0.95\nb,0905,{OTHER},,0.9\nb,0905,{BOX},,0.5\n")
    return tmp_path


def write(folder, name, text):
    (folder / "annotations" / name).write_bytes(text.encode())


build = partial(build_annotations, build_ava, num_classes=4, section="AVA")


def keys(annotations):
    return [record.key.key for record in annotations.records]


class TestTrain:
    def test_each_second_with_boxes_is_a_record(self, folder):
        first, second = build(folder, "train").records
        assert (first.key.key, second.key.key) == ("-a,0902", "-a,0903")
        assert first.key.labels == ((0, 2),) and second.key.labels == ((1,),)
        np.testing.assert_allclose(first.key.boxes, [[0.1, 0.2, 0.3, 0.4]], rtol=1e-6)

    def test_key_frames_are_counted_30_a_second_from_second_900(self, folder):
        first, second = build(folder, "train").records
        assert (first.key.place, second.key.place, first.key.in_seconds) == (60, 90, False)
        assert first.frames.path(0) == str(folder / "frames/-a/-a_000001.jpg")
        assert len(first.frames) == 100

    def test_classes_are_named_by_the_label_map_and_by_number_where_it_has_none(self, folder):
        assert build(folder, "train").class_names == ["sit", "class 2", "run", "class 4"]

    def test_predicted_boxes_join_the_ground_truth(self, folder):
        write(folder, "p.csv", f"-a,0902,{BOX},4,0.95\n-a,0902,{OTHER},,0.95\n-a,0902,{OTHER},,0.1")
        first, _ = build(folder, "train", TRAIN_PREDICT_BOX_LISTS=["p.csv"]).records
        assert first.key.labels == ((0, 2, 3), ())

    def test_several_lists_are_read_in_order(self, folder):
        write(folder, "more.csv", f"b,0950,{BOX},1,0\n")
        annotations = build(folder, "train", TRAIN_GT_BOX_LISTS=["more.csv", TRAIN])
        assert keys(annotations) == ["b,0950", "-a,0902", "-a,0903"]

    def test_several_frame_lists_are_joined(self, folder):
        header, *rows = (folder / "frame_lists/train.csv").read_text().splitlines()
        for name, part in (("a.csv", rows[:100]), ("b.csv", rows[100:])):
            (folder / "frame_lists" / name).write_text("\n".join([header, *part]))
        write(folder, TRAIN, f"-a,0902,{BOX},1,0\nb,0902,{BOX},1,0\n")
        annotations = build(folder, "train", TRAIN_LISTS=["a.csv", "b.csv"])
        assert [len(record.frames) for record in annotations.records] == [100, 100]

    def test_a_video_without_frame_list_is_named_when_it_is_read(self, folder):
        write(folder, TRAIN, f"-a,0902,{BOX},1,0\nlost,0902,{BOX},1,0\n")
        lost = build(folder, "train").records[1]
        assert lost.path == str(folder / "frames/lost")
        with pytest.raises(UnreadableVideo, match="NoFrames"), open_frames(lost) as video:
            video.read([0])

    def test_frames_without_boxes_are_no_records(self, folder):
        write(folder, TRAIN, f"-a,0902\n-a,0903,{BOX},1,0\n")
        assert keys(build(folder, "train")) == ["-a,0903"]

    def test_all_seconds_of_the_ground_truth_are_taken(self, folder, caplog):
        write(folder, TRAIN, f"-a,0000,{BOX},1,0\n-a,1,{BOX},1,0\n-a,2.50,{BOX},1,0\n")
        records = build(folder, "train").records
        assert [record.key.key for record in records] == ["-a,0000", "-a,0001", "-a,0002.5"]
        assert [record.key.place for record in records] == [0, 30, 75]

    def test_predicted_boxes_outside_the_seconds_of_the_ground_truth_are_left_out(
        self, folder, caplog
    ):
        write(folder, "p.csv", f"-a,0901,{BOX},,1\n-a,0902,{OTHER},,1\n-a,0904,{BOX},,1\n")
        annotations = build(folder, "train", TRAIN_PREDICT_BOX_LISTS=["p.csv"])
        assert keys(annotations) == ["-a,0902", "-a,0903"]
        assert "2 boxes lie outside 902..903, the ground truth" in caplog.text

    def test_images_of_another_rate(self, folder):
        first, _ = build(folder, "train", FPS=25.0).records
        assert first.key.place == 50 and first.frames.fps == 25.0

    def test_key_frames_outside_of_the_images_are_counted(self, folder, caplog):
        write(folder, TRAIN, f"-a,0902,{BOX},1,0\n-a,0906,{BOX},1,0\n")
        build(folder, "train")
        assert (
            "1 of 2 key frames lie outside of the images, for example -a,0906, image 181 of 100"
            in (caplog.text)
        )


class TestVideoFiles:
    def test_key_frames_are_seconds_of_files_that_begin_at_second_900(self, folder):
        (folder / "videos").mkdir()
        (folder / "videos/-a.mkv").write_bytes(b"")
        record, _ = build(folder, "train", VIDEO_DIR=str(folder / "videos")).records
        assert (record.path, record.frames) == (str(folder / "videos/-a.mkv"), None)
        assert (record.key.place, record.key.in_seconds) == (2, True)

    def test_whole_movies_begin_at_second_0(self, folder):
        (folder / "-a.mp4").write_bytes(b"")
        record, _ = build(folder, "train", VIDEO_DIR=str(folder), VIDEO_START_SECOND=0).records
        assert record.key.place == 902

    def test_ids_may_have_the_suffix_of_the_file(self, folder):
        (folder / "-a.mp4").write_bytes(b"")
        write(folder, TRAIN, f"-a.mp4,0902,{BOX},1,0\n")
        (record,) = build(folder, "train", VIDEO_DIR=str(folder)).records
        assert record.path == str(folder / "-a.mp4")

    @pytest.mark.parametrize(
        "seconds, place",
        [((0, 1.5), 0), ((1, 3), 1), ((902, 903), 2), ((5, 9), 5)],
        ids=["own clip", "own clip from 1", "cut quarter of an hour", "file that is too short"],
    )
    def test_the_start_is_found_by_the_length_of_the_files(self, folder, seconds, place):
        write_video(folder / "-a.mp4", np.zeros((32, 16, 16, 3), np.uint8), fps=8)  # 4 seconds
        write(folder, TRAIN, "".join(f"-a,{second},{BOX},1,0\n" for second in seconds))
        record, _ = build(folder, "train", VIDEO_DIR=str(folder)).records
        assert record.key.place == place

    def test_a_given_start_is_not_looked_for(self, folder):
        write_video(folder / "-a.mp4", np.zeros((32, 16, 16, 3), np.uint8), fps=8)
        write(folder, TRAIN, f"-a,3,{BOX},1,0\n")
        (record,) = build(folder, "train", VIDEO_DIR=str(folder), VIDEO_START_SECOND=2.5).records
        assert record.key.place == 0.5

    def test_a_folder_without_any_of_the_videos_is_an_error(self, folder):
        with pytest.raises(ValueError, match="none of its videos exists.*AVA.VIDEO_DIR"):
            build(folder, "train", VIDEO_DIR=str(folder / "videos"))


class TestEvaluation:
    def test_testing_takes_detected_boxes_above_the_threshold(self, folder):
        annotations = build(folder, "test")
        assert keys(annotations) == ["-a,0904", "b,0905"]
        assert [len(record.key.boxes) for record in annotations.records] == [1, 1]
        assert annotations.records[0].key.labels == ((),)

    def test_testing_can_take_the_boxes_of_the_ground_truth(self, folder):
        annotations = build(folder, "test", TEST_BOXES="ground_truth")
        assert annotations.records[0].key.labels == ((0, 1),)

    def test_validation_takes_seconds_that_4_divides(self, folder):
        annotations = build(folder, "val")
        assert keys(annotations) == ["-a,0904"]
        assert annotations.truth.table.keys.tolist() == ["-a,0904"]

    def test_decimal_seconds_are_tested_like_whole_ones(self, folder):
        seconds = ("0902.5", "0904", "0904.033", "0905.25")
        write(folder, VAL, "".join(f"-a,{second},{BOX},1,0\n" for second in seconds))
        tested = build(folder, "test", TEST_BOXES="ground_truth")
        assert keys(tested) == [f"-a,{second}" for second in seconds]
        assert tested.truth.table.keys.tolist() == keys(tested)
        assert keys(build(folder, "val", TEST_BOXES="ground_truth")) == ["-a,0904", "-a,0904.033"]

    def test_validation_can_take_all_seconds(self, folder):
        annotations = build(folder, "val", FULL_TEST_ON_VAL=True)
        assert keys(annotations) == ["-a,0904", "b,0905"] and len(annotations.truth.table) == 2

    def test_the_metric_is_over_the_classes_of_the_label_map(self, folder):
        truth = build(folder, "test").truth
        assert truth.classes == {0: "sit", 2: "run"}
        assert truth.table.labels.tolist() == [0, 2]
        assert (truth.metric, truth.label_offset) == ("ava", 1)

    def test_excluded_frames_are_neither_shown_nor_judged(self, folder):
        write(folder, EXCLUDED, "b,905\r\n")
        annotations = build(folder, "test")
        assert keys(annotations) == ["-a,0904"] and annotations.truth.excluded == {"b,0905"}

    def test_activitynet_excludes_nothing(self, folder):
        write(folder, EXCLUDED, "b,905\n")
        annotations = build(folder, "test", METRIC="activitynet")
        assert keys(annotations) == ["-a,0904", "b,0905"] and not annotations.truth.excluded

    def test_exclusions_can_be_left_away(self, folder):
        assert build(folder, "test", EXCLUSION_FILE="").truth.excluded == frozenset()

    def test_boxes_outside_the_frame_stay_as_written_in_the_ground_truth(self, folder):
        write(folder, VAL, "-a,0904,-0.1,0.2,0.3,1.2,1,0\n-a,0904,0.3,0.2,0.3,0.4,1,0\n")
        annotations = build(folder, "test", TEST_BOXES="ground_truth")
        assert annotations.truth.table.boxes.tolist() == [[-0.1, 0.2, 0.3, 1.2]]

    def test_validation_without_a_fourth_second_takes_all_and_says_so(self, folder, caplog):
        write(folder, VAL, f"b,0905,{OTHER},3,0\n")
        assert keys(build(folder, "val")) == ["b,0905"]
        assert "validation takes all of them, as with AVA.FULL_TEST_ON_VAL" in caplog.text

    def test_ground_truth_outside_the_label_map_is_an_error(self, folder):
        write(folder, VAL, f"b,0905,{OTHER},2,0\n")
        with pytest.raises(ValueError, match="AVA.GROUNDTRUTH_FILE.*AVA.LABEL_MAP_FILE"):
            build(folder, "test")

    def test_key_frames_without_detected_boxes_are_counted(self, folder, caplog):
        write(folder, PREDICTED, f"-a,0904,{OTHER},,0.95\n")
        build(folder, "test")
        assert "1 of 2 key frames of the ground truth have no detected box" in caplog.text
        assert "for example b,0905" in caplog.text

    def test_a_threshold_that_no_box_reaches_is_an_error(self, folder):
        with pytest.raises(ValueError, match="AVA.DETECTION_SCORE_THRESH 0.99"):
            build(folder, "test", DETECTION_SCORE_THRESH=0.99)


class TestMissing:
    @pytest.mark.parametrize(
        "split, key",
        [
            ("train", "TRAIN_GT_BOX_LISTS"),
            ("train", "TRAIN_PREDICT_BOX_LISTS"),
            ("train", "TRAIN_LISTS"),
            ("test", "TEST_PREDICT_BOX_LISTS"),
            ("test", "TEST_LISTS"),
            ("test", "GROUNDTRUTH_FILE"),
            ("test", "LABEL_MAP_FILE"),
            ("test", "EXCLUSION_FILE"),
        ],
    )
    def test_files_are_named_with_their_key(self, folder, split, key):
        value = ["lost.csv"] if key.endswith("LISTS") else "lost.csv"
        with pytest.raises(ValueError, match=f"AVA.{key}: .* holds no lost.csv"):
            build(folder, split, **{key: value})

    def test_a_wrong_frame_folder_is_an_error(self, folder):
        with pytest.raises(ValueError, match="none of its videos exists.*AVA.FRAME_DIR"):
            build(folder, "train", FRAME_DIR=str(folder / "annotations"))


class TestExclusions:
    @pytest.mark.parametrize("text", ["-a,0903\r\n\r\nb,905", '\ufeff"-a","0903"\nb,0905\n'])
    def test_rows_are_video_and_second(self, tmp_path, text):
        path = tmp_path / "excluded.csv"
        path.write_bytes(text.encode())
        assert read_exclusions(path) == {"-a,0903", "b,0905"}

    @pytest.mark.parametrize("line", ["-a", "-a,now", "-a,0903,1"])
    def test_faults_name_file_and_line(self, tmp_path, line):
        path = tmp_path / "excluded.csv"
        path.write_text(f"b,0905\n{line}\n")
        with pytest.raises(ValueError, match=r"excluded.csv:2: .* is not `video,second`"):
            read_exclusions(path)
