"""Networks that find boxes in key frames, and the arithmetic of their boxes."""

import pytest
import torch
from torchvision.models import resnet18
from torchvision.ops import box_iou, roi_align

from slowfast.engine.run import build_starts
from slowfast.models.complexity import build_complexity
from slowfast.models.detector import best_detections, decode, encode, sample_regions
from slowfast.models.fold import fold_batch_norm
from slowfast.models.heads import RegionMaps
from tests.helpers.small_networks import small_cfg, small_model

KEYS = {
    "MODEL.HEAD_ACT": "softmax",
    "DETECTION.ENABLE": True,
    "DETECTION.PROPOSALS": "rpn",
    "DETECTION.FRAME_SIZE": [48, 64],
    "DETECTION.RPN_BACKBONE": "resnet18",
    "DETECTION.ANCHOR_SIZES": [16, 32],
    "DETECTION.NUM_PROPOSALS": 12,
    "DETECTION.NUM_SAMPLED": 8,
    "DETECTION.HEAD_DIM": 16,
    "DETECTION.MAX_DETECTIONS": 9,
}
BOXES = torch.tensor([[0.0, 4, 4, 20, 30], [0, 30, 10, 60, 40], [1, 2, 3, 40, 44]])
LABELS = torch.eye(5)[:3]


@pytest.fixture(scope="module")
def model():
    return small_model("S3D", **KEYS)


def clips(num=2, height=48, width=64):
    return [torch.randn(num, 3, 4, height, width, generator=torch.Generator().manual_seed(0))]


@pytest.mark.slow
def test_all_parts_learn_together(model):
    model.train().zero_grad()
    torch.manual_seed(0)
    learned = model(clips(), BOXES, LABELS)
    losses = [learned.objectness_loss, learned.proposal_loss]
    losses += [learned.logits.square().sum(), learned.offsets.square().sum()]
    sum(losses).backward()
    without = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert without == []


@pytest.mark.slow
def test_clips_without_boxes_teach_that_there_are_none(model):
    learned = model.train()(clips(), torch.zeros(0, 5), torch.zeros(0, 5))
    assert len(learned.labels) == 2 * 8 and not learned.labels.any()
    assert learned.objectness_loss > 0 and learned.proposal_loss == 0


@torch.no_grad()
def test_found_boxes_lie_in_their_frame_best_first(model):
    found = model.eval()(clips(height=64, width=80))
    assert found.shape == (2, 9, 6)
    x1, y1, x2, y2, label, score = found.unbind(-1)
    assert (x1 >= 0).all() and (y1 >= 0).all() and x2.max() <= 80 and y2.max() <= 64
    assert (x2 - x1 >= 1).all() and set(label.flatten().tolist()) <= {0, 1, 2, 3, 4}
    assert (score.diff() <= 0).all() and 0 < score.min() and score.max() < 1


@torch.no_grad()
def test_a_clip_has_its_boxes_whatever_clips_are_beside_it(model):
    both, (x,) = model.eval()(clips()), clips()
    torch.testing.assert_close(both[1:], model([x[1:]]), rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_folded_batch_norms_change_nothing(model):
    folded = fold_batch_norm(model.eval(), clips(), BOXES)
    torch.testing.assert_close(folded(clips()), model(clips()), rtol=1e-3, atol=1e-3)


def test_scores_of_one_label_leave_room_for_none(model):
    scores = model.head.scores(torch.zeros(2, 5))
    torch.testing.assert_close(scores, torch.full((2, 5), 1 / 6))


def test_multiply_adds_count_proposals_at_the_size_of_frames(model):
    cost, other = (
        build_complexity(small_cfg("S3D", **{**KEYS, "DETECTION.FRAME_SIZE": size})).macs_test
        for size in ([64, 64], [64, 128])
    )
    assert 1.9 < other / cost < 2.1


def test_a_trunk_for_given_boxes_ends_at_mixed_4e():
    keys = {"MODEL.HEAD_ACT": "sigmoid", "DETECTION.ENABLE": True}
    names = [name for name, _ in small_model("S3D", **keys).named_modules()]
    assert "s4.pathway0_mixed4e" in names
    assert not any(name.startswith(("s4.pathway0_mixed4f", "s5")) for name in names)
    whole = small_model("S3D", **keys, **{"DETECTION.SPATIAL_SCALE_FACTOR": 32})
    assert whole.s5.pathway0_mixed5c is not None
    with pytest.raises(ValueError, match="SPATIAL_SCALE_FACTOR: 8 must be 16"):
        small_model("S3D", **keys, **{"DETECTION.SPATIAL_SCALE_FACTOR": 8})


def test_families_without_a_detector_say_so():
    keys = {"DETECTION.SPATIAL_SCALE_FACTOR": 32}
    with pytest.raises(ValueError, match="'rpn' must be 'given' with MODEL.MODEL_NAME ResNet"):
        small_model("ResNet", **KEYS, **keys)


def test_regions_are_pooled_at_the_same_place_of_all_times():
    x = torch.randn(2, 3, 5, 6, 8, dtype=torch.float64)
    boxes = BOXES.double()
    pooled = [roi_align(x[:, :, t], boxes, 4, 1 / 8, aligned=True) for t in range(5)]
    torch.testing.assert_close(RegionMaps(8, 4, True)(x, boxes), torch.stack(pooled).mean(0))


def test_offsets_lead_back_to_their_boxes():
    references = torch.tensor([[0.0, 0, 10, 10], [5, 5, 50, 30], [0, 10, 20, 40]])
    torch.testing.assert_close(decode(encode(BOXES[:, 1:], references), references), BOXES[:, 1:])


def test_a_quarter_of_the_boxes_to_learn_from_shows_something():
    truth, labels = BOXES[:2, 1:], LABELS[:2]
    proposals = torch.cat([truth.repeat(20, 1) + 0.5, torch.tensor([[0.0, 0, 2, 2]]).repeat(40, 1)])
    boxes, own, shown = sample_regions(proposals, truth, labels, count=16)
    is_positive = own.any(1)
    assert len(boxes) == 16 and is_positive.sum() == 4
    overlap = box_iou(boxes, truth)
    assert (overlap.max(1).values[is_positive] >= 0.5).all()
    assert torch.equal(own[is_positive].argmax(1), overlap[is_positive].argmax(1))
    assert torch.equal(shown[is_positive], truth[overlap[is_positive].argmax(1)])


def test_overlapping_boxes_of_one_class_become_one():
    boxes = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 9], [20, 20, 30, 30], [5, 5, 5, 9]])
    scores = torch.tensor([[0.6, 0], [0.9, 0.5], [0.7, 0], [0.8, 0.8]])
    rows = best_detections(boxes, scores, max_iou=0.5, most=4)
    expected = [[0, 0, 10, 9, 0, 0.9], [20, 20, 30, 30, 0, 0.7], [0, 0, 10, 9, 1, 0.5]]
    torch.testing.assert_close(rows, torch.tensor([*expected, [0, 0, 0, 0, -1, 0]]))


def test_trunk_and_proposals_start_from_files_of_their_own(model):
    cfg = small_cfg(
        "S3D",
        **KEYS,
        **{"TRAIN.CHECKPOINT_FILE_PATH": "s3d.pyth", "DETECTION.RPN_CHECKPOINT": "resnet.pth"},
    )
    (trunk, first), (body, second) = build_starts(cfg, model)
    assert (first, second) == ("s3d.pyth", "resnet.pth")
    assert trunk.head is model.head and not hasattr(trunk, "proposals")
    own, theirs = body.state_dict(), resnet18().state_dict()
    assert own.keys() == {n for n in theirs if not n.startswith(("layer4.", "fc."))}
