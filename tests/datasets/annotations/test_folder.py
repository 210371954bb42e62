"""Own data without a csv."""

import os

import pytest

from slowfast.datasets.annotations.folder import build_folder, hold_out
from slowfast.datasets.annotations.locate import VideoPlace


@pytest.fixture
def build(build_from_files, tmp_path):
    """Function (names of videos) -> (class names, [(path below tmp_path, label)])."""

    def build(names, split="train", **keys):
        annotations = build_from_files(build_folder, dict.fromkeys(names), (), split, **keys)
        rows = [(os.path.relpath(r.path, tmp_path), r.label) for r in annotations.records]
        return annotations.class_names, rows

    return build


SPLITS = ["train/walk/1.mp4", "train/eat it/-2.MKV", "val/walk/3.mp4", "test/eat it/4.avi"]


def test_classes_are_the_sorted_sub_folders(build):
    assert build(SPLITS) == (
        ["eat it", "walk"],
        [("train/eat it/-2.MKV", 0), ("train/walk/1.mp4", 1)],
    )


@pytest.mark.parametrize("split, rows", [("val", [(SPLITS[2], 1)]), ("test", [(SPLITS[3], 0)])])
def test_each_split_has_its_folder(build, split, rows):
    assert build(SPLITS, split)[1] == rows


@pytest.mark.parametrize("split", ["val", "test"])
@pytest.mark.parametrize("given", [2, 3])
def test_val_and_test_stand_in_for_each_other(build, split, given):
    assert [path for path, _ in build([*SPLITS[:2], SPLITS[given]], split)[1]] == [SPLITS[given]]


@pytest.mark.parametrize("top", ["", "train/"])
def test_without_a_val_folder_a_share_is_held_out(build, top):
    names = [f"{top}{name}/{number}.mp4" for name in "ab" for number in range(10)]
    train, val = (build(names, split, VAL_SHARE=0.3)[1] for split in ("train", "val"))
    assert [label for _, label in val] == [0] * 3 + [1] * 3
    assert sorted([*train, *val]) == sorted((name, int(name[-7] == "b")) for name in names)
    assert build(names, "test", VAL_SHARE=0.3)[1] == val


def test_a_class_may_be_called_train(build):
    names = [f"{name}/{number}.mp4" for name in ("bus", "train") for number in range(5)]
    class_names, rows = build([*names, "train/day 2/5.mp4"])
    assert class_names == ["bus", "train"] and {label for _, label in rows} == {0, 1}


def test_choice_depends_on_names_alone():
    places = [VideoPlace(f"{number}.mp4") for number in range(10)]
    moved = [VideoPlace(f"/elsewhere/{place.path}") for place in reversed(places)]
    (_, here), (_, there) = hold_out({"a": places}, 0.3), hold_out({"a": moved}, 0.3)
    names = [os.path.basename(place.path) for place in there["a"]]
    assert names == [place.path for place in here["a"]]


@pytest.mark.parametrize("count, held", [(1, 0), (2, 1), (3, 1), (20, 18)])
def test_a_class_has_videos_in_both_parts(count, held):
    share = 0.9 if count == 20 else 0.01
    train, val = hold_out({"a": [VideoPlace(f"{number}.mp4") for number in range(count)]}, share)
    assert len(val["a"]) == held and len(train["a"]) == count - held


def test_deeper_folders_belong_to_their_class_and_other_files_do_not(build):
    names = ["train/a/day 1/x.mp4", "train/a/notes.txt", "train/b/y.mp4", "train/.cache/z.mp4"]
    assert build([*names, "val/a/v.mp4"])[1] == [(names[0], 0), (names[2], 1)]


def test_class_that_only_val_has_is_refused(build):
    with pytest.raises(ValueError, match=r"val: classes that are not in .*train: \['jump'\]"):
        build([*SPLITS, "val/jump/1.mp4"], "val")


def test_number_of_classes_is_checked(build):
    with pytest.raises(ValueError, match="2 class names, but MODEL.NUM_CLASSES is 3"):
        build(SPLITS, num_classes=3)


def test_folder_without_videos(build):
    with pytest.raises(ValueError, match=r"no video in the sub-folders .*\['a'\]"):
        build(["a/x.txt"])


def test_missing_folder_names_the_key(data_cfg):
    cfg = data_cfg(2)
    cfg.DATA.PATH_TO_DATA_DIR = "no"
    with pytest.raises(ValueError, match="DATA.PATH_TO_DATA_DIR: no folder 'no'"):
        build_folder(cfg, "train")


def test_nothing_to_hold_out(build):
    with pytest.raises(ValueError, match="DATA.VAL_SHARE: 0.2 .* leaves no video for val"):
        build(["a/1.mp4", "b/1.mp4"], "val")


@pytest.fixture
def build_joined(build_from_files, write_files, tmp_path):
    """Function (videos with their content) -> [(path below tmp_path, labels)] with MULTI_LABEL."""

    def build(files, split="train", **keys):
        keys["MULTI_LABEL"] = True
        found = build_from_files(build_folder, files, (), split, **keys)
        return [(os.path.relpath(r.path, tmp_path), r.labels) for r in found.records]

    return build


def test_a_video_in_two_classes_has_both(build_joined, tmp_path, caplog):
    caplog.set_level("INFO")
    files = {
        "train/a/x.mp4": "one",
        "train/b/x.mp4": "one",
        "train/a/day/y.mp4": "two",
        "val/a/v.mp4": None,
    }
    assert sorted(build_joined(files)) == [("train/a/day/y.mp4", (0,)), ("train/a/x.mp4", (0, 1))]
    assert "1 of 2 videos have several classes" in caplog.text
    (tmp_path / "train/b/day").mkdir()
    (tmp_path / "train/b/day/y.mp4").symlink_to(tmp_path / "train/a/day/y.mp4")
    assert ("train/a/day/y.mp4", (0, 1)) in build_joined(files)
    (tmp_path / "train/b/z.mp4").symlink_to("nowhere")
    assert ("train/b/z.mp4", (1,)) in build_joined(files)


def test_other_videos_of_the_same_name_stay_apart(build_joined):
    files = {
        "train/a/1.mp4": "one",
        "train/b/1.mp4": "another",
        "train/b/2.mp4": None,
        "val/a/v.mp4": None,
    }
    rows = [("train/a/1.mp4", (0,)), ("train/b/1.mp4", (1,)), ("train/b/2.mp4", (1,))]
    assert build_joined(files) == rows


def test_no_video_is_held_out_from_one_of_its_classes_only(build_joined):
    files = {f"{name}/{number}.mp4": str(number) for name in "ab" for number in range(10)}
    train, val = (build_joined(files, split, VAL_SHARE=0.3) for split in ("train", "val"))
    assert (len(train), len(val)) == (7, 3) and {labels for _, labels in train + val} == {(0, 1)}
    assert sorted([*train, *val]) == sorted((f"a/{n}.mp4", (0, 1)) for n in range(10))


NFC, NFD = "caf\u00e9", "cafe\u0301"


def test_composed_and_decomposed_names_of_a_class_meet(build):
    names = [f"train/{NFD}/1.mp4", "train/b/2.mp4", f"val/{NFC}/3.mp4"]
    assert build(names) == (["b", NFC], [("train/b/2.mp4", 0), (names[0], 1)])
    assert build(names, "val") == (["b", NFC], [(names[2], 1)])


def test_gifs_are_videos(build):
    assert build(["a/1.gif", "b/2.mp4", "a/3.gif", "b/3.mp4"], VAL_SHARE=0.5)[1] == [
        ("a/1.gif", 0),
        ("b/3.mp4", 1),
    ]


@pytest.mark.parametrize(
    ("names", "renamed"),
    [
        (["train", "validation"], "rename 'validation' to 'val'"),
        (["train", "val", "Test"], "rename 'Test' to 'test'"),
        (["training", "testing"], "rename 'testing' to 'test', 'training' to 'train'"),
        (["Train", "val"], "rename 'Train' to 'train'"),
    ],
)
def test_splits_by_other_names_are_refused(build, names, renamed):
    with pytest.raises(ValueError, match=renamed):
        build([f"{name}/{label}/1.mp4" for name in names for label in "ab"])


def test_classes_may_be_called_like_splits_of_others(build):
    assert build(["testing/1.mp4", "training/1.mp4", "testing/2.mp4"])[0] == ["testing", "training"]


def test_folders_beside_the_splits_are_told(build, caplog):
    caplog.set_level("INFO")
    build(["train/a/1.mp4", "val/a/2.mp4", "raw/x/3.mp4"], num_classes=1)
    assert "left out 1 folders beside train, val and test (as " in caplog.text


def test_a_wrong_number_of_classes_names_them_and_the_empty_one(build, caplog):
    with pytest.raises(ValueError, match=r"NUM_CLASSES is 1: \['a', 'b'\]"):
        build(["train/a/1.mp4", "train/b/notes.txt", "val/a/2.mp4"], num_classes=1)
    assert "no video for training in 1 of 2 classes: b" in caplog.text


def test_a_linked_class_and_split_are_found(build, write_files, tmp_path):
    write_files(dict.fromkeys(["train/a/1.mp4", "disk/b/2.mp4", "disk/c/a/3.mp4"]))
    (tmp_path / "train/b").symlink_to("../disk/b")
    (tmp_path / "train/loop").symlink_to("..")
    (tmp_path / "val").symlink_to("disk/c")
    assert build([]) == (["a", "b"], [("train/a/1.mp4", 0), ("train/b/2.mp4", 1)])
    assert build([], "val")[1] == [("val/a/3.mp4", 0)]


def test_folders_of_hidden_and_foreign_files_are_no_classes(build):
    names = ["a/1.mp4", "a/._1.mp4", "a/2.mp4", "b/1.mp4", "__MACOSX/a/._1.mp4", ".x/1.mp4"]
    assert build(names) == (["a", "b"], [("a/1.mp4", 0), ("b/1.mp4", 1)])


class TestEmptyClasses:
    def test_a_class_without_videos_is_named(self, build, caplog):
        build(["train/a/1.mp4", "train/b/notes.txt", "val/a/2.mp4"])
        assert "train: no video for training in 1 of 2 classes: b" in caplog.text

    def test_a_class_that_only_training_has_is_named(self, build, caplog):
        build(["train/a/1.mp4", "train/b/1.mp4", "val/a/2.mp4"], "val")
        assert "val: no video for val in 1 of 2 classes: b" in caplog.text

    def test_a_class_too_small_to_hold_out_from_is_named(self, build, caplog):
        build(["a/1.mp4", "a/2.mp4", "b/1.mp4"], "val")
        assert "no video for val in 1 of 2 classes: b" in caplog.text

    def test_an_empty_folder_beside_the_classes_of_val_is_no_class(self, build):
        names = ["train/a/1.mp4", "val/a/2.mp4", "val/notes/x.txt"]
        assert build(names, "val", num_classes=1) == (["a"], [("val/a/2.mp4", 0)])

    def test_nothing_is_said_of_others(self, build, caplog):
        build(["train/a/1.mp4", "val/a/2.mp4"], num_classes=1)
        assert not caplog.messages


class TestFoldersOfImages:
    @staticmethod
    def images(*folders, count=3):
        return [f"{folder}/{number}.jpg" for folder in folders for number in range(8, 8 + count)]

    @pytest.fixture
    def read(self, build_from_files, tmp_path):
        """Function (names) -> {path below tmp_path: names of the images}."""

        def read(names, split="train", **keys):
            found = build_from_files(build_folder, dict.fromkeys(names), (), split, **keys)
            return {
                os.path.relpath(record.path, tmp_path): [
                    os.path.basename(record.frames.path(number))
                    for number in range(record.frames.count)
                ]
                for record in found.records
            }

        return read

    def test_each_is_a_video_with_its_images_in_order(self, read):
        names = self.images("train/a/x", "train/a/day/y", "train/b/z", "val/a/v")
        order = ["8.jpg", "9.jpg", "10.jpg"]
        assert read(names) == {"train/a/day/y": order, "train/a/x": order, "train/b/z": order}
        assert read([], "val") == {"val/a/v": order}

    def test_a_share_is_held_out(self, read):
        names = self.images(*(f"{name}/{number}" for name in "ab" for number in range(5)))
        train, val = (read(names, split, VAL_SHARE=0.4) for split in ("train", "val"))
        assert (len(train), len(val), len({*train, *val})) == (6, 4, 10)

    def test_a_class_may_be_called_train(self, read):
        names = self.images(*(f"{name}/{number}" for name in ("bus", "train") for number in "12"))
        assert len(read(names)) == 2 and any(path.startswith("train/") for path in read([]))

    def test_beside_videos_they_are_thumbnails(self, build, caplog):
        caplog.set_level("INFO")
        names = ["train/a/1.mp4", *self.images("train/a/thumbs"), "val/a/2.mp4"]
        assert build(names, num_classes=1)[1] == [("train/a/1.mp4", 0)]
        assert "1 folders of images beside videos" in caplog.text

    def test_with_several_labels(self, build_joined):
        names = dict.fromkeys(self.images("train/a/x", "train/b/x", "train/b/y", "val/a/v"))
        assert build_joined(names) == [("train/a/x", (0, 1)), ("train/b/y", (1,))]

    def test_images_in_the_folder_of_the_class_itself_are_refused(self, read):
        with pytest.raises(ValueError, match="images lie in the folder of the class itself; .*"):
            read(self.images("train/a", "val/a/v"))
