"""Names of weights: files, folders, and the Hub, played by a server on this machine."""

import sys

import pytest
import torch

from slowfast.checkpoint import files
from slowfast.zoo.names import local_file
from tests.helpers.hub_server import hub_server


@pytest.fixture
def folder(tmp_path):
    """A folder of the Hub with a tensor and a config."""
    pytest.importorskip("safetensors")
    path = tmp_path / "net"
    path.mkdir()
    files.save_safetensors(path / "model.safetensors", {"x": torch.ones(2)}, {})
    (path / "config.yaml").write_text("MODEL: {NUM_CLASSES: 7}\n")
    return path


@pytest.fixture
def hub(folder, tmp_path, monkeypatch):
    """The calls that the Hub got; it has `user/net`, with the files of `folder`."""
    constants = pytest.importorskip("huggingface_hub.constants")
    with hub_server(folder) as (address, calls):
        monkeypatch.setattr(constants, "ENDPOINT", address)
        template = address + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        yield calls


def test_a_folder_means_its_weights(folder):
    assert local_file(folder) == folder / "model.safetensors"


@pytest.mark.parametrize("name", ["a.pyth", "nowhere", "C:/a.pyth"])
def test_other_paths_stay_as_they_are(name):
    assert str(local_file(name)) == name


def test_a_folder_s_config_comes_with_its_weights(folder):
    content = files.load(folder)
    assert files.read_config(content["cfg"]) == {"MODEL.NUM_CLASSES": 7}


def test_weights_of_another_name_have_no_config(folder):
    (folder / "model.safetensors").rename(folder / "other.safetensors")
    assert "cfg" not in files.load(folder / "other.safetensors")


def test_weights_of_the_hub_are_fetched_once_with_their_config(hub):
    content = files.load("hf:user/net")
    assert content["model_state"]["x"].tolist() == [1, 1] and "NUM_CLASSES" in content["cfg"]
    local_file("hf:user/net")
    fetched = sorted(call.rpartition("/")[2] for call in hub if "GET /user" in call)
    assert fetched == ["config.yaml", "model.safetensors"]


def test_the_hub_s_revision_is_asked_for(hub):
    local_file("hf:user/net@v1")
    assert all("/resolve/v1/" in call for call in hub)


def test_one_file_of_the_hub_is_fetched_alone(hub, folder):
    torch.save({"x": torch.zeros(1)}, folder / "net.pyth")
    assert files.load("hf:user/net/net.pyth")["x"].tolist() == [0]
    assert all(call.endswith("/net.pyth") for call in hub)


def test_without_a_network_the_cache_is_used(hub, monkeypatch):
    fetched = local_file("hf:user/net")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert local_file("hf:user/net") == fetched


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("hf:net", "is not of the form hf:user/name"),
        ("hf:user/other", "hf download user/other --local-dir FOLDER"),
        ("hf:user/net/no.pyth", r"hf:user/net/no.pyth: could not be fetched \(\w*EntryNotFound"),
    ],
)
def test_mistakes_say_what_to_do(hub, name, message):
    with pytest.raises(ValueError, match=message):
        local_file(name)


def test_offline_without_a_cache_says_the_way_by_hand(hub, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ValueError, match="Without a network: run `hf download user/net"):
        local_file("hf:user/net")


def test_the_missing_package_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ValueError, match="slowfast\\[hub\\]"):
        local_file("hf:user/net")
