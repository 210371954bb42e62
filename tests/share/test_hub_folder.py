"""Folders for the Hugging Face Hub: their parts, that they load, that nothing is private."""

import json
import re

import pytest
import torch
import yaml

from slowfast.checkpoint import files
from slowfast.checkpoint.initialize import load_for_test
from slowfast.config.cli import load_cfg
from slowfast.engine.predict import load_predicted
from slowfast.models import build_model
from slowfast.share.card import Card, write_card
from tests.helpers.hub_server import hub_server
from tests.helpers.tested_run import write_tested_run
from tools import export, run_net

NAMES = ["run", "eat", "sit|down", "stand", "<jump>", "wave"]


def write_run(folder, **changes):
    """A tested run with weights, in whose config stands its place."""
    write_tested_run(folder, [True] * 45 + [False] * 3, ["DATA.PATH_TO_DATA_DIR", str(folder)])
    cfg = load_cfg(folder / "config.yaml")
    torch.manual_seed(0)
    content = {"model_state": build_model(cfg).state_dict(), "class_names": NAMES}
    content |= {"num_examples": [10, 20, 30, 40, 50, 60], "cfg": cfg.dump(), "optimizer_state": {}}
    path = files.checkpoint_path(folder, 1)
    files.save(path, {**content, **changes})
    results = json.loads((folder / "test_results.json").read_text())
    results |= {"checkpoint": str(path), "views": "2 x 1", "top5_acc": 100.0}
    (folder / "test_results.json").write_text(json.dumps(results))
    return folder


def parts(card):
    """Front matter and text of README.md."""
    _, front, text = card.split("---\n", 2)
    return yaml.safe_load(front), text


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """OUTPUT_DIR of a tested run."""
    return write_run(tmp_path_factory.mktemp("alice") / "run")


@pytest.fixture(scope="module")
def folder(run, tmp_path_factory):
    """The folder made from it. Read only."""
    pytest.importorskip("safetensors")
    path = tmp_path_factory.mktemp("out") / "hub"
    words = ["--run", run, "--to", "hub", "--output", path, "--name", "me/six", "--license", "mit"]
    words += ["--dataset", "Six signs"]
    assert export.main([str(word) for word in words]) == 0
    return path


@pytest.fixture
def card(folder):
    return parts((folder / "README.md").read_text())


@pytest.mark.slow
def test_the_folder_has_all_parts(folder):
    expected = {"README.md", "classes.txt", "config.yaml", "model.safetensors"}
    expected |= {f"report_{name}.png" for name in ("curves", "confusion", "calibration")}
    assert {path.name for path in folder.iterdir()} == expected
    assert (folder / "classes.txt").read_text().splitlines() == NAMES


@pytest.mark.slow
def test_the_folder_gives_the_weights_and_the_config_of_the_run(folder, run):
    cfg = load_predicted(None, folder)
    assert cfg.DATA.NUM_FRAMES == 4 and cfg.DATA.PATH_TO_DATA_DIR == ""
    model = build_model(cfg)
    assert load_for_test(model, folder).class_names == NAMES
    saved = files.load(files.checkpoint_path(run, 1))["model_state"]
    assert all(torch.equal(value, saved[name]) for name, value in model.state_dict().items())


def test_nothing_says_where_it_was_made(folder, run):
    for path in folder.iterdir():
        content = path.read_bytes()
        assert str(run).encode() not in content and b"alice" not in content, path.name


def test_the_front_matter_is_what_the_hub_reads(card):
    front, _ = card
    assert front["license"] == "mit" and front["library_name"] == "slowfast"
    assert front["pipeline_tag"] == "video-classification" and front["datasets"] == ["six-signs"]
    (result,) = front["model-index"][0]["results"]
    values = {each["name"]: each["value"] for each in result["metrics"]}
    assert values == {"top-1 accuracy": 93.75, "top-5 accuracy": 100.0}


def test_huggingface_hub_takes_the_card(folder):
    hub = pytest.importorskip("huggingface_hub")
    data = hub.ModelCard.load(folder / "README.md").data
    assert data.eval_results[0].metric_value == 93.75 and data.license == "mit"


def test_results_have_wilson_s_interval(card):
    assert "| top-1 accuracy | 93.75 % | 95 %: 83.2 to 97.9 |" in card[1]
    assert "Test on 48 videos, 2 x 1 views of each." in card[1]


def test_clips_of_each_class_are_told(card):
    assert "Training saw 210 examples, 10 to 60 of a class." in card[1]
    assert "| sit\\|down | 30 |" in card[1]


def test_cost_and_use_are_told(card):
    assert re.search(r"\| parameters \| 0\.\d{3} M \|", card[1])
    assert "slowfast predict clip.mp4 --checkpoint hf:me/six" in card[1]
    assert 'slowfast.Predictor(None, "hf:me/six")' in card[1]


@pytest.mark.slow
def test_predictions_from_the_hub_need_no_config(folder, tmp_path, monkeypatch):
    constants = pytest.importorskip("huggingface_hub.constants")
    with hub_server(folder, "me/six") as (address, _):
        template = address + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "ENDPOINT", address)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
        assert load_predicted(None, "hf:me/six").MODEL.NUM_CLASSES == 6


@pytest.mark.slow
def test_the_moving_average_is_written_where_it_was_tested(tmp_path, run_tool):
    pytest.importorskip("safetensors")
    run = write_run(tmp_path / "run")
    path = files.checkpoint_path(run, 1)
    content = files.load(path)
    average = {name: value + 1 for name, value in content["model_state"].items()}
    files.save(path, {**content, "ema_state": {"num_updates": 3, "model_state": average}})
    words = ["--run", run, "--to", "hub", "--output", tmp_path / "hub"]
    code, output = run_tool(export, *words)
    assert code == 0 and "weights of the moving average (EMA)" in output
    assert "--license: none is chosen" in output
    front, text = parts((tmp_path / "hub" / "README.md").read_text())
    assert "license" not in front and "moving average" in text
    found = files.load(tmp_path / "hub")["model_state"]["head.projection.bias"]
    assert torch.equal(found, average["head.projection.bias"])


def test_a_card_that_is_there_is_not_overwritten(run, run_tool, tmp_path):
    (tmp_path / "README.md").write_text("mine")
    code, output = run_tool(export, "--run", run, "--to", "hub", "--output", tmp_path)
    assert code == 1 and "has README.md already; name a new folder" in output
    assert (tmp_path / "README.md").read_text() == "mine"


def test_a_config_that_names_code_is_not_taken_from_weights(tmp_path):
    content = {"model_state": {"x": torch.ones(1)}, "cfg": "MODEL: {FACTORY: 'os:system'}"}
    files.save(tmp_path / "x.pyth", content)
    with pytest.raises(ValueError, match="run code that it names.*os:system.*--cfg"):
        load_predicted(None, tmp_path / "x.pyth")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--to", "hub"], "give --run OUTPUT_DIR, or --checkpoint"),
        (["--to", "hub", "--checkpoint", "x", "--name", "six"], "'six' is not USER/NAME"),
        (["--to", "hub", "--checkpoint", "x", "--license", "MIT"], "no short name of the Hub"),
        (["--to", "onnx", "--checkpoint", "x", "--name", "me/six"], "no effect on --to onnx"),
        (["--to", "hub", "--checkpoint", "x", "--dynamic"], "--dynamic: has no effect"),
    ],
)
def test_mistakes_of_the_command_line(run_tool, words, message):
    code, output = run_tool(export, "--output", "out", *words)
    assert code == 2 and message in output


def small_card(**more):
    rows = {"costs": [], "inputs": [], "training": [], "num_examples": [], "limits": []}
    return write_card(Card("X3D", "", "", "signs", 2, **rows, **more))


def test_a_card_without_a_test_says_so():
    front, text = parts(small_card())
    assert "model-index" not in front and "It was not tested." in text
    assert "`FOLDER` is the folder of this file" in text


@pytest.mark.slow
def test_a_run_is_tested_with_the_weights_of_a_folder(toy_yaml, tmp_path, run_tool):
    pytest.importorskip("safetensors")
    model = build_model(load_cfg(toy_yaml))
    weights = tmp_path / "weights.pyth"
    files.save(weights, {"model_state": model.state_dict()})
    words = ["--to", "hub", "--cfg", toy_yaml, "--checkpoint", weights]
    code, output = run_tool(export, *words, "--output", tmp_path / "hub")
    assert code == 0 and "the card has no results" in output
    keys = ["TRAIN.ENABLE", False, "TEST.CHECKPOINT_FILE_PATH", tmp_path / "hub"]
    code, output = run_tool(run_net, "--cfg", toy_yaml, *keys, "TEST.REPORT", False)
    assert code == 0 and "tensors loaded" in output, output


def test_a_card_of_a_network_for_boxes_asks_for_them():
    text = small_card(has_boxes=True)
    assert "--boxes boxes.csv" in text and "Predictor" not in text
