import pytest

from slowfast.datasets.annotations.class_names import read_label_map

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


def read(tmp_path, text, num_classes=80):
    path = tmp_path / "map.pbtxt"
    path.write_bytes(text.encode())
    return read_label_map(path, num_classes=num_classes)


@pytest.mark.parametrize("text", [V21, V22, V22.replace("\n", "\r\n"), V21.replace("\n", " ")])
def test_both_styles_name_columns_from_zero(tmp_path, text):
    assert read(tmp_path, text) == {0: "bend/bow (at the waist)", 2: "crawl"}


def test_names_may_hold_escaped_quotes(tmp_path):
    assert read(tmp_path, r'item { name: "say \"hi\"" id: 2 }') == {1: 'say "hi"'}


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
def test_faults_name_the_file(tmp_path, text, fault):
    with pytest.raises(ValueError, match=f"map.pbtxt: .*{fault}"):
        read(tmp_path, text)
