import logging

import numpy as np
import pytest

from slowfast.datasets.annotations.box_csv import (
    BoxRow,
    box_table,
    group_by_image,
    keep_usable,
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

    @pytest.mark.parametrize(
        "line, fault",
        [
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


class TestKeepUsable:
    def kept(self, *rows, numbers=None):
        return keep_usable([BoxRow("v", *row, 0) for row in rows], "list.csv", numbers=numbers)

    def test_images_outside_the_range_are_left_out_and_counted(self, caplog):
        kept = self.kept((900, BOX), (901, BOX), (902, BOX), (1799, BOX), numbers=range(902, 1799))
        assert [row.number for row in kept] == [902]
        assert [record.message for record in caplog.records] == [
            "list.csv: 3 boxes lie outside 902..1798 and are left out, for example "
            "v,0900,0.1,0.2,0.3,0.4"
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
