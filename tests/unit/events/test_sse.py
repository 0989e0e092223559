import pytest

from wd_server.events import sse


def test_an_id_stands_behind_the_data_and_before_the_blank_line_that_dispatches_both() -> None:
    assert sse.frame("trade", b'{"a":1}', "7-1") == b'event: trade\ndata: {"a":1}\nid: 7-1\n\n'


def test_an_id_that_is_given_later_stands_in_the_same_place() -> None:
    assert sse.identified("7-1", sse.frame("trade", b"{}")) == sse.frame("trade", b"{}", "7-1")
    with pytest.raises(ValueError, match="id"):
        sse.identified("7\n-1", sse.frame("trade", b"{}"))


def test_an_event_without_an_id_has_no_id_line() -> None:
    assert sse.frame("heartbeat", b"{}") == b"event: heartbeat\ndata: {}\n\n"


@pytest.mark.parametrize("character", ["\r", "\n", "\0"])
def test_what_would_end_a_line_is_refused_in_every_field(character: str) -> None:
    with pytest.raises(ValueError, match="name"):
        sse.frame(f"tra{character}de", b"{}")
    with pytest.raises(ValueError, match="id"):
        sse.frame("trade", b"{}", f"7{character}-1")


@pytest.mark.parametrize("character", [b"\r", b"\n"])
def test_data_must_stay_on_its_line(character: bytes) -> None:
    with pytest.raises(ValueError, match="one line"):
        sse.frame("trade", b"{}" + character + b"id: 9-9")


def test_a_retry_line_stands_in_front_of_the_event_it_comes_with() -> None:
    text = sse.retry(1500) + sse.frame("bye", b"{}")
    assert text == b"retry: 1500\nevent: bye\ndata: {}\n\n"
