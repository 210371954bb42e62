"""Exported files of a network of one line: written, compared, read."""

import json

import pytest
import torch
from torch import nn

from slowfast.export import readers
from slowfast.export.formats import trace_program
from slowfast.export.readers import ExportedNetwork, Reader, build_exported, read_exported
from slowfast.export.write import build_facts, largest_difference, unsaturated, write_checked
from slowfast.models.conv import conv3d


class Means(nn.Module):
    """Mean of each channel, 3 scores."""

    def forward(self, clips, boxes=None):
        return clips[0].mean((2, 3, 4))


@pytest.fixture
def facts(toy_cfg):
    """Facts for two clips at a time."""
    return build_facts(toy_cfg(), "weights.pyth", ["run", "eat", "sit"], 2)


def clips(num=1):
    return torch.rand(num, 3, 4, 32, 32, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def written(facts, tmp_path):
    path = tmp_path / "net.pt2"
    return write_checked(Means(), facts, path, to="pt2", clips=[[clips()]]).network.path, path


@pytest.mark.slow
def test_a_file_has_its_facts_and_gives_the_scores(written, facts):
    network = read_exported(written[1], "torch")
    assert network.facts == json.loads(json.dumps(facts))
    torch.testing.assert_close(network([clips(5)]), Means()([clips(5)]))


@pytest.mark.slow
def test_a_file_that_differs_from_torch_is_not_written(facts, tmp_path, monkeypatch):
    path = tmp_path / "folder" / "net.pt2"
    path.parent.mkdir()
    path.write_text("before")
    monkeypatch.setattr("slowfast.export.write.TOLERANCE", -1.0)
    with pytest.raises(ValueError, match="not written: its scores differ from torch"):
        write_checked(Means(), facts, path, to="pt2", clips=[[clips()]])
    assert [file.name for file in path.parent.iterdir()] == ["net.pt2"]
    assert path.read_text() == "before"


class TwoConvolutions(nn.Module):
    """Over space and time, then over space."""

    def __init__(self):
        super().__init__()
        self.first, self.second = conv3d(3, 4, 3), conv3d(4, 4, (1, 3, 3))

    def forward(self, clips, boxes=None):
        return self.second(self.first(clips[0]))


@pytest.mark.slow
@pytest.mark.skipif(
    not hasattr(torch.compiler, "is_exporting"), reason="torch 2.6 does not say that it exports"
)
def test_a_program_for_torch_folds_what_follows_a_convolution_over_space_and_time():
    program = trace_program(TwoConvolutions(), [clips().shape], is_dynamic=False, is_for_torch=True)
    names = [str(node.target) for node in program.graph.nodes if "conv" in str(node.target)]
    assert names == ["aten.conv3d.default", "aten.conv2d.default"]


@pytest.mark.parametrize("factor", [1.001, float("nan")])
def test_a_difference_is_relative_to_the_largest_score(factor):
    def run(batch):
        return Means()(batch) * factor

    found = largest_difference(run, Means(), [[clips()]], [1, 3])
    assert found == pytest.approx(factor - 1, rel=1e-3, nan_ok=True)


def test_scores_of_a_saturated_softmax_are_told_apart():
    logits = torch.tensor([[60.0, 0.0, 3.0]])
    wrong = logits + torch.tensor([0.0, 2.0, 0.0])
    pair = [lambda _, x=x: x.softmax(-1) for x in (logits, wrong)]
    assert largest_difference(*pair, [[clips()]], [1]) < 1e-6
    pair = [unsaturated(run, "softmax") for run in pair]
    assert largest_difference(*pair, [[clips()]], [1]) == pytest.approx(2 / 58, rel=1e-3)


def test_a_file_for_two_clips_gets_two_at_a_time(tmp_path):
    counts = []

    def run(batch):
        counts.append(len(batch[0]))
        return Means()(batch)

    network = ExportedNetwork(tmp_path, run, {"num_clips": 2})
    torch.testing.assert_close(network([clips(5)]), Means()([clips(5)]))
    assert counts == [2, 2, 2]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], None),
        (["DATA.TEST_CROP_SIZE", 36], r"takes clips C,T,H,W of \[3, 4, 32, 32\]"),
        (["DATA.MEAN", "[0.1, 0.1, 0.1]"], r"DATA.MEAN: .* was exported with \[0.45"),
    ],
)
def test_a_file_is_for_the_clips_of_one_config(
    options, message, toy_cfg, facts, tmp_path, monkeypatch
):
    path = tmp_path / "net.pt2"
    path.touch()
    reader = Reader(lambda path, precision: (Means(), json.dumps(facts)))
    monkeypatch.setitem(readers.READERS, ("torch", ".pt2"), reader)
    if message is None:
        assert build_exported(toy_cfg(), path, "torch").class_names == ["run", "eat", "sit"]
        return
    with pytest.raises(ValueError, match=message):
        build_exported(toy_cfg(*options), path, "torch")


@pytest.mark.parametrize("backend", ["torch", "onnxruntime", "openvino"])
def test_a_file_of_something_else_is_named(backend, tmp_path):
    suffix = {"torch": ".pt2", "onnxruntime": ".onnx", "openvino": ".xml"}[backend]
    path = tmp_path / f"net{suffix}"
    path.write_text("something else")
    with pytest.raises(ValueError, match=f"net{suffix}: not a file for {backend}"):
        read_exported(path, backend)
