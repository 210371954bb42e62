from functools import partial

import pytest

from slowfast.zoo.check import ask, ask_all
from tests.zoo.conftest import send
from tests.zoo.test_download import fail


@pytest.fixture
def words(site, zoo):
    def found(**changes):
        answer = ask(zoo(**changes), timeout=5)
        return answer.is_good, answer.words, answer.size

    return found


def test_a_file_is_asked_for_its_head_alone(site, words):
    assert words() == (True, "a file", len(site.content))
    assert [method for method, _, _ in site.requests] == ["HEAD"]


def test_a_server_that_does_not_tell_is_asked_for_a_byte(site, words):
    site.days = [partial(fail, code=403)]
    assert words() == (True, "a file", len(site.content))
    assert site.ranges == [None, "bytes=0-0"]


def test_a_file_that_is_gone(site, words):
    site.days = [partial(fail, code=404)]
    assert words() == (False, "404 Not Found", 0)


def test_a_web_page_in_place_of_a_file(site, words):
    site.kind = "text/html"
    assert words() == (False, "a web page in place of the file", 0)


def test_a_page_with_a_button_is_a_page(site, words):
    site.kind = "text/html"
    assert words(suffix=".pth") == (True, "a page, to be opened by hand", 0)


def test_nobody_answers(words):
    is_good, text, _ = words(address="http://127.0.0.1:9/x.pyth")
    assert not is_good and "no connection to 127.0.0.1" in text


def test_answers_come_in_the_order_of_the_rows(site, zoo):
    row = zoo()
    rows = [row, zoo(address="http://127.0.0.1:9/x.pyth"), row]
    site.days = [send, send]
    assert [answer.is_good for answer in ask_all(rows, timeout=5)] == [True, False, True]
