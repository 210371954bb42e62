"""A user's folder or csv: which videos, which classes, and what is said about mistakes."""

import pytest

from slowfast.own.videos import ALL, read_videos


@pytest.fixture
def make(tmp_path):
    """Function (paths) -> the folder in which these empty files are."""

    def make_files(*names):
        for name in names:
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        return tmp_path

    return make_files


@pytest.fixture
def read_csv(make):
    """Function (text) -> what is read of a csv with it, beside v/a.mp4 to v/d.mp4."""

    def read(text, **options):
        folder = make(*(f"v/{name}.mp4" for name in "abcd"))
        (folder / "all.csv").write_text(text)
        return read_videos(folder / "all.csv", **options)

    return read


def found(videos, part=ALL):
    """Name and classes of each video of a part."""
    names = videos.class_names
    return {
        videos.name(record): [names[label] for label in record.classes()]
        for record in videos.parts[part]
    }


RUN_JUMP = {"v/a.mp4": ["run"], "v/b.mp4": ["run"], "v/c.mp4": ["jump"], "v/d.mp4": ["jump"]}


@pytest.mark.parametrize(
    "text",
    [
        "v/a.mp4,run\nv/b.mp4,run\nv/c.mp4,jump\nv/d.mp4,jump\n",
        "path,label\nv/a.mp4,run\nv/b.mp4,run\nv/c.mp4,jump\nv/d.mp4,jump\n",
        "label,length,video\nrun,3,v/a.mp4\nrun,2,v/b.mp4\njump,1,v/c.mp4\njump,4,v/d.mp4\n",
        "v/a.mp4 run\nv/b.mp4 run\nv/c.mp4 jump\nv/d.mp4 jump\n",
        "v/a.mp4\trun\nv/b.mp4\trun\nv/c.mp4\tjump\nv/d.mp4\tjump\n",
        'v/a.mp4;"run"\nv/b.mp4;run\nv/c.mp4;jump\nv/d.mp4;jump\n',
    ],
    ids=["commas", "header", "other columns", "spaces", "tabs", "semicolons"],
)
def test_csv_is_understood_however_it_is_written(read_csv, text):
    videos = read_csv(text)
    assert found(videos) == RUN_JUMP and not videos.is_multi_label


@pytest.mark.parametrize(
    "text",
    [
        "v/a.mp4,run,jump\nv/b.mp4,run\nv/c.mp4,jump\n",
        "path,labels\nv/a.mp4,run;jump\nv/b.mp4,run\nv/c.mp4,jump\n",
        "path,label_1,label_2\nv/a.mp4,jump,run\nv/b.mp4,run,\nv/c.mp4,jump,\n",
    ],
)
def test_several_labels_of_a_video_are_read(read_csv, text):
    videos = read_csv(text)
    assert videos.is_multi_label
    assert found(videos) == {"v/a.mp4": ["jump", "run"], "v/b.mp4": ["run"], "v/c.mp4": ["jump"]}


def test_numbers_are_classes_in_their_order(read_csv):
    videos = read_csv("v/a.mp4,10\nv/b.mp4,9\nv/c.mp4,9\n")
    assert videos.class_names == ["9", "10"]


def test_classes_txt_names_the_numbers(read_csv, make):
    (make() / "classes.txt").write_text("walk\nrun\njump\n")
    videos = read_csv("v/a.mp4,1\nv/b.mp4,1\nv/c.mp4,2\nv/d.mp4,2\n")
    assert videos.class_names == ["walk", "run", "jump"] and found(videos) == RUN_JUMP


@pytest.mark.parametrize("header", ["", "path,label,split\n"])
def test_split_in_a_column_is_kept(read_csv, header):
    text = "v/a.mp4,x,train\nv/b.mp4,y,train\nv/c.mp4,x,val\nv/d.mp4,y,test\n"
    videos = read_csv(header + text)
    assert {name: len(part) for name, part in videos.parts.items()} == {
        "train": 2,
        "val": 1,
        "test": 1,
    }


def test_folders_of_splits_are_kept_and_one_held_out_part_serves_as_both(make):
    videos = read_videos(make("train/x/1.mp4", "train/y/2.mp4", "val/x/3.mp4"))
    assert found(videos, "train") == {"train/x/1.mp4": ["x"], "train/y/2.mp4": ["y"]}
    assert found(videos, "val") == found(videos, "test") == {"val/x/3.mp4": ["x"]}


def test_lists_in_the_folder_are_kept(make):
    folder = make("1.mp4", "2.mp4", "3.mp4")
    (folder / "train.csv").write_text("1.mp4,x\n2.mp4,y\n")
    (folder / "test.csv").write_text("3.mp4,y\n")
    videos = read_videos(folder)
    assert found(videos, "val") == found(videos, "test") == {"3.mp4": ["y"]}


def test_training_folder_alone_is_split(make):
    videos = read_videos(make("train/x/1.mp4", "train/x/2.mp4", "train/y/3.mp4", "train/y/4.mp4"))
    assert list(videos.parts) == [ALL]


def test_folders_without_videos_are_no_classes(make):
    assert read_videos(make("x/1.mp4", "x/2.mp4", "y/3.mp4", "notes/a.txt")).class_names == [
        "x",
        "y",
    ]


def test_video_in_several_folders_has_several_labels_on_demand(make):
    folder = make("x/1.mp4", "y/1.mp4", "y/2.mp4")
    videos = read_videos(folder, is_multi_label=True)
    assert found(videos) == {"x/1.mp4": ["x", "y"], "y/2.mp4": ["y"]}


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["x/1.mp4", "x/2.mp4"], r"one class only \('x', 2 videos\)"),
        (["x/1.mp4", "y/1.mp4"], "one video in each of the 2 classes"),
        (["x/1.jpg", "y/1.jpg"], "images lie in the folder of the class itself"),
        (["1.mp4", "2.mp4"], "videos lie directly in this folder; give the folder above"),
        (["x/1.txt"], "no video in the sub-folders"),
    ],
)
def test_folder_from_which_nothing_can_be_learnt_is_refused(make, names, message):
    with pytest.raises(ValueError, match=message):
        read_videos(make(*names))


def test_class_of_one_video_is_named(make, caplog):
    read_videos(make("x/1.mp4", "x/2.mp4", "y/3.mp4"))
    assert "one video only in 1 of 2 classes" in caplog.text and "['y']" in caplog.text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("v/a.mp4,\nv/b.mp4,x\n", "all.csv:1: no label"),
        ("nowhere.mp4,x\n", "none of its videos exists"),
        ("video,speed,colour\nv/a.mp4,3,red\n", "which of the columns"),
        ("v/a.mp4,x,train\nv/b.mp4,y,fold\n", "labels"),
        ("", "holds no lines"),
    ],
)
def test_mistake_in_a_csv_is_named(read_csv, text, message):
    with pytest.raises(ValueError, match=message):
        read_csv(text, is_multi_label=False)
