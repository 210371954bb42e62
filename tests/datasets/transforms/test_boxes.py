import numpy as np
import pytest
import torch

from slowfast.datasets.transforms import boxes as box_ops
from slowfast.datasets.transforms.spatial import uniform_crop_offsets


def painted(height: int, width: int, boxes: list) -> torch.Tensor:
    """A black clip of 2 frames; box number i is filled with 100 + i."""
    clip = torch.zeros(3, 2, height, width, dtype=torch.uint8)
    for number, (x1, y1, x2, y2) in enumerate(boxes):
        clip[..., y1:y2, x1:x2] = 100 + number
    return clip


def extent(clip: torch.Tensor, number: int) -> list[int]:
    """The box around the pixels of box `number`."""
    hit = (clip == 100 + number).all(0).all(0)
    rows, columns = hit.any(1).nonzero().flatten(), hit.any(0).nonzero().flatten()
    return [int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1]


BOXES = [[10, 5, 30, 45], [40, 20, 75, 50]]


def test_shares_become_pixels_of_any_frame():
    boxes = np.array([[0.25, 0.5, 0.75, 1.0]], np.float32)
    assert box_ops.to_pixels(boxes, 40, 80).tolist() == [[20, 20, 60, 40]]


def test_boxes_that_reach_outside_are_clipped_to_the_frame():
    boxes = np.array([[-0.5, -0.1, 1.5, 1.2]], np.float32)
    assert box_ops.to_pixels(boxes, 40, 80).tolist() == [[0, 0, 80, 40]]


def test_a_frame_without_boxes_has_none_in_pixels():
    assert box_ops.to_pixels(np.zeros((0, 4), np.float32), 40, 80).shape == (0, 4)


def test_a_flip_keeps_boxes_on_their_pixels():
    clip, boxes = box_ops.flip(painted(60, 80, BOXES), torch.tensor(BOXES).float())
    assert boxes.tolist() == [extent(clip, 0), extent(clip, 1)]


@pytest.mark.parametrize("height, width", [(60, 80), (80, 60), (60, 60)])
@pytest.mark.parametrize("spatial_idx", [0, 1, 2])
def test_uniform_crops_keep_boxes_on_their_pixels(height, width, spatial_idx):
    y, x = uniform_crop_offsets(height, width, 56, spatial_idx)
    box = [20, 15, 45, 40]
    clip, boxes = box_ops.crop(painted(height, width, [box]), torch.tensor([box]).float(), y, x, 56)
    assert clip.shape[-2:] == (56, 56)
    assert boxes.tolist() == [extent(clip, 0)]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("height, width", [(60, 80), (100, 50)])
def test_random_crops_keep_boxes_on_their_pixels(seed, height, width):
    clip, boxes = box_ops.random_crop(
        painted(height, width, BOXES),
        torch.tensor(BOXES).float(),
        40,
        np.random.default_rng(seed),
    )
    for number in box_ops.is_visible(boxes).nonzero().flatten().tolist():
        assert boxes[number].tolist() == extent(clip, number)


def test_what_a_crop_leaves_of_a_box_ends_at_its_edge():
    clip, boxes = box_ops.crop(painted(60, 80, BOXES), torch.tensor(BOXES).float(), 10, 25, 40)
    assert boxes.tolist() == [[0, 0, 5, 35], [15, 10, 40, 40]] == [extent(clip, 0), extent(clip, 1)]


def test_random_crops_are_redrawn_until_one_shows_a_box():
    box = torch.tensor([[0.0, 0.0, 12.0, 12.0]])
    clip = painted(20, 40, [])
    shown = [
        box_ops.is_visible(box_ops.random_crop(clip, box, 10, np.random.default_rng(seed))[1]).any()
        for seed in range(30)
    ]
    once = [
        box_ops.is_visible(box_ops.crop(clip, box, 0, x, 10)[1]).any() for x in range(31)
    ]  # most places do not show it
    assert sum(shown) >= 27 and sum(once) < 15


def test_a_crop_without_any_box_is_taken_in_the_end():
    clip, boxes = box_ops.random_crop(
        painted(20, 40, []), torch.zeros(0, 4), 10, np.random.default_rng(0)
    )
    assert clip.shape[-2:] == (10, 10) and boxes.shape == (0, 4)


def test_boxes_of_less_than_a_pixel_in_a_direction_are_not_visible():
    boxes = torch.tensor([[0, 0, 1, 1], [0, 0, 0.9, 5], [3, 3, 3, 9], [5, 5, 4, 4]])
    assert box_ops.is_visible(boxes).tolist() == [True, False, False, False]
