"""What somebody hostile does to a whole server: floods, slowness, smuggling, guessing, forgery.

`tests/http/test_bad_input.py` has single requests that are merely wrong; here are those that are
meant. Each server has to go on, to serve the others, and to say the truth in its log.
"""

import json
import re
import secrets
import socket
import struct
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import quote

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from eventsource import EventSource
from processes import PATIENCE, Server, Simulator, server, simulator
from text_server import text_server
from wire import Answer, Connection, exchange

from wd_server.http_reader import HEAD_BYTES

JSON = ("Accept", "application/json")
EVENTS = ("Accept", "text/event-stream")

# Transactions of the wallets: one that keys are for, one that they aren't.
OWN_SIZE, FOREIGN_SIZE = 40, 41

# Open files of the server that is flooded, streams it has before, and connections that come.
FILES, STREAMS, FLOOD = 512, 30, 1200
# Connections that stay silent until they are cut.
SILENT = 50
# Clients that don't wait for their answer, and how many of them come together.
RUDE, RUDE_AT_ONCE = 200, 10
# struct linger: on, 0 seconds. What is closed so is reset.
NO_LINGER = struct.pack("ii", 1, 0)
# Wrong keys, and how many connections guess at once.
GUESSES, GUESSERS = 10_000, 50
# What the contract of `PrincipalResolver` lets one address try a minute; two minutes may be
# touched.
FAILURES_A_MINUTE = 60
# Bytes that a server may be larger after as many wrong keys: a tenth of one KB for each.
GUESSES_MEMORY = 1_000_000

SECRET_KEY = "a secret that signs what is hostile"
ISSUER = "https://issuer.example"


@pytest.fixture(scope="module")
def small_chain() -> Iterator[Simulator]:
    sizes = (OWN_SIZE, FOREIGN_SIZE)
    with simulator("--only", "--warm", *(f"--wallets={size}" for size in sizes)) as started:
        yield started


@pytest.fixture(scope="module")
def own(small_chain: Simulator) -> str:
    return small_chain.wallet(OWN_SIZE)


@pytest.fixture(scope="module")
def foreign(small_chain: Simulator) -> str:
    return small_chain.wallet(FOREIGN_SIZE)


@pytest.fixture(scope="module")
def issuer_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


@pytest.fixture(scope="module")
def issuer_file(issuer_key: ec.EllipticCurvePrivateKey, tmp_path_factory) -> Path:  # type: ignore[no-untyped-def]
    path: Path = tmp_path_factory.mktemp("issuer") / "issuer.pem"
    pem = issuer_key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    path.write_bytes(pem)
    return path


@pytest.fixture(scope="module")
def guarded(small_chain: Simulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """It demands keys."""
    folder = tmp_path_factory.mktemp("guarded")
    with server(folder, small_chain.url, API_KEY_REQUIRED="true", LOG_LEVEL="debug") as started:
        yield started


@pytest.fixture(scope="module")
def own_key(guarded: Server, own: str) -> str:
    """It reads the one wallet and not the other."""
    return guarded.key("--wallets", own)


@pytest.fixture(autouse=True)
def _unharmed(request: pytest.FixtureRequest) -> Iterator[None]:
    """Whatever a test did: no traceback, no error in the log, and the server is healthy."""
    if "guarded" not in request.fixturenames:
        yield
        return
    guarded: Server = request.getfixturevalue("guarded")
    start = guarded.log.stat().st_size
    yield
    _assert_unharmed(guarded, start)


def _assert_unharmed(srv: Server, since: int = 0) -> None:
    """`since`: the size of its log when all was well."""
    with srv.log.open() as log:
        log.seek(since)
        logged = log.read()
    assert "Traceback" not in logged
    assert '"level":"error"' not in logged
    assert srv.get("/health")["status"] == "healthy"


# Slowness


def test_bodies_that_come_byte_by_byte_and_connections_that_say_nothing_are_cut(
    guarded: Server, own: str, own_key: str
) -> None:
    """After ten seconds in all, however steadily the bytes come. Meanwhile others are served."""
    head = f"POST /v4/auth/token HTTP/1.1\r\nHost: x\r\nX-API-Key: {own_key}\r\n".encode()
    with ExitStack() as stack:
        connected = [stack.enter_context(Connection(guarded.url)) for _ in range(SILENT + 2)]
        sized, chunked, *silent = connected
        sized.send(head + b"Content-Length: 1000\r\n\r\n{")
        chunked.send(head + b"Transfer-Encoding: chunked\r\n\r\n3e8\r\n{")
        sized.socket.settimeout(1)
        for _ in range(PATIENCE):
            try:
                assert sized.socket.recv(1000) == b""
                break
            except ConnectionError:
                break
            except TimeoutError:
                sized.send_as_taken(b" ")
                chunked.send_as_taken(b" ")
                assert _read(guarded, own, own_key).status == 200
        else:
            raise AssertionError("a body that never ends is never cut")
        assert chunked.ended() == b""
        for connection in silent:
            assert connection.ended() == b""


def _read(srv: Server, wallet: str, key: str) -> Answer:
    """A stream of this wallet to its end."""
    headers = [EVENTS, ("X-API-Key", key)]
    return exchange(srv.url, f"/v4/wallet/{wallet}/stream", headers=headers)


# Floods


def test_connections_up_to_the_file_limit_keep_nobody_out_and_end_no_stream(
    small_chain: Simulator, own: str, tmp_path: Path
) -> None:
    with server(tmp_path, small_chain.url, files=FILES, POLL_SECONDS=1) as srv, ExitStack() as held:
        streams = [
            held.enter_context(EventSource(srv.stream(own, "follow=true"))) for _ in range(STREAMS)
        ]
        for stream in streams:
            stream.until("complete")
        with ExitStack() as flood:
            for number in range(FLOOD):
                _half_open(flood, srv, number)
            assert srv.get("/health")["status"] == "healthy"
            _assert_all_get_news(small_chain, own, streams)
            assert exchange(srv.url, "/health/live").status == 200
        _assert_all_get_news(small_chain, own, streams)
        # What the flood held is free again, or these would find no files.
        for _ in range(FILES // 4):
            held.enter_context(EventSource(srv.stream(own, "follow=true"))).until("connected")
        _assert_unharmed(srv)


def _half_open(flood: ExitStack, srv: Server, number: int) -> None:
    """Silent, half a head, half a body, or a request that is answered and then nothing, in turn."""
    connection = flood.enter_context(Connection(srv.url))
    match number % 4:
        case 1:
            connection.send_as_taken(b"GET /health HTTP/1.1\r\nHost: x\r\n")
        case 2:
            head = b"POST /v4/auth/token HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{"
            connection.send_as_taken(head)
        case 3:
            connection.send_as_taken(b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n")


def _assert_all_get_news(chain: Simulator, wallet: str, streams: list[EventSource]) -> None:
    new = chain.append(wallet, 8)
    assert new
    for stream in streams:
        seen = [event.data["signature"] for event in stream.take("trade", len(new))]
        assert seen == new


@pytest.mark.parametrize("leave", ["reset", "close"])
@pytest.mark.parametrize("credential", ["", "wrong"])
def test_clients_that_leave_right_behind_their_request_keep_nobody_out(
    small_chain: Simulator, own: str, tmp_path: Path, leave: str, credential: str
) -> None:
    """However far each of them gets, and however many come at once."""
    with server(tmp_path, small_chain.url, API_KEY_REQUIRED="true") as srv:
        key = srv.key()
        _leave_early(srv, own, leave, f"wd_{secrets.token_hex(16)}" if credential else key, key)
        srv.wait_for("active_streams", 0)
        _assert_unharmed(srv)


def _leave_early(srv: Server, wallet: str, leave: str, key: str, right_key: str) -> None:
    head = f"GET /v4/wallet/{wallet}/stream?follow=true HTTP/1.1\r\nHost: x\r\n"
    for number in range(RUDE // RUDE_AT_ONCE):
        source = f"127.9.0.{number + 1}"
        rude = [Connection(srv.url, source=source) for _ in range(RUDE_AT_ONCE)]
        for connection in rude:
            connection.send(f"{head}X-API-Key: {key}\r\n\r\n".encode())
            if leave == "reset":
                connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NO_LINGER)
            connection.socket.close()
        assert _read(srv, wallet, right_key).status == 200


def test_ten_thousand_wrong_keys_are_refused_in_little_memory_while_others_are_served(
    small_chain: Simulator, own: str, tmp_path: Path
) -> None:
    with server(tmp_path, small_chain.url, API_KEY_REQUIRED="true") as srv:
        key = srv.key("--wallets", own)
        assert _read(srv, own, key).status == 200
        _guess(srv, GUESSES // 10, "127.0.0.3")
        before = srv.memory()
        counts: Counter[int] = Counter()
        for _ in range(10):
            counts += _guess(srv, GUESSES // 10, "127.0.0.4")
            with Connection(srv.url, source="127.0.0.5") as other:
                other.request("GET", f"/v4/wallet/{own}", [("X-API-Key", key)])
                assert other.answer().status == 200
        assert counts.keys() == {401, 429}
        assert FAILURES_A_MINUTE <= counts[401] <= 2 * FAILURES_A_MINUTE + GUESSERS
        assert counts.total() == GUESSES
        assert srv.memory() - before < GUESSES_MEMORY
        _assert_unharmed(srv)


def _guess(srv: Server, count: int, source: str) -> Counter[int]:
    """Send so many wrong keys and forged tokens as fast as they are taken; the statuses."""
    counts: Counter[int] = Counter()
    with ExitStack() as stack:
        guessers = [
            stack.enter_context(Connection(srv.url, source=source)) for _ in range(GUESSERS)
        ]
        for guesser in guessers:
            for number in range(count // GUESSERS):
                guess = f"wd_{secrets.token_hex(16)}" if number % 2 else _forged_token()
                guesser.request("GET", "/v4/streams", [("Authorization", f"Bearer {guess}")])
        for guesser in guessers:
            for _ in range(count // GUESSERS):
                answer = guesser.answer()
                counts[answer.status] += 1
                assert answer.status == 401 or int(answer.headers["retry-after"]) <= 60
    return counts


def _forged_token() -> str:
    return jwt.encode({"sub": secrets.token_hex(8)}, secrets.token_hex(32), "HS256")


# Smuggling

SMUGGLED = b"GET /v4/wallet/smuggled HTTP/1.1\r\nHost: x\r\nX-API-Key: another\r\n\r\n"
_SIZE = b"%d" % len(SMUGGLED)
_HEX = b"%x" % len(SMUGGLED)
_LAST = b"0\r\n\r\n"
CHUNKED = b"Transfer-Encoding: chunked"

# Header lines of the first request, and what comes behind its head: to one reader a body, to
# another the next request.
LENGTHS = {
    "a length behind a bare LF": (b"X: y\nContent-Length: %b" % _SIZE, SMUGGLED),
    "the same length in a list": (b"Content-Length: %b, %b" % (_SIZE, _SIZE), SMUGGLED),
    "the same length in two lines": (
        b"Content-Length: %b\r\nContent-Length: %b" % (_SIZE, _SIZE),
        SMUGGLED,
    ),
    "chunked with an upgrade to another coding": (
        b"Connection: Upgrade\r\nUpgrade: h2c\r\nTransfer-Encoding: gzip, chunked",
        _LAST + SMUGGLED,
    ),
    "a length, then chunks": (b"Content-Length: %b\r\n" % _SIZE + CHUNKED, _LAST + SMUGGLED),
    "chunks, then a length": (CHUNKED + b"\r\nContent-Length: %b" % _SIZE, _LAST + SMUGGLED),
    "space before the colon": (b"Transfer-Encoding : chunked", _LAST + SMUGGLED),
    "a tab before chunked": (
        b"Transfer-Encoding:\tchunked\r\nContent-Length: %b" % _SIZE,
        SMUGGLED,
    ),
    "almost chunked": (b"Transfer-Encoding: xchunked\r\nContent-Length: %b" % _SIZE, SMUGGLED),
    "identity and a length": (
        b"Transfer-Encoding: identity\r\nContent-Length: %b" % _SIZE,
        SMUGGLED,
    ),
    "chunked and identity": (CHUNKED + b"\r\nTransfer-Encoding: identity", _LAST + SMUGGLED),
    "chunked twice": (CHUNKED + b"\r\n" + CHUNKED, _LAST + SMUGGLED),
    "chunked with a parameter": (CHUNKED + b";a=b", _LAST + SMUGGLED),
    "chunked and a comma": (CHUNKED + b",", _LAST + SMUGGLED),
    "chunked in quotes": (b'Transfer-Encoding: "chunked"', _LAST + SMUGGLED),
    "folded chunked": (b"Transfer-Encoding:\r\n chunked", _LAST + SMUGGLED),
    "folded chunked and a length": (
        b"Transfer-Encoding:\r\n chunked\r\nContent-Length: %b" % _SIZE,
        SMUGGLED,
    ),
    "chunked behind a bare CR": (b"X: y\r" + CHUNKED, _LAST + SMUGGLED),
    "chunked and NUL": (CHUNKED + b"\0", _LAST + SMUGGLED),
    "chunked behind VT": (b"Transfer-Encoding: \x0bchunked", _LAST + SMUGGLED),
    "chunked behind a hard space": (b"Transfer-Encoding: \xa0chunked", _LAST + SMUGGLED),
    "two lengths, the first 0": (b"Content-Length: 0\r\nContent-Length: %b" % _SIZE, SMUGGLED),
    "two lengths, the last 0": (b"Content-Length: %b\r\nContent-Length: 0" % _SIZE, SMUGGLED),
    "a list of lengths": (b"Content-Length: 0, %b" % _SIZE, SMUGGLED),
    "a length with a sign": (b"Content-Length: +%b" % _SIZE, SMUGGLED),
    "minus zero": (b"Content-Length: -0", SMUGGLED),
    "a length in hexadecimal": (b"Content-Length: 0x%b" % _HEX, SMUGGLED),
    "an underscore in a length": (b"Content-Length: 0_0", SMUGGLED),
    "a space in a length": (b"Content-Length: 0 %b" % _SIZE, SMUGGLED),
    "no length": (b"Content-Length: ", SMUGGLED),
    "a length of Arabic digits": ("Content-Length: \u0660".encode(), SMUGGLED),
    "a superscript length": (b"Content-Length: \xb2", SMUGGLED),
    "a length beyond 64 bits": (b"Content-Length: 18446744073709551616", SMUGGLED),
    "a length and NUL": (b"Content-Length: 0\0", SMUGGLED),
    "a length and a form feed": (b"Content-Length: 0\x0c", SMUGGLED),
    "a folded length": (b"Content-Length: 0\r\n\t%b" % _SIZE, SMUGGLED),
    "a length behind a folded line": (b"X: y\r\n Content-Length: %b" % _SIZE, SMUGGLED),
    "a length behind a bare CR": (b"X: y\rContent-Length: %b" % _SIZE, SMUGGLED),
    "a space before the length's colon": (b"Content-Length : %b" % _SIZE, SMUGGLED),
}
CHUNKS = {
    "an extension with a bare LF": b"0;\n\r\n\r\n" + SMUGGLED,
    "an extension with a bare CR": b"0;a\rb\r\n\r\n" + SMUGGLED,
    "an extension with an open quote": b'0;a="\r\n\r\n' + SMUGGLED,
    "a size with 0x": b"0x0\r\n\r\n" + SMUGGLED,
    "a size with a sign": b"+0\r\n\r\n" + SMUGGLED,
    "a negative size": b"-1\r\n\r\n" + SMUGGLED,
    "a size with an underscore": b"0_0\r\n\r\n" + SMUGGLED,
    "a space behind the size": b"0 \r\n\r\n" + SMUGGLED,
    "a space before the size": b" 0\r\n\r\n" + SMUGGLED,
    "a size in full-width digits": "\uff10\r\n\r\n".encode() + SMUGGLED,
    "a size and NUL": b"0\0\r\n\r\n" + SMUGGLED,
    "no size": b"\r\n\r\n" + SMUGGLED,
    "a size beyond 64 bits": b"10000000000000000\r\n" + SMUGGLED,
    "lines that end in LF": b"0\n\n" + SMUGGLED,
    "no line end behind a chunk": b"1\r\naZZ0\r\n\r\n" + SMUGGLED,
    "two other bytes behind a chunk": b"1\r\naXX" + _LAST + SMUGGLED,
    "a trailer": b"0\r\nX: y\r\n\r\n" + SMUGGLED,
    "a trailer with a length": b"0\r\nContent-Length: 5\r\n\r\n" + SMUGGLED,
    "a request as the trailer": b"0\r\n" + SMUGGLED,
}
SHAPES = LENGTHS | {f"chunks: {name}": (CHUNKED, body) for name, body in CHUNKS.items()}


@pytest.mark.parametrize("way", ["POST /v4/auth/token", "GET /v4/wallet/{wallet}/stream"])
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_what_two_readers_could_take_for_one_request_or_two_is_refused_and_closed(
    guarded: Server, own: str, own_key: str, shape: tuple[bytes, bytes], way: str
) -> None:
    fields, behind = shape
    head = f"{way.format(wallet=own)} HTTP/1.1\r\nHost: x\r\nX-API-Key: {own_key}\r\n".encode()
    for parts in ([head + fields + b"\r\n\r\n" + behind], [head + fields + b"\r\n\r\n", behind]):
        with Connection(guarded.url) as connection:
            for part in parts:
                connection.send_as_taken(part)
            answered = connection.ended()
        assert re.findall(rb"HTTP/1\.1 (\d+)", answered) == [b"400"]
        assert b"INVALID" not in answered


@pytest.mark.parametrize(
    "framed",
    [
        b"Content-Length: %b\r\n\r\n" % _SIZE + SMUGGLED,
        CHUNKED + b"\r\n\r\n%b\r\n" % _HEX + SMUGGLED + b"\r\n" + _LAST,
        # RFC 9112, section 7.1.1: what isn't known of them is ignored.
        CHUNKED + b"\r\n\r\n%b;a=b\r\n" % _HEX + SMUGGLED + b"\r\n" + _LAST,
    ],
    ids=["a length", "a chunk", "a chunk with an extension"],
)
def test_a_body_that_looks_like_a_request_is_a_body(
    guarded: Server, own_key: str, framed: bytes
) -> None:
    head = b"POST /v4/auth/token HTTP/1.1\r\nHost: x\r\nX-API-Key: %b\r\n" % own_key.encode()
    with Connection(guarded.url) as connection:
        connection.send(head + framed)
        assert connection.answer().problem()["code"] == "INVALID_PARAMETER"
        connection.request("GET", "/health/live")
        assert connection.answer().json() == {"status": "alive"}


@pytest.mark.parametrize("pause", [False, True], ids=["at once", "after the answer began"])
def test_what_follows_a_plain_request_for_a_stream_is_never_answered(
    guarded: Server, own: str, own_key: str, pause: bool
) -> None:
    """The connection is the stream's, whoever the next request claims to be."""
    with Connection(guarded.url) as connection:
        connection.request("GET", f"/v4/wallet/{own}/stream", [("X-API-Key", own_key)])
        begun = connection.socket.recv(1) if pause else b""
        connection.send_as_taken(SMUGGLED)
        answered = begun + connection.ended()
    assert re.findall(rb"HTTP/1\.1 (\d+)", answered) == [b"200"]
    assert b"\nevent: complete\n" in answered


# Paths


def _tricks(own: str, foreign: str) -> list[str]:
    """Ways to the foreign wallet that pass by who only looks at the beginning."""
    letters = "".join(f"%{ord(letter):02x}" for letter in foreign)
    tail = f"wallet/{foreign}/stream"
    return [
        f"/v4/{tail}",
        f"/v4/wallet/{letters}/stream",
        f"/v4/wallet/{own}/../{foreign}/stream",
        f"/v4/wallet/{own}/%2e%2e/{foreign}/stream",
        f"/v4/wallet/{own}%2f..%2f{foreign}/stream",
        f"/v4/wallet/{own}/stream/../../{foreign}/stream",
        f"/v4//{tail}",
        f"//v4/{tail}",
        f"/v4/./{tail}",
        f"/v4/wallet/{own};{foreign}/stream",
        f"/v4/wallet/{foreign};/stream",
        f"/v4/{tail};{own}",
        f"/v4/wallet/{foreign}%00{own}/stream",
        f"/v4/wallet/{own}%00{foreign}/stream",
        f"/v4/wallet/{foreign}%20/stream",
        f"/v4/wallet/{foreign}%0a/stream",
        f"/v4/wallet/{own}\\..\\{foreign}/stream",
        f"/V4/{tail}",
        f"/v4/{tail}/",
        f"/v4/{tail}%3fx",
        f"http://x/v4/{tail}",
        f"HTTP://x/v4/{tail}",
        f"http://x/v4/wallet/{own}/../{foreign}/stream",
        f"https://x@y:1/v4/{tail}",
        f"http:///v4/{tail}",
        f"http:/v4/{tail}",
        f"http://[/v4/{tail}",
        f"http://[x]/v4/{tail}",
        f"/v4/stream?wallet={own}&wallet={foreign}",
        f"/v4/stream?wallet={own},{foreign}",
        f"/v4/stream?wallet={foreign}#{own}",
        f"/v4/wallet/{foreign}",
        f"/v4/wallet/{foreign}/trades",
        f"/v4/wallet/{letters}/trades",
    ]


def test_no_way_of_writing_a_path_leads_to_another_tenants_wallet(
    guarded: Server, own: str, own_key: str, foreign: str
) -> None:
    """No trick is let in, with a key for something else or with none, and none harms."""
    for target in _tricks(own, foreign):
        for headers in ([("X-API-Key", own_key), JSON], [JSON]):
            with Connection(guarded.url) as connection:
                connection.request("GET", target, headers)
                answer = connection.answer()
            assert answer.status in (400, 401, 403, 404), target
            assert answer.problem()


@pytest.mark.parametrize("length", [1_000, 10_000, 60_000])
def test_a_long_path_or_query_is_answered_and_logged_in_short(
    guarded: Server, own: str, own_key: str, length: int
) -> None:
    start = guarded.log.stat().st_size
    for target in ("/" + "a" * length, "/v4/wallet/" + "%61" * (length // 3) + "/stream"):
        assert exchange(guarded.url, target, headers=[JSON]).status in (400, 401, 404, 414)
    headers = [EVENTS, ("X-API-Key", own_key)]
    target = f"/v4/wallet/{own}/stream?x={'a' * length}"
    status = exchange(guarded.url, target, headers=headers).status
    assert status == (200 if length < HEAD_BYTES else 414)
    with guarded.log.open("rb") as log:
        log.seek(start)
        assert max(map(len, log)) < 6000


# Credentials of a wrong size or shape


@pytest.mark.parametrize("length", [4_097, 12_000, 60_000])
@pytest.mark.parametrize("beginning", ["wd_", "eyJ", "x"])
def test_an_oversized_key_or_token_is_refused_and_not_repeated(
    guarded: Server, own: str, beginning: str, length: int
) -> None:
    text = beginning + "a" * length
    stream = f"/v4/wallet/{own}/stream"
    places = [
        (stream, [("Authorization", f"Bearer {text}")]),
        (stream, [("X-API-Key", text)]),
        (f"{stream}?api_key={text}", []),
        (f"{stream}?access_token={text}", []),
        ("/v4/auth/token", [("X-API-Key", text)]),
    ]
    for target, headers in places:
        method = "POST" if "token" in target.partition("?")[0] else "GET"
        answer = exchange(guarded.url, target, method=method, headers=[*headers, JSON])
        assert answer.status in (400, 401, 414, 431)
        assert len(answer.body) < 1000
    assert "aaaaaaaaaaaa" not in "".join(
        json.dumps(line) for line in guarded.logged_lines() if line["event"] != "request"
    )


# Forgery: in logs, in headers, in events

EVIL = "X-Evil"
HOSTILE = {
    "a line of its own": '\r\n{"level":"critical","event":"forged"}\r\n',
    "a header of its own": f"\r\n{EVIL}: yes\r\n\r\n<script>",
    "an event of its own": "\n\nevent: forged\ndata: {}\n\n",
    "the end of a JSON text": '","event":"forged","x":"',
    "a terminal's commands": "\x1b[2J\x1b[31mforged\x1b]0;forged\x07\x9b1m",
    "line separators of Unicode": "\u2028forged\u2029forged\x85forged\x0bforged\x0cforged",
    "another direction": "\u202eforged\u2066",
    "NUL": "\0forged",
    "half of a pair": "\\ud800forged",
}
# What may stand in a header as it is; what may not ends the request (test_bad_input.py).
SENDABLE = {name: text for name, text in HOSTILE.items() if not re.search(r"[\0-\x1f\x7f]", text)}
HEADERS = [
    "Accept",
    "Accept-Encoding",
    "Authorization",
    "Content-Type",
    "Cookie",
    "Forwarded",
    "Last-Event-ID",
    "Origin",
    "Referer",
    "User-Agent",
    "X-API-Key",
    "X-Forwarded-For",
    "X-Request-ID",
]
PARAMETERS = [
    "access_token",
    "api_key",
    "batch",
    "errors",
    "follow",
    "heartbeat",
    "lastEventId",
    "last_event_id",
    "min_usd",
    "mint",
    "side",
    "unknown",
    "wallet",
]
_TEXT_LINE = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+Z (debug|info|warning|error) +\w[\w.]*: ")
_CONTROL = re.compile(r"[\0-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
_KNOWN_HEADERS = {
    "access-control-allow-origin",
    "access-control-expose-headers",
    "allow",
    "cache-control",
    "connection",
    "content-encoding",
    "content-length",
    "content-security-policy",
    "content-type",
    "date",
    "etag",
    "ratelimit",
    "ratelimit-policy",
    "referrer-policy",
    "retry-after",
    "server",
    "transfer-encoding",
    "vary",
    "www-authenticate",
    "x-accel-buffering",
    "x-content-type-options",
    "x-frame-options",
    "x-stream-id",
    "x-xss-protection",
}
_EVENT_LINE = re.compile(rb"(event: [a-z]+|data: \{.*\}|id: [\w-]+|retry: \d+|)")
_EVENT_NAMES = {b"connected", b"gap", b"preview", b"progress", b"trade", b"summary", b"complete"}
_EVENT_NAMES |= {b"error"}


@pytest.fixture(params=["json", "text"])
def forgeable(
    request: pytest.FixtureRequest, small_chain: Simulator, issuer_file: Path, tmp_path: Path
) -> Iterator[Server]:
    """It logs all it can, and believes another issuer, who may be hostile in what it says."""
    settings = {
        "LOG_LEVEL": "debug",
        "SECRET_KEY": SECRET_KEY,
        "JWT_KEYS_FILE": issuer_file,
        "JWT_ISSUER": ISSUER,
        "ALLOWED_ORIGINS": "https://app.example",
        "TRUSTED_PROXIES": "127.0.0.0/8",
        "RATE_LIMIT_REQUESTS": 100_000,
    }
    start = server if request.param == "json" else text_server
    with start(tmp_path, small_chain.url, **settings) as started:
        yield started


class Impostor:
    """Asks from another address each time, so that no limit answers in place of what is tried."""

    def __init__(self, srv: Server) -> None:
        self._srv = srv
        self._asked = 0
        self.statuses: Counter[int] = Counter()

    def ask(self, method: str, target: str, headers: str = "", body: bytes = b"") -> None:
        """Whatever the answer is, nothing in it is forged."""
        self._asked += 1
        source = f"127.7.{self._asked // 250}.{self._asked % 250 + 1}"
        length = f"Content-Length: {len(body)}\r\n" if body else ""
        head = f"{method} {target} HTTP/1.1\r\nHost: x\r\n{headers}{length}\r\n"
        with Connection(self._srv.url, source=source) as connection:
            connection.send(head.encode() + body)
            answer = connection.answer(has_body=method != "HEAD")
        _assert_unforged(answer)
        self.statuses[answer.status] += 1


def test_nothing_a_client_says_forges_a_log_line_a_header_or_an_event(
    forgeable: Server, own: str, issuer_key: ec.EllipticCurvePrivateKey
) -> None:
    stream = f"/v4/wallet/{own}/stream"
    impostor = Impostor(forgeable)
    for method, target in _hostile_targets(own):
        impostor.ask(method, target)
    for text in SENDABLE.values():
        for name in HEADERS:
            impostor.ask("GET", stream, f"{name}: {text}\r\n")
            impostor.ask("GET", f"/v4/wallet/{own}", f"{name}: {text}\r\n")
    assert impostor.statuses[200] > len(HEADERS)
    served = impostor.statuses[200]
    bearer = "Content-Type: application/json\r\nAuthorization: Bearer {}\r\n"
    key = forgeable.key()
    for text in HOSTILE.values():
        for token in _hostile_tokens(text, issuer_key):
            for method, target in (("GET", stream), ("GET", "/v4/streams"), ("HEAD", stream)):
                impostor.ask(method, target, bearer.format(token))
        for body in ({text: 1}, {"wallets": [text]}, {"seconds": text}, text):
            impostor.ask("POST", "/v4/auth/token", bearer.format(key), json.dumps(body).encode())
    assert impostor.statuses[200] > served, "no hostile token was let in"
    assert impostor.statuses[429] == 0
    _assert_log_unforged(forgeable, impostor.statuses.total())


def _hostile_targets(wallet: str) -> Iterator[tuple[str, str]]:
    for text in HOSTILE.values():
        escaped = quote(text, safe="")
        yield "GET", f"/{escaped}"
        yield "GET", f"/v4/wallet/{escaped}"
        yield "GET", f"/v4/wallet/{escaped}/stream"
        yield "GET", f"/v4/wallet/{wallet}{escaped}/stream"
        yield "GET", f"http://x{escaped}/v4/wallet/{escaped}/stream"
        yield "DELETE", f"/v4/streams/{escaped}"
        for name in PARAMETERS:
            yield "GET", f"/v4/wallet/{wallet}/stream?{name}={escaped}"
            yield "GET", f"/v4/wallet/{wallet}/trades?{name}={escaped}&after={escaped}"
        yield "GET", f"/v4/wallet/{wallet}/stream?{escaped}={escaped}"
        yield "GET", f"/v4/stream?wallet={escaped}&last_event_id={escaped}"
        yield "GET", f"/v4/stream?wallet={wallet}&lastEventId={escaped}"
    for text in SENDABLE.values():
        yield "GET", f"/{text}"
        yield "GET", f"/v4/wallet/{text}/stream?batch={text}"


def _hostile_tokens(text: str, issuer_key: ec.EllipticCurvePrivateKey) -> Iterator[str]:
    """Rightly signed; the first ones are even let in."""
    now = int(time.time())
    claims = {
        "iss": ISSUER,
        "aud": "wd-server",
        "sub": "sub",
        "jti": secrets.token_hex(8),
        "iat": now,
        "exp": now + 600,
        "wallets": ["*"],
    }
    for changed in (
        {"sub": text},
        {"jti": text},
        {"sub": text, "max_streams": 1},
        {"wallets": [text]},
        {"iss": text},
        {"aud": text},
        {"exp": text},
        {"key": text},
        {text: text},
    ):
        yield jwt.encode(claims | changed, issuer_key, "ES256")
        yield jwt.encode(claims | {"iss": "wd-server"} | changed, SECRET_KEY, "HS256")
    yield jwt.encode(claims, issuer_key, "ES256", headers={"kid": text})
    yield jwt.encode(claims, issuer_key, "ES256", headers={"typ": text, "cty": text})


def _assert_unforged(answer: Answer) -> None:
    assert answer.status < 500
    assert answer.headers.keys() <= _KNOWN_HEADERS, answer.headers
    assert not [value for value in answer.headers.values() if _CONTROL.search(value)]
    if answer.body and answer.media_type == "text/event-stream":
        lines = answer.body.split(b"\n")
        assert all(map(_EVENT_LINE.fullmatch, lines))
        names = {line[7:] for line in lines if line.startswith(b"event: ")}
        assert names <= _EVENT_NAMES
    elif answer.body:
        assert answer.json()


def _assert_log_unforged(srv: Server, least: int) -> None:
    """One line for each fact, with its own beginning, and nothing that does more than be read."""
    lines = srv.log.read_bytes().decode().split("\n")
    assert lines.pop() == ""
    assert len(lines) > least
    assert any("forged" in line for line in lines)
    assert not [line for line in lines if _CONTROL.search(line)]
    if lines[0].startswith("{"):
        facts = [json.loads(line) for line in lines]
        assert not [fact for fact in facts if fact["event"] == "forged"]
        assert {fact["level"] for fact in facts} <= {"debug", "info", "warning"}
        # JSON hides controls in escapes; a viewer of logs shows them.
        assert not [
            text for fact in facts for text in map(str, fact.values()) if _CONTROL.search(text)
        ]
    else:
        assert all(map(_TEXT_LINE.match, lines))
        assert not [line for line in lines if re.search(r"Z (error|critical)", line)]
