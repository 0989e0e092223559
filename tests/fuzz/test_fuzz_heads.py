"""Requests with changed heads: what is read without Tornado, and a whole server."""

import re
import socket
from collections.abc import Iterator
from contextlib import suppress

import pytest
from budget import examples
from hypothesis import example, given
from hypothesis import strategies as st
from mutation import mutated
from processes import Server, server, simulator
from tornado.httputil import HTTPHeaders, parse_request_start_line
from wire import Connection

from wd_server.listener import is_plain

WALLET = "9MCxwMs5tvjAfYYUrfvzT7pXvFWQ1EsCzRxPBQvgi2s7"
OWN_SIZE = 5

FIELDS = (
    b"Accept: text/event-stream\r\n",
    b"Accept: application/json\r\n",
    b"Accept-Encoding: gzip\r\n",
    b"Authorization: Bearer wd_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n",
    b"Connection: keep-alive\r\n",
    b"Connection: close\r\n",
    b"Content-Length: 2\r\n",
    b"Expect: 100-continue\r\n",
    b"Last-Event-ID: 1-1\r\n",
    b"Origin: https://app.example\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Upgrade: h2c\r\n",
    b"X-API-Key: wd_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n",
    b"X-Forwarded-For: 192.0.2.1, ::1\r\n",
)
TARGETS = (
    b"/",
    b"/health",
    b"/metrics",
    b"/v4/auth/token",
    b"/v4/stream?wallet=%b" % WALLET.encode(),
    b"/v4/streams/6e4cf0b8-3f3f-4c39-9f3e-3a3d8f1f6a2b",
    b"/v4/wallet/%b" % WALLET.encode(),
    b"/v4/wallet/%b/trades?after=1-1&limit=5" % WALLET.encode(),
    b"/v4/wallet/%b/stream?batch=2&errors=event&side=buy" % WALLET.encode(),
    b"http://x/v4/wallet/%b/stream" % WALLET.encode(),
)
PIECES = (
    *FIELDS,
    *(b"\r\n", b"\r", b"\n", b"\0", b"\t", b" ", b": ", b":", b"\r\n ", b"\x0b", b"\x85", b"\xff"),
    *(b"%", b"%00", b"%0d%0a", b"%2f", b"%zz", b"?", b"&", b"=", b";", b"#", b"//", b"/../", b"\\"),
    *(b"http://[", b"http://", b"@", b"[::1]", b"*", b"0\r\n\r\n", b"\r\n\r\n", b"HTTP/1.0"),
    *(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"Host: x\r\n", b"a" * 300, b"Content-Length: 0\r\n"),
    "\u2028".encode(),
)


@st.composite
def heads(draw: st.DrawFn) -> bytes:
    """Right ones."""
    method = draw(st.sampled_from((b"GET",) * 6 + (b"POST", b"HEAD", b"OPTIONS", b"DELETE")))
    fields = draw(st.lists(st.sampled_from(FIELDS), max_size=3, unique=True))
    target = draw(st.sampled_from(TARGETS))
    return b"%b %b HTTP/1.1\r\nHost: x\r\n%b\r\n" % (method, target, b"".join(fields))


@examples(1000)
@given(mutated(heads(), PIECES))
def test_what_is_read_without_tornado_means_to_everybody_one_request_without_a_body(
    head: bytes,
) -> None:
    if not is_plain(head):
        return
    assert head.endswith(b"\r\n\r\n")
    assert head.count(b"\r\n\r\n") == 1
    assert not re.search(rb"[^ -~\r\n]", head)
    assert head.count(b"\r") == head.count(b"\n") == head.count(b"\r\n")
    line, _, fields = head.decode("ascii").partition("\r\n")
    start = parse_request_start_line(line)
    assert (start.method, start.version) == ("GET", "HTTP/1.1")
    assert line == f"{start.method} {start.path} {start.version}"
    assert re.fullmatch(r"/v4/(wallet/[A-Za-z0-9_]+/)?stream(\?\S*)?", start.path)
    names = {name.lower() for name, _ in HTTPHeaders.parse(fields).get_all()}
    assert not names & {"content-length", "transfer-encoding", "expect", "upgrade"}
    assert len(list(HTTPHeaders.parse(fields).get_all())) == fields.count("\r\n") - 1


@pytest.fixture(scope="module")
def fuzzed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """It knows no key, so whatever has one is refused, and there is a wallet for all others."""
    with simulator("--only", "--warm", f"--wallets={OWN_SIZE}") as chain:
        settings = {"ALLOWED_ORIGINS": "https://app.example", "LOG_LEVEL": "debug"}
        with server(tmp_path_factory.mktemp("fuzzed"), chain.url, **settings) as started:
            yield started


@examples(300)
@given(mutated(heads() | st.builds(bytes.__add__, heads(), heads()), PIECES), st.integers(0, 400))
@example(b"GET http://[/ HTTP/1.1\r\nHost: x\r\n\r\n", 0)
@example(b"GET http://[x]/health HTTP/1.1\r\nHost: x\r\n\r\n", 0)
def test_whatever_arrives_the_server_answers_in_order_or_hangs_up_without_an_error(
    fuzzed: Server, request_bytes: bytes, pause_at: int
) -> None:
    """In two pieces, so that it has to wait for the second where the first isn't a whole."""
    start = fuzzed.log.stat().st_size
    with Connection(fuzzed.url) as connection:
        for piece in filter(None, (request_bytes[:pause_at], request_bytes[pause_at:])):
            connection.send_as_taken(piece)
        with suppress(OSError):  # it has hung up first
            connection.socket.shutdown(socket.SHUT_WR)
        answered = connection.ended()
    statuses = re.findall(rb"(?:^|[\r\n}])HTTP/1\.1 (\d{3}) [A-Z][^\r\n]*\r\n", answered)
    assert not answered or answered.startswith(b"HTTP/1.1 ")
    assert not {b"500", b"502"} & set(statuses)
    assert len(statuses) <= 2 * (1 + len(re.findall(rb"\n\r?\n", request_bytes)))
    with fuzzed.log.open("rb") as log:
        log.seek(start)
        logged = log.read()
    assert b'"level":"error"' not in logged
    assert b"Traceback" not in logged


def test_the_server_that_was_asked_all_this_is_healthy(fuzzed: Server) -> None:
    assert fuzzed.get("/health")["status"] == "healthy"
