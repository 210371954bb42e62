"""The one evaluation loop."""

from contextlib import nullcontext
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from slowfast.datasets.build import build_loader
from slowfast.datasets.records import Record
from slowfast.evaluation.evaluator import Evaluator
from slowfast.models import build_model
from slowfast.runtime.stop import StopRequest
from slowfast.tasks import build_evaluator, build_task
from slowfast.tasks.evaluate import EvaluationLoop, PrecisionCheck, _Late, build_evaluation_loop

CPU = torch.device("cpu")


class Kept(Evaluator):
    """Keeps what it is given."""

    def reset(self):
        self.scores = []

    def add(self, batch, output):
        self.scores.append((batch, output))

    def evaluate(self):
        return None


class PlainTask:
    """Notes the clips that go to the device."""

    def __init__(self):
        self.moved = []

    def prepare(self, batch, _device):
        self.moved.append(len(batch["clips"][0]))
        return batch

    def inputs(self, batch):
        return (batch["clips"],)


def batch_of(*indices, failures=(), damaged=()):
    clips = [torch.tensor(indices, dtype=torch.float32)[:, None]] if indices else []
    return {
        "clips": clips,
        "indices": torch.tensor(indices),
        "views": torch.zeros(len(indices), dtype=torch.long),
        "failures": list(failures),
        "damaged": list(damaged),
    }


class Loader(list):
    """Batches, and a dataset of eight records."""

    dataset = SimpleNamespace(records=[Record(f"{index}.mp4") for index in range(8)])

    def batches(self, is_stopped):
        return iter(self)


def run(items, networks, *, max_clips=None, stop=None):
    task, kept = PlainTask(), [Kept() for _ in networks]
    loop = EvaluationLoop(task, CPU, nullcontext(), max_clips)
    judged = list(zip(networks, kept, strict=True))
    unreadable = loop.run(Loader(items), judged, title="test", stop=stop)
    return task, [evaluator.scores for evaluator in kept], unreadable


def double(clips):
    return 2 * clips[0]


@pytest.mark.parametrize("max_clips", [None, 1, 2, 3, 5])
def test_at_most_so_many_clips_at_once_and_a_batch_is_added_whole(max_clips):
    sizes = []
    task, (scores,), _ = run(
        [batch_of(1, 2, 3), batch_of(4)],
        [lambda clips: sizes.append(len(clips[0])) or double(clips)],
        max_clips=max_clips,
    )
    assert [output.flatten().tolist() for _, output in scores] == [[2, 4, 6], [8]]
    assert [batch["indices"].tolist() for batch, _ in scores] == [[1, 2, 3], [4]]
    assert sizes == task.moved and sum(sizes) == 4 and max(sizes) == min(max_clips or 3, 3)


def test_clips_go_to_the_device_once_for_all_networks():
    networks = [double, lambda clips: -clips[0], lambda clips: clips[0].bfloat16()]
    task, scores, _ = run([batch_of(1, 2, 3)], networks, max_clips=2)
    assert task.moved == [2, 1]
    outputs = [output for ((_, output),) in scores]
    assert [output.flatten().tolist() for output in outputs] == [[2, 4, 6], [-1, -2, -3], [1, 2, 3]]
    assert {output.dtype for output in outputs} == {torch.float32}


@pytest.fixture
def bfloat16_loop():
    autocast = torch.autocast("cpu", torch.bfloat16)
    return EvaluationLoop(PlainTask(), CPU, autocast, 2, PrecisionCheck("bfloat16"))


def test_the_first_clips_are_scored_in_float32_too(bfloat16_loop, caplog):
    caplog.set_level("INFO")
    seen = []

    def network(clips):
        seen.append(torch.is_autocast_enabled("cpu"))
        return clips[0] * (1.25 if seen[-1] else 1.0)

    bfloat16_loop.run(Loader([batch_of(1, 2, 3), batch_of(4)]), [(network, Kept())], title="test")
    assert seen == [True, False, True, True]
    assert bfloat16_loop.check.facts() == {
        "precision": "bfloat16",
        "against_float32": {"num_clips": 2, "largest_score_difference": 0.5},
    }
    assert "scores of the first 2 clips differ from float32's by at most 0.5" in caplog.text


def test_a_score_that_is_no_number_is_no_small_difference(bfloat16_loop):
    def network(clips):
        return clips[0] * (float("nan") if torch.is_autocast_enabled("cpu") else 1.0)

    bfloat16_loop.run(Loader([batch_of(1)]), [(network, Kept()), (double, Kept())], title="test")
    assert np.isnan(bfloat16_loop.check.largest)


@pytest.mark.parametrize(
    ("precision", "train", "expected"),
    [
        ("train", ["TRAIN.MIXED_PRECISION", False], "float32"),
        ("train", ["TRAIN.MIXED_PRECISION", True], "float16"),
        ("float32", ["TRAIN.MIXED_PRECISION", True], "float32"),
        ("bfloat16", ["TRAIN.MIXED_PRECISION", False], "bfloat16"),
    ],
)
def test_the_precision_of_tests(toy_cfg, precision, train, expected):
    loop = build_evaluation_loop(toy_cfg("TEST.PRECISION", precision, *train))
    assert loop.check.name == expected
    with loop.autocast:
        y = F.conv3d(torch.ones(1, 1, 1, 1, 1), torch.ones(1, 1, 1, 1, 1))
    assert str(y.dtype) == f"torch.{expected}"


def test_an_item_may_be_a_list_of_batches():
    _, (scores,), _ = run([[batch_of(1), batch_of(2, 3)]], [double])
    assert [output.flatten().tolist() for _, output in scores] == [[2], [4, 6]]


def test_unreadable_and_damaged_videos_are_named(caplog):
    items = [batch_of(failures=[(0, "no video")]), batch_of(1, damaged=[(1, 3, 8)])]
    _, (scores,), unreadable = run(items, [double])
    assert unreadable.reasons == {"0.mp4": "no video"} and unreadable.damaged == {"1.mp4": (3, 8)}
    assert len(scores) == 1 and "damaged video: 1.mp4 (3" in caplog.text


def test_a_stop_request_ends_the_pass_after_a_batch():
    stop = StopRequest()
    stop.signum = 2
    _, (scores,), _ = run([batch_of(1), batch_of(2)], [double], stop=stop)
    assert len(scores) == 1


def test_every_pass_begins_without_scores():
    kept = Kept()
    loop = EvaluationLoop(PlainTask(), CPU, nullcontext())
    for _ in range(2):
        loop.run(Loader([batch_of(1)]), [(double, kept)], title="test")
    assert len(kept.scores) == 1


@pytest.mark.slow
@pytest.mark.parametrize("max_clips", [1, 4])
def test_a_real_network_says_the_same_in_parts(toy_cfg, max_clips):
    cfg = toy_cfg("TEST.BATCH_SIZE", 12)
    torch.manual_seed(0)
    model, loader = build_model(cfg).eval(), build_loader(cfg, "test")
    values = []
    for size in (None, max_clips):
        evaluator = build_evaluator(cfg, loader.dataset)
        loop = EvaluationLoop(build_task(cfg), CPU, nullcontext(), size)
        loop.run(loader, [(model, evaluator)], title="test")
        values.append(evaluator.join()[0].numpy())
    np.testing.assert_allclose(*values, rtol=1e-5)


@pytest.mark.parametrize("kind, numbers", [("cpu", [0, 1]), ("cuda", [0])])
def test_outputs_on_a_gpu_are_read_when_the_next_batch_is_under_way(kind, numbers):
    kept = Kept()
    late = _Late(torch.device(kind), [kept])
    for number in range(2):
        late.add({"number": number}, [[torch.zeros(1, 2)]])
    assert [batch["number"] for batch, _ in kept.scores] == numbers
    late.flush()
    assert [batch["number"] for batch, _ in kept.scores] == [0, 1]
