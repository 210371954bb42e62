"""zoo:NAME where a file of weights may stand."""

import pytest
import torch

from slowfast.checkpoint import files
from slowfast.checkpoint.classes import ClassList
from slowfast.checkpoint.initialize import CheckpointError, initialize_from, load_for_test
from slowfast.datasets.annotations.class_names import load_class_names
from slowfast.engine.predict import load_predicted
from slowfast.models import build_model
from slowfast.own.files import absolute
from slowfast.own.prepare import prepare_run
from slowfast.zoo.class_lists import class_list
from slowfast.zoo.weights import cached_path
from tests.helpers.published import build_thin
from tools import convert_checkpoint, predict


@pytest.fixture
def model():
    """A small network of AVA's 80 classes, with random weights."""
    torch.manual_seed(0)
    return build_thin("X3D-M", "MODEL.NUM_CLASSES", 80)


@pytest.fixture
def name(model, zoo):
    """The name of its weights, in a file without names of classes."""
    path = cached_path(zoo(data="AVA 2.2"))
    path.parent.mkdir()
    files.save(path, {"model_state": model.state_dict()})
    return "zoo:X3D_S"


def classes(names):
    return ClassList(names, [len(names)])


def rows(model):
    return model.head.projection.weight.detach().clone()


@pytest.mark.slow
def test_weights_get_the_names_of_their_set(name, model):
    assert load_for_test(model, name).class_names == class_list("ava")


@pytest.mark.slow
def test_classes_in_another_order_are_matched_by_name(name, model):
    before = rows(model)
    load_for_test(model, name, classes=classes(class_list("ava")[::-1]))
    assert torch.equal(rows(model), before.flip(0))


@pytest.mark.slow
def test_a_few_names_of_another_spelling_leave_the_numbers(name, model, caplog):
    before, names = rows(model), class_list("ava")
    load_for_test(model, name, classes=classes(["stoop", *names[1:]]))
    assert torch.equal(rows(model), before)
    assert "classes go by their numbers: 79 of the data's 80" in caplog.text


@pytest.mark.slow
def test_another_set_of_as_many_classes_is_not_tested(name, model):
    others = [f"sign {number}" for number in range(80)]
    with pytest.raises(CheckpointError, match="its classes are not those of the data"):
        load_for_test(model, name, classes=classes(others))


@pytest.mark.slow
def test_another_set_of_as_many_classes_gets_a_fresh_classifier(name, model):
    others = [f"sign {number}" for number in range(80)]
    before = rows(model)
    with torch.no_grad():
        model.head.projection.weight.zero_()
    report = initialize_from(model, name, classes=classes(others))
    assert len(report.replaced) == 2 and before.any() and not rows(model).any()


def test_the_config_comes_with_the_name(zoo):
    zoo(options="DATA.NUM_FRAMES 4 TEST.NUM_SPATIAL_CROPS 1")
    cfg = load_predicted(None, "zoo:X3D_S", ["TEST.NUM_SPATIAL_CROPS", 3])
    found = cfg.MODEL.MODEL_NAME, cfg.DATA.NUM_FRAMES, cfg.TEST.NUM_SPATIAL_CROPS
    assert found == ("X3D", 4, 3)


def test_weights_of_images_predict_nothing(zoo):
    with pytest.raises(ValueError, match="weights of images, to start a training from"):
        load_predicted(None, "zoo:GOOGLENET")


def test_names_of_a_set_need_no_file():
    assert load_class_names("kinetics400", 400) == class_list("kinetics400")


def test_names_of_a_set_have_their_number():
    with pytest.raises(ValueError, match="K600: 600 class names, but MODEL.NUM_CLASSES is 400"):
        load_class_names("K600", 400)


def test_a_file_of_the_name_of_a_set_comes_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ava").write_text("run\nsit\n")
    assert load_class_names("ava", 2) == ["run", "sit"]


@pytest.fixture
def small(zoo):
    """The name of a network that is quick, in the cache without names of classes."""
    keys = "X3D.WIDTH_FACTOR 0.5 X3D.DIM_C5 16 DATA.NUM_FRAMES 4 DATA.TEST_CROP_SIZE 32 "
    keys += "DATA.TRAIN_CROP_SIZE 32 TEST.NUM_ENSEMBLE_VIEWS 1 TEST.NUM_SPATIAL_CROPS 1 NUM_GPUS 0"
    path = cached_path(zoo(options=keys))
    path.parent.mkdir()
    network = build_model(load_predicted(None, "zoo:X3D_S"))
    files.save(path, {"model_state": network.state_dict()})
    return "zoo:X3D_S"


@pytest.mark.slow
def test_a_prediction_needs_the_name_alone(small, video_dir, run_tool):
    video = sorted(video_dir.glob("*.mp4"))[0]
    code, output = run_tool(predict, video, "--checkpoint", small, "--topk", 400)
    assert code == 0 and all(name in output for name in class_list("kinetics400"))


@pytest.mark.slow
def test_a_conversion_needs_the_name_alone(small, run_tool, tmp_path):
    path = tmp_path / "ours.pyth"
    assert run_tool(convert_checkpoint, small, "--output", path)[0] == 0
    assert files.load(path)["class_names"] == class_list("kinetics400")


def test_training_on_own_videos_knows_a_name_that_is_none(zoo, tmp_path):
    (tmp_path / "videos").mkdir()
    settings = {"recipe": "", "group": "", "held_out": 0.2, "overrides": []}
    with pytest.raises(ValueError, match="zoo:X3D_Z: there are no such weights"):
        prepare_run(
            str(tmp_path / "videos"), str(tmp_path / "run"), weights="zoo:X3D_Z", **settings
        )


def test_names_stay_names_in_a_yaml():
    assert absolute("zoo:X3D_S") == "zoo:X3D_S"
