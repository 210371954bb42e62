"""Class activation: what it computes, on which networks, and where it lies."""

import csv
import json

import numpy as np
import pytest
import torch
from torch import nn

from slowfast.adaptive.budget import load_table, table_path
from slowfast.analysis.why.activation import activate, find_layer, occlude
from slowfast.analysis.why.grids import first_kernels, maps_of, strongest
from slowfast.analysis.why.layers import ClipShape, find_layout
from slowfast.analysis.why.pictures import compose, overlay
from slowfast.datasets.synthetic import MotionSettings, find_mask, make_dataset
from slowfast.models.families.external import External
from tests.helpers.slow import slow_but
from tests.models.test_registry import OURS, clips_of, on_cpu
from tools import analyze


class Pooled(nn.Module):
    """A convolution, the mean of its maps, and a linear classifier: its activation is known."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv3d(3, 4, 1)
        self.head = nn.Linear(4, 2)

    def forward(self, clips, boxes=None):
        return self.head(self.conv(clips[0]).mean((2, 3, 4)))


class FirstFrame(nn.Module):
    """Logits of class 0: light of frame 1."""

    def forward(self, clips, boxes=None):
        light = clips[0].mean((1, 3, 4))[:, 1]
        return torch.stack([light, -light], 1)


@pytest.fixture
def pooled():
    torch.manual_seed(0)
    return Pooled().eval()


@pytest.mark.parametrize("method", ["cam", "grad_cam"])
def test_of_a_linear_classifier_both_are_its_weights_times_the_maps(pooled, method):
    clip = torch.randn(1, 3, 2, 4, 4)
    found = activate(pooled, [clip], ["conv"], label=1, method=method)
    with torch.no_grad():
        maps = pooled.conv(clip)[0]
        expected = torch.einsum("c,cthw->thw", pooled.head.weight[1], maps).relu() / 32
    torch.testing.assert_close(found.parts[0], expected)


def test_the_layer_is_found_and_an_unknown_one_is_named(pooled):
    clip = [torch.randn(1, 3, 2, 4, 4)]
    assert find_layer(pooled, clip) == "conv"
    with pytest.raises(ValueError, match="'s9' is no layer"):
        activate(pooled, clip, ["s9"])
    with pytest.raises(ValueError, match="gives no maps"):
        activate(pooled, clip, ["head"])


@pytest.mark.parametrize("family", slow_but(["MViT", "TPN", "TSM"], OURS))
def test_every_network_has_an_activation_without_a_layer_being_named(family):
    model, clips = on_cpu(family), clips_of(family)
    with torch.no_grad():
        scores = model(clips)
    layer = find_layer(model, clips)
    found = activate(model, clips, [layer])
    longest = max(clip.shape[2] for clip in clips)
    together, parts = found.on_clip((longest, 64, 64))
    assert together.shape == (longest, 64, 64) and 0 <= together.min() <= together.max() <= 1
    assert len(parts) == len(clips) and all(np.isfinite(part).all() for part in parts)
    with torch.no_grad():
        assert model(clips).equal(scores)  # all hooks are gone


def test_frames_that_a_network_of_images_sees_have_maps_one_after_another():
    images = nn.Sequential(nn.Conv2d(3, 4, 3, 2), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    images.append(nn.Linear(4, 2))
    about = {"classifier": "3", "class_counts": [2], "activation": "softmax"}
    model, clips = External(images, layout="images", **about).eval(), [torch.randn(1, 3, 4, 9, 9)]
    assert find_layer(model, clips) == "network.0"
    assert activate(model, clips, ["network.0"]).parts[0].shape == (4, 4, 4)


def test_class_tokens_move_the_choice_to_the_last_layer_that_sees_the_others():
    from tests.helpers.small_networks import clips, small_model

    model = small_model("MViT", **{"MVIT.CLS_EMBED_ON": True}).eval()
    layer = find_layer(model, [clip[:1] for clip in clips("MViT")])
    assert layer == "blocks.3.norm1"


@pytest.mark.parametrize(
    ("shape", "channels_last", "grid"),
    [
        ((1, 5, 4, 8, 8), False, (4, 8, 8)),
        ((1, 4, 2, 2, 96), False, (4, 2, 2)),  # N,T,H,W,C
        ((8, 5, 4, 4), False, (8, 4, 4)),  # frames as images
        ((1, 65, 6), True, (4, 4, 4)),  # a class token and those of a map
        ((1, 63, 6), True, None),
        ((1, 5), False, None),
    ],
)
def test_layouts_are_told_by_their_shapes(shape, channels_last, grid):
    clips = ClipShape(1, (8, 32, 32))
    layout = find_layout(torch.zeros(shape), clips, None, is_channels_last=channels_last)
    assert (layout and layout.grid) == grid
    assert layout is None or layout(torch.zeros(shape)).shape[2:] == grid


@pytest.mark.parametrize(("fill", "lost"), [("neighbour", 1.0), ("mean", 0.75)])
def test_only_the_frame_that_counts_is_missed(fill, lost):
    clip = torch.zeros(3, 4, 2, 2)
    clip[:, 1] = 1
    model = FirstFrame()
    losses, _ = occlude(lambda clips: model([torch.stack(clips)]), clip, 0, fill=fill)
    np.testing.assert_allclose(losses, [0, lost, 0, 0], atol=1e-6)


def test_overlays_are_bright_where_the_map_is_and_pictures_have_even_sides():
    frames, maps = np.zeros((2, 5, 6, 3), np.uint8), np.zeros((2, 5, 6), np.float32)
    maps[0, 0, 0] = 1
    mixed = overlay(frames, maps)
    assert mixed[0, 0, 0].sum() > 10 * mixed[0, 1, 1].sum() + 10
    pictures = compose(frames, maps, "text", "inferno")
    assert pictures.shape[0] == 2 and pictures.shape[1] % 2 == pictures.shape[2] % 2 == 0


@pytest.fixture
def motion_set(tmp_path):
    make_dataset(tmp_path / "set", MotionSettings(train=1, val=1, test=8, size=32, frames=8))
    return tmp_path / "set"


def test_masks_of_the_motion_set_cover_what_moves(motion_set):
    mask = find_mask(motion_set / "test/moving_right/00000.mp4")
    assert mask.shape == (8, 32, 32) and 0.05 < mask.mean() < 0.7
    assert (mask[0] != mask[-1]).any()
    assert find_mask(motion_set / "test.csv") is None


@pytest.mark.slow
def test_files_of_a_run(make_run, motion_set, tmp_path):
    data = {"PATH_TO_DATA_DIR": str(motion_set)}
    run = make_run("VoV3D", DATA=data, MODEL={"NUM_CLASSES": 8, "FC_INIT_STD": 1.0})
    out = tmp_path / "out"
    words = ["cam", str(run), "--videos", str(motion_set / "test/growing"), "--output", str(out)]
    words += ["--layer", "s3", "--method", "cam"]
    assert analyze.main(words) == 0
    assert {path.name for path in out.iterdir()} == {
        *("VoV3D_00006.mp4", "VoV3D_00006.png", "cam.csv", "cam.json")
    }
    rows = list(csv.DictReader((out / "cam.csv").open()))
    assert sum(float(row["activation"]) for row in rows) == pytest.approx(1)
    (fact,) = json.loads((out / "cam.json").read_text())["videos"]
    assert fact["true_class"] == "growing" and 0 <= fact["inside"] <= 1 and fact["chance"] > 0


@pytest.mark.slow
def test_operating_points_stand_below_one_another(budget_run, toy_set, tmp_path):
    path, weights = budget_run
    rows = load_table(table_path(weights), weights).rows
    small = str(min(rows, key=lambda row: row.gmacs).point)
    words = ["cam", f"A={path},{weights}", "--videos", "1", "--occlude", "none"]
    words += ["--at", "1,4,40", small, "--output", str(tmp_path)]
    assert analyze.main(words) == 0
    (fact,) = json.loads((tmp_path / "cam.json").read_text())["videos"]
    assert set(fact["score_at"]) == {"1,4,40", small}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--layer", "s9"], "--layer: 's9' is no layer"),
        (["--class", "flying"], "--class: 'flying' is no class"),
        (["--colormap", "rainbows"], "--colormap: 'rainbows'"),
        (["--at", "1,4,40"], "--at: only networks with ADAPTIVE.ENABLE"),
        (["--videos", "nowhere.mp4"], "--videos: there is no file nowhere.mp4"),
    ],
)
def test_mistakes_are_named(run_tool, make_run, tmp_path, words, message):
    words = [make_run("VoV3D"), "--output", tmp_path / "out", *words]
    code, output = run_tool(analyze, "cam", *words)
    assert code == 1 and message in output and "Traceback" not in output


def test_maps_and_kernels_of_both_pathways():
    from tests.helpers.small_networks import clips, small_model

    model, inputs = small_model("SlowFast").eval(), [clip[:1] for clip in clips("SlowFast")]
    assert set(first_kernels(model)) == {"s1.pathway0_stem.conv", "s1.pathway1_stem.conv"}
    found = maps_of(model, inputs, ["s2"])
    assert [maps.shape[1] for maps in found.values()] == [2, 4]
    pictures, channels = strongest(found["s2"], most=3)
    assert len(channels) == 3 and pictures.shape == (6, *found["s2"].shape[2:])


@pytest.mark.slow
def test_grids_are_written(make_run, tmp_path):
    run, out = str(make_run("VoV3D")), str(tmp_path / "out")
    assert (
        analyze.main(["feature_maps", run, "--videos", "1", "--layer", "s2", "--output", out]) == 0
    )
    assert analyze.main(["weights", run, "--output", out]) == 0
    assert len(list((tmp_path / "out").glob("*.png"))) == 2
