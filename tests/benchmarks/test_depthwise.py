import pytest
import torch

from benchmarks.depthwise import Layer, build_layers, measure, ways_of
from slowfast.config.cli import load_cfg

LAYER = Layer(4, (2, 4, 4), (1, 3, 3), (1, 2, 2), (0, 1, 1))


@pytest.mark.slow
def test_layers_of_x3d():
    opts = ["DATA.TRAIN_CROP_SIZE", 64, "DATA.NUM_FRAMES", 4, "NUM_GPUS", 0]
    layers = build_layers(load_cfg("configs/Kinetics/x3d/X3D_M.yaml", opts))
    assert layers[Layer(24, (4, 32, 32), (5, 1, 1), (1, 1, 1), (2, 0, 0))] == 1
    assert sum(layers.values()) == 27  # the stem, and a layer of each block


@pytest.mark.parametrize("way", ["torch", "channels_last", "fold"])
def test_timing_counts_the_bytes_of_input_and_output(way):
    how = {"batch": 2, "dtype": torch.float32, "device": torch.device("cpu"), "repeats": 1}
    timing = measure(LAYER, way, **how)
    assert timing.num_bytes == 4 * 2 * 4 * 2 * (16 + 4)
    assert min(timing.shares(1e6)) > 0


def test_kernel_over_space_and_time_has_no_fold_on_a_gpu():
    solid = Layer(4, (2, 4, 4), (3, 3, 3), (1, 1, 1), (1, 1, 1))
    assert "fold" not in ways_of(solid, torch.device("cuda"))
    assert "fold" in ways_of(LAYER, torch.device("cuda"))
