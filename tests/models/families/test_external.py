"""Networks that other libraries make (MODEL.FACTORY)."""

import copy

import pytest
import torch

from slowfast.checkpoint.files import CheckpointError
from slowfast.checkpoint.initialize import initialize_from, load_for_test
from slowfast.config.checks import check_cfg
from slowfast.models import build_model
from slowfast.models.complexity import build_complexity
from slowfast.solver.optimizer import param_groups
from tests.helpers.configs import cfg_with

VIDEO_NET = "tests.helpers.library:VideoNet"


def config(factory=VIDEO_NET, **others):
    values = {
        "MODEL.MODEL_NAME": "external",
        "MODEL.FACTORY": factory,
        "MODEL.NUM_CLASSES": 5,
        "DATA.INPUT_CHANNEL_NUM": [3],
        "DATA.NUM_FRAMES": 4,
        "DATA.TRAIN_CROP_SIZE": 16,
        "DATA.TEST_CROP_SIZE": 16,
    }
    return cfg_with({**values, **{key.replace("__", "."): value for key, value in others.items()}})


def clips(*shape):
    return [torch.randn(shape, generator=torch.Generator().manual_seed(0))]


def test_training_gives_the_library_s_logits():
    model = build_model(config()).train()
    (x,) = clips(2, 3, 4, 16, 16)
    torch.testing.assert_close(model([x]), model.network(x))


def test_evaluation_gives_scores_by_head_act_alone():
    model = build_model(config(MODEL__HEAD_ACT="sigmoid")).eval()
    x = clips(2, 3, 4, 16, 16)
    logits = model.network.train()(x[0])
    torch.testing.assert_close(model(x), logits.sigmoid())


def test_each_target_has_scores_of_its_own():
    model = build_model(config(MODEL__NUM_CLASSES=[3, 2])).eval()
    scores = model(clips(2, 3, 4, 16, 16))
    torch.testing.assert_close(scores[:, :3].sum(1), torch.ones(2))
    torch.testing.assert_close(scores[:, 3:].sum(1), torch.ones(2))


def test_the_classifier_is_the_last_linear_layer_that_computes():
    assert build_model(config()).classifier_name == "network.fc"


def test_a_classifier_of_other_classes_is_made_anew():
    model = build_model(config(MODEL__NUM_CLASSES=7))
    assert model.network.fc.weight.shape == (7, 4)
    assert build_model(config()).network.fc.weight.std() > 5 * model.network.fc.weight.std()


def test_frames_come_first_where_the_network_wants_them_so():
    args = {"MODEL.FACTORY_ARGS.has_frames_first": True}
    model = build_model(config(MODEL__INPUT_LAYOUT="NTCHW", **args)).train()
    plain = copy.deepcopy(model.network)
    plain.has_frames_first = False
    (x,) = clips(2, 3, 4, 16, 16)
    torch.testing.assert_close(model([x]), plain(x))


def test_an_image_network_sees_every_frame_and_logits_are_averaged():
    cfg = config(
        "tests.helpers.library:ImageNet",
        MODEL__INPUT_LAYOUT="images",
        **{
            "MODEL.FACTORY_ARGS.config.FACTORY": "tests.helpers.library:make_config",
            "MODEL.FACTORY_ARGS.config.width": 4,
            "MODEL.FACTORY_ARGS.config.classes": 5,
        },
    )
    model = build_model(cfg).train()
    (x,) = clips(2, 3, 4, 16, 16)
    frames = torch.stack([model.network(x[:, :, t]).logits for t in range(4)]).mean(0)
    torch.testing.assert_close(model([x]), frames)
    assert model.classifier_name == "network.classifier"


def test_pathways_are_given_as_a_list():
    cfg = config(
        "tests.helpers.library:TwoPathways",
        MODEL__INPUT_LAYOUT="pathways",
        MODEL__NUM_CLASSES=2,
        DATA__INPUT_CHANNEL_NUM=[3, 3],
        SLOWFAST__ALPHA=2,
    )
    model = build_model(cfg).train()
    slow, fast = clips(1, 3, 2, 16, 16) + clips(1, 3, 4, 16, 16)
    torch.testing.assert_close(model([slow, fast]), model.network([slow, fast]))


def test_costs_are_counted():
    complexity = build_complexity(config())
    assert complexity.params == 3 * 4 * 27 + 4 + 4 * 5 + 5 + 20
    assert complexity.macs_train == 4 * 16 * 16 * 4 * 3 * 27 + 20


def test_the_head_s_learning_rate_is_that_of_the_classifier():
    model = build_model(config())
    rules = {"weight_decay": 0.1, "bn_weight_decay": 0.0, "group_by": "type", "zero_wd_1d": False}
    groups = param_groups(model, **rules, head_lr_factor=10.0)
    (head,) = [group for group in groups if "lr_factor" in group]
    assert set(head["params"]) == set(model.network.fc.parameters())


def test_weights_under_the_library_s_names_are_tested(tmp_path):
    model, other = build_model(config()), build_model(config())
    torch.save(other.network.state_dict(), tmp_path / "library.pth")
    report = load_for_test(model, tmp_path / "library.pth")
    assert report.layout == "library"
    assert torch.equal(model.network.fc.weight, other.network.fc.weight)


def test_weights_of_other_classes_start_all_but_the_classifier(tmp_path):
    torch.save(build_model(config()).state_dict(), tmp_path / "five.pth")
    model = build_model(config(MODEL__NUM_CLASSES=7))
    report = initialize_from(model, tmp_path / "five.pth")
    assert [name.split(" ")[0] for name in report.replaced] == [
        "network.fc.weight",
        "network.fc.bias",
    ]
    assert report.coverage == 1.0
    with pytest.raises(CheckpointError, match="mismatched +2"):
        load_for_test(model, tmp_path / "five.pth")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"factory": "tests.helpers.library"}, "must be a module and a function"),
        ({"factory": "no_such_package:f"}, "cannot import no_such_package"),
        ({"factory": "tests.helpers.library:Net"}, "has no Net"),
        ({"factory": "tests.helpers.library:make_config"}, "TypeError: .*width"),
        ({"MODEL.FACTORY_ARGS.depth": 3}, "unexpected keyword argument 'depth'"),
        ({"MODEL__INPUT_LAYOUT": "NTCHW"}, "INPUT_LAYOUT: NTCHW: .* does not take clips"),
        ({"MODEL__FACTORY_CLASSIFIER": "conv"}, r"'conv' is no linear layer .*\['fc'\]"),
    ],
)
def test_mistakes_name_the_key_and_what_to_do(values, message):
    with pytest.raises(ValueError, match=message):
        build_model(config(**values))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"factory": ""}, "MODEL.FACTORY: external needs one"),
        ({"MODEL__MODEL_NAME": "ResNet"}, "needs MODEL.MODEL_NAME external"),
        ({"MODEL__WIDTH": 0.5}, "MODEL.WIDTH has no effect"),
        ({"ADAPTIVE__ENABLE": True}, "ADAPTIVE.ENABLE has no effect"),
    ],
)
def test_keys_that_do_not_go_together_are_refused(values, message):
    with pytest.raises(ValueError, match=message):
        check_cfg(config(DATA__TRAIN_CROP_SIZE=32, DATA__TEST_CROP_SIZE=32, **values))


@pytest.mark.slow
@torch.no_grad()
@pytest.mark.parametrize(("factory", "frames", "crop"), [("swin3d_t", 4, 32), ("r3d_18", 4, 32)])
def test_torchvision_s_networks_give_the_same_logits(factory, frames, crop, tmp_path):
    video = pytest.importorskip("torchvision.models.video", reason="pip install torchvision")
    library = getattr(video, factory)().double().eval()
    torch.save(library.state_dict(), tmp_path / "weights.pth")
    sizes = {"DATA.NUM_FRAMES": frames, "DATA.TRAIN_CROP_SIZE": crop, "DATA.TEST_CROP_SIZE": crop}
    values = {"MODEL__NUM_CLASSES": 400, "MODEL__HEAD_ACT": "none", **sizes}
    model = build_model(config(f"torchvision.models.video:{factory}", **values)).double().eval()
    load_for_test(model, tmp_path / "weights.pth")
    x = [clip.double() for clip in clips(1, 3, frames, crop, crop)]
    torch.testing.assert_close(model(x), library(x[0]), rtol=1e-10, atol=1e-10)


@pytest.mark.slow
@torch.no_grad()
def test_pytorchvideo_s_x3d_gives_logits_without_its_softmax():
    hub = pytest.importorskip("pytorchvideo.models.hub", reason="pip install pytorchvideo")
    sizes = {"DATA__NUM_FRAMES": 13, "DATA__TRAIN_CROP_SIZE": 160, "DATA__TEST_CROP_SIZE": 160}
    values = {"MODEL__NUM_CLASSES": 400, "MODEL__HEAD_ACT": "softmax", **sizes}
    model = build_model(config("pytorchvideo.models.hub:x3d_s", **values)).double().eval()
    library = hub.x3d_s().double().eval()
    library.load_state_dict(model.network.state_dict())
    x = [clip.double() for clip in clips(1, 3, 13, 160, 160)]
    torch.testing.assert_close(model(x), library(x[0]), rtol=1e-8, atol=1e-10)


@pytest.mark.slow
@torch.no_grad()
def test_a_network_of_transformers_is_made_from_its_config():
    pytest.importorskip("transformers", reason="pip install transformers")
    arguments = {"image_size": 32, "num_frames": 4, "num_hidden_layers": 1, "hidden_size": 48}
    arguments |= {"num_attention_heads": 2, "intermediate_size": 64}
    config_values = {f"MODEL.FACTORY_ARGS.config.{key}": v for key, v in arguments.items()}
    cfg = config(
        "transformers:VideoMAEForVideoClassification",
        MODEL__INPUT_LAYOUT="NTCHW",
        DATA__TRAIN_CROP_SIZE=32,
        DATA__TEST_CROP_SIZE=32,
        **{"MODEL.FACTORY_ARGS.config.FACTORY": "transformers:VideoMAEConfig", **config_values},
    )
    model = build_model(cfg).train(False)
    assert model(clips(2, 3, 4, 32, 32)).shape == (2, 5)
    assert model.classifier_name == "network.classifier"
