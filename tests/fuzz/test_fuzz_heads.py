"""Requests with changed heads: the reader by itself, and a whole server."""

import re
import socket
from collections.abc import Iterator
from contextlib import suppress

import h11
import pytest
from budget import budget, examples
from hypothesis import example, given
from hypothesis import strategies as st
from mutation import mutated
from processes import Server, server, simulator
from wire import Connection

from wd_server.http_exchange import BODY_BYTES
from wd_server.http_reader import Reader, RequestHead, RequestRefused

WALLET = "9MCxwMs5tvjAfYYUrfvzT7pXvFWQ1EsCzRxPBQvgi2s7"
OWN_SIZE = 5

FIELDS = (
    b"Accept: text/event-stream\r\n",
    b"Accept: application/json\r\n",
    b"Accept-Encoding: gzip\r\n",
    b"Authorization: Bearer wd_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n",
    b"Connection: keep-alive\r\n",
    b"Connection: close\r\n",
    b"Connection: Upgrade, close\r\nUpgrade: h2c\r\n",
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


# What a request may be larger by, so that a reader whose time doesn't grow in proportion is found:
# a head that is refused for its size, and bodies that aren't.
FILLERS = (b"", b"A: b\r\n" * 90, b"X: " + b" a" * 8000, b"a" * 60_000, b"\r\n\r\n" * 5000)
requests = st.builds(
    lambda request, at, filler: request[:at] + filler + request[at:],
    mutated(heads() | st.builds(bytes.__add__, heads(), heads()), PIECES),
    st.integers(0, 400),
    st.sampled_from(FILLERS),
)


def _read(*pieces: bytes) -> tuple[list[tuple[RequestHead, bytes]], int | None]:
    """The whole requests in it with their bodies, and the status of what is refused behind them."""
    reader, found = Reader(), list[tuple[RequestHead, bytes]]()
    head: RequestHead | None = None
    body = b""
    try:
        for piece in pieces:
            reader.add(piece)
            while (head := head or reader.head()) is not None:
                body += reader.body(BODY_BYTES)
                if not reader.whole:
                    break
                found.append((head, body))
                head, body = None, b""
                reader.renew()
    except RequestRefused as refused:
        return found, refused.status
    finally:
        reader.close()
    return found, None


@examples(1000)
@given(requests, st.integers(0, 2000))
def test_requests_are_the_same_wherever_they_are_cut(request: bytes, at: int) -> None:
    whole = _read(request)
    assert _read(request[:at], request[at:]) == whole
    assert _read(request[: at // 2], request[at // 2 : at], request[at:]) == whole


@examples(1000)
@given(requests)
def test_what_is_read_as_one_request_is_that_to_another_strict_reader(request: bytes) -> None:
    """h11 knows nothing of llhttp. It takes a lone LF for a line's end, white space around a
    target and lengths that are repeated, which are refused here; so it may find more requests, and
    where it finds the same number they are the same ones."""
    found, refused = _read(request)
    others = list(_by_h11(request))
    for (head, body), other in zip(found, others, strict=False):
        assert other == (head.method, head.target, _as_h11_has_them(head.fields), body)
    if refused is None:
        assert len(others) <= len(found) + 1


EMPTY = h11.Response(status_code=200, headers=[("content-length", "0")])


def _by_h11(request: bytes) -> Iterator[tuple[str, str, list[tuple[str, str]], bytes]]:
    """What h11 understands, up to what it doesn't."""
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=len(request) + 1)
    connection.receive_data(request)
    head, body = None, b""
    with suppress(h11.RemoteProtocolError):
        while True:
            match connection.next_event():
                case h11.Request() as head:
                    body = b""
                case h11.Data(data=data):
                    body += bytes(data)
                case h11.EndOfMessage():
                    assert head is not None
                    fields = [(n.decode(), v.decode("latin-1")) for n, v in head.headers]
                    yield head.method.decode(), head.target.decode(), fields, body
                    connection.send(
                        h11.Response(status_code=200, headers=[("content-length", "0")])
                    )
                    connection.send(h11.EndOfMessage())
                    if connection.our_state is h11.MUST_CLOSE:
                        return
                    connection.start_next_cycle()
                case _:
                    return


def _as_h11_has_them(fields: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Lower-case names, and of a coding also the value."""
    lowered = [(name.lower(), value) for name, value in fields]
    return [(n, v.lower() if n == "transfer-encoding" else v) for n, v in lowered]


@pytest.fixture(scope="module")
def fuzzed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """It knows no key, so whatever has one is refused, and there is a wallet for all others."""
    with simulator("--only", "--warm", f"--wallets={OWN_SIZE}") as chain:
        settings = {"ALLOWED_ORIGINS": "https://app.example", "LOG_LEVEL": "debug"}
        with server(tmp_path_factory.mktemp("fuzzed"), chain.url, **settings) as started:
            yield started


@examples(300)
@given(requests, st.integers(0, 400))
@example(b"GET http://[/ HTTP/1.1\r\nHost: x\r\n\r\n", 0)
@example(b"GET http://[x]/health HTTP/1.1\r\nHost: x\r\n\r\n", 0)
def test_whatever_arrives_the_server_answers_in_order_or_hangs_up_without_an_error(
    fuzzed: Server, request_bytes: bytes, pause_at: int
) -> None:
    """In two pieces, so that it has to wait for the second where the first isn't a whole."""
    start = fuzzed.log.stat().st_size
    with budget(len(request_bytes), fuzzed.cpu_seconds), Connection(fuzzed.url) as connection:
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
