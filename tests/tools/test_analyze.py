"""tools/analyze.py writes pictures and tables, and names mistakes in one line."""

import csv
import json

import numpy as np
import pytest

from slowfast.utils.io import write_json
from tools import analyze


@pytest.fixture
def runs(make_run):
    """Two OUTPUT_DIRs of tested runs, with random weights."""
    folders = [make_run("VoV3D"), make_run("X3D", VOV3D={"INNER_CH": 16})]
    for number, folder in enumerate(folders):
        write_json(folder / "test_results.json", {"top1_acc": 50.0 + number})
    return [str(folder) for folder in folders]


@pytest.fixture
def run(run_tool, tmp_path):
    """Function (words) -> (exit code, all that was printed); files are in tmp_path / "out"."""
    return lambda *words: run_tool(analyze, *words, "--output", tmp_path / "out")


def read(path):
    with open(path) as file:
        return list(csv.DictReader(file))


def assert_files(folder, *names):
    assert {path.name for path in folder.iterdir()} == set(names)
    for name in names:
        content = (folder / name).read_bytes()
        assert content.startswith(b"\x89PNG") if name.endswith("png") else content


@pytest.mark.slow
def test_arrow(run, runs, tmp_path):
    code, output = run("arrow", *runs, "--views", 1, "--crops", 3)
    assert code == 0 and "single_frame" in output
    out = tmp_path / "out"
    assert_files(
        out, "arrow.png", "arrow_classes.png", "arrow.csv", "arrow_classes.csv", "arrow.json"
    )
    rows = read(out / "arrow.csv")
    assert [(row["run"], row["videos"]) for row in rows] == [("VoV3D", "6"), ("X3D", "6")]
    classes = read(out / "arrow_classes.csv")
    assert [row["name"] for row in classes] == ["brighter", "darker"] * 2
    for row in classes:
        gain = float(row["normal"]) - float(row["reversed"])
        assert float(row["normal_minus_reversed"]) == gain
    first = json.loads((out / "arrow.json").read_text())["runs"][0]
    assert first["views"] == "1 x 3" and first["normal"] == float(rows[0]["normal"])


@pytest.mark.slow
def test_arrow_of_other_classes_is_refused(run, runs, make_run):
    other = make_run("other", MODEL={"NUM_CLASSES": 3})
    (other.parent / "classes.txt").touch()
    code, output = run("arrow", runs[0], other)
    assert code == 1 and "other: " in output and "class" in output


@pytest.mark.slow
def test_tempo(run, runs, tmp_path):
    code, output = run("tempo", f"A={runs[0]}", runs[1], "--factors", 2, 1, "--videos", 4)
    assert code == 0 and "x 2" in output
    assert_files(tmp_path / "out", "tempo.png", "tempo.csv", "tempo.json")
    rows = read(tmp_path / "out/tempo.csv")
    assert [(row["run"], row["factor"], row["stride"]) for row in rows[:2]] == [
        ("A", "1.0", "2.0"),
        ("A", "2.0", "4.0"),
    ]
    assert rows[0]["videos"] == "4"


@pytest.mark.slow
def test_tempo_of_segments_is_refused(run, runs, fading_set, register_dataset):
    from slowfast.datasets.annotations.kinetics import build_kinetics
    from slowfast.datasets.clips.samplers import build_segment_sampler
    from slowfast.datasets.traits import DatasetTraits

    register_dataset("kinetics", DatasetTraits(build_kinetics, build_segment_sampler))
    code, output = run("tempo", runs[0])
    assert code == 1 and "VoV3D: a clip that takes one frame from each" in output


@pytest.mark.slow
def test_filters(run, runs, tmp_path):
    code, output = run("filters", *runs, "--by", "stage")
    assert code == 0
    assert_files(
        tmp_path / "out", "filters_VoV3D.png", "filters_X3D.png", "filters.csv", "filters.json"
    )
    rows = [row for row in read(tmp_path / "out/filters.csv") if row["run"] == "VoV3D"]
    assert [row["offset"] for row in rows[:5]] == ["-2.0", "-1.0", "0.0", "1.0", "2.0"]
    assert all(float(row["q1"]) <= float(row["q50"]) <= float(row["q99"]) for row in rows)


@pytest.mark.slow
def test_features(run, runs, tmp_path):
    groups = tmp_path / "groups.yaml"
    groups.write_text("light: [brighter]\n")
    code, output = run("features", runs[0], "--layer", "s4", "--groups", groups)
    assert code == 0 and "channels of s4" in output
    out = tmp_path / "out"
    assert_files(out, "features.png", "features.csv", "features.json", "features_VoV3D.npz")
    with np.load(out / "features_VoV3D.npz") as content:
        assert content["features"].shape == (6, 16) and content["embedding"].shape == (6, 2)
        assert content["labels"].tolist() == [0, 1] * 3 and len(content["paths"]) == 6
    assert [row["color"] for row in read(out / "features.csv")] == ["light", "others"] * 3


@pytest.mark.slow
def test_pareto(run, runs, tmp_path):
    points = tmp_path / "points.csv"
    points.write_text("name,gmacs,params,top1\npublished,0.0001,0.001,40\n")
    code, output = run("pareto", *runs, "--points", points, "--repeats", 1, "--threads", 1)
    assert code == 0
    assert_files(tmp_path / "out", "pareto.png", "pareto.csv", "pareto.json")
    rows = read(tmp_path / "out/pareto.csv")
    assert [row["is_on_front_gmacs"] for row in rows] == ["1", "1", "1"]
    assert [row["views"] for row in rows] == ["2", "2", ""]
    assert rows[2]["latency_ms"] == "" and rows[2]["is_on_front_latency_ms"] == "0"
    assert json.loads((tmp_path / "out/pareto.json").read_text())["device"].endswith("1 thread")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["arrow", "nowhere"], "nowhere: there is no file"),
        (["arrow", "RUN", "DATA.NUM_FRAME", 4], "DATA.NUM_FRAMES"),
        (["features", "RUN", "--layer", "s9"], "--layer: 's9'"),
        (["features", "RUN", "--perplexity", 0], "--perplexity: 0.0"),
        (["features", "RUN", "--videos", 2], "three videos"),
        (["features", "RUN", "--groups", "nowhere.json"], "nowhere.json"),
        (["arrow", "RUN", "TEST.REVERSE_TIME", True], "TEST.REVERSE_TIME: True must be"),
        (["pareto", "RUN", "--metric", "map"], "no metric 'map'"),
    ],
)
def test_mistakes_are_one_line(run, runs, words, message):
    code, output = run(*(runs[0] if word == "RUN" else word for word in words))
    errors = [line for line in output.splitlines() if "Error: " in line]
    assert code == 1 and message in errors[0] and len(errors) == 1 and "Traceback" not in output


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--threads", -1], "argument --threads: -1 is not at least 1"),
        (["--repeats", -3], "argument --repeats: -3 is not at least 0"),
        (["--repeats", "x"], "argument --repeats: invalid number value: 'x'"),
    ],
)
def test_numbers_out_of_range_are_named(run, runs, words, message):
    code, output = run("pareto", runs[0], *words)
    assert code == 2 and message in output


def test_the_seed_is_that_of_the_config_unless_it_is_given():
    words = ["arrow", "run", "--output", "out", "RNG_SEED", "7"]
    assert analyze.parse_args(words)[1].overrides == ["RNG_SEED", "7"]
    assert analyze.parse_args([*words, "--seed", "3"])[1].overrides[2:] == ["RNG_SEED", 3]
