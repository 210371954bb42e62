import numpy as np
import pytest
import torch

from slowfast.analysis.arrow import ArrowRow, _classes_to_show, measure_arrow
from slowfast.analysis.runs import load_run, parse_run


@pytest.mark.slow
def test_what_time_contributes_to_a_network_that_sees_order(make_run, order_seer):
    run = load_run(parse_run(str(make_run("a"))), [])
    run.model = order_seer
    row = measure_arrow(run)
    assert row.total["normal"] == 100 and row.total["reversed"] == 0 and row.num_videos == 6
    # A still picture is class 0: half of the videos.
    assert row.total["single_frame"] == 50
    assert row.difference("single_frame").tolist() == [0, 100]
    assert row.difference("reversed").tolist() == [100, 100]


@pytest.mark.slow
def test_shuffling_is_the_same_every_time_but_not_for_every_seed(make_run):
    folder = str(make_run("a"))

    def shuffled(seed):
        run = load_run(parse_run(folder), ["RNG_SEED", seed])
        views = run.views.in_order(lambda frames, rng: rng.permutation(frames))
        (batch,) = run.loader(views)
        return batch["clips"][0]

    assert torch.equal(shuffled(0), shuffled(0)) and not torch.equal(shuffled(0), shuffled(1))


@pytest.mark.slow
def test_flow_is_refused(make_run):
    run = load_run(parse_run(str(make_run("a"))), [])
    run.modality = "flow"
    with pytest.raises(ValueError, match="a: DATA.MODALITY: 'flow'"):
        measure_arrow(run)


@pytest.mark.slow
def test_a_run_that_is_tested_backwards_is_refused(make_run):
    run = load_run(parse_run(str(make_run("a"))), ["TEST.REVERSE_TIME", True])
    with pytest.raises(ValueError, match="a: TEST.REVERSE_TIME: True must be False"):
        measure_arrow(run)


def test_of_many_classes_the_ends_are_drawn_and_those_without_videos_left_out():
    gain = np.arange(50.0)
    gain[49] = np.nan
    row = ArrowRow("a", 9, {}, {"normal": gain, "single_frame": np.zeros(50)})
    shown, title = _classes_to_show([row])
    assert shown == [*range(48, 33, -1), *range(14, -1, -1)] and "15" in title
