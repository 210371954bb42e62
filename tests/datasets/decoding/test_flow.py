"""Flow as grey values, and the folders it is read from."""

import numpy as np
import pytest
import torch
from PIL import Image

from slowfast.datasets.annotations.folder import build_folder
from slowfast.datasets.annotations.hmdb51 import build_hmdb51
from slowfast.datasets.annotations.kinetics import build_kinetics
from slowfast.datasets.annotations.something_something import build_ssv1, build_ssv2
from slowfast.datasets.annotations.ucf101 import build_ucf101
from slowfast.datasets.build import build_dataset
from slowfast.datasets.decoding.flow import BOUND, encode_flow, flow_paths, open_flow
from slowfast.datasets.decoding.open import open_frames
from slowfast.datasets.decoding.video import UnreadableVideo
from slowfast.datasets.records import Record
from slowfast.datasets.transforms.spatial import flip_flow


def write_pairs(folder, count=4, size=(8, 6), start=1):
    """Files whose x is their number times 10, and y that plus 100."""
    folder.mkdir(parents=True)
    for number in range(start, start + count):
        for axis, value in (("x", 10 * number), ("y", 100 + 10 * number)):
            Image.new("L", size, value).save(folder / f"flow_{axis}_{number:05d}.jpg")
    return folder


def decode(values):
    """Grey values to pixels."""
    return values.astype(np.float32) * np.float32(2 * BOUND / 255) - np.float32(BOUND)


class TestGreyValues:
    def test_of_no_motion_the_bounds_and_beyond(self):
        assert encode_flow(np.array([0, -20, 20, -99, 99.0])).tolist() == [128, 0, 255, 0, 255]

    def test_come_back_within_half_a_step(self):
        flow = np.linspace(-20, 20, 999, dtype=np.float32)
        assert np.abs(decode(encode_flow(flow)) - flow).max() < 20 / 255 + 1e-5

    def test_of_the_opposite_direction_are_255_minus_it(self):
        values = np.arange(256, dtype=np.uint8)
        np.testing.assert_allclose(decode(255 - values), -decode(values), atol=1e-5)


class TestMirroring:
    def test_turns_x_around_and_leaves_y(self):
        clip = torch.tensor([[10, 200, 128], [1, 2, 3]], dtype=torch.uint8)[:, None, None]
        mirrored = flip_flow(clip)
        assert mirrored[:, 0, 0].tolist() == [[127, 55, 245], [3, 2, 1]]
        assert clip[0, 0, 0].tolist() == [10, 200, 128]
        assert flip_flow(mirrored).equal(clip)

    def test_of_a_scaled_clip(self):
        clip = torch.full((2, 1, 1, 2), 63.75)
        assert flip_flow(clip)[:, 0, 0, 0].tolist() == [191.25, 63.75]

    def test_is_what_the_flow_of_mirrored_pictures_is(self):
        flow = np.random.default_rng(0).normal(0, 5, (4, 6, 2))
        mirrored = flow[:, ::-1] * [-1, 1]
        clip = torch.from_numpy(encode_flow(flow)).permute(2, 0, 1)[:, None]  # C,T,H,W
        expected = torch.from_numpy(encode_flow(mirrored)).permute(2, 0, 1)[:, None]
        assert (flip_flow(clip).int() - expected.int()).abs().max() <= 1  # ties


class TestFolders:
    def test_are_videos_of_two_channels(self, tmp_path):
        video = open_flow(str(write_pairs(tmp_path / "v")))
        assert (video.index.num_frames, video.index.fps) == (4, None)
        frames = video.read([2, 0], short_side=3)
        assert frames.shape == (2, 3, 4, 2) and frames.dtype == np.uint8
        assert frames[:, 0, 0].tolist() == [[30, 130], [10, 110]]

    def test_of_ours_tell_their_rate_and_length(self, tmp_path):
        folder = write_pairs(tmp_path / "{0}")
        (folder / "flow.json").write_text('{"num_frames": 3, "fps": 12.5}')
        video = open_flow(str(folder))
        assert (video.index.num_frames, video.index.fps) == (3, 12.5)
        assert [frame[0, 0, 0] for frame in video.frames()] == [10, 20, 30]

    def test_may_count_from_zero_and_hold_other_files(self, tmp_path):
        folder = write_pairs(tmp_path / "v", start=0)
        (folder / "img_00001.jpg").touch()
        assert open_flow(str(folder)).read([3])[0, 0, 0].tolist() == [30, 130]

    def test_are_found_by_the_name_of_the_video(self, tmp_path):
        write_pairs(tmp_path / "v")
        write_pairs(tmp_path / "w.avi", count=1)
        write_pairs(tmp_path / "v1.0", count=2)
        lengths = {"v": 4, "v.mp4": 4, "w.avi": 1, "v1.0": 2}
        found = {name: open_flow(str(tmp_path / name)).index.num_frames for name in lengths}
        assert found == lengths

    def test_whose_second_file_is_lost_repeat_the_frame_before(self, tmp_path):
        folder = write_pairs(tmp_path / "v")
        (folder / "flow_y_00002.jpg").unlink()
        Image.new("L", (3, 3)).save(folder / "flow_y_00004.jpg")
        video = open_flow(str(folder))
        frames = video.read([0, 1, 2, 3])[:, 0, 0, 0].tolist()
        assert frames == [10, 10, 30, 30] and video.num_broken == 2

    def test_without_flow_are_unreadable(self, tmp_path):
        with pytest.raises(UnreadableVideo, match="NoFlow: no flow_x_.*jpg in .*nowhere"):
            open_frames(Record(str(tmp_path / "nowhere.mp4"), is_flow=True))

    def test_list_their_files(self, tmp_path):
        folder = write_pairs(tmp_path / "flow_x_")
        assert sorted(flow_paths(f"{folder}.mp4")) == sorted(map(str, folder.iterdir()))


UCF = {"classInd.txt": "1 Wave\n", "testlist01.txt": "Wave/v_WAVE_g1.avi\n"}
HMDB = {"wave_test_split1.txt": "a(1)&b.avi 2\n"}
SSV1 = {
    "something-something-v1-labels.csv": "Tearing\n",
    "something-something-v1-validation.csv": "7;Tearing\n",
    "val.csv": "a frame list that counts for images only",
}
SSV2 = {"labels.json": '{"Tearing": 0}', "validation.json": '[{"id": "7", "template": "Tearing"}]'}


@pytest.mark.parametrize(
    ("build", "files", "place"),
    [
        (build_kinetics, {"val.csv": "my clips/a 1.mp4 0\n"}, "my clips/a 1"),
        (build_kinetics, {"val.csv": "my clips/a 1 30 0\n"}, "my clips/a 1"),
        (build_ucf101, UCF, "wave/v_Wave_g1"),
        (build_hmdb51, HMDB, "wave/a(1)&b"),
        (build_ssv1, SSV1, "7"),
        (build_ssv2, SSV2, "7"),
        (build_folder, {"train/wave/a.mp4": None, "val/wave/b.mp4": None}, "val/wave/b"),
    ],
)
def test_every_dataset_finds_the_flow_of_its_videos(
    build, files, place, write_files, data_cfg, tmp_path
):
    write_files(files)
    write_pairs(tmp_path / "flow" / place)
    prefix = str(tmp_path / "flow")
    records = build(data_cfg(1, MODALITY="flow", PATH_PREFIX=prefix), "val").records
    with open_frames(records[0]) as video:
        assert len(records) == 1 and records[0].label == 0 and video.index.num_frames == 4


@pytest.mark.parametrize(
    ("build", "files"), [(build_kinetics, {"val.csv": "a.mp4 0\n"}), (build_ssv1, SSV1)]
)
def test_a_wrong_folder_is_named(build, files, write_files, data_cfg, tmp_path):
    write_files({**files, "a.mp4": None})
    with pytest.raises(ValueError, match="none of its videos exists.*DATA.PATH_PREFIX"):
        build(data_cfg(1, MODALITY="flow", PATH_PREFIX=str(tmp_path / "flow")), "val")


def test_clips_of_flow_keep_the_order_x_y(write_files, data_cfg, tmp_path):
    write_files(SSV1)
    write_pairs(tmp_path / "7", size=(40, 32))
    cfg = data_cfg(1, MODALITY="flow", INPUT_CHANNEL_NUM=[2], NUM_FRAMES=4)
    cfg.merge_from_list(
        ["DATA.TRAIN_JITTER_SCALES", [32, 32], "DATA.TRAIN_CROP_SIZE", 32, "TRAIN.DATASET", "ssv1"]
    )
    (clip,) = build_dataset(cfg, "val")[0].clips
    assert clip.shape == (1, 2, 4, 32, 32) and clip.dtype == torch.uint8
    assert (clip[0, 1].int() - clip[0, 0].int() == 100).all()
