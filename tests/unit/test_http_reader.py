"""Requests read out of bytes, in whichever pieces these come."""

from dataclasses import dataclass, field
from time import process_time

import pytest

from wd_server.http_reader import (
    HEAD_BYTES,
    HEAD_FIELDS,
    METHOD_BYTES,
    Reader,
    RequestHead,
    RequestRefused,
)

# Bytes of a body that are taken here.
MOST = 100
# CPU seconds for a packet that must not take minutes.
PACKET_SECONDS = 0.1

HOST = b"Host: x\r\n"
GET = b"GET /a HTTP/1.1\r\n" + HOST
POST = b"POST /b HTTP/1.1\r\n" + HOST
CHUNKED = b"Transfer-Encoding: chunked\r\n"
UPGRADE = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAM\r\n"

ACCEPTED = {
    "a GET": GET + b"\r\n",
    "two in a row": GET + b"\r\n" + b"HEAD /c?d=e HTTP/1.1\r\n" + HOST + b"\r\n",
    "empty lines before it": b"\r\n\r\n" + GET + b"\r\n",
    "HTTP/1.0": b"GET / HTTP/1.0\r\n\r\n",
    "HTTP/1.0 that goes on": b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    "the last one": GET + b"Connection: x, close\r\n\r\n",
    "an unknown method": b"BREW /pot HTTP/1.1\r\n" + HOST + b"\r\n",
    "a method in small letters": b"get / HTTP/1.1\r\n" + HOST + b"\r\n",
    "CONNECT": b"CONNECT /a HTTP/1.1\r\n" + HOST + b"\r\n",
    "the absolute form": b"GET HTTP://x/a HTTP/1.1\r\n" + HOST + b"\r\n",
    "white space around a value": GET + b"X: \t a b \t \r\nY:\r\nZ:    \r\n\r\n",
    "bytes beyond ASCII in a value": GET + b"X: \xc3\xa4\r\n\r\n",
    "a body": POST + b"Content-Length: 3\r\n\r\nabc",
    "an empty body": POST + b"Content-Length: 0\r\n\r\n",
    "a body, then another request": POST + b"Content-Length: 3\r\n\r\nabc" + GET + b"\r\n",
    "a body of empty lines": POST + b"Content-Length: 8\r\n\r\n\r\n\r\n\r\n\r\n" + GET + b"\r\n",
    "chunks": POST + CHUNKED + b"\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
    "chunks with an extension": POST + CHUNKED + b"\r\n3;a=b\r\nabc\r\n0\r\n\r\n" + GET + b"\r\n",
    "chunks of empty lines": POST + CHUNKED + b"\r\n4\r\n\r\n\r\n\r\n0\r\n\r\n" + GET + b"\r\n",
    "no chunk but the last": POST + CHUNKED + b"\r\n0\r\n\r\n" + GET + b"\r\n",
    "an expectation": POST + b"Expect: 100-Continue\r\nContent-Length: 1\r\n\r\na",
    "an upgrade": GET + UPGRADE + b"\r\n" + GET + b"\r\n",
    "an upgrade with a body": POST + UPGRADE + b"Content-Length: 3\r\n\r\nabc" + GET + b"\r\n",
    "an upgrade with chunks": (
        POST + UPGRADE + CHUNKED + b"\r\n3\r\nabc\r\n0\r\n\r\n" + GET + b"\r\n"
    ),
    "an upgrade with a body, the last one": (
        POST + UPGRADE + b"Connection: close\r\nContent-Length: 3\r\n\r\nabc"
    ),
    "the longest method": b"M" * METHOD_BYTES + b" / HTTP/1.1\r\n" + HOST + b"\r\n",
    "the most fields": b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * HEAD_FIELDS + b"\r\n",
    "the largest body": POST + b"Content-Length: 100\r\n\r\n" + b"a" * MOST,
}
REFUSED = {
    "no HTTP at all": (b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03", 400),
    "HTTP/0.9": (b"GET /\r\n\r\n", 400),
    "HTTP/2.0": (b"GET / HTTP/2.0\r\n" + HOST + b"\r\n", 400),
    "an HTTP/2 preface": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    "another protocol": (b"DESCRIBE / RTSP/1.0\r\n\r\n", 400),
    "no method": (b" / HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    "a method that is no token": (b"G@T / HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    "a long method": (b"M" * (METHOD_BYTES + 1) + b" / HTTP/1.1\r\n\r\n", 400),
    "the authority form": (b"CONNECT example.com:443 HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    "two spaces": (b"GET  / HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    "a path beyond ASCII": (b"GET /\xc3\xa4 HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    "LF behind the first line": (b"GET / HTTP/1.1\n" + HOST + b"\r\n", 400),
    "LF behind a field": (GET + b"X: a\n\r\n", 400),
    "CR within a field": (GET + b"X: a\rb\r\n\r\n", 400),
    "NUL within a field": (GET + b"X: a\0\r\n\r\n", 400),
    "a folded field": (GET + b"X: a\r\n b\r\n\r\n", 400),
    "a folded first field": (b"GET / HTTP/1.1\r\n X: a\r\n\r\n", 400),
    "a space before the colon": (GET + b"X : a\r\n\r\n", 400),
    "no name": (GET + b": a\r\n\r\n", 400),
    "two fields of codings": (
        POST + b"Transfer-Encoding: gzip\r\n" + CHUNKED + b"\r\n0\r\n\r\n",
        400,
    ),
    "no coding beside chunks": (
        POST + b"Transfer-Encoding: identity\r\n" + CHUNKED + b"\r\n0\r\n\r\n",
        400,
    ),
    "a chunk of many empty lines": (
        POST + CHUNKED + b"\r\n4000\r\n" + b"\r\n" * 0x2000,
        413,
    ),
    "two lengths": (POST + b"Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc", 400),
    "a list of lengths": (POST + b"Content-Length: 3, 3\r\n\r\nabc", 400),
    "a signed length": (POST + b"Content-Length: +3\r\n\r\nabc", 400),
    "a length beyond 64 bits": (POST + b"Content-Length: 18446744073709551616\r\n\r\n", 400),
    "a length and chunks": (POST + b"Content-Length: 3\r\n" + CHUNKED + b"\r\n0\r\n\r\n", 400),
    "another coding": (POST + b"Transfer-Encoding: gzip\r\n\r\n", 400),
    "two codings": (POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 400),
    "an upgrade with another coding": (POST + UPGRADE + b"Transfer-Encoding: gzip\r\n\r\n", 400),
    "chunks in HTTP/1.0": (b"POST / HTTP/1.0\r\n" + CHUNKED + b"\r\n0\r\n\r\n", 400),
    "a chunk of no size": (POST + CHUNKED + b"\r\nxyz\r\n", 400),
    "a chunk that is longer": (POST + CHUNKED + b"\r\n1\r\naXX0\r\n\r\n", 400),
    "LF behind a chunk's size": (POST + CHUNKED + b"\r\n0\n\n", 400),
    "LF in an extension": (POST + CHUNKED + b"\r\n0;\n\r\n\r\n", 400),
    "a trailer": (POST + CHUNKED + b"\r\n1\r\na\r\n0\r\nX: y\r\n\r\n", 400),
    "a large body": (POST + b"Content-Length: 101\r\n\r\n", 413),
    "large chunks": (POST + CHUNKED + b"\r\n33\r\n" + b"a" * 51 + b"\r\n32\r\n" + b"a" * 50, 413),
    "tiny chunks": (POST + CHUNKED + b"\r\n" + b"1\r\na\r\n" * 40 + b"0\r\n\r\n", 413),
    "an endless extension": (POST + CHUNKED + b"\r\n1;" + b"a" * 300, 413),
    "a long target": (b"GET /" + b"a" * HEAD_BYTES, 414),
    "a long query": (b"GET /a?" + b"a" * HEAD_BYTES + b" HTTP/1.1\r\n" + HOST + b"\r\n", 414),
    "a large field": (GET + b"X: " + b"a" * HEAD_BYTES, 431),
    "a large name": (GET + b"X" * HEAD_BYTES, 431),
    "many fields": (GET + b"X: a\r\n" * HEAD_FIELDS + b"\r\n", 431),
    "many fields, then a wrong one": (GET + b"X: a\r\n" * (HEAD_FIELDS + 1) + b": \r\n\r\n", 431),
    "empty lines without an end": (b"\r\n" * HEAD_BYTES, 431),
}


@dataclass
class Found:
    """What a reader has found: whole requests with their bodies, then perhaps a refusal, and
    whether something is left."""

    requests: list[tuple[RequestHead, bytes]] = field(default_factory=list)
    refused: int | None = None
    begun: bool = False


def read(*pieces: bytes) -> Found:
    """What a reader finds that is asked as soon as there is anything new."""
    reader, found = Reader(), Found()
    head: RequestHead | None = None
    body = b""
    try:
        for piece in pieces:
            reader.add(piece)
            while True:
                head = head or reader.head()
                if head is not None:
                    body += reader.body(MOST)
                if head is None or not reader.whole:
                    break
                found.requests.append((head, body))
                head, body = None, b""
                reader.renew()
    except RequestRefused as refused:
        found.refused = refused.status
    else:
        found.begun = reader.begun
    reader.close()
    return found


def single(data: bytes) -> list[bytes]:
    return [data[at : at + 1] for at in range(len(data))]


@pytest.mark.parametrize("data", ACCEPTED.values(), ids=ACCEPTED)
def test_a_request_is_the_same_in_whichever_pieces_it_comes(data: bytes) -> None:
    whole = read(data)
    assert whole.requests
    assert whole.refused is None
    assert not whole.begun
    assert read(*single(data)) == whole
    for at in range(1, len(data)):
        assert read(data[:at], data[at:]) == whole


@pytest.mark.parametrize(("data", "status"), REFUSED.values(), ids=REFUSED)
def test_a_refusal_is_the_same_in_whichever_pieces_the_request_comes(
    data: bytes, status: int
) -> None:
    assert read(data).refused == status
    assert not read(data).requests
    assert read(*single(data)).refused == status
    for at in range(1, len(data), max(1, len(data) // 200)):
        assert read(data[:at], data[at:]).refused == status


def test_a_head_says_what_was_sent() -> None:
    ((head, body),) = read(ACCEPTED["white space around a value"]).requests
    assert head == RequestHead(
        "GET",
        "/a",
        "HTTP/1.1",
        [("Host", "x"), ("X", "a b"), ("Y", ""), ("Z", "")],
        keep_alive=True,
        expects=False,
    )
    assert body == b""


@pytest.mark.parametrize(
    ("shape", "method", "keep_alive", "expects", "body"),
    [
        ("HTTP/1.0", "GET", False, False, b""),
        ("HTTP/1.0 that goes on", "GET", True, False, b""),
        ("the last one", "GET", False, False, b""),
        ("an unknown method", "BREW", True, False, b""),
        ("a method in small letters", "get", True, False, b""),
        ("CONNECT", "CONNECT", True, False, b""),
        ("chunks", "POST", True, False, b"abcde"),
        ("chunks with an extension", "POST", True, False, b"abc"),
        ("an expectation", "POST", True, True, b"a"),
        ("an upgrade", "GET", True, False, b""),
        ("an upgrade with a body", "POST", True, False, b"abc"),
        ("an upgrade with chunks", "POST", True, False, b"abc"),
    ],
)
def test_a_shape_means_what_the_standard_says(
    shape: str, method: str, keep_alive: bool, expects: bool, body: bytes
) -> None:
    head, found = read(ACCEPTED[shape]).requests[0]
    assert (head.method, head.keep_alive, head.expects, found) == (
        method,
        keep_alive,
        expects,
        body,
    )


def test_a_body_that_is_a_request_is_a_body() -> None:
    for framed in (b"Content-Length: %d\r\n\r\n%b", CHUNKED + b"\r\n%x\r\n%b\r\n0\r\n\r\n"):
        inner = GET + b"\r\n"
        requests = read(POST + framed % (len(inner), inner) + GET + b"\r\n").requests
        assert [(head.method, body) for head, body in requests] == [("POST", inner), ("GET", b"")]


def test_what_stands_behind_a_request_waits() -> None:
    reader = Reader()
    second = b"POST /second HTTP/1.1\r\nContent-Length: 2\r\n\r\nab"
    reader.add(GET + b"\r\n" + second)
    head = reader.head()
    assert head is not None
    assert head.target == "/a"
    assert reader.whole
    assert reader.unread == len(second)
    assert reader.body(MOST) == b""
    reader.renew()
    head = reader.head()
    assert head is not None
    assert head.target == "/second"
    assert reader.unread == 2


def test_the_205_bytes_that_stopped_the_server_take_no_time() -> None:
    """The expression that read heads before this reader tried two ways for each line's blank."""
    packet = b"GET /v4/stream HTTP/1.1\r\n" + b"A: b\r\n" * 30
    assert len(packet) == 205
    for pieces in ([packet], [packet[:100], packet[100:]], single(packet), [packet + b"\xff\r\n"]):
        began = process_time()
        assert not read(*pieces).requests
        assert process_time() - began < PACKET_SECONDS
