import json

import numpy as np
import pytest
import torch

from slowfast.analysis.features import FeatureExtractor, embed, extract, load_groups, name_points
from slowfast.analysis.runs import load_run, parse_run

NAMES = ["run", "eat", "sit"]


@pytest.fixture
def run(make_run):
    return load_run(parse_run(str(make_run("a"))), [])


@pytest.mark.slow
def test_the_features_of_a_stage_are_the_means_of_its_maps(run):
    (batch,) = run.loader(run.views)
    clips = run.loop.task.prepare(batch, torch.device("cpu"))["clips"]
    with torch.no_grad():
        (maps,) = run.model.forward_features(clips)  # of the last stage
        expected = maps.mean((2, 3, 4)).unflatten(0, (6, 2)).mean(1)  # two views per video
    features = extract(run, "s5")
    torch.testing.assert_close(torch.from_numpy(features.values), expected)
    assert features.labels.tolist() == [0, 1] * 3 and features.paths[1].endswith("1.mp4")


@pytest.mark.slow
def test_what_the_classifier_gets_gives_its_scores(run):
    features = torch.from_numpy(extract(run, "penultimate").values)
    assert features.shape == (6, run.model.head.projection.in_features)
    assert (features >= 0).all()  # after the ReLU, although that writes into the maps before it


@pytest.mark.slow
def test_maps_that_are_changed_later_are_averaged_before(run):
    values = extract(run, "s1.pathway0_stem.conv").values
    assert (values < 0).any()


@pytest.mark.slow
def test_pathways_are_joined(make_run):
    model = {"MODEL_NAME": "SlowFast"}
    resnet = {"DEPTH": 18, "TRANS_FUNC": "basic_transform", "WIDTH_PER_GROUP": 8}
    slowfast = {"ALPHA": 2, "BETA_INV": 4}
    data = {"INPUT_CHANNEL_NUM": [3, 3]}
    folder = make_run("two", MODEL=model, RESNET=resnet, SLOWFAST=slowfast, DATA=data)
    run = load_run(parse_run(str(folder)), [])
    dims = [extract(run, layer).values.shape[1] for layer in ("s5", "penultimate")]
    assert dims[0] == dims[1] == run.model.head.projection.in_features


class Tokens(torch.nn.Module):
    """Tokens N,positions,C with their grid, from a list of one clip; then logits of their mean."""

    def __init__(self):
        super().__init__()
        self.grid = torch.nn.Identity()
        self.grid.forward = lambda clip: (clip.flatten(2).transpose(1, 2), (2, 3, 3))
        self.projection = torch.nn.Linear(4, 2)

    def forward(self, clips, _boxes):
        tokens, _ = self.grid(clips[0])
        return self.projection(tokens.mean(1))


def test_tokens_are_averaged_over_their_positions():
    clip = torch.randn(2, 4, 2, 3, 3)
    values = FeatureExtractor(Tokens(), "grid")([clip])
    torch.testing.assert_close(values, clip.mean((2, 3, 4)))


@pytest.mark.slow
@pytest.mark.parametrize("layer", ["s9", ""])
def test_an_unknown_layer_is_named_with_those_there_are(run, layer):
    with pytest.raises(ValueError, match=f"--layer: '{layer}' .*penultimate.*s5"):
        FeatureExtractor(run.model, layer)


@pytest.mark.slow
def test_with_a_budget_the_features_are_those_of_the_narrow_network(small_run):
    options = ["TEST.NUM_SPATIAL_CROPS", 1, "TEST.BATCH_SIZE", 12]
    run = load_run(parse_run(str(small_run[0])), options)
    (batch,), reduced = run.loader(run.views), run.model
    clips = run.loop.task.prepare(batch, torch.device("cpu"))["clips"]
    with torch.no_grad():
        small = reduced.reduce(clips, reduced.point)
        (maps,) = reduced.network.forward_features(small)
    expected = maps.mean((2, 3, 4)).unflatten(0, (-1, 2)).mean(1)  # two views per video
    torch.testing.assert_close(torch.from_numpy(extract(run, "s5").values), expected)
    num_channels = reduced.network.head.projection.in_features
    assert extract(run, "penultimate").values.shape[1] == num_channels
    with pytest.raises(ValueError, match="--layer: 'network' .*penultimate.*s5"):
        FeatureExtractor(reduced, "network")


@pytest.mark.slow
def test_an_empty_budget_gives_the_features_of_the_whole_network(small_run):
    files = parse_run(str(small_run[0]))
    narrow, whole = (
        extract(load_run(files, options), "s5").values.shape[1]
        for options in ([], ["TEST.BUDGET", ""])
    )
    assert narrow < whole


@pytest.mark.slow
@pytest.mark.parametrize("count", [3, 7])
def test_perplexity_never_exceeds_what_the_videos_allow(count):
    values = np.random.default_rng(0).normal(size=(count, 5))
    embedding = embed(values, perplexity=30, seed=0)
    assert embedding.shape == (count, 2) and np.isfinite(embedding).all()


@pytest.mark.slow
def test_equal_features_have_an_embedding_too():
    assert np.isfinite(embed(np.ones((5, 4)), perplexity=30, seed=0)).all()


def test_two_videos_are_too_few():
    with pytest.raises(ValueError, match="three videos"):
        embed(np.ones((2, 4)), perplexity=30, seed=0)


def test_groups_of_names_and_numbers_from_json_and_yaml(tmp_path):
    (tmp_path / "a.json").write_text(json.dumps({"move": ["run"], "rest": [1, "sit"]}))
    (tmp_path / "a.yaml").write_text("move: [run]\nrest: [1, sit]\n")
    for name in ("a.json", "a.yaml"):
        assert load_groups(tmp_path / name, NAMES) == {0: "move", 1: "rest", 2: "rest"}


@pytest.mark.parametrize(
    "text, message",
    [
        ("move: [fly]", "'fly' in 'move' is none of the 3 classes"),
        ("move: [3]", "3 in 'move' is none"),
        ("move: [run]\nrest: [0]", "0 is in 'move' and in 'rest'"),
        ("move: [yes]", "True in 'move' is not the name of a class"),
        ("move: [[run, eat]]", r"\['run', 'eat'\] in 'move' is not the name of a class"),
        ("[run]", "groups are {group"),
        ("{", "cannot be read"),
    ],
)
def test_mistakes_in_groups_are_named(tmp_path, text, message):
    (tmp_path / "a.yaml").write_text(text)
    with pytest.raises(ValueError, match=message):
        load_groups(tmp_path / "a.yaml", NAMES)


def test_the_rare_classes_of_many_and_unknown_ones_are_others():
    names = {number: f"class {number}" for number in range(22)}
    labels = np.array([*range(22), *range(20), -1])
    points, legend = name_points(labels, names)
    assert legend == [*(f"class {number}" for number in range(20)), "others"]
    assert points[20:22] == ["others", "others"] and points[-1] == "others"
