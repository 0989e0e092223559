"""Ways into the server: requests whole and in pieces, by clients that stay and that leave."""

import socket
from contextlib import ExitStack
from pathlib import Path

import pytest
from processes import Server, server
from wire import Answer, Connection

# Pieces of a head, with what a client may send before them on the same connection.
HEALTH = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"


def head(wallet: str, *fields: str, query: str = "") -> bytes:
    lines = [f"GET /v4/wallet/{wallet}/stream{query} HTTP/1.1", "Host: x", *fields, "", ""]
    return "\r\n".join(lines).encode()


def body(answer: Answer) -> list[bytes]:
    """The stored events of a stream: what doesn't change from one request to the next."""
    assert answer.status == 200, answer
    return [block for block in answer.body.split(b"\n\n") if b"event: trade\n" in block]


def test_a_stream_is_the_same_whichever_way_its_request_came(served: Server, wallet: str) -> None:
    requests = {
        "at once": [head(wallet)],
        "in two pieces": [head(wallet)[:20], head(wallet)[20:]],
        "by an older client": [head(wallet).replace(b"HTTP/1.1", b"HTTP/1.0")],
    }
    bodies = {}
    for way, pieces in requests.items():
        with Connection(served.url) as connection:
            for piece in pieces:
                connection.send(piece)
            bodies[way] = body(connection.answer())
    assert bodies["at once"]
    assert bodies["in two pieces"] == bodies["at once"]
    assert bodies["by an older client"] == bodies["at once"]


def test_a_connection_that_asked_for_something_else_may_become_a_stream(
    served: Server, wallet: str
) -> None:
    with Connection(served.url) as connection:
        connection.send(HEALTH)
        assert connection.answer().status == 200
        connection.send(head(wallet))
        assert body(connection.answer())


@pytest.mark.parametrize(
    ("request_head", "status"),
    [
        (head("0OIl", "Accept: application/json"), 400),
        (head("x" * 44, "Accept: application/json"), 400),
        (b"GET /v4/wallet/a/stream HTTP/1.1\r\nX: no host\r\n\r\n", 400),
        (b"GET /v4/wallet/a/stream HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        (head("a", "X: " + "a" * 20_000), 431),
        (head("a" * 20_000), 414),
    ],
)
def test_a_refused_stream_gets_a_whole_answer_and_the_connection_ends(
    served: Server, request_head: bytes, status: int
) -> None:
    with Connection(served.url) as connection:
        connection.send(request_head)
        answer = connection.ended()
    assert answer.startswith(b"HTTP/1.1 %d " % status)
    assert b"Connection: close\r\n" in answer
    assert b"application/problem+json" in answer


def test_who_leaves_right_after_asking_leaves_nothing_behind(tmp_path: Path, wallet: str) -> None:
    with server(tmp_path, None) as started:
        for _ in range(200):
            with Connection(started.url) as connection:
                connection.send(head(wallet, query="?follow=true"))
        started.wait_for("active_streams", 0)
        assert started.get("/health")["status"] in ("healthy", "degraded")
        assert not [line for line in started.log.read_text().splitlines() if "Traceback" in line]


PACKET = b"GET /v4/stream HTTP/1.1\r\n" + b"A: b\r\n" * 30
# CPU seconds for a hundred of them and an answer about the health.
PACKETS, PACKETS_SECONDS = 100, 2


@pytest.mark.parametrize(
    "packet",
    [
        [PACKET],
        [PACKET[:100], PACKET[100:]],
        [PACKET + b"X(: 1\r\n\r\n"],
        [PACKET + "X: \xe4\r\n\r\n".encode()],
        [PACKET.replace(b"A: b", b"A: ")],
        [PACKET + b"X: " + b" " * 15_000],
        [PACKET.replace(b"/stream", b"/stream?" + b"a" * 15_000)],
        [b"GET /v4/wallet/" + b"a" * 15_000 + b"/stream HTTP/1.1\r\n\r\n"],
    ],
    ids=["205 bytes", "in two", "bad field", "UTF-8", "blanks", "spaces", "query", "wallet"],
)
def test_no_packet_takes_more_time_than_its_length_is_worth(
    served: Server, packet: list[bytes]
) -> None:
    """205 bytes stopped the whole server for hours once, also through nginx."""
    assert len(PACKET) == 205
    before = served.cpu_seconds()
    with ExitStack() as stack:
        for _ in range(PACKETS):
            connection = stack.enter_context(Connection(served.url))
            for piece in packet:
                connection.send(piece)
        assert served.get("/health")["status"] == "healthy"
        assert served.cpu_seconds() - before < PACKETS_SECONDS


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/health", 200),
        ("/nowhere", 404),
        ("/v4/wallet/{wallet}", 200),
        ("/v4/wallet/{wallet}/stream", 200),
        ("/v4/stream?wallet={wallet}", 200),
        ("/v4/wallet/{wallet}/stream?follow=true", 200),
    ],
)
@pytest.mark.parametrize("pause", [False, True], ids=["at once", "after the answer began"])
def test_a_client_that_ends_its_own_side_gets_its_answer(
    served: Server, wallet: str, path: str, status: int, pause: bool
) -> None:
    """As `nc -N` and some probes do. Who follows gets what is there, and then the end: nobody could
    tell that they had gone."""
    with Connection(served.url) as connection:
        connection.request("GET", path.format(wallet=wallet), [("Connection", "close")])
        begun = connection.socket.recv(1) if pause else b""
        connection.socket.shutdown(socket.SHUT_WR)
        answer = begun + connection.ended()
    assert answer.startswith(b"HTTP/1.1 %d " % status)
    if "stream" in path:
        assert b"event: connected\n" in answer
    if "stream" in path and "follow" not in path:
        assert b"event: complete\n" in answer
    served.wait_for("active_streams", 0)


def test_a_post_whose_client_has_ended_its_side_is_answered(served: Server) -> None:
    with Connection(served.url) as connection:
        connection.request("POST", "/v4/auth/token", body=b"{}")
        connection.socket.shutdown(socket.SHUT_WR)
        assert connection.answer().status == 401


def test_a_request_that_ends_in_the_middle_is_told_so(served: Server) -> None:
    with Connection(served.url) as connection:
        connection.send(HEALTH[:20])
        connection.socket.shutdown(socket.SHUT_WR)
        assert connection.ended().startswith(b"HTTP/1.1 400 ")
