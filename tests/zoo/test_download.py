import shutil
import socket
import time
from functools import partial

import pytest

from slowfast.zoo.download import DownloadError, Patience, download
from tests.zoo.conftest import SOON, send


@pytest.fixture
def path(tmp_path):
    return tmp_path / "x3d_s.pyth"


def fail(handler, site, *, code, headers=()):
    handler.send_response(code)
    for name, value in headers:
        handler.send_header(name, value)
    handler.send_header("Content-Length", "0")
    handler.end_headers()


def test_the_file_is_there_and_nothing_beside_it(site, path):
    download(site.address, path, SOON)
    assert path.read_bytes() == site.content
    assert list(path.parent.iterdir()) == [path]


def test_a_cut_download_goes_on_where_it_ended(site, path):
    site.days = [partial(send, most=1000)]
    download(site.address, path, SOON)
    assert path.read_bytes() == site.content
    assert site.ranges == [None, "bytes=1000-"]
    assert site.requests[1][2]["If-Range"] == '"first"'


def test_cuts_that_bring_something_each_time_may_be_many(site, path):
    site.days = [partial(send, most=1000)] * (2 * SOON.tries)
    download(site.address, path, SOON)
    assert path.read_bytes() == site.content


def test_the_next_call_goes_on_with_what_the_last_one_left(site, path):
    site.days = [partial(send, most=5000), *[partial(fail, code=503)] * SOON.tries]
    with pytest.raises(DownloadError, match="503"):
        download(site.address, path, SOON)
    assert not path.exists()
    download(site.address, path, SOON)
    assert site.ranges[-1] == "bytes=5000-"
    assert path.read_bytes() == site.content


def test_a_part_of_another_address_is_not_gone_on_with(site, path):
    site.days = [partial(send, most=5000), *[partial(fail, code=503)] * SOON.tries]
    with pytest.raises(DownloadError):
        download(site.address, path, SOON)
    download(f"{site.address}?other", path, SOON)
    assert site.ranges[-1] is None
    assert path.read_bytes() == site.content


def test_a_server_without_ranges_sends_all_again(site, path):
    site.days = [partial(send, most=1000), partial(send, takes_ranges=False)]
    download(site.address, path, SOON)
    assert path.read_bytes() == site.content


def test_another_version_on_the_server_begins_anew(site, path):
    def change(handler, site):
        site.content, site.tag = site.content[::-1], '"second"'
        send(handler, site)

    site.days = [partial(send, most=1000), change]
    download(site.address, path, SOON)
    assert path.read_bytes() == site.content


def test_a_file_that_became_shorter_than_the_part_begins_anew(site, path):
    def shorten(handler, site):
        site.content = site.content[:500]
        send(handler, site)

    site.days = [partial(send, most=1000), shorten]
    download(site.address, path, SOON)
    assert path.read_bytes() == site.content


def test_another_part_than_was_asked_for_is_not_used(site, path):
    def send_wrong_part(handler, site):
        handler.send_response(206)
        handler.send_header("Content-Range", "bytes 0-3/10240")
        handler.send_header("Content-Length", "4")
        handler.end_headers()
        handler.wfile.write(site.content[:4])

    site.days = [partial(send, most=1000), send_wrong_part]
    download(site.address, path, SOON)
    assert path.read_bytes() == site.content


@pytest.mark.parametrize("code", [429, 500, 503])
def test_an_error_that_passes_is_borne(site, path, code):
    site.days = [partial(fail, code=code, headers=[("Retry-After", "0")])]
    download(site.address, path, SOON)
    assert path.read_bytes() == site.content


@pytest.mark.parametrize("code", [401, 403, 404, 410])
def test_an_error_that_stays_is_told_at_once(site, path, code):
    site.days = [partial(fail, code=code)] * 9
    with pytest.raises(DownloadError, match=f"the server answers {code}"):
        download(site.address, path, SOON)
    assert len(site.requests) == 1


def test_tries_are_bounded(site, path):
    site.days = [partial(fail, code=503)] * 99
    with pytest.raises(DownloadError, match="503 .*3 times in a row"):
        download(site.address, path, SOON)
    assert len(site.requests) == SOON.tries


@pytest.mark.parametrize("kind", ["text/html; charset=utf-8", "application/octet-stream"])
def test_a_web_page_in_place_of_the_file_is_told_at_once(site, path, kind):
    site.content, site.kind = b"\n<!DOCTYPE html><title>Log in</title>", kind
    with pytest.raises(DownloadError, match="a web page"):
        download(site.address, path, SOON)
    assert len(site.requests) == 1
    assert not path.exists()


def test_a_server_that_falls_silent_is_left(site, path):
    def sleep(handler, site):
        send(handler, site, most=0)
        handler.wfile.flush()
        time.sleep(0.3)

    site.days = [sleep, sleep, sleep]
    with pytest.raises(DownloadError, match="timed out.*, 2 times in a row"):
        download(site.address, path, Patience(tries=2, timeout=0.05, pause=0.001))


def test_nobody_at_the_address(path):
    with socket.socket() as held:  # bound, so that nobody else gets the port, but not listening
        held.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{held.getsockname()[1]}/x.pyth"
        with pytest.raises(DownloadError, match="no connection to 127.0.0.1.*HTTPS_PROXY"):
            download(address, path, SOON)


def test_without_a_network_there_is_one_try(path, monkeypatch):
    calls = []

    def refuse(*args, **kwargs):
        calls.append(args)
        raise socket.gaierror(-3, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    with pytest.raises(DownloadError, match="no connection to weights.example"):
        download("http://weights.example/x.pyth", path, SOON)
    assert len(calls) == 1


def test_the_proxy_of_the_environment_is_asked(site, path, monkeypatch):
    monkeypatch.setenv("http_proxy", site.address.rpartition("/")[0])
    monkeypatch.setenv("no_proxy", "")
    download("http://weights.example/x.pyth", path, SOON)
    assert site.requests[0][1] == "http://weights.example/x.pyth"
    assert path.read_bytes() == site.content


def test_a_disk_without_room_is_told_before_the_download(site, path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(1, 1, 100))
    with pytest.raises(OSError, match=r"0\.0 MB are to come, 0\.0 MB are free"):
        download(site.address, path, SOON)
