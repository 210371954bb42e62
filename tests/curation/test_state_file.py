"""What a killed run leaves behind."""

from slowfast.curation.workers import StateFile


def test_values_come_back_and_the_last_one_counts(tmp_path):
    path = tmp_path / "new" / "state.jsonl"
    with StateFile(path) as state:
        state.add("a\udce9", {"x": 1})
        state.add("b", [2])
        state.add("b", [3])
    with StateFile(path) as state:
        assert state.values == {"a\udce9": {"x": 1}, "b": [3]}


def test_a_line_cut_short_is_forgotten_and_harms_no_other(tmp_path):
    path = tmp_path / "state.jsonl"
    with StateFile(path) as state:
        state.add("a", 1)
        state.add("b", 2)
    path.write_bytes(path.read_bytes()[:-4])
    with StateFile(path) as state:
        assert state.values == {"a": 1}
        state.add("c", 3)
    with StateFile(path) as state:
        assert state.values == {"a": 1, "c": 3}
