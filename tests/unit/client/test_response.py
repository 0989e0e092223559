import pytest

from wd_server.client.response import (
    HEAD_BYTES,
    BadResponse,
    Chunked,
    Head,
    Sized,
    body_of,
    read_head,
)

BODY = b"event: trade\ndata: {}\n\nevent: heartbeat\r\ndata: 0\n\n"


def chunks(*parts: bytes) -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"


def test_a_head_is_read_when_it_is_whole_and_what_follows_is_left() -> None:
    text = b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 3\r\n\r\nrest"
    end = text.index(b"rest")
    assert all(read_head(text[:at]) is None for at in range(end))
    assert read_head(text) == (Head(429, {"retry-after": "3"}), b"rest")


@pytest.mark.parametrize(
    "text", [b"SSH-2.0-x\r\n\r\n", b"HTTP/1.1 abc\r\n\r\n", b"x" * HEAD_BYTES * 2]
)
def test_an_answer_that_is_no_http_is_said_so(text: bytes) -> None:
    with pytest.raises(BadResponse):
        read_head(text)


def test_chunks_cut_at_any_byte_make_the_body() -> None:
    sent = chunks(BODY[:1], BODY[1:30], BODY[30:])
    for at in range(len(sent) + 1):
        body = Chunked()
        assert body.feed(sent[:at]) + body.feed(sent[at:]) == BODY
        assert body.ended


def test_chunks_that_come_byte_by_byte_make_the_body() -> None:
    body = Chunked()
    sent = chunks(BODY[:20], BODY[20:])
    assert b"".join(body.feed(sent[at : at + 1]) for at in range(len(sent))) == BODY
    assert body.ended


def test_bytes_of_a_chunk_are_handed_on_before_it_ends() -> None:
    body = Chunked()
    assert body.feed(b"10;name=value\r\nabc") == b"abc"
    assert not body.ended


@pytest.mark.parametrize("text", [b"xyz\r\n", b"-\r\n", b"1" * 10_000])
def test_what_is_no_chunk_is_said_so(text: bytes) -> None:
    with pytest.raises(BadResponse):
        Chunked().feed(text)


def test_a_body_of_known_length_ends_there() -> None:
    body = Sized(5)
    assert body.feed(b"abc") == b"abc"
    assert not body.ended
    assert body.feed(b"defgh") == b"de"
    assert body.ended


def test_how_a_body_ends_is_told_by_the_head() -> None:
    assert body_of(Head(200, {})) is None
    assert isinstance(body_of(Head(200, {"transfer-encoding": "Chunked"})), Chunked)
    assert isinstance(body_of(Head(200, {"content-length": "3"})), Sized)
    with pytest.raises(BadResponse):
        body_of(Head(200, {"content-length": "-3"}))
