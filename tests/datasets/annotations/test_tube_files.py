import pickle

import numpy as np
import pytest
from scipy.io import savemat

from slowfast.datasets.annotations.tube_files import (
    read_masks,
    read_mat,
    read_pickle,
    read_split,
    read_texts,
)

SIZE = (320, 240)
NAMES = ["clap", "climb", "climb_stairs"]


def pixels(row, size=SIZE):
    return [round(side * scale, 6) for side, scale in zip(row.box, (*size, *size), strict=True)]


def structs(*rows: dict) -> np.ndarray:
    """A 1xN array of structs, as MATLAB saves it."""
    names = list(rows[0])
    array = np.empty((1, len(rows)), dtype=[(name, object) for name in names])
    for place, row in enumerate(rows):
        array[0, place] = tuple(row[name] for name in names)
    return array


def tube(first, boxes, label, dtype=np.uint8):
    boxes = np.array(boxes, dtype)
    return {"sf": first, "ef": first + len(boxes) - 1, "class": label, "boxes": boxes}


def save_annots(path, *videos):
    rows = [{"num_imgs": 9, "name": name, "tubes": structs(*tubes)} for name, *tubes in videos]
    savemat(path, {"annot": structs(*rows)})
    return path


class TestMat:
    def test_corner_and_size_become_corners_and_frames_count_on(self, tmp_path):
        path = save_annots(
            tmp_path / "a.mat", ["clap/v", tube(3, [[10, 20, 30, 40], [11, 21, 30, 40]], 2)]
        )
        first, second = read_mat(path, {"clap/v"}, SIZE)
        assert (first.video, first.number, first.label) == ("clap/v", 3, 1)
        assert pixels(first) == [10, 20, 40, 60] and second.number == 4

    @pytest.mark.parametrize(
        "dtype, box", [(np.uint8, [200, 100, 100, 130]), (np.uint16, [1, 1, 65535, 65535])]
    )
    def test_small_integers_do_not_overflow(self, tmp_path, dtype, box):
        path = save_annots(tmp_path / "a.mat", ["clap/v", tube(1, [box], 1, dtype)])
        (row,) = read_mat(path, {"clap/v"}, SIZE)
        assert pixels(row) == [box[0], box[1], box[0] + box[2], box[1] + box[3]]

    def test_only_the_wanted_videos_with_all_their_tubes_are_read(self, tmp_path):
        path = save_annots(
            tmp_path / "a.mat",
            ["clap/v", tube(1, [[1, 1, 9, 9]], 1), tube(5, [[2, 2, 9, 9]], 3)],
            ["clap/w", tube(1, [[1, 1, 9, 9]], 1)],
        )
        rows = list(read_mat(path, {"clap/v"}, SIZE))
        assert [(row.video, row.number, row.label) for row in rows] == [
            ("clap/v", 1, 0),
            ("clap/v", 5, 2),
        ]

    def test_a_video_may_have_no_tubes(self, tmp_path):
        path = tmp_path / "a.mat"
        savemat(path, {"annot": structs({"num_imgs": 9, "name": "clap/v", "tubes": []})})
        assert list(read_mat(path, {"clap/v"}, SIZE)) == []

    def test_hdf5_files_of_new_matlab_are_told_apart(self, tmp_path):
        path = tmp_path / "a.mat"
        head = b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM"
        path.write_bytes(head.ljust(512, b"\x00") + b"\x89HDF\r\n\x1a\n" + bytes(64))
        with pytest.raises(ValueError, match=r"a.mat: a file of MATLAB 7.3 \(HDF5\)"):
            list(read_mat(path, {"clap/v"}, SIZE))

    @pytest.mark.parametrize("content", [b"", b"<html>not found</html>" * 20, None])
    def test_other_files_are_named(self, tmp_path, content):
        path = save_annots(tmp_path / "a.mat", ["clap/v", tube(1, [[1, 1, 9, 9]], 1)])
        path.write_bytes(path.read_bytes()[:300] if content is None else content)
        with pytest.raises(ValueError, match="a.mat: "):
            list(read_mat(path, {"clap/v"}, SIZE))

    def test_files_of_something_else_are_named(self, tmp_path):
        savemat(tmp_path / "a.mat", {"joints": np.zeros(3)})
        with pytest.raises(ValueError, match="a.mat: there is no 'annot'"):
            list(read_mat(tmp_path / "a.mat", {"clap/v"}, SIZE))


def save_pickle(path, **changes):
    boxes = np.array([[1, 10, 20, 40, 60], [2, 11, 21, 41, 61]], np.float32)
    content = {
        "labels": NAMES,
        "gttubes": {"clap/v": {0: [boxes]}, "climb/w": {1: [boxes[:1]]}},
        "nframes": {"clap/v": 2, "climb/w": 2},
        "train_videos": [["clap/v"], ["climb/w"]],
        "test_videos": [["climb/w"], ["clap/v"]],
        "resolution": {"clap/v": (120, 160), "climb/w": (240, 320)},
    }
    path.write_bytes(pickle.dumps(content | changes, protocol=2))
    return path


class TestPickle:
    def test_boxes_are_shares_of_the_resolution_of_the_video(self, tmp_path):
        path = save_pickle(tmp_path / "gt.pkl")
        first, second = read_pickle(path, split_number=1, is_train=True)
        assert (first.video, first.number, first.label) == ("clap/v", 1, 0)
        assert pixels(first, (160, 120)) == [10, 20, 40, 60] and second.number == 2

    @pytest.mark.parametrize(
        "split_number, is_train, video",
        [(1, True, "clap/v"), (1, False, "climb/w"), (2, True, "climb/w"), (2, False, "clap/v")],
    )
    def test_splits_are_in_the_file(self, tmp_path, split_number, is_train, video):
        path = save_pickle(tmp_path / "gt.pkl")
        rows = read_pickle(path, split_number=split_number, is_train=is_train)
        assert {row.video for row in rows} == {video}

    def test_a_split_that_it_does_not_have_is_an_error(self, tmp_path):
        path = save_pickle(tmp_path / "gt.pkl")
        with pytest.raises(ValueError, match="DATA.SPLIT_NUMBER: 3 is not within 1..2"):
            list(read_pickle(path, split_number=3, is_train=True))

    def test_no_code_is_run(self, tmp_path):
        class Evil:
            def __reduce__(self):
                return (tmp_path.joinpath("ran").touch, ())

        path = save_pickle(tmp_path / "gt.pkl", labels=Evil())
        with pytest.raises(ValueError, match="gt.pkl: UnpicklingError"):
            list(read_pickle(path, split_number=1, is_train=True))
        assert not (tmp_path / "ran").exists()

    def test_files_of_something_else_are_named(self, tmp_path):
        (tmp_path / "gt.pkl").write_bytes(pickle.dumps([1, 2]))
        with pytest.raises(ValueError, match="gt.pkl: TypeError.*not ground truth"):
            list(read_pickle(tmp_path / "gt.pkl", split_number=1, is_train=True))


class TestTexts:
    def read(self, folder, videos=("climb_stairs/a_b",)):
        return list(read_texts(folder, set(videos), NAMES, SIZE))

    def test_flat_names_hold_class_video_and_frame(self, tmp_path):
        (tmp_path / "climb_stairs_a_b_00038.txt").write_text("3 113 11 230 240\r\n")
        (row,) = self.read(tmp_path)
        assert (row.video, row.number, row.label) == ("climb_stairs/a_b", 38, 2)
        assert pixels(row) == [113, 11, 230, 240]

    def test_folders_hold_class_and_video(self, tmp_path):
        (tmp_path / "climb_stairs/a_b").mkdir(parents=True)
        (tmp_path / "climb_stairs/a_b/00007.txt").write_text("3 1 2 3 4\n3 5 6 7 8")
        assert [(row.number, pixels(row)[0]) for row in self.read(tmp_path)] == [(7, 1), (7, 5)]

    def test_other_videos_are_not_even_opened(self, tmp_path):
        (tmp_path / "clap_v_00001.txt").write_text("damaged")
        assert self.read(tmp_path) == []

    def test_an_empty_file_is_a_frame_without_boxes(self, tmp_path):
        (tmp_path / "climb_stairs_a_b_00001.txt").write_text("")
        assert self.read(tmp_path) == []

    @pytest.mark.parametrize("line", ["3 1 2 3", "clap 1 2 3 4", "3 1 2 3 4 5"])
    def test_faults_name_file_and_line(self, tmp_path, line):
        (tmp_path / "climb_stairs_a_b_00001.txt").write_text(f"3 1 2 3 4\n{line}\n")
        with pytest.raises(ValueError, match="a_b_00001.txt:2: .* is not `class x1 y1 x2 y2`"):
            self.read(tmp_path)

    def test_a_name_without_a_frame_is_named(self, tmp_path):
        (tmp_path / "climb_stairs_a_b_last.txt").write_text("3 1 2 3 4\n")
        with pytest.raises(ValueError, match="a_b_last.txt: 'last' is not the number of a frame"):
            self.read(tmp_path)


class TestMasks:
    def test_an_unknown_class_is_named(self, tmp_path):
        (tmp_path / "fly/v").mkdir(parents=True)
        savemat(tmp_path / "fly/v/puppet_mask.mat", {"part_mask": np.ones((24, 32), np.uint8)})
        with pytest.raises(ValueError, match="fly/v/puppet_mask.mat: 'fly' is not one of .*'clap'"):
            list(read_masks(tmp_path, {"fly/v"}, NAMES))

    def test_a_box_lies_around_each_mask(self, tmp_path):
        masks = np.zeros((24, 32, 3), np.uint8)
        masks[5:10, 8:20, 0] = 1
        masks[23, 31, 2] = 1  # nothing in frame 2
        (tmp_path / "climb/v").mkdir(parents=True)
        savemat(tmp_path / "climb/v/puppet_mask.mat", {"part_mask": masks})
        first, last = read_masks(tmp_path, {"climb/v", "clap/lost"}, NAMES)
        assert (first.number, first.label) == (1, 1) and last.number == 3
        assert pixels(first, (32, 24)) == [8, 5, 20, 10]
        assert pixels(last, (32, 24)) == [31, 23, 32, 24]

    def test_a_single_frame_has_a_box_too(self, tmp_path):
        (tmp_path / "clap/v").mkdir(parents=True)
        savemat(tmp_path / "clap/v/puppet_mask.mat", {"part_mask": np.ones((24, 32), np.uint8)})
        (row,) = read_masks(tmp_path, {"clap/v"}, NAMES)
        assert row.box == (0, 0, 1, 1)


class TestSplit:
    def test_lists_of_ucf101_hold_paths_with_or_without_a_class(self, tmp_path):
        (tmp_path / "trainlist02.txt").write_bytes(
            b"clap/v_a.avi 1\r\nclap/v.b\r\n\r\nclap/c.mp4 22"
        )
        videos = read_split(tmp_path, split_number=2, is_train=True)
        assert videos == {"clap/v_a", "clap/v.b", "clap/c"}

    def test_lists_may_lie_in_the_usual_folders(self, tmp_path):
        (tmp_path / "splitfiles").mkdir()
        (tmp_path / "splitfiles/testlist01.txt").write_text("clap/v\n")
        assert read_split(tmp_path, split_number=1, is_train=False) == {"clap/v"}

    def test_lists_of_yowo_hold_frames(self, tmp_path):
        (tmp_path / "testlist.txt").write_text(
            "labels/clap/v_1/00001.txt\nlabels/clap/v_1/00002.txt\nlabels/clap/w/00001.txt\n"
        )
        assert read_split(tmp_path, split_number=1, is_train=False) == {"clap/v_1", "clap/w"}

    @pytest.mark.parametrize(
        "is_train, video", [(True, "climb_stairs/a"), (False, "climb_stairs/b")]
    )
    def test_lists_of_jhmdb_are_one_for_each_class(self, tmp_path, is_train, video):
        (tmp_path / "splits").mkdir()
        (tmp_path / "splits/climb_stairs_test_split3.txt").write_text(
            "a.avi 1 \nb.avi 2 \nc.avi 0\n"
        )
        assert read_split(tmp_path, split_number=3, is_train=is_train) == {video}

    def test_faults_name_file_and_line(self, tmp_path):
        (tmp_path / "clap_test_split1.txt").write_text("a.avi 1\nb.avi\n")
        with pytest.raises(ValueError, match="clap_test_split1.txt:2: 'b.avi'"):
            read_split(tmp_path, split_number=1, is_train=True)

    def test_no_list_is_an_error(self, tmp_path):
        (tmp_path / "trainlist.txt").write_text("labels/clap/v/00001.txt\n")  # of split 1
        with pytest.raises(ValueError, match="DATA.PATH_TO_DATA_DIR.*no list of split 2"):
            read_split(tmp_path, split_number=2, is_train=True)
