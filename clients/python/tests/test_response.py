import pytest
from wd_client.response import (
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


def test_interim_answers_are_passed_over_wherever_they_are_cut() -> None:
    interim = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"
    text = interim + b"HTTP/1.1 200 OK\r\nX: y\r\n\r\n"
    assert all(read_head(text[:at]) is None for at in range(len(text)))
    assert read_head(text + b"rest") == (Head(200, {"x": "y"}), b"rest")


def test_a_header_that_comes_twice_has_both_values() -> None:
    head = read_head(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\n")
    assert head is not None
    with pytest.raises(BadResponse):
        body_of(head[0])


@pytest.mark.parametrize(
    "text",
    [
        b"SSH-2.0-x\r\n\r\n",
        b"HTTP/1.1 abc\r\n\r\n",
        "HTTP/1.1 \xb2\xb0\xb0 OK\r\n\r\n".encode("latin-1"),
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n" * HEAD_BYTES,
        b"x" * HEAD_BYTES * 2,
        b"x" * HEAD_BYTES * 2 + b"\r\n\r\n",
    ],
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


@pytest.mark.parametrize(
    "text",
    [
        *(b"xyz\r\n", b"-\r\n", b"1" * 10_000, b"1" * 4000 + b"\r\n"),
        *(b"+5\r\n", b"0x5\r\n", b"1_0\r\n", b"\r\n", b"1\r\nabc\r\n", b"1\r\na0\r\n\r\n"),
    ],
)
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


@pytest.mark.parametrize(
    "headers",
    [
        *({"content-length": length} for length in ("-3", "+3", "", "\xb2", "3 3", "9" * 5000)),
        *({"transfer-encoding": coding} for coding in ("gzip, chunked", "identity")),
    ],
)
def test_a_length_or_a_framing_that_is_none_is_said_so(headers: dict[str, str]) -> None:
    with pytest.raises(BadResponse):
        body_of(Head(200, headers))


@pytest.mark.parametrize("end", [b"0\r\n\r\n", b"000\r\n\r\n", b"0;x=y\r\nTrailer: 1\r\n\r\n"])
def test_only_the_last_chunk_is_an_end(end: bytes) -> None:
    body = Chunked()
    assert body.feed(b"3\r\nabc\r\n") == b"abc"
    assert not body.ended
    assert body.feed(end) == b""
    assert body.ended
