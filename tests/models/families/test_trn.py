"""TRN: which frames its relations are between, and what that asks of clips."""

import re

import pytest
import torch

from slowfast.checkpoint.classes import move_rows, num_rows
from slowfast.checkpoint.layouts import detect_and_rename
from slowfast.config.checks import check_cfg
from slowfast.models import build_model
from slowfast.models.families.bninception import bninception_stages
from slowfast.models.families.trn import RelationHead, Scale, all_frames, all_scales
from slowfast.models.heads import Classifier
from slowfast.models.norm import make_norm
from tests.helpers.configs import cfg_with

# numpy.random.seed(0), then numpy.random.choice as in the authors' forward; scale -> indices.
DRAWN_BY_SEED_0 = {
    **{7: [6, 2, 1], 6: [11, 27, 19], 5: [54, 2, 33]},
    **{4: [25, 7, 24], 3: [49, 52, 5], 2: [27, 9, 13]},
}


def small_head(scales):
    torch.manual_seed(0)

    def classifier(dim):
        return Classifier(dim, [3], dropout_rate=0.0, activation="none")

    sizes = {"dim_frame": 4, "dim_hidden": 5, "dropout_rate": 0.0}
    return RelationHead(6, scales, **sizes, make_classifier=classifier)


def small_cfg(**keys):
    return cfg_with(
        {
            "MODEL.MODEL_NAME": "TRN",
            "MODEL.NUM_CLASSES": 5,
            "DATA.INPUT_CHANNEL_NUM": [3],
            "DATA.NUM_FRAMES": 3,
            **{key.replace("__", "."): value for key, value in keys.items()},
        }
    )


def maps(num_frames=4):
    generator = torch.Generator().manual_seed(0)
    return torch.randn(2, 6, num_frames, 2, 2, generator=generator)


def test_evaluation_takes_the_subsets_of_the_reference_with_its_seed():
    scales = all_scales(8, num_subsets=3, seed=0)
    drawn = {scale.num_frames: [scale.all.index(s) for s in scale.evaluated] for scale in scales}
    assert drawn == {8: [0], **DRAWN_BY_SEED_0}


def test_a_scale_has_no_more_subsets_than_there_are():
    scales = all_scales(3, num_subsets=9, seed=0)
    assert [len(scale.draw()) for scale in scales] == [1, 3]


def test_training_draws_other_subsets_each_time_and_the_same_after_the_same_seed():
    scale = all_scales(8, num_subsets=3, seed=0)[2]
    torch.manual_seed(0)
    draws = [tuple(scale.draw().tolist()) for _ in range(4)]
    assert len(set(draws)) > 1
    numbers = set(range(len(scale.all)))
    assert all(len(set(draw)) == 3 and set(draw) <= numbers for draw in draws)
    torch.manual_seed(0)
    assert tuple(scale.draw().tolist()) == draws[0]


def test_all_subsets_together_weigh_as_much_as_those_of_a_step():
    scales = all_scales(8, num_subsets=3, seed=None)
    assert [len(scale.evaluated) for scale in scales] == [1, 8, 28, 56, 70, 56, 28]
    assert [scale.factor * len(scale.evaluated) for scale in scales] == pytest.approx([1] + 6 * [3])


def test_logits_of_all_subsets_are_the_mean_over_what_may_be_drawn():
    whole, pairs = all_scales(3, num_subsets=1, seed=None)
    head = small_head([whole, pairs]).eval()
    expected = head([maps(3)])
    logits = []
    for pair in pairs.all:
        other = small_head([whole, Scale(pairs.all, (pair,), 1)]).eval()
        other.load_state_dict(head.state_dict())
        logits.append(other([maps(3)]))
    torch.testing.assert_close(torch.stack(logits).mean(0), expected)


def test_relations_depend_on_the_order_of_frames():
    head = small_head([all_frames(4)]).eval()
    assert not torch.allclose(head([maps()]), head([maps().flip(2)]))


def test_clip_of_other_length_is_refused():
    with pytest.raises(ValueError, match="DATA.NUM_FRAMES: TRN relates 4 frames, .* has 6"):
        small_head([all_frames(4)])([maps(num_frames=6)])


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"DATA__NUM_FRAMES": 1}, "DATA.NUM_FRAMES: 1 must be at least 2"),
        ({"MULTIGRID__LONG_CYCLE": True}, "MULTIGRID.LONG_CYCLE: True must be False for TRN"),
        ({"TEST__WHOLE_VIDEO": 9}, "TEST.WHOLE_VIDEO: 9 must be 0 or DATA.NUM_FRAMES 3"),
        ({"DETECTION__ENABLE": True}, "DETECTION.ENABLE: True must be False for TRN"),
        ({"TRN__EVAL_SUBSETS": "all", "TRN__EVAL_SEED": 1}, "TRN.EVAL_SEED: 1 has no effect"),
        (
            {"ADAPTIVE__ENABLE": True, "ADAPTIVE__FRAMES": [2, 3]},
            r"ADAPTIVE.FRAMES: \[2, 3\] must be \[3\]",
        ),
    ],
)
def test_config_with_clips_of_other_lengths_is_refused(keys, message):
    with pytest.raises(ValueError, match=message):
        check_cfg(small_cfg(**keys))


def test_classifiers_of_all_scales_follow_the_order_of_classes():
    state = small_head(all_scales(3, num_subsets=3, seed=0)).state_dict(prefix="head.")
    assert num_rows(state, classifier="head.projection") == 3
    moved = move_rows(state, [2, 0, 1], classifier="head.projection")
    changed = [name for name in state if not torch.equal(moved[name], state[name])]
    assert changed == [f"head.projection.{i}.{kind}" for i in (0, 1) for kind in ("weight", "bias")]


@pytest.fixture(scope="module")
def stages():
    with torch.device("meta"):
        return bninception_stages(3, norm=make_norm("batchnorm", 1))[0]


@pytest.mark.slow
def test_stages_of_bninception_are_those_of_the_drawn_table(stages):
    text = bninception_stages.__globals__["__doc__"]
    drawn = re.findall(r"(s\d) .* (\d+)  8 x (\d+) x (\d+)\n", text)
    maps = [torch.empty(1, 3, 8, 224, 224, device="meta")]
    for (name, *numbers), stage in zip(drawn, stages.items(), strict=True):
        maps = stage[1](maps)
        channels, height, width = map(int, numbers)
        assert (name, maps[0].shape) == (stage[0], (1, channels, 8, height, width))


def test_batch_norms_of_the_caffe_conversion_lose_their_first_dimension():
    names = [f"inception_3a_1x1_bn.{kind}" for kind in ("weight", "running_mean")]
    state, layout = detect_and_rename({name: torch.ones(1, 64) for name in names})
    assert layout == "BNInception"
    assert {name: tuple(value.shape) for name, value in state.items()} == {
        "s3.pathway0_mixed3a.branch0.bn.weight": (64,),
        "s3.pathway0_mixed3a.branch0.bn.running_mean": (64,),
    }


@pytest.mark.slow
def test_training_reaches_every_parameter():
    model = build_model(small_cfg())
    model([torch.randn(2, 3, 3, 32, 32)]).square().sum().backward()
    assert [name for name, p in model.named_parameters() if p.grad is None] == []
