"""Adaptive networks beside those trained alone, with and without calibration."""

import csv
import json
import math
import signal
from functools import partial

import pytest
import torch

from slowfast.adaptive import compare as module
from slowfast.adaptive.budget import load_table, table_path
from slowfast.adaptive.compare import compare, comparison_text, write_comparison
from slowfast.checkpoint import files
from slowfast.config.cli import load_cfg
from slowfast.models import build_model
from slowfast.models.operating_point import OperatingPoint
from slowfast.runtime.stop import StopRequest

SMALL, LESS, FULL = (OperatingPoint.parse(text) for text in ("0.5,2,32", "1,2,40", "1,4,40"))


@pytest.fixture
def alone(budget_copy):
    """Two more weights of the architecture of `budget_copy`, whose running variances are odd."""
    paths = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        state = build_model(load_cfg(budget_copy[0])).state_dict()
        for name, values in state.items():
            if name.endswith("running_var"):
                values.fill_(100.0)
        paths.append(budget_copy[1].with_name(f"alone_{seed}.pyth"))
        files.save(paths[-1], {"model_state": state})
    return paths


@pytest.mark.slow
def test_each_kind_is_what_a_table_of_its_own_says(
    budget_copy, alone, reads, monkeypatch, tmp_path
):
    path, weights = budget_copy
    seen, score = {}, module.score_sub_networks

    def recorded(networks, *args, **kwargs):
        wrapped = {key: partial(record, key, network) for key, network in networks.items()}
        return score(wrapped, *args, **kwargs)

    def record(key, network, clips):
        seen.setdefault(key, []).append(network(clips))
        return seen[key][-1]

    monkeypatch.setattr(module, "score_sub_networks", recorded)
    found = compare(path, [weights], alone, points=[FULL, SMALL, LESS], stop=StopRequest())
    # Test videos once for all four kinds and three files (training videos: calibration).
    assert {name: reads[name] for name in reads if name.startswith("test")} == {
        f"test_{index}.mp4": 1 for index in range(5)
    }
    table = {row.point: row.top1_acc for row in load_table(table_path(weights), weights).rows}
    assert [row.point for row in found.rows] == [SMALL, LESS, FULL]
    for row in found.rows:
        assert row.top1_acc["adaptive"].values == (table[row.point],)
        is_whole = row.point.width == 1
        assert ("alone" in row.top1_acc) == ("alone_uncalibrated" in row.top1_acc) == is_whole
        if is_whole:
            assert len(row.top1_acc["alone"].values) == 2

    def scores(kind, at, checkpoint):
        return torch.cat(seen[kind, str(checkpoint), at])

    for checkpoint in alone:  # measured statistics count, but at full size those of the weights do
        own, bare = (scores(kind, LESS, checkpoint) for kind in ("alone", "alone_uncalibrated"))
        assert (own - bare).abs().max() > 1e-3
        assert ("alone_uncalibrated", str(checkpoint), FULL) not in seen  # run once
    full = found.rows[-1].top1_acc
    assert full["alone"].values == full["alone_uncalibrated"].values

    write_comparison(tmp_path / "out.json", found)
    content = json.loads((tmp_path / "out.json").read_text())
    assert content["checkpoints"]["alone"] == list(map(str, alone))
    with open(tmp_path / "out.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    for cells, entry, row in zip(rows, content["configurations"], found.rows, strict=True):
        assert cells["configuration"] == entry["configuration"] == str(row.point)
        assert float(cells["adaptive_mean"]) == entry["top1_acc"]["adaptive"]["mean"]
        assert math.isnan(row.top1_acc["adaptive"].std)  # of one checkpoint
    assert rows[0]["alone_mean"] == "" and float(rows[1]["alone_std"]) >= 0
    lines = comparison_text(found).splitlines()
    assert "adaptive, uncalibrated" in lines[0] and "±" in lines[-1] and "±" not in lines[2]


@pytest.mark.slow
def test_ctrl_c_keeps_the_videos_so_far(budget_copy, ctrl_c_after_a_video):
    path, weights = budget_copy
    stop = StopRequest()
    found = compare(path, [weights], [], points=[FULL], stop=stop)
    assert stop.signum == signal.SIGINT
    assert (found.about["num_videos"], found.about["num_test_videos"]) == (1, 5)
    assert found.kinds == ["adaptive", "adaptive_uncalibrated"]


@pytest.mark.slow
@pytest.mark.parametrize("is_adaptive", [True, False])
def test_checkpoints_of_the_other_kind_are_refused_before_anything_is_measured(
    budget_copy, reads, is_adaptive
):
    path, weights = budget_copy
    cfg = load_cfg(path, ["ADAPTIVE.ENABLE", not is_adaptive])
    other = weights.with_name("other.pyth")
    files.save(other, {**files.load(weights), "cfg": cfg.dump()})
    paths = ([weights, other], []) if is_adaptive else ([weights], [other])
    belongs = "--alone" if is_adaptive else "--adaptive"
    with pytest.raises(ValueError, match=f"other.pyth: was trained.*belongs to {belongs}"):
        compare(path, *paths, stop=StopRequest())
    with pytest.raises(ValueError, match="none.pyth: no such file"):
        compare(path, [weights, weights.with_name("none.pyth")], [], stop=StopRequest())
    assert not reads


def test_mistakes_are_named(budget_run):
    path, weights = budget_run
    with pytest.raises(ValueError, match="ADAPTIVE.ENABLE: False"):
        compare(path, [weights], [], ["ADAPTIVE.ENABLE", False], stop=StopRequest())
    with pytest.raises(ValueError, match=r"weights.pyth: this checkpoint is given twice"):
        compare(path, [weights], [weights], stop=StopRequest())
    with pytest.raises(ValueError, match="is narrower than ADAPTIVE.MIN_WIDTH 0.5"):
        compare(
            *(path, [weights], []),
            points=[OperatingPoint.parse("0.4,2,32")],
            stop=StopRequest(),
        )
    for text in ("1,8,40", "1,4,48"):
        with pytest.raises(ValueError, match=f"{text}: has more than the 4 frames or the crop 40"):
            compare(path, [weights], [], points=[OperatingPoint.parse(text)], stop=StopRequest())
