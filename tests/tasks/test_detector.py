"""Runs whose network finds boxes by itself."""

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.io import savemat
from torchvision.models import resnet18

from slowfast.engine.test import test as run_test
from slowfast.engine.train import train
from slowfast.models import build_model
from slowfast.models.detector import Learned
from slowfast.tasks import build_task
from slowfast.utils.io import read_json
from tests.helpers.paths import ROOT
from tests.tasks.test_detection import ONE_EPOCH, read_detections, read_rows
from tools import ensemble, flow, run_net


def learned(logits, labels):
    count = len(logits)
    zeros, zero = torch.zeros(count, 4), torch.zeros(())
    weights = torch.full((count,), 1 / count)
    return Learned(logits, labels, zeros, zeros + 1, weights, zero + 3, zero + 5)


def loss_of(cfg, logits, labels):
    batch = {"clips": [], "boxes": None, "box_labels": None, "labels": torch.zeros(2)}
    found = learned(logits, labels)
    return build_task(cfg).loss(lambda *_: found, batch, np.random.default_rng(0))


def test_loss_is_the_sum_of_the_parts_that_the_log_shows(detector_cfg):
    logits, labels = torch.randn(4, 3), torch.eye(4)[:, :3]  # the last box shows nothing
    loss, sums = loss_of(detector_cfg(), logits, labels)
    padded = torch.cat([torch.zeros(4, 1), logits], 1)
    expected = {
        "class_loss": F.cross_entropy(padded, torch.tensor([1, 2, 3, 0])),
        "offset_loss": torch.tensor(2 * 3 * 4 * 0.5 / 4),
        "objectness_loss": torch.tensor(3.0),
        "proposal_loss": torch.tensor(10.0),
    }
    torch.testing.assert_close(sums, {name: 2 * value for name, value in expected.items()})
    torch.testing.assert_close(loss, sum(expected.values()))


def test_boxes_of_several_labels_have_sigmoids(detector_cfg):
    cfg = detector_cfg("MODEL.HEAD_ACT", "sigmoid", "MODEL.LOSS_FUNC", "bce")
    logits, labels = torch.randn(4, 3), torch.tensor([[1.0, 1, 0]]).repeat(4, 1)
    _, sums = loss_of(cfg, logits, labels)
    expected = 2 * 3 * F.binary_cross_entropy_with_logits(logits, labels)
    torch.testing.assert_close(sums["class_loss"], expected)


@pytest.mark.slow
def test_a_run_finds_boxes_and_needs_none_in_its_test(detector_cfg, tmp_path):
    nowhere = ["AVA.TEST_PREDICT_BOX_LISTS", ["nowhere.csv"]]
    precise = ["BN.USE_PRECISE_STATS", True, "BN.NUM_BATCHES_PRECISE", 1]
    state = train(detector_cfg(*ONE_EPOCH, *nowhere, *precise, "TRAIN.EMA_DECAY", 0.5))
    assert np.isfinite(state.history[0]["train_proposal_loss"])
    results = run_test(detector_cfg(*nowhere))
    assert results["test_boxes"] == "found" and results["map"] == state.history[0]["val_map"]
    assert (results["num_key_frames"], results["num_key_frames_scored"]) == (5, 5)
    detections = read_detections(tmp_path / "run/detections.csv")
    assert len(detections) == results["num_boxes"] <= 5 * 7
    assert detections.boxes.min() >= 0 and detections.boxes.max() <= 1


@pytest.mark.slow
def test_a_detector_starts_from_weights_of_images_and_of_videos(detector_cfg, tmp_path):
    torch.manual_seed(0)
    images, videos = resnet18(), build_model(detector_cfg())
    torch.save(images.state_dict(), tmp_path / "images.pth")
    state = {n: x for n, x in videos.state_dict().items() if not n.startswith("proposals.")}
    torch.save({"model_state": state}, tmp_path / "videos.pyth")
    start = ["TRAIN.CHECKPOINT_FILE_PATH", tmp_path / "videos.pyth"]
    start += ["DETECTION.RPN_CHECKPOINT", tmp_path / "images.pth"]
    frozen = ["TRAIN.FREEZE", ["s1", "s2", "s3", "s4", "proposals.body"]]
    model = train(detector_cfg(*ONE_EPOCH, *start, *frozen)).model
    assert torch.equal(model.proposals.body.layer3[0].conv1.weight, images.layer3[0].conv1.weight)
    for name, value in videos.s1.state_dict().items():
        torch.testing.assert_close(model.s1.state_dict()[name], value)


def write_jhmdb(folder):
    """JHMDB as its authors share it: two videos of 5 frames, a mask of the person in 3 of them."""
    rng, masks = np.random.default_rng(0), np.zeros((48, 64, 5), np.uint8)
    masks[8:40, 10:42, 1:4] = 1
    for video, use in (("clap/a_clap_u", 1), ("wave/b_wave_u", 2)):
        name, file = video.split("/")
        (folder / "Frames" / video).mkdir(parents=True)
        (folder / "puppet_mask" / video).mkdir(parents=True)
        savemat(folder / f"puppet_mask/{video}/puppet_mask.mat", {"part_mask": masks})
        for number in range(5):
            frame = rng.integers(0, 99, (48, 64, 3), dtype=np.uint8)
            frame[8:40, 10 + number : 42 + number] += 120
            cv2.imwrite(str(folder / f"Frames/{video}/{number + 1:05d}.png"), frame)
        (folder / "splits").mkdir(exist_ok=True)
        (folder / f"splits/{name}_test_split1.txt").write_text(f"{file}.avi {use}\n")


@pytest.mark.slow
def test_two_streams_of_jhmdb_from_its_files_to_fused_boxes(run_tool, tmp_path):
    data, recipes = tmp_path / "jhmdb", ROOT / "configs/JHMDB/s3d"
    write_jhmdb(data)
    small = ["S3D.WIDTH_FACTOR", 0.125, "DETECTION.FRAME_SIZE", [64, 80], "DATA.NUM_FRAMES", 4]
    small += ["DETECTION.RPN_BACKBONE", "resnet18", "DETECTION.HEAD_DIM", 16, "NUM_GPUS", 0]
    small += ["DETECTION.NUM_PROPOSALS", 16, "DETECTION.MAX_DETECTIONS", 7, *ONE_EPOCH]
    small += ["TRAIN.EVAL_PERIOD", 1, "TRAIN.CHECKPOINT_PERIOD", 1, "TRAIN.BATCH_SIZE", 2]
    small += ["DATA_LOADER.NUM_WORKERS", 0, "DATA.PATH_TO_DATA_DIR", data]
    rgb, motion = recipes / "S3D_G_detector.yaml", recipes / "S3D_G_detector_flow.yaml"
    words = ["--cfg", rgb, "--output", tmp_path / "motion", "--short-side", 0]
    code, printed = run_tool(flow, *words, "DATA.PATH_TO_DATA_DIR", data)
    assert code == 0, printed
    for path, where in ((rgb, data), (motion, tmp_path / "motion")):
        run = tmp_path / path.stem
        options = [*small, "DATA.PATH_PREFIX", where, "OUTPUT_DIR", run]
        code, printed = run_tool(run_net, "--cfg", path, *options)
        assert code == 0, printed
        results = read_json(run / "test_results.json")
        assert results["num_key_frames_scored"] == 3 and results["frame_map_voc"] >= 0
        assert len(read_rows(run / "test_results_per_class.csv")) == 21
    code, printed = run_tool(ensemble, tmp_path / rgb.stem, tmp_path / motion.stem)
    assert code == 0 and "fused" in printed


@pytest.mark.slow
def test_a_detector_that_fits_finds_its_training_boxes(detector_cfg):
    fit = ["SOLVER.MAX_EPOCH", 40, "TRAIN.EVAL_PERIOD", 40, "TRAIN.CHECKPOINT_PERIOD", 40]
    fit += ["TRAIN.BATCH_SIZE", 4, "SOLVER.OPTIMIZING_METHOD", "adamw", "SOLVER.BASE_LR", 0.003]
    fit += ["AVA.GROUNDTRUTH_FILE", "ava_train_v2.2.csv", "DATA.RANDOM_FLIP", False]
    fit += ["BN.USE_PRECISE_STATS", True, "DETECTION.HEAD_DIM", 64]
    assert train(detector_cfg(*fit)).history[-1]["val_map"] > 90
