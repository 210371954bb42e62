import numpy as np
import torch

from slowfast.datasets.transforms.augment import PcaJitter


def test_a_component_moves_red_green_and_blue_by_its_column():
    """The reference adds row 2 - i of the vectors to channel i of a BGR image."""
    vectors = np.array([[0.1, 0, 0], [0.2, 0, 0], [0.4, 0, 0]])
    lit = PcaJitter([1, 0, 0], vectors, std=0.1)(
        torch.full((3, 1, 2, 2), 128.0), np.random.default_rng(3)
    )
    alpha = np.random.default_rng(3).normal(0, 0.1, 3)[0]
    expected = 128 + 255 * alpha * np.array([0.1, 0.2, 0.4])
    torch.testing.assert_close(lit[:, 0, 0, 0], torch.tensor(expected, dtype=torch.float32))


def test_all_frames_get_the_same_color():
    clip = torch.full((3, 4, 5, 5), 100, dtype=torch.uint8)
    lit = PcaJitter([0.9] * 3, np.eye(3))(clip, np.random.default_rng(0))
    assert lit.dtype == torch.uint8 and (lit == lit[:, :1, :1, :1]).all() and (lit != clip).any()


def test_pixels_stay_within_their_range():
    clip = torch.tensor([0, 255], dtype=torch.uint8).expand(3, 1, 1, 2)
    lit = PcaJitter([5.0] * 3, np.eye(3))(clip, np.random.default_rng(0))
    assert lit.dtype == torch.uint8 and lit[..., 0].max() <= lit[..., 1].min()
