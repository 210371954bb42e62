import pytest
import torch

from slowfast.adaptive.calibration_file import (
    Calibration,
    calibration_path,
    file_hash,
    load_calibration,
    save_calibration,
)


@pytest.fixture
def checkpoint(tmp_path):
    path = tmp_path / "weights.pyth"
    path.write_bytes(b"weights")
    return path


def test_content_comes_back(checkpoint):
    settings = {"num_batches": 3}
    assert load_calibration(checkpoint, settings) == Calibration(file_hash(checkpoint), settings)
    statistics = {"0.5,4,32": {"bn.running_mean": torch.ones(2)}}
    progress = {"1,4,32": {"num_batches": 1, "moments": {}}}
    saved = Calibration(file_hash(checkpoint), settings, statistics, progress)
    assert save_calibration(checkpoint, saved) == calibration_path(checkpoint)
    assert calibration_path(checkpoint).name == "weights.pyth.calibration.pth"
    found = load_calibration(checkpoint, settings)
    assert torch.equal(
        found.statistics["0.5,4,32"].pop("bn.running_mean"),
        saved.statistics["0.5,4,32"].pop("bn.running_mean"),
    )
    assert found == saved


def test_what_others_have_saved_stays(checkpoint):
    def saved(settings, statistics, **progress):
        parts = {name: {"num_batches": count, "moments": {}} for name, count in progress.items()}
        one = Calibration(file_hash(checkpoint), settings, {name: {} for name in statistics}, parts)
        save_calibration(checkpoint, one)

    saved({"seed": 0}, ["a"], b=3, c=2)
    saved({"seed": 1}, ["d"])
    saved({"seed": 0}, ["e"], a=1, b=2, c=4)
    found = load_calibration(checkpoint, {"seed": 0})
    assert found.statistics.keys() == {"a", "e"}
    assert {name: part["num_batches"] for name, part in found.progress.items()} == {"b": 3, "c": 4}
    assert load_calibration(checkpoint, {"seed": 1}).statistics.keys() == {"d"}


def test_other_weights_are_noticed(checkpoint):
    save_calibration(checkpoint, Calibration(file_hash(checkpoint), {}))
    checkpoint.write_bytes(b"others")
    with pytest.raises(ValueError, match="other weights than those of .*weights.pyth"):
        load_calibration(checkpoint, {})


def test_another_file_is_noticed(checkpoint):
    torch.save({"model_state": {}}, calibration_path(checkpoint))
    with pytest.raises(ValueError, match="is not a file of batch-norm statistics"):
        load_calibration(checkpoint, {})


def test_hash_is_that_of_the_whole_file(tmp_path):
    path = tmp_path / "empty"
    path.write_bytes(b"")
    assert file_hash(path).startswith("e3b0c44298fc1c14")
