"""Facts on the videos of a test."""

from slowfast.evaluation.video_sets import set_facts

OPTIONS = {"split": None, "num_classes": 2, "class_names": ["run", "sit"]}


def facts(paths, labels, **changes):
    return set_facts("kinetics", paths, labels, **{**OPTIONS, **changes})


def test_neither_the_folder_nor_the_order_of_a_list_counts():
    one = facts(["/a/v/run/1.mp4", "/a/v/sit/1.mp4"], ["run", "sit"])
    other = facts(["/b/v/sit/1.mp4", "/b/v/run/1.mp4"], ["sit", "run"])
    assert one == other and one["num_videos"] == 2


def test_names_labels_and_repetitions_count():
    lists = [
        (["1.mp4", "2.mp4"], ["run", "sit"]),
        (["1.mp4", "3.mp4"], ["run", "sit"]),
        (["1.mp4", "2.mp4"], ["sit", "run"]),
        (["1.mp4", "2.mp4", "2.mp4"], ["run", "sit", "sit"]),
    ]
    assert len({facts(*one)["videos"] for one in lists}) == 4


def test_classes_count_by_their_names_in_any_order():
    paths, labels = ["1.mp4"], ["run"]
    found = [facts(paths, labels, class_names=n)["classes"] for n in (["a", "b"], ["b", "a"], None)]
    assert found[0] == found[1] and found[2] is None
