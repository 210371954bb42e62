"""Values that are chosen, and how they follow from videos, machine, and what the user gave."""

import pytest
import yaml

from slowfast.config.defaults import DEFAULTS
from slowfast.config.node import flatten
from slowfast.own.choices import GIVEN, Choice, Choices, yaml_lines
from slowfast.own.choose import (
    choose_batch,
    choose_clip,
    choose_device,
    choose_strength,
    choose_training,
    find_recipe,
)
from slowfast.own.measure import Lengths, Machine
from slowfast.own.network import StepCost

MB = 2**20
COST = StepCost(memory=100 * MB, seconds=0.1, num_params=1000, stages=["s1", "s2"])


def values(choices):
    return {row.key: row.value for row in choices.finish()}


def clip(lengths, given=(), **network):
    """Values of a clip; network: keys of DATA in which it differs from the defaults."""
    choices = Choices(dict(given))
    own = {f"DATA.{name}": value for name, value in network.items()}
    own = {**dict(flatten(DEFAULTS)), **own}
    choose_clip(choices, own, lengths, is_scratch=not network)
    return values(choices)


def test_clip_fits_into_nine_of_ten_videos():
    found = clip(Lengths(median=3.0, short=2.0, num_measured=100))
    assert found["DATA.NUM_FRAMES"] * found["DATA.SAMPLING_RATE"] == 48  # of 60 frames


def test_network_keeps_the_stride_that_it_was_trained_with_where_videos_are_long():
    found = clip(Lengths(60.0, 30.0, 100), NUM_FRAMES=13, SAMPLING_RATE=6)
    assert found["DATA.SAMPLING_RATE"] == 6 and found["TEST.NUM_ENSEMBLE_VIEWS"] == 10


def test_stride_is_for_the_frames_that_the_user_gave():
    found = clip(Lengths(3.0, 2.0, 100), {"DATA.NUM_FRAMES": 8})
    assert (found["DATA.NUM_FRAMES"], found["DATA.SAMPLING_RATE"]) == (8, 7)


@pytest.mark.parametrize(
    ("memory", "num_train", "batch"), [(2**40, 10_000, 16), (900 * MB, 10_000, 2), (2**40, 60, 8)]
)
def test_batch_fits_memory_and_videos(memory, num_train, batch):
    choices = Choices({})
    assert choose_batch(choices, COST, Machine(2, memory), num_train, is_gpu=False) == batch


def test_learning_rate_is_scaled_to_the_batch():
    rates = []
    for batch in (8, 16):
        choices = Choices({})
        choose_training(choices, COST, 1000, batch, find_recipe("sgd", is_scratch=True))
        rates.append(values(choices)["SOLVER.BASE_LR"])
    assert rates[1] == pytest.approx(2 * rates[0])


def test_patience_is_left_out_of_a_run_that_is_shorter():
    choices = Choices({"SOLVER.MAX_EPOCH": 3})
    choose_training(choices, COST, 100, 8, find_recipe("sgd", is_scratch=True))
    assert "TRAIN.PATIENCE" not in values(choices)


@pytest.mark.parametrize(("num_params", "is_on"), [(200_000, False), (3_000_000, True)])
def test_augmentation_is_strong_for_large_networks_alone(num_params, is_on):
    choices = Choices({})
    choose_strength(choices, ["run", "walk"], num_params, is_multi_label=False)
    assert values(choices)["AUG.ENABLE"] == is_on


def test_batch_on_a_gpu_fits_its_memory():
    choices = Choices({})
    machine = Machine(16, 2**40, ("H100",), gpu_memory=900 * MB)
    assert choose_batch(choices, COST, machine, 10_000, is_gpu=True) == 2


@pytest.mark.parametrize(
    ("gpus", "expected"),
    [((), {"NUM_GPUS": 0}), (("T4", "T4"), {"NUM_GPUS": 1, "TRAIN.AMP_DTYPE": "float16"})],
)
def test_gpu_is_taken_where_there_is_one(gpus, expected):
    choices = Choices({})
    choose_device(choices, Machine(2, 2**40, gpus, gpu_dtype="float16"))
    assert values(choices).items() >= expected.items()


def test_networks_of_adam_have_rates_of_adam():
    rates = {name: find_recipe(name, is_scratch=False).lr for name in ("sgd", "adam", "adamw")}
    assert rates["adam"] == rates["adamw"] < rates["sgd"] / 100


@pytest.mark.parametrize(
    ("names", "key", "value"),
    [
        (["turn left", "turn right"], "DATA.LABEL_AWARE_FLIP", True),
        (["turn left", "stop"], "DATA.RANDOM_FLIP", False),
    ],
)
def test_mirrored_videos_keep_the_sense_of_sides(names, key, value):
    choices = Choices({})
    choose_strength(choices, names, 1000, is_multi_label=False)
    assert values(choices)[key] == value


def test_what_the_user_gives_wins_and_says_so():
    choices = Choices({"A.B": 3, "C": 4})
    assert choices.pick("A.B", 1, "reason") == 3
    assert choices.finish() == [Choice("A.B", 3, GIVEN), Choice("C", 4, GIVEN)]


def test_yaml_has_the_values_in_sections_with_their_reasons():
    rows = [Choice("A.B", [1, 2], "x"), Choice("C", "a: b", "y"), Choice("A.D.E", 0.5, "z")]
    lines = yaml_lines(rows)
    assert yaml.safe_load("\n".join(lines)) == {"A": {"B": [1, 2], "D": {"E": 0.5}}, "C": "a: b"}
    assert "  B: [1, 2]  # x" in lines


def test_epochs_that_are_fewer_than_the_steps_ask_for_say_so():
    choices = Choices({})
    choose_training(choices, COST, 8, 8, find_recipe("sgd", is_scratch=True))
    (why,) = (row.why for row in choices.finish() if row.key == "SOLVER.MAX_EPOCH")
    assert why == "from scratch, 1 step an epoch; 100 at most, 1500 steps would be more"
