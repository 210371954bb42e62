"""How runs are named and found."""

from pathlib import Path

import pytest
import torch

from slowfast.analysis import runs
from slowfast.analysis.runs import draw_videos, load_run, load_runs, parse_run, parse_runs
from slowfast.checkpoint import files
from slowfast.config.cli import load_cfg
from slowfast.datasets.build import build_dataset
from slowfast.evaluation.evaluator import Evaluator
from slowfast.evaluation.video_evaluator import OneLabelEvaluator


@pytest.mark.slow
def test_a_folder_gives_its_config_and_last_checkpoint(make_run):
    folder = make_run("vov3d")
    run = load_run(parse_run(str(folder)), [])
    assert run.name == "vov3d" and run.class_names == ["brighter", "darker"]
    assert run.weights == folder / "checkpoints/checkpoint_epoch_00001.pyth"


@pytest.mark.slow
def test_a_config_with_weights_and_a_name(make_run):
    folder = make_run("vov3d")
    weights = folder / "checkpoints/checkpoint_epoch_00001.pyth"
    parsed = parse_run(f"my net={folder / 'config.yaml'},{weights}")
    assert (parsed.name, parsed.slug, parsed.folder) == ("my net", "my_net", None)
    assert load_run(parsed, []).weights == weights


def test_a_folder_with_signs_in_its_name_is_taken_as_it_is(make_run):
    folder = make_run("lr=0.1,wd=0")
    assert parse_run(str(folder)).folder == folder and parse_run(f"A={folder}").name == "A"


def test_equal_names_are_refused(make_run):
    folder = make_run("a")
    with pytest.raises(ValueError, match="write NAME=RUN"):
        parse_runs([str(folder), f"a={folder}"])


@pytest.mark.parametrize("word", ["nowhere", "{tmp}", "A={tmp}/a/config.yaml,nowhere.pyth"])
def test_missing_files_are_named(make_run, tmp_path, word):
    make_run("a")
    with pytest.raises(ValueError, match="there is no file .*(nowhere|config.yaml)"):
        parse_run(word.format(tmp=tmp_path))


def test_a_mistake_names_its_run(make_run):
    folder = make_run("a")
    with pytest.raises(ValueError, match="^a: .*is a checkpoint of another model"):
        list(load_runs([str(folder)], ["VOV3D.INNER_CH", 16]))


def test_an_evaluator_of_ones_own_cannot_be_analysed(make_run, monkeypatch):
    class Own(Evaluator):
        def reset(self):
            self.scores = []

        def add(self, batch, output):
            self.scores.append(output)

        def evaluate(self):
            return None

    monkeypatch.setattr(runs, "build_evaluator", lambda cfg, dataset: Own())
    with pytest.raises(ValueError, match="TASK: '' is judged by Own, which is no VideoEvaluator"):
        load_run(parse_run(str(make_run("a"))), [])


def test_all_runs_are_looked_for_before_the_first_is_built(make_run):
    words = [str(make_run("a")), str(make_run("b"))]
    files.last_checkpoint(Path(words[1])).unlink()
    with pytest.raises(ValueError, match="^b: .*there is no checkpoint"):
        next(load_runs(words, []))
    with pytest.raises(ValueError, match="^b: there is no file .*nowhere.pyth"):
        next(load_runs(words, ["TRAIN.CHECKPOINT_FILE_PATH", "nowhere.pyth"]))


def test_a_drawn_part_of_the_videos_depends_on_the_seed(make_run):
    config = make_run("a") / "config.yaml"

    def paths(seed):
        dataset = build_dataset(load_cfg(config), "test")
        draw_videos(dataset, 3, seed=seed)
        return [record.path for record in dataset.records]

    drawn = {tuple(paths(seed)) for seed in range(6)}
    assert len(paths(0)) == 3 and paths(0) == sorted(paths(0)) and 1 < len(drawn)
    assert paths(0) == paths(0)


@pytest.mark.slow
def test_kinds_of_views_score_the_same_at_once_a_few_at_once_and_alone(
    make_run, order_seer, monkeypatch
):
    run = load_run(parse_run(str(make_run("a"))), [])
    run.model = order_seer
    parts = [run.views.stretched(factor) for factor in (1, 1.5, 2)]
    found = []
    judge = OneLabelEvaluator._judge
    monkeypatch.setattr(
        OneLabelEvaluator, "_judge", lambda self, *args: found.append(args[0]) or judge(self, *args)
    )
    assert run.judge(parts)[1] == 6
    monkeypatch.setattr("slowfast.analysis.runs._MAX_VIEWS", 4)
    run.judge(parts)
    for part in parts:
        run.judge([part])
    whole, in_two, alone = found[:3], found[3:6], found[6:]
    assert len(alone) == 3
    torch.testing.assert_close(in_two, whole)
    torch.testing.assert_close(alone, whole)
    assert whole[0][0, 0] < whole[1][0, 0] < whole[2][0, 0]  # it changes more


@pytest.mark.slow
def test_videos_of_unknown_class_do_not_count(make_run):
    run = load_run(parse_run(str(make_run("a"))), [])
    run.dataset.records = [
        record if index == 1 else type(record)(record.path, -1)
        for index, record in enumerate(run.dataset.records)
    ]
    assert run.judge([run.views])[1] == 1
    run.dataset.records = [type(record)(record.path, -1) for record in run.dataset.records]
    with pytest.raises(ValueError, match="no test video with a known class"):
        run.judge([run.views])
