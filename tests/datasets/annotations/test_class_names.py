"""Class names come in the formats that the datasets and model zoos have."""

import json

import pytest

from slowfast.datasets.annotations.class_names import (
    load_class_names,
    read_label_map,
    read_target_names,
)


@pytest.mark.parametrize(
    "content",
    [
        ["run", "eat it"],
        {"eat it": 1, "run": 0},
        {"eat it": "1", "run": "0"},
        {'"eat it"': 1, "run": 0},
    ],
    ids=["list", "numbers", "texts", "quoted"],
)
def test_json_gives_names_in_the_order_of_their_numbers(tmp_path, content):
    path = tmp_path / "names.json"
    path.write_text(json.dumps(content))
    assert load_class_names(path, 2) == ["run", "eat it"]


def test_text_has_one_name_per_line(tmp_path):
    path = tmp_path / "names.txt"
    path.write_text("run\r\neat it\r\n")
    assert load_class_names(path, 2) == ["run", "eat it"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("n.txt", "run", "1 class names, but MODEL.NUM_CLASSES is 2"),
        ("n.json", '["run"]', "1 class names, but MODEL.NUM_CLASSES is 2"),
        ("n.json", '{"run": 1, "eat": 2}', "are not 0, 1, 2"),
        ("n.json", '{"run": "a", "eat": "b"}', "invalid literal"),
        ("n.json", "3", "not iterable"),
        ("n.json", "{", "Expecting"),
        ("n.json", "[" * 200_000, "nested too deep"),
    ],
)
def test_a_file_that_does_not_fit_is_named(tmp_path, name, content, message):
    path = tmp_path / name
    path.write_text(content)
    with pytest.raises(ValueError, match=f"(?s){name}.*{message}"):
        load_class_names(path, 2)


@pytest.mark.parametrize("name", ["n.txt", "n.json"])
def test_a_missing_file_is_named(tmp_path, name):
    with pytest.raises(ValueError, match=f"{name}.*[Nn]o such file"):
        load_class_names(tmp_path / name, 2)


V21 = """item {
  name: "bend/bow (at the waist)"
  id: 1
}
item {
  name: "crawl"
  id: 3
}
"""
V22 = """label {
  name: "bend/bow (at the waist)"
  label_id: 1
  label_type: PERSON_MOVEMENT
}
label {
  name: "crawl"
  label_id: 3
  label_type: PERSON_MOVEMENT
}
"""


def read_map(tmp_path, text, num_classes=80):
    path = tmp_path / "map.pbtxt"
    path.write_bytes(text.encode())
    return read_label_map(path, num_classes=num_classes)


@pytest.mark.parametrize("text", [V21, V22, V22.replace("\n", "\r\n"), V21.replace("\n", " ")])
def test_both_styles_name_columns_from_zero(tmp_path, text):
    assert read_map(tmp_path, text) == {0: "bend/bow (at the waist)", 2: "crawl"}


def test_names_may_hold_escaped_quotes(tmp_path):
    assert read_map(tmp_path, r'item { name: "say \"hi\"" id: 2 }') == {1: 'say "hi"'}


@pytest.mark.parametrize(
    "text, fault",
    [
        ("", "no classes"),
        ('item { name: "a" }', "no name or no id"),
        ("item { id: 1 }", "no name or no id"),
        ('item { name: "a" id: 81 }', r"class 81 \(a\) is not within 1..80 \(MODEL.NUM_CLASSES"),
        ('item { name: "a" id: 0 }', "class 0"),
        ('item { name: "a" id: 1 } item { name: "b" id: 1 }', "listed twice"),
    ],
)
def test_faults_of_a_map_name_the_file(tmp_path, text, fault):
    with pytest.raises(ValueError, match=f"map.pbtxt: .*{fault}"):
        read_map(tmp_path, text)


def test_each_of_several_targets_has_its_file_of_names(tmp_path):
    assert read_target_names(tmp_path, [2, 3]) is None
    (tmp_path / "classes_1.txt").write_text("take\nput\n")
    assert read_target_names(tmp_path, [2, 3]) == ["take", "put", "0", "1", "2"]
    (tmp_path / "classes_2.txt").write_text("cup\nfork\nplate\n")
    assert read_target_names(tmp_path, [2, 3]) == ["take", "put", "cup", "fork", "plate"]
    with pytest.raises(ValueError, match="classes_2.txt: 3 class names, but MODEL.NUM_CLASSES is"):
        read_target_names(tmp_path, [2, 4])


def test_one_target_has_the_plain_file_of_names(tmp_path):
    (tmp_path / "classes.txt").write_text("take\nput\n")
    assert read_target_names(tmp_path, [2]) == ["take", "put"]
