"""Weights of our own checkpoints: averaged, without the optimizer, as the moving average."""

import pytest
import torch

from slowfast.checkpoint import files
from slowfast.checkpoint.initialize import load_for_test
from slowfast.checkpoint.weights import average_weights, read_weights, write_weights
from tests.helpers.configs import cfg_with
from tests.helpers.small_networks import clips, randomize_norms, small_model
from tools import convert_checkpoint


@pytest.fixture
def write(tmp_path):
    """Function (name, value, changes of the content) -> checkpoint whose weights are `value`."""

    def make(name, value, **changes):
        state = {"conv.weight": torch.full((2, 3), float(value)), "norm.running_var": torch.ones(2)}
        state["norm.running_var"] *= value
        state["norm.num_batches_tracked"] = torch.tensor(10 * value)
        content = {"model_state": state, "class_names": ["a", "b"], "cfg": cfg_with({}).dump()}
        content["optimizer_state"] = {"momentum": torch.zeros(10_000)}
        path = tmp_path / f"{name}.pyth"
        files.save(path, {**content, **changes})
        return path

    return make


def ema(value):
    state = {"conv.weight": torch.full((2, 3), float(value))}
    return {"ema_state": {"num_updates": 3, "model_state": state}}


def average(*paths):
    return average_weights([read_weights(path) for path in paths])


@pytest.mark.slow
def test_the_average_is_the_mean_of_weights_and_statistics(write):
    state = average(write("a", 1), write("b", 2), write("c", 6)).state
    assert state["conv.weight"].eq(3).all() and state["norm.running_var"].eq(3).all()
    assert state["conv.weight"].dtype == torch.float32


@pytest.mark.slow
def test_whole_numbers_are_the_last_one_s(write):
    assert average(write("a", 6), write("b", 2)).state["norm.num_batches_tracked"] == 20


@pytest.mark.slow
def test_moving_averages_are_averaged_where_tests_take_them(write):
    found = average(write("a", 1, **ema(3)), write("b", 1, **ema(5)))
    assert found.state["conv.weight"].eq(4).all() and found.is_moving_average


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"class_names": ["b", "a"]}, "another order"),
        ({"model_state": {"conv.weight": torch.ones(2, 3)}}, "2 tensors are in one of them alone"),
        ({"cfg": cfg_with({"RESNET.DEPTH": 101}).dump()}, "RESNET.DEPTH 50, 101"),
    ],
)
def test_checkpoints_that_differ_are_not_averaged(write, changes, message):
    with pytest.raises(files.CheckpointError, match=message):
        average(write("a", 1), write("b", 1, **changes))


def test_other_shapes_are_named(write):
    parts = [write(n, 1, model_state={"x": torch.ones(2, n)}) for n in (3, 4)]
    with pytest.raises(files.CheckpointError, match=r"x \(\(2, 3\), \(2, 4\)\)"):
        average(*parts)


@pytest.mark.parametrize("suffix", [".pyth", ".safetensors"])
def test_written_weights_keep_classes_and_config_without_paths(write, tmp_path, suffix):
    pytest.importorskip("safetensors")
    config = cfg_with({"OUTPUT_DIR": "/home/me/run", "MODEL.NUM_CLASSES": 2}).dump()
    weights = read_weights(write("a", 1, cfg=config))
    write_weights(weights, tmp_path / f"out{suffix}")
    found = files.load(tmp_path / f"out{suffix}")
    assert found["class_names"] == ["a", "b"] and "optimizer_state" not in found
    values = files.read_config(found["cfg"])
    assert values["MODEL.NUM_CLASSES"] == 2 and values["OUTPUT_DIR"] == "."


def test_the_tool_strips_and_says_both_sizes(run_tool, write, tmp_path):
    path, small = write("a", 1), tmp_path / "small.pyth"
    code, output = run_tool(convert_checkpoint, path, "--strip", "--output", small)
    assert code == 0 and f"-> {small}: 0.0 MB, the weights of the model" in output
    assert small.stat().st_size < path.stat().st_size - 40_000


@pytest.mark.slow
def test_a_stripped_file_gives_the_same_logits(run_tool, tmp_path):
    source = randomize_norms(small_model("X3D"))
    files.save(tmp_path / "a.pyth", {"model_state": source.state_dict()})
    run_tool(convert_checkpoint, tmp_path / "a.pyth", "--strip", "--output", tmp_path / "b.pyth")
    model = small_model("X3D").eval()
    load_for_test(model, tmp_path / "b.pyth")
    with torch.no_grad():
        assert torch.equal(model(clips("X3D")), source(clips("X3D")))


@pytest.mark.slow
def test_the_tool_averages(run_tool, write, tmp_path):
    paths, mean = [write("a", 1), write("b", 3)], tmp_path / "mean.pyth"
    code, output = run_tool(convert_checkpoint, "--average", *paths, "--output", mean)
    assert code == 0 and "BN.USE_PRECISE_STATS True" in output
    assert files.load(mean)["model_state"]["conv.weight"].eq(2).all()


def test_the_tool_writes_the_moving_average_as_the_model(run_tool, write, tmp_path):
    path, out = write("a", 1, **ema(5)), tmp_path / "ema.pyth"
    code, output = run_tool(convert_checkpoint, path, "--ema", "--output", out)
    content = files.load(out)
    assert code == 0 and "ema_state" not in content and "moving average" in output
    assert content["model_state"]["conv.weight"].eq(5).all()


def test_without_a_moving_average_there_is_none_to_write(run_tool, write, tmp_path):
    code, output = run_tool(convert_checkpoint, write("a", 1), "--ema", "--output", tmp_path / "x")
    assert code == 1 and "TRAIN.EMA_DECAY was 0" in output


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["a.pyth", "--output", "b.pyth"], "say what to do: --cfg FILE"),
        (["a", "b", "--strip", "--output", "c"], "one INPUT, not 2: a b"),
        (["a", "--strip", "--output", "c", "NUM_GPUS", "0"], "overrides go with --cfg"),
        (["a", "--average", "--output", "c"], "c"),
    ],
)
def test_mistakes_of_the_command_line(run_tool, words, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, output = run_tool(convert_checkpoint, *words)
    assert code and message in output
