"""tools/predict.py on files, folders, damaged videos and Ctrl-C."""

import io
import json
import os
import shutil
import signal
import socket
import threading
from functools import partial
from pathlib import Path

import av
import pytest
import torch

from slowfast.checkpoint import files
from slowfast.config.cli import load_cfg
from slowfast.models import build_model
from tools import predict


@pytest.fixture
def folder(toy_set, tmp_path):
    """Three videos, one below the others, and a text with a video's name."""
    folder = tmp_path / "my videos"
    (folder / "more").mkdir(parents=True)
    for index, name in enumerate(["a.mp4", "b.mp4", "more/c.mp4"]):
        shutil.copy(toy_set / f"test_{index}.mp4", folder / name)
    (folder / "broken.mp4").write_text("not a video")
    return folder


@pytest.fixture
def run(run_tool, toy_yaml, tmp_path):
    """Function (words) -> (exit code, all that was printed)."""
    torch.manual_seed(0)
    weights = tmp_path / "weights.pyth"
    model = build_model(load_cfg(toy_yaml))
    files.save(weights, {"model_state": model.state_dict(), "class_names": ["run", "eat", "sit"]})
    return partial(run_tool, predict, "--cfg", toy_yaml, "--checkpoint", weights)


@pytest.mark.slow
def test_a_folder_gives_a_table_and_a_file_with_names_and_reasons(run, folder, tmp_path):
    code, output = run(folder, "--output", tmp_path / "out.json", "--topk", 2)
    assert code == 0, output
    assert "unreadable: InvalidDataError" in output and "sit" in output
    assert "3 of 4 videos predicted, 1 unreadable; 2 x 3 views" in output
    content = json.loads((tmp_path / "out.json").read_text())
    names = [Path(video["path"]).name for video in content["videos"]]
    assert names == ["a.mp4", "b.mp4", "broken.mp4", "c.mp4"]
    assert [len(video.get("predictions", [])) for video in content["videos"]] == [2, 2, 0, 2]


@pytest.mark.slow
def test_views_crops_classes_and_overrides_are_heeded(run, folder, tmp_path):
    names = tmp_path / "names.json"
    names.write_text('["un", "deux", "trois"]')
    words = ["--views", 1, "--crops", 1, "--classes", names, "TEST.NUM_ENSEMBLE_VIEWS", 7]
    code, output = run(folder / "a.mp4", *words)
    assert code == 0 and "trois" in output and "1 x 1 views" in output


@pytest.mark.slow
def test_one_crop_is_the_centre_of_frames_as_in_a_test(run, folder, tmp_path):
    words = ["--views", 1, "--crops", 1, "DATA.TRAIN_JITTER_SCALES", "[36, 40]"]
    assert run(folder / "a.mp4", *words, "--output", tmp_path / "out.json")[0] == 0
    about = json.loads((tmp_path / "out.json").read_text())
    assert (about["short_side"], about["crop_size"]) == (36, 32)


@pytest.mark.slow
def test_names_in_another_order_go_to_the_classes_of_the_weights(run, folder, tmp_path):
    names, found = tmp_path / "names.txt", []
    for text in ("run\neat\nsit", "sit\nRun\neat"):
        names.write_text(text)
        words = ["--classes", names, "--topk", 1, "--output", tmp_path / "out.json"]
        code, output = run(folder / "a.mp4", *words)
        assert code == 0, output
        (video,) = json.loads((tmp_path / "out.json").read_text())["videos"]
        found.append(video["predictions"][0])
    assert found[0]["name"] == found[1]["name"].lower() and found[0]["class"] == found[1]["class"]
    assert "3 of 3 names have another number in the weights" in output


@pytest.mark.slow
def test_only_unreadable_videos_are_a_failure_that_is_written_down(run, folder, tmp_path):
    code, output = run(folder / "broken.mp4", "--output", tmp_path / "out.csv")
    assert code == 1 and "InvalidDataError" in output
    assert "InvalidDataError" in (tmp_path / "out.csv").read_text()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["DATA.NUM_FRAME", 4], "DATA.NUM_FRAMES"),
        (["--classes", "nowhere.txt"], "nowhere.txt"),
        (["--output", "out.xml"], "out.xml"),
        (["--topk", 0], "topk: 0"),
    ],
)
def test_mistakes_are_one_line(run, folder, words, message):
    code, output = run(folder, *words)
    assert code == 1 and message in output and "Traceback" not in output


@pytest.mark.slow
def test_a_mistyped_video_is_a_video_not_a_key(run, folder):
    code, output = run("IMG_0001.MOV", folder / "a.mp4")
    assert code == 0 and "unreadable: FileNotFoundError" in output


@pytest.mark.slow
def test_ctrl_c_keeps_what_is_done(run, folder, tmp_path, monkeypatch):
    real = torch.nn.Module.__call__

    def interrupt(module, clips, boxes=None):
        if clips[0].device.type != "meta":
            os.kill(os.getpid(), signal.SIGINT)
        return real(module, clips, boxes)

    monkeypatch.setattr("slowfast.models.network.VideoNetwork.__call__", interrupt)
    code, output = run(folder, "--output", tmp_path / "out.json")
    assert code == 128 + signal.SIGINT
    (video,) = json.loads((tmp_path / "out.json").read_text())["videos"]
    assert video["path"].endswith("a.mp4") and "1 of 4 videos predicted" in output


@pytest.mark.slow
def test_two_processes_predict_what_one_does(run, folder, run_tool_in_two, tmp_path):
    words = [folder, "--output", tmp_path / "one.json"]
    assert run(*words, "TEST.BATCH_SIZE", 12)[0] == 0
    words = [*run.args[1:], folder, "--output", tmp_path / "two.json"]
    run_tool_in_two(predict, *words, "TEST.BATCH_SIZE", 24)  # of both
    one, two = (json.loads((tmp_path / f"{name}.json").read_text()) for name in ("one", "two"))
    assert one == two


@pytest.mark.slow
def test_windows_give_a_timeline_an_overlay_and_features(run, folder, tmp_path):
    words = [folder / "a.mp4", "--window", 0.2, "--stride", 0.1, "--threshold", 0.99]
    for name, option in (("t.json", "--output"), ("t.png", "--output"), ("o.mp4", "--overlay")):
        words += [option, tmp_path / name]
    code, output = run(*words, "--features", tmp_path / "f.npz")
    assert code == 0 and "nothing" in output and "times real time" in output, output
    (video,) = json.loads((tmp_path / "t.json").read_text())["videos"]
    assert [w["start"] for w in video["windows"]] == [0.0, 0.1, 0.2]
    assert all((tmp_path / name).stat().st_size for name in ("t.png", "o.mp4", "f.npz"))


def test_a_stream_that_does_not_answer_is_one_line_with_its_address(run):
    code, output = run("rtsp://127.0.0.1:9/camera")
    assert code == 1 and "rtsp://127.0.0.1:9/camera: this stream cannot be opened" in output


@pytest.mark.slow
def test_a_live_stream_over_a_socket_prints_delay_and_rate(run, folder, tmp_path):
    content = as_transport_stream(folder / "a.mp4")
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"tcp://127.0.0.1:{server.getsockname()[1]}"

        def serve():
            with server.accept()[0] as connection:
                connection.sendall(content)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        code, output = run(
            *(address, "--window", 0.2, "--stride", 0.1, "--output", tmp_path / "live.csv")
        )
        thread.join(timeout=10)
    assert code == 0 and "delay" in output and "frames/s" in output, output
    assert (tmp_path / "live.csv").read_text().startswith("start,end,rank,class,name,score,delay")


def as_transport_stream(path):
    """The bytes of a video in a container without a length."""
    content = io.BytesIO()
    with av.open(str(path)) as file, av.open(content, "w", format="mpegts") as out:
        stream = out.add_stream_from_template(file.streams.video[0])
        for packet in file.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                out.mux(packet)
    return content.getvalue()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--window", 0], "seconds above 0"),
        (["--window", 1, "--output", "t.xml"], "t.xml"),
        (["--overlay", "t.gif"], "t.gif"),
        (["--features", "t.csv"], "must end in .npz"),
        (["--boxes", "b.csv"], "classifies whole videos"),
        (["--window", 1, "-"], "predicted alone"),
        (["--run", "x"], "give --run"),
    ],
)
def test_mistakes_about_windows_are_one_line(run, folder, words, message):
    code, output = run(folder / "a.mp4", *words)
    assert code in (1, 2) and message in output and "Traceback" not in output
