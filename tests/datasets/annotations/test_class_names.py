"""Class names come in the formats that the datasets and model zoos have."""

import json

import pytest

from slowfast.datasets.annotations.class_names import load_class_names


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
