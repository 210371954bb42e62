import pytest

from slowfast.engine.state import Sums, read_sums


def test_a_name_that_one_side_lacks_counts_as_0():
    sums = Sums({"loss": 2.0}, count=2)
    sums.add(Sums({"loss": 4.0, "sub_loss": 3.0}, count=1))
    assert sums.means() == {"loss": 2.0, "sub_loss": 1.0}


def test_nothing_counted_has_mean_0():
    assert Sums({"loss": 0.0}).means() == {"loss": 0.0}


@pytest.mark.parametrize(
    ("saved", "means"),
    [
        ([], {}),
        ([6.0, 4.0], {"loss": 1.5}),
        ([6.0, 1.0, 3.0, 4.0], {"loss": 1.5, "top1_acc": 25.0, "top5_acc": 75.0}),
        (
            [6.0, 1.0, 3.0, 2.0, 4.0],
            {"loss": 1.5, "top1_acc": 25.0, "top5_acc": 75.0, "sub_loss": 0.5},
        ),
        ({"values": {"own": 2.0}, "count": 4.0}, {"own": 0.5}),
    ],
)
def test_sums_of_a_checkpoint_are_read_also_from_before_they_had_names(saved, means):
    assert read_sums(saved).means() == means
