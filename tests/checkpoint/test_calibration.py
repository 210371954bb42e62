import pytest
import torch

from slowfast.checkpoint.calibration import (
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
    assert load_calibration(checkpoint) is None
    statistics = {"0.5,4,32": {"bn.running_mean": torch.ones(2)}}
    saved = Calibration(file_hash(checkpoint), {"num_batches": 3}, statistics, {"num_batches": 1})
    assert save_calibration(checkpoint, saved) == calibration_path(checkpoint)
    assert calibration_path(checkpoint).name == "weights.pyth.calibration.pth"
    found = load_calibration(checkpoint)
    assert torch.equal(
        found.statistics["0.5,4,32"].pop("bn.running_mean"),
        saved.statistics["0.5,4,32"].pop("bn.running_mean"),
    )
    assert found == saved


def test_other_weights_are_noticed(checkpoint):
    save_calibration(checkpoint, Calibration(file_hash(checkpoint), {}))
    checkpoint.write_bytes(b"others")
    with pytest.raises(ValueError, match="other weights than those of .*weights.pyth"):
        load_calibration(checkpoint)


def test_another_file_is_noticed(checkpoint):
    torch.save({"model_state": {}}, calibration_path(checkpoint))
    with pytest.raises(ValueError, match="is not a file of batch-norm statistics"):
        load_calibration(checkpoint)


def test_hash_is_that_of_the_whole_file(tmp_path):
    path = tmp_path / "empty"
    path.write_bytes(b"")
    assert file_hash(path).startswith("e3b0c44298fc1c14")
