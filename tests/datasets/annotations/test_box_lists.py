import logging
import pickle

import numpy as np
import pytest

from slowfast.datasets.annotations.box_lists import (
    BoxRow,
    box_table,
    group_by_image,
    image_key,
    keep_usable,
    read_box_lists,
    read_box_rows,
)

BOX = (0.1, 0.2, 0.3, 0.4)


def read(tmp_path, text, **options):
    path = tmp_path / "boxes.csv"
    path.write_bytes(text.encode())
    return list(read_box_rows(path, **{"num_classes": 80} | options))


class TestRead:
    def test_a_row_is_video_second_box_class_and_person(self, tmp_path):
        rows = read(tmp_path, "-5KQ66BBWC4,0902,0.1,0.2,0.3,0.4,80,1\n")
        assert rows == [BoxRow("-5KQ66BBWC4", 902, BOX, 79)]
        assert rows[0].key == "-5KQ66BBWC4,0902"

    @pytest.mark.parametrize(
        "text",
        [
            "v,0902,0.1,0.2,0.3,0.4,5,1\r\nv,0903,0.1,0.2,0.3,0.4,6,1\r\n",
            "v,0902,0.1,0.2,0.3,0.4,5,1\nv,0903,0.1,0.2,0.3,0.4,6,1",
            "\ufeffv,902,0.1,0.2,0.3,0.4,5,1\n\n\nv,903,0.1,0.2,0.3,0.4,6,1\n",
            '"v","0902","0.1",0.2,0.3,0.4,"5",1\nv,0903, 0.1 ,0.2,0.3,0.4, 6 ,1\n',
        ],
        ids=["crlf", "no final newline", "byte order mark and blank lines", "quotes and spaces"],
    )
    def test_files_may_be_written_in_many_ways(self, tmp_path, text):
        expected = [BoxRow("v", 902, BOX, 4), BoxRow("v", 903, BOX, 5)]
        assert read(tmp_path, text) == expected

    @pytest.mark.parametrize("label", ["", "-1", '""'])
    def test_a_class_may_be_missing(self, tmp_path, label):
        (row,) = read(tmp_path, f"v,0902,0.1,0.2,0.3,0.4,{label},0.9")
        assert row.label is None

    def test_rows_of_two_columns_are_images_without_boxes(self, tmp_path):
        assert read(tmp_path, "v,0902\nv,0903,0.1,0.2,0.3,0.4,1,0")[0].number == 903

    def test_detections_below_the_threshold_are_passed_over(self, tmp_path):
        text = "v,1,0.1,0.2,0.3,0.4,,0.79\nv,2,0.1,0.2,0.3,0.4,,0.8\nv,3,0.1,0.2,0.3,0.4,,0.81\n"
        assert [row.number for row in read(tmp_path, text, min_score=0.8)] == [2, 3]

    def test_detections_without_a_score_have_score_1(self, tmp_path):
        assert len(read(tmp_path, "v,1,0.1,0.2,0.3,0.4,\n", min_score=0.99)) == 1

    def test_the_person_of_ground_truth_is_no_score(self, tmp_path):
        assert len(read(tmp_path, "v,1,0.1,0.2,0.3,0.4,1,0\n")) == 1

    def test_seconds_may_be_decimal_and_whole_ones_keep_their_name(self, tmp_path):
        text = "".join(f"v,{second},0.1,0.2,0.3,0.4,1,1\n" for second in ("902.000", "3.50", "0"))
        assert [row.key for row in read(tmp_path, text)] == ["v,0902", "v,0003.5", "v,0000"]

    def test_seconds_that_differ_by_rounding_are_one_image(self, tmp_path):
        text = "v,1.1000000001,0.1,0.2,0.3,0.4,1,1\nv,1.1,0.1,0.2,0.3,0.4,2,1\n"
        assert len(group_by_image(read(tmp_path, text))) == 1

    def test_key_frames_sort_by_name_as_by_time(self):
        assert image_key("v", 9.5) < image_key("v", 10) < image_key("v", 10.25)

    @pytest.mark.parametrize(
        "line, fault",
        [
            ("v,action_id,0.1,0.2,0.3,0.4,1,1", "the second 'action_id' is not a number"),
            ("v,nan,0.1,0.2,0.3,0.4,1,1", "the second 'nan' is not a number"),
            ("v,inf,0.1,0.2,0.3,0.4,1,1", "the second 'inf' is not a number"),
            ("v,-1.5,0.1,0.2,0.3,0.4,1,1", "the second '-1.5' is below 0"),
            ("v,0903,nan,0.2,0.3,0.4,1,1", "the x1 'nan' is not a number"),
            ("v,0903,0.1,0.2,0.3,0.4,1.5,1", "the class '1.5' is not a whole number"),
            ("v,0903,0.1,0.2,0.3,0.4,81,1", r"class 81 is not within 1..80 \(MODEL.NUM_CLASSES 80"),
            ("v,0903,0.1,0.2,0.3,0.4,0,1", "class 0 is not within"),
            ("v,0903,0.1,0.2,0.3,0.4,walk,1", "walk"),
            ("v,second,0.1,0.2,0.3,0.4,1,1", "second"),
            ("v,0903,left,0.2,0.3,0.4,1,1", "left"),
            ("v,0903,0.1,0.2,0.3", "5 columns"),
            ("v 0903 0.1 0.2 0.3 0.4 1", "1 columns"),
        ],
    )
    def test_faults_name_file_and_line(self, tmp_path, line, fault):
        with pytest.raises(ValueError, match=f"boxes.csv:2: .*{fault}"):
            read(tmp_path, f"v,0902,0.1,0.2,0.3,0.4,1,1\n{line}\n")

    def test_a_score_that_is_no_number_names_file_and_line(self, tmp_path):
        with pytest.raises(ValueError, match="boxes.csv:1: .*high"):
            read(tmp_path, "v,0903,0.1,0.2,0.3,0.4,,high", min_score=0.5)

    def test_a_first_line_that_is_no_row_may_be_a_header(self, tmp_path):
        with pytest.raises(ValueError, match="boxes.csv:1: the class 'action_id' .*header"):
            read(tmp_path, "video_id,middle_frame_timestamp,x1,y1,x2,y2,action_id,person_id\n")


class TestPickle:
    """Boxes of a detector: {"video,second": array n,5}."""

    def read(self, tmp_path, content, protocol=2, **options):
        path = tmp_path / "proposals.pkl"
        path.write_bytes(pickle.dumps(content, protocol))
        return list(read_box_rows(path, num_classes=80, **options))

    @pytest.mark.parametrize("protocol", [2, 4, 5])
    @pytest.mark.parametrize("dtype", [np.float32, np.float64])
    def test_rows_are_boxes_without_class_above_the_threshold(self, tmp_path, protocol, dtype):
        boxes = np.array([[*BOX, 0.95], [*BOX, 0.5]], dtype)
        (row,) = self.read(tmp_path, {"a,b,0903": boxes}, protocol, min_score=0.9)
        assert (row.video, row.number, row.label) == ("a,b", 903, None)
        assert row.box == pytest.approx(BOX, abs=1e-6)

    def test_boxes_without_scores_and_images_without_boxes_are_taken(self, tmp_path):
        content = {"v,0903": np.array([BOX]), "v,0904": np.zeros((0, 5)), "v,0905": []}
        assert [row.key for row in self.read(tmp_path, content, min_score=0.9)] == ["v,0903"]

    @pytest.mark.parametrize(
        "content",
        [[1, 2], {"v,0903": np.zeros((1, 3))}, {"v": np.zeros((1, 5))}, {"v,x": [BOX]}],
        ids=["a list", "three columns", "no second", "a second that is no number"],
    )
    def test_another_content_is_refused_with_what_is_wanted(self, tmp_path, content):
        with pytest.raises(ValueError, match="proposals.pkl: is not a pickle of boxes, {'video,"):
            self.read(tmp_path, content)

    def test_code_in_a_pickle_does_not_run(self, tmp_path):
        class Code:
            def __reduce__(self):
                return (print, ("ran",))

        with pytest.raises(ValueError, match="is not a pickle of boxes.*print"):
            self.read(tmp_path, {"v,0903": Code()})

    def test_a_damaged_pickle_is_refused(self, tmp_path):
        path = tmp_path / "proposals.pkl"
        path.write_bytes(pickle.dumps({"v,0903": np.zeros((9, 5))})[:-40])
        with pytest.raises(ValueError, match="is not a pickle of boxes"):
            list(read_box_rows(path, num_classes=80))

    def test_other_binary_files_are_refused_without_showing_them(self, tmp_path):
        path = tmp_path / "boxes.npz"
        np.savez(path, boxes=np.zeros((3, 5)))
        with pytest.raises(ValueError, match=r"boxes.npz: is no text; boxes are read from a csv"):
            list(read_box_rows(path, num_classes=80))


class TestDetectedLists:
    def read(self, tmp_path, text):
        (tmp_path / "p.csv").write_text(text)
        return read_box_lists(
            "AVA.TEST_PREDICT_BOX_LISTS", ["p.csv"], tmp_path, num_classes=80, min_score=0.9
        )

    def test_an_empty_list_is_named(self, tmp_path, caplog):
        assert not self.read(tmp_path, "v,0902\n")
        assert "p.csv: holds no boxes at all" in caplog.text

    def test_a_list_of_low_scores_is_named_with_its_highest(self, tmp_path, caplog):
        assert not self.read(tmp_path, "v,1,0.1,0.2,0.3,0.4,,0.79\nv,2,0.1,0.2,0.3,0.4,,0.8\n")
        assert "none of its 2 boxes is used; the highest score is 0.8, AVA.DETECTION" in caplog.text


class TestKeepUsable:
    def kept(self, *rows, numbers=None):
        return keep_usable([BoxRow("v", *row, 0) for row in rows], "list.csv", numbers=numbers)

    def test_images_outside_the_range_are_left_out_and_counted(self, caplog):
        kept = self.kept((900, BOX), (901, BOX), (902, BOX), (1799, BOX), numbers=(902, 1798))
        assert [row.number for row in kept] == [902]
        assert [record.message for record in caplog.records] == [
            "list.csv: 3 boxes lie outside 902..1798, the ground truth, and are left out, "
            "for example v,0900,0.1,0.2,0.3,0.4"
        ]

    @pytest.mark.parametrize(
        "box",
        [
            (0.5, 0.1, 0.5, 0.9),
            (0.6, 0.1, 0.5, 0.9),
            (0.1, 0.9, 0.5, 0.9),
            (1.1, 0.1, 1.5, 0.9),
            (0.1, -0.9, 0.5, 0),
            (float("nan"), 0.1, 0.5, 0.9),
            (0.1, 0.1, float("nan"), 0.9),
        ],
    )
    def test_boxes_without_area_in_the_frame_are_left_out_and_counted(self, caplog, box):
        assert len(self.kept((1, box), (2, BOX))) == 1
        assert "list.csv: 1 boxes have no area inside the frame" in caplog.text

    def test_boxes_that_reach_outside_are_kept_as_written_and_counted(self, caplog):
        box = (-0.1, 0.2, 0.5, 1.01)
        (row,) = self.kept((1, box))
        assert row.box == box and "1 boxes reach outside the frame and are clipped" in caplog.text

    def test_boxes_in_pixels_are_an_error_that_says_so(self):
        with pytest.raises(ValueError, match="list.csv: 2 boxes are in pixels.*divide x by its"):
            self.kept((1, (0, 20, 300, 200)), (2, (320, 20, 400, 200)), (3, BOX))

    def test_a_single_box_far_outside_is_no_set_in_pixels(self, caplog):
        assert len(self.kept((1, (0, 0, 3, 1)), (2, BOX))) == 2
        assert "1 boxes reach outside" in caplog.text

    def test_good_boxes_are_passed_over_in_silence(self, caplog):
        caplog.set_level(logging.INFO)
        assert len(self.kept((1, BOX), (2, (0, 0, 1, 1)))) == 2 and not caplog.records


class TestGroup:
    def test_one_box_with_several_classes_is_one_box(self):
        rows = [BoxRow("v", 902, BOX, 5), BoxRow("v", 902, BOX, 2)]
        images = group_by_image(rows)
        assert images["v", 902].labels == ((5, 2),)
        np.testing.assert_allclose(images["v", 902].boxes, [BOX], rtol=1e-6)

    def test_a_repeated_row_counts_once(self):
        rows = [BoxRow("v", 902, BOX, 5), BoxRow("v", 902, BOX, 5)]
        assert group_by_image(rows)["v", 902].labels == ((5,),)

    def test_a_box_without_class_has_none_unless_another_row_has(self):
        other = (0.5, 0.5, 0.9, 0.9)
        rows = [BoxRow("v", 1, BOX, None), BoxRow("v", 1, BOX, 3), BoxRow("v", 1, other, None)]
        assert group_by_image(rows)["v", 1].labels == ((3,), ())

    def test_images_and_boxes_keep_the_order_of_the_rows(self):
        rows = [BoxRow("b", 2, BOX, 0), BoxRow("a", 1, BOX, 0), BoxRow("b", 2, (0, 0, 1, 1), 1)]
        images = group_by_image(rows)
        assert list(images) == [("b", 2), ("a", 1)]
        assert images["b", 2].labels == ((0,), (1,))


class TestTable:
    def test_rows_with_a_class_become_a_table(self):
        rows = [BoxRow("v", 902, BOX, 5), BoxRow("v", 903, BOX, None), BoxRow("w", 9, BOX, 0)]
        table = box_table(rows)
        assert table.keys.tolist() == ["v,0902", "w,0009"] and table.labels.tolist() == [5, 0]
        assert table.boxes.dtype == np.float64 and table.boxes.tolist() == [list(BOX)] * 2

    def test_repeated_rows_are_counted_as_published_scorers_do(self):
        assert len(box_table([BoxRow("v", 1, BOX, 5)] * 2)) == 2

    def test_no_rows_make_an_empty_table(self):
        assert box_table([]).boxes.shape == (0, 4)
